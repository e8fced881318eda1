"""What pages ask `bulklmm plan` of is what their files give workers, and the lines run."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from commands import run
from dask.utils import parse_bytes
from doc_pages import ROOT, blocks

from clusters.everywhere import make_study

CONFIGS = ROOT / "cluster_configs"
GUIDE = ROOT / "docs" / "guide"


def lines(page: str, *words: str) -> list[list[str]]:
    """Words of the lines of a page that have all of these words."""
    text = (GUIDE / f"{page}.md").read_text()
    shown = (block for kind in ("sh", "bash") for block in blocks(text, kind))
    found = [shlex.split(line) for block in shown for line in block.splitlines()]
    return [line for line in found if set(words) <= set(line)]


def asked(page: str) -> tuple[int, int, int]:
    """Workers, threads and bytes of each, that the page asks `plan` of."""
    ((workers, threads, memory),) = (
        (line[line.index(flag) + 1] for flag in ("--workers", "--threads", "--memory"))
        for line in lines(page, "plan", "--workers", "--threads", "--memory")
    )
    return int(workers), int(threads), parse_bytes(memory)


def test_slurm():
    workers, threads, memory = asked("slurm")
    for name in ("scan", "array"):
        text = (CONFIGS / "slurm" / f"{name}.sbatch").read_text()
        given = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", text, flags=re.MULTILINE))
        assert int(given["cpus-per-task"]) == threads
        assert parse_bytes(f"{given['mem-per-cpu']}iB") * threads == memory
        assert given.get("ntasks", "4") == str(workers)


@pytest.mark.parametrize("name", ["job", "job-bucket"])
def test_kubernetes(name):
    workers, threads, memory = asked("kubernetes")
    job = yaml.safe_load((CONFIGS / "kubernetes" / f"{name}.yaml").read_text())
    given = job["spec"]["cluster"]["spec"]["worker"]
    (container,) = given["spec"]["containers"]
    args, resources = container["args"], container["resources"]
    assert given["replicas"] == workers
    assert int(args[args.index("--nthreads") + 1]) == threads
    assert parse_bytes(args[args.index("--memory-limit") + 1]) == memory
    assert int(resources["requests"]["cpu"]) == int(resources["limits"]["cpu"]) == threads
    assert parse_bytes(f"{resources['requests']['memory']}B") == memory
    assert parse_bytes(f"{resources['limits']['memory']}B") == memory + 2**30


def test_ssh():
    workers, threads, memory = asked("ssh")
    ((_, _, *words),) = lines("ssh", "python", "cluster_configs/ssh/cluster.py")
    at = words.index("--threads")
    assert len(words[:at]) == workers
    assert words[at + 1 :: 2] == [str(threads), "32GB"]
    assert parse_bytes("32GB") == memory


@pytest.mark.slow
def test_the_lines_run(tmp_path, monkeypatch):
    study = str(make_study(tmp_path))
    monkeypatch.chdir(tmp_path)
    count = 0
    for page in ("slurm", "kubernetes", "ssh", "sizing", "cost"):
        for line in lines(page, "bulklmm", "plan"):
            words = [study if word == "/data/study.zarr" else word for word in line]
            assert "memory" in run(*words[words.index("plan") :]).stdout
            count += 1
    assert count >= 7
