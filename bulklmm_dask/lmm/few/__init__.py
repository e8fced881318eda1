"""The null methods for few traits against many markers."""
