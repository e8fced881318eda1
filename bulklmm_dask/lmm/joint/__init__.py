"""Tests of several columns per marker, such as genotypes and interactions, together."""
