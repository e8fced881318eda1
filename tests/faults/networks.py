"""A network whose cables can be pulled: hosts are network namespaces behind a bridge."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


def unusable() -> str:
    """Say why there can be no network here; empty if there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the program ip (iproute2)"
    name = f"bulklmm-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.strip()}"
    _ip("netns", "del", name)
    return ""


class Network:
    """A bridge of this machine, with some hosts.

    Attributes
    ----------
    address : str
        Address of this machine there.
    hosts : list of str
        Names of the namespaces.
    """

    def __init__(self, count: int) -> None:
        number = os.getpid()
        self._net = f"198.18.{number % 256}"
        self.address, self._bridge = f"{self._net}.1", f"fb{number}"
        self.hosts = [f"bulklmm-{number}-{i}" for i in range(count)]
        self._cables = [f"fv{number}-{i}" for i in range(count)]

    def make(self, undo: ExitStack) -> None:
        """Make all of it; `undo` learns how to remove what is made."""
        _ip("link", "add", self._bridge, "type", "bridge")
        undo.callback(_ip, "link", "del", self._bridge)
        _ip("addr", "add", f"{self.address}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for i, (host, cable) in enumerate(zip(self.hosts, self._cables, strict=True)):
            _ip("netns", "add", host)
            undo.callback(_ip, "netns", "del", host)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", host)
            undo.callback(_ip, "link", "del", cable)  # at once; those of a removed host go later
            _ip("link", "set", cable, "master", self._bridge, "up")
            _ip("-n", host, "addr", "add", f"{self._net}.{i + 2}/24", "dev", "eth0")
            for name in ("lo", "eth0"):
                _ip("-n", host, "link", "set", name, "up")

    def cut(self, *hosts: str) -> None:
        """Pull the cables of some hosts: what is sent is lost, and nothing says so."""
        self._set("down", hosts)

    def mend(self, *hosts: str) -> None:
        """Put the cables back."""
        self._set("up", hosts)

    def _set(self, state: str, hosts: tuple[str, ...]) -> None:
        for host in hosts:
            _ip("link", "set", self._cables[self.hosts.index(host)], state)


@contextmanager
def network(count: int) -> Iterator[Network]:
    """Make a network for the ``with`` block."""
    with ExitStack() as undo:
        made = Network(count)
        made.make(undo)
        yield made


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
