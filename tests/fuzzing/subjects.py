"""All that is fuzzed: readers, tables, stores, commands, and functions on objects.

Readers come from the registry of formats: one that has no example here fails the tests.
"""

from __future__ import annotations

from fuzzing.calls import CALLS
from fuzzing.commands import COMMANDS
from fuzzing.readers import READING
from fuzzing.stores import STORES
from fuzzing.subject import Subject

SUBJECTS: dict[str, Subject] = READING | STORES | COMMANDS | CALLS
