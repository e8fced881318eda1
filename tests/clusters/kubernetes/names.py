"""Names and addresses of the cluster, inside of the processes of its pods.

Pods are processes of one machine. Each has a loopback address of its own, which it listens at where
it would listen at all addresses; names of services and pods stand in a file.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

ADDRESS, NAME, FILE = (
    "KUBERNETES_DOUBLE_ADDRESS",
    "KUBERNETES_DOUBLE_NAME",
    "KUBERNETES_DOUBLE_NAMES",
)
SITE = "from clusters.kubernetes.names import enter\n\nenter()\n"
_ALL = ("", "0.0.0.0", "::", None)
# Ports of the cluster are others of the machine: who listens at all its addresses, as schedulers of
# Dask do at 8787, would have them already.
_SHIFT = 20_000


def shifted(port: int) -> int:
    """The port of the machine that stands for a port of the cluster that has a number."""
    return port + _SHIFT if 0 < port < 10_000 else port


def environment(address: str, name: str, names: Path) -> dict[str, str]:
    """Variables that `enter` reads."""
    return {ADDRESS: address, NAME: name, FILE: str(names)}


def service_names(name: str, namespace: str) -> list[str]:
    """The names that a service has in the cluster."""
    return [
        name,
        f"{name}.{namespace}",
        f"{name}.{namespace}.svc",
        f"{name}.{namespace}.svc.cluster.local",
    ]


def enter() -> None:
    """Let this process see the network as a pod does, if it is one."""
    if ADDRESS not in os.environ:
        return
    address, names = os.environ[ADDRESS], Path(os.environ[FILE])
    prefix = f"{address.rpartition('.')[0]}."
    resolve, bind, connect = socket.getaddrinfo, socket.socket.bind, socket.socket.connect

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host in _ALL:
            return resolve(address, *arguments, **options)
        text = host.decode() if isinstance(host, bytes) else host
        return resolve(json.loads(names.read_text()).get(text, host), *arguments, **options)

    def inside(where: Any) -> Any:
        if isinstance(where, tuple) and str(where[0]).startswith(prefix):
            return (where[0], shifted(where[1]), *where[2:])
        return where

    def bound(self: socket.socket, where: Any) -> None:
        if self.family == socket.AF_INET and where[0] in _ALL:
            where = (address, where[1])
        bind(self, inside(where))

    def connected(self: socket.socket, where: Any) -> None:
        if self.family == socket.AF_INET and self.type & socket.SOCK_DGRAM:
            bind(self, (address, 0))  # who connects so asks for its own address
            where = (address, where[1])
        connect(self, inside(where))

    socket.getaddrinfo = getaddrinfo
    socket.socket.bind = bound  # type: ignore[method-assign]
    socket.socket.connect = connected  # type: ignore[method-assign]
    socket.gethostname = lambda: os.environ[NAME]
