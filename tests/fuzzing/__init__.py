"""Mutated inputs: every reader, table, store and command gives a result or an error of its own."""
