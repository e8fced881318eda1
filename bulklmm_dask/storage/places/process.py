"""Processes: who writes, and whether it still runs."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process of this machine or of another one.

    Attributes
    ----------
    machine : str
        Digest of what tells whether two processes see each other's numbers: the name of the host,
        its last start, and the container.
    pid : int
        Its number.
    birth : int
        When it was started, in the machine's own count; 0 if that is unknown. Numbers are given
        again, but not with the same start.
    host, user : str
        For messages.
    """

    machine: str
    pid: int
    birth: int = 0
    host: str = ""
    user: str = ""

    @classmethod
    def this(cls) -> Process:
        """The process that asks."""
        pid = os.getpid()
        return cls(_machine(), pid, _birth(pid)[0], socket.gethostname(), _user())

    def is_near(self) -> bool:
        """Whether it is of this machine and container."""
        return self.machine == _machine()

    def has_ended(self) -> bool:
        """Whether it is certain that it runs no more; False for processes of other machines."""
        if not self.is_near():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # of another user
            pass
        birth, state = _birth(self.pid)
        return state in ("Z", "X") or (0 not in (birth, self.birth) and birth != self.birth)

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"


@cache
def _machine() -> str:
    parts = [socket.gethostname()]
    with suppress(OSError):  # no Linux
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()


def _birth(pid: int) -> tuple[int, str]:
    """Start of a process in clock ticks since that of the machine, and its state; 0 if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]), fields[0]
    except (OSError, ValueError, IndexError):  # no Linux, or the process is hidden
        return 0, ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # containers have users without a name
        return f"user {os.getuid()}"
