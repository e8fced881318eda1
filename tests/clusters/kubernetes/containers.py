"""Containers of a pod: commands that run as processes of this machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusters.kubernetes.objects import now

_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def expanded(text: str, variables: dict[str, str]) -> str:
    """Put variables in the place of `$(NAME)`, as Kubernetes does; unknown ones stay."""
    return _REFERENCE.sub(lambda found: variables.get(found[1], found[0]), text)


def moved(text: str, mounts: dict[str, Path]) -> str:
    """Put the folder of a claim in the place of the path that it is mounted at."""
    for path, folder in mounts.items():
        if text == path or text.startswith(f"{path}/"):
            return f"{folder}{text.removeprefix(path)}"
    return text


@dataclass
class Container:
    """A container of a pod.

    Attributes
    ----------
    spec : dict
        As it stands in the pod.
    variables : dict
        Its environment.
    mounts : dict
        Folders by the paths that they are mounted at.
    folder : path
        Where it works, on a disk of the pod.
    log : path
        What it says.
    """

    spec: dict[str, Any]
    variables: dict[str, str]
    mounts: dict[str, Path]
    folder: Path
    log: Path
    restarts: int = 0
    is_ready: bool = False
    state: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    @property
    def command(self) -> list[str]:
        """What it runs; the image has no entry point of its own."""
        words = [*self.spec.get("command", ()), *self.spec.get("args", ())]
        return [moved(expanded(word, self.variables), self.mounts) for word in words]

    async def start(self) -> None:
        """Start its process, the first of a group."""
        self.is_ready = False
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.variables,
                start_new_session=True,
            )
        self.state = {"running": {"startedAt": now()}}

    async def ended(self) -> int:
        """Wait for its end, which is that of all its processes; give the exit code."""
        assert self.process is not None
        code = await self.process.wait()
        self.kill()
        self.is_ready = False
        code = 128 - code if code < 0 else code
        self.state = {
            "terminated": {
                "exitCode": code,
                "reason": "Error" if code else "Completed",
                "finishedAt": now(),
            }
        }
        return code

    def waits(self, reason: str) -> None:
        """Note that it waits to be started, again if it has run."""
        self.last, self.is_ready = self.state, False
        self.state = {"waiting": {"reason": reason}}

    def ask(self) -> None:
        """Ask its first process to end."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.terminate()

    def kill(self) -> None:
        """End all its processes."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def status(self) -> dict[str, Any]:
        """What the status of the pod says of it."""
        return {
            "name": self.spec["name"],
            "image": self.spec["image"],
            "ready": self.is_ready,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last if "terminated" in self.last else {},
        }
