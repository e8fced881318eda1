"""The words of kubectl that the guide uses, on the double."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import yaml
from faults.machines import PATIENCE

from clusters.kubernetes.containers import Container, moved
from clusters.kubernetes.double import Double
from clusters.kubernetes.kinds import Kind
from clusters.kubernetes.objects import Object
from clusters.kubernetes.patches import merge

LAST = "kubectl.kubernetes.io/last-applied-configuration"


class Kubectl:
    """Runs lines such as `kubectl apply -f job.yaml`.

    Parameters
    ----------
    double : Double
        The cluster.
    folder : path
        Where the lines are typed.
    """

    def __init__(self, double: Double, folder: Path) -> None:
        self._double, self._folder = double, folder

    def __call__(self, line: str) -> str:
        """Run a line; give what it prints. AssertionError where it fails.

        `wait` and `logs` also wait for an object that is not there yet.
        """
        program, verb, *words = shlex.split(line, comments=True)
        assert program == "kubectl", line
        said: str = getattr(self, f"_{verb}")(*words)
        return said

    def _apply(self, flag: str, file: str) -> str:
        assert flag == "-f"
        return "".join(self.apply(item) for item in self._items(file))

    def apply(self, manifest: Object) -> str:
        """Create an object, or change what is new in its manifest since it was last applied."""
        kind = self._kind(manifest["kind"])
        text = json.dumps(manifest)
        item = merge(manifest, {"metadata": {"annotations": {LAST: text}}})
        if "stringData" in item:
            values = item.pop("stringData").items()
            item["data"] = {name: base64.b64encode(f"{v}".encode()).decode() for name, v in values}
        name = f"{kind.name.lower()}/{item['metadata']['name']}"
        path = self._path(kind, item["metadata"]["name"])
        before = self._find(path)
        if before is None:
            self._double.request("POST", self._path(kind), item)
            return f"{name} created\n"
        last = json.loads(before["metadata"]["annotations"][LAST])
        patch = merge(_removed(last, manifest), item)
        after = self._double.request("PATCH", path, patch, "application/merge-patch+json")
        same = after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        return f"{name} {'unchanged' if same else 'configured'}\n"

    def _delete(self, *words: str) -> str:
        """Delete, and wait until it is gone."""
        if words[0] == "-f":
            named = [(each["kind"], each["metadata"]["name"]) for each in self._items(words[1])]
        else:
            named = [(words[0], words[1])]
        for kind, name in named:
            path = self._path(self._kind(kind), name)
            self._double.request("DELETE", path)
            self.until(lambda path=path: self._find(path) is None, f"{name} is deleted")
        return "".join(f'{kind.lower()} "{name}" deleted\n' for kind, name in named)

    def _get(self, kind: str, *words: str) -> str:
        """Names, or what a path of JSON finds in one object."""
        if not words:
            items = self._double.request("GET", self._path(self._kind(kind)))["items"]
            return "".join(f"{item['metadata']['name']}\n" for item in items)
        name, flag, output = words
        assert flag == "-o"
        found = self._find(self._path(self._kind(kind), name))
        assert found is not None, name
        return _at(found, output.removeprefix("jsonpath="))

    def _wait(self, *words: str) -> str:
        options = dict(word.split("=", 1) for word in words if word.startswith("--"))
        (target,) = (word for word in words if not word.startswith("--"))
        kind, _, name = target.partition("/")
        path = self._path(self._kind(kind), name)
        what, wanted = options["--for"].split("=", 1)
        if what == "jsonpath":
            field, _, value = wanted.partition("=")
            self.until(lambda: _at(self._find(path) or {}, field) == value, options["--for"])
        else:
            condition = {"type": wanted, "status": "True"}

            def holds() -> bool:
                found = self._find(path) or {}
                return condition in found.get("status", {}).get("conditions", ())

            self.until(holds, options["--for"])
        return f"{target} condition met\n"

    def _logs(self, *words: str) -> str:
        (pod,) = (word for word in words if not word.startswith("-"))
        follow = "true" if {"-f", "--follow"} & set(words) else "false"
        path = self._path(self._kind("pod"), pod)
        self.until(lambda: self._find(path) is not None, f"there is the pod {pod}")
        path = f"{path}/log?follow={follow}"
        with urlopen(f"{self._double.url}{path}", timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def _exec(self, pod: str, dashes: str, *words: str) -> str:
        """Run a command in a container, as one more of its processes."""
        assert dashes == "--"
        container = self.container(pod)
        run = subprocess.run(
            [moved(word, container.mounts) for word in words],
            capture_output=True,
            text=True,
            cwd=container.folder,
            env=container.variables,
            timeout=PATIENCE,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def _cp(self, source: str, target: str) -> str:
        pod, _, path = target.partition(":")
        container = self.container(pod)
        copy = shutil.copytree if (self._folder / source).is_dir() else shutil.copy
        copy(self._folder / source, moved(path, container.mounts))
        return ""

    def container(self, pod: str) -> Container:
        """The container of a pod."""
        found = self._find(self._path(self._kind("pod"), pod))
        assert found is not None, pod
        (container,) = self._double.kubelet.containers[found["metadata"]["uid"]]
        return container

    def pods(self, **labels: str) -> list[str]:
        """Names of pods that have labels, such as component="worker", and that stay."""
        items = self._double.request("GET", self._path(self._kind("pod")))["items"]
        return [
            item["metadata"]["name"]
            for item in items
            if "deletionTimestamp" not in item["metadata"]
            and {f"dask.org/{name}": value for name, value in labels.items()}.items()
            <= item["metadata"].get("labels", {}).items()
        ]

    def until(self, condition: Any, what: str) -> None:
        """Wait until something is so; AssertionError with what all pods say otherwise."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                logs = sorted((self._double.folder / "logs").iterdir())
                tails = [f"== {log.name}\n{log.read_text()[-3000:]}" for log in logs]
                raise AssertionError("\n".join([f"not so in time: {what}", *tails]))
            time.sleep(0.1)

    def _items(self, file: str) -> list[Object]:
        return list(yaml.safe_load_all((self._folder / file).read_text()))

    def _kind(self, name: str) -> Kind:
        known = self._double.ask(lambda: list(self._double.objects.kinds.values()))
        (found,) = (
            kind for kind in known if name.lower() in (kind.name.lower(), kind.plural, *kind.short)
        )
        return found

    def _path(self, kind: Kind, name: str = "") -> str:
        base = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
        path = f"{base}/namespaces/default/{kind.plural}"
        return f"{path}/{name}" if name else path

    def _find(self, path: str) -> Object | None:
        try:
            found: Object = self._double.request("GET", path)
        except HTTPError as error:
            if error.code != 404:
                raise
            return None
        return found


def _removed(last: Any, new: Any) -> Any:
    """A patch that removes what a manifest no longer has."""
    if not isinstance(last, dict) or not isinstance(new, dict):
        return new
    return {
        name: _removed(value, new[name]) if name in new else None for name, value in last.items()
    }


def _at(item: Any, path: str) -> str:
    """What a path such as {.status.phase} finds; empty for nothing."""
    (found,) = re.findall(r"^\{\.([\w.]+)\}$", path)
    for name in found.split("."):
        item = item.get(name, {}) if isinstance(item, dict) else {}
    return "" if item == {} else str(item)
