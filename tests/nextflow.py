"""Nextflow's part in running a workflow: enough of it for the example of the documentation.

There is no Nextflow where the tests run. This reads the processes and the workflow of a script, and
runs each task as Nextflow does: by ``bash -ue`` in an empty folder of its own, to which its input
files are linked; the files that it declares as output must be there at the end.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROCESS = re.compile(r"^process (\w+) \{\n(.*?)^\}\n", re.M | re.S)
_WORKFLOW = re.compile(r"^workflow \{\n(.*?)^\}\n", re.M | re.S)
_PARAMETER = re.compile(r"^params\.(\w+) = (?:\"(.*?)\"|([\d.]+))", re.M)
_CALL = re.compile(r"^    (?:(\w+) = )?(\w+)\((.*)\)$", re.M)
_DIRECTIVE = re.compile(r'|cpus \d+|maxRetries \d+|errorStrategy "retry"|publishDir params.out, .*')
_VARIABLE = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class Process:
    """A process: its inputs, each one or several (kind, name); outputs (kind, text); its script."""

    name: str
    inputs: list[list[tuple[str, str]]]
    outputs: list[tuple[str, str]]
    script: str
    cpus: str
    published: bool

    @classmethod
    def of(cls, name: str, body: str) -> Process:
        head, *rest = re.split(r"^    (input|output|script):\n", body, flags=re.M)
        sections = dict(zip(rest[::2], rest[1::2], strict=True))
        assert list(sections) == ["input", "output", "script"], name
        (script,) = re.findall(r'\A    """\n(.*?)    """\n\Z', sections["script"], re.S)
        for line in head.split("\n"):
            assert _DIRECTIVE.fullmatch(line.strip()), line
        inputs = [
            re.findall(r"(path|val)[ (](\w+)", line)
            for line in sections["input"].strip().splitlines()
        ]
        outputs = re.findall(r'^    (path|val) "(.*)"$', sections["output"], re.M)
        assert all(inputs)
        assert len(outputs) == len(sections["output"].strip().splitlines())
        cpus = re.search(r"cpus (\d+)", head)
        return cls(name, inputs, outputs, script, cpus[1] if cpus else "1", "publishDir" in head)


@dataclass(frozen=True)
class Workflow:
    """A script: parameters with their defaults, processes, and the calls of its workflow."""

    params: dict[str, str]
    processes: dict[str, Process]
    calls: list[tuple[str, str, list[str]]]

    @classmethod
    def read(cls, text: str) -> Workflow:
        processes = {name: Process.of(name, body) for name, body in _PROCESS.findall(text)}
        (body,) = _WORKFLOW.findall(text)
        calls = [
            (target or name, name, [word.strip() for word in words.split(",")])
            for target, name, words in _CALL.findall(body)
            if name in processes
        ]
        params = {name: quoted or number for name, quoted, number in _PARAMETER.findall(text)}
        return cls(params, processes, calls)

    def run(self, folder: Path, *, again: Collection[str] = (), **given: str) -> list[str]:
        """Run all tasks in a folder; gives what they said on standard error.

        Parameters
        ----------
        folder : path
            Where the files of the parameters lie.
        again : collection of str
            Run only the tasks of these processes; the others have been run before.
        given : str
            Parameters that are not as by default.
        """
        params = self.params | given
        out = folder / params["out"]
        out.mkdir(exist_ok=True)
        plink = [folder / f"{params['plink']}.{part}" for part in ("bed", "bim", "fam")]
        known: dict[str, list[Path | str]] = {"Channel.of(files)": list(plink)}
        known |= {f"file(params.{name})": [folder / value] for name, value in params.items()}
        said = []
        for number, (target, name, words) in enumerate(self.calls):
            process = self.processes[name]
            assert len(words) == len(process.inputs), name
            values = {f"params.{key}": value for key, value in params.items()}
            values |= {"out": str(out), "task.cpus": process.cpus}
            task = folder / "work" / f"{number}-{name}"
            runs = not again or name in again
            if runs:
                shutil.rmtree(task, ignore_errors=True)
                task.mkdir(parents=True)
            for word, wanted in zip(words, process.inputs, strict=True):
                for (kind, variable), value in zip(wanted, known[word], strict=True):
                    values[variable] = str(value)
                    if kind == "path":
                        values[variable] = Path(value).name
                        if runs:
                            (task / values[variable]).symlink_to(value)
            if runs:
                said.append(_done(filled(process.script, values), task))
            known[target] = []
            for kind, text in process.outputs:
                value = filled(text, values)
                if kind == "path":
                    assert (task / value).exists(), f"{name} has not made {value}"
                    if process.published:
                        copy = shutil.copytree if (task / value).is_dir() else shutil.copy
                        shutil.rmtree(out / value, ignore_errors=True)
                        copy(task / value, out / value)
                known[target].append(task / value if kind == "path" else value)
        return said


def _done(script: str, folder: Path) -> str:
    """Run a script; gives what it said on standard error."""
    command = ["bash", "-ue", "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with values for its variables, all of which must be known."""
    return _VARIABLE.sub(lambda found: values[found[1]], text)
