"""Warnings that data were dropped, filled in or reinterpreted, at the line of the user's call."""

from __future__ import annotations

from bulklmm_dask.storage.places.warn import say

__all__ = ["say", "say_once"]

_said: set[str] = set()


def say_once(topic: str, words: str) -> None:
    """Issue a StudyWarning, but one of a topic only once in a process."""
    if topic not in _said:
        _said.add(topic)
        say(words)
