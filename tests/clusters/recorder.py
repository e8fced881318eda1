"""A relay on the loopback that keeps all bytes which pass between a client and its scheduler."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

_PIECE = 2**16


class Recorder:
    """Relays connections to an address, and keeps what goes through them.

    Parameters
    ----------
    address : str
        Where to, as ``tcp://host:port``.
    """

    def __init__(self, address: str) -> None:
        host, port = address.removeprefix("tcp://").split(":")
        self._there = (host, int(port))
        self._pieces: list[bytes] = []
        self._ends: list[socket.socket] = []

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def passed(self) -> bytes:
        """All bytes so far, both ways."""
        return b"".join(self._pieces)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(self._there)
                self._ends += [here, there]
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._relay, args=(one, other), daemon=True).start()

    def _relay(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(_PIECE):
                self._pieces.append(piece)
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)
