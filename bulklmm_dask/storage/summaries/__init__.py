"""Summaries of the blocks of a result, from which most questions are answered."""
