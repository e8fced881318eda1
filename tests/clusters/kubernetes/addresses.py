"""Loopback addresses of one cluster, and the file with their names."""

from __future__ import annotations

import itertools
import json
import os
import random
import socket
from pathlib import Path

# Where another cluster would listen at the first address too, its prefix is taken.
_GUARD = 28785


class Addresses:
    """Addresses 127.x.y.1 to 127.x.y.254 that no other cluster of this machine has.

    Parameters
    ----------
    names : path
        The file that names are written into.
    """

    def __init__(self, names: Path) -> None:
        self.names = names
        self._known: dict[str, str] = {}
        self._guard, self._prefix = _reserved()
        self._next = itertools.cycle(range(2, 255))
        self.host = f"{self._prefix}.1"
        self._write()

    def new(self, *names: str) -> str:
        """Give an address that is not in use, under names."""
        used = set(self._known.values())
        address = next(found for n in self._next if (found := f"{self._prefix}.{n}") not in used)
        self._known |= dict.fromkeys(names, address)
        self._write()
        return address

    def free(self, address: str) -> None:
        """Take an address and its names back."""
        self._known = {name: known for name, known in self._known.items() if known != address}
        self._write()

    def close(self) -> None:
        """Let others have the prefix."""
        self._guard.close()

    def _write(self) -> None:
        new = self.names.with_suffix(".new")
        new.write_text(json.dumps(self._known))
        os.replace(new, self.names)


def _reserved() -> tuple[socket.socket, str]:
    chosen = random.Random()
    for _ in range(1000):
        prefix = f"127.{chosen.randrange(64, 250)}.{chosen.randrange(1, 255)}"
        guard = socket.socket()
        try:
            guard.bind((f"{prefix}.1", _GUARD))
        except OSError:
            guard.close()
            continue
        return guard, prefix
    raise AssertionError("no loopback address is free")
