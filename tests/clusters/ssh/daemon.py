"""An ssh daemon on the loopback with a host key, a port and an authorised key of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

import bulklmm_dask

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/me.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
SetEnv PYTHONPATH={path} OPENBLAS_NUM_THREADS=1
"""
# What ~/.ssh/config of a user says of the machines.
_CLIENT = """\
Host node1 node2
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/me
  UserKnownHostsFile {folder}/known_hosts
"""


class Daemon:
    """The daemon, and the home of a user who has configured two names of it, node1 and node2.

    Parameters
    ----------
    folder : path
        For keys, configuration, log and home.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.log = folder / "sshd.log"

    def __enter__(self) -> Self:
        for name in ("host", "me"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name]
            subprocess.run(words, check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        names = {
            "port": self.port,
            "folder": self.folder,
            "user": getpass.getuser(),
            "path": Path(bulklmm_dask.__file__).parents[1],
        }
        (self.folder / "sshd_config").write_text(_CONFIG.format(**names))
        kind, key, *_ = (self.folder / "host.pub").read_text().split()
        known = "".join(
            f"[{host}]:{self.port} {kind} {key}\n" for host in ("127.0.0.1", "node1", "node2")
        )
        (self.folder / "known_hosts").write_text(known)
        (self.home / ".ssh").mkdir(parents=True)
        (self.home / ".ssh" / "config").write_text(_CLIENT.format(**names))
        with suppress(PermissionError):  # where sshd puts itself apart, as root
            os.makedirs("/run/sshd", exist_ok=True)
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdout=stream,
                stderr=stream,
            )
        self._wait()
        return self

    def started(self) -> list[psutil.Process]:
        """Processes of Dask that run under it."""
        return [
            one
            for one in psutil.Process(self.process.pid).children(recursive=True)
            if "dask_spec" in " ".join(one.cmdline())
        ]

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.log.read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
