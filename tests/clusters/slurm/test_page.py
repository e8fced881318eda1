"""The page and the files: without SLURM, and with dask-jobqueue's own classes."""

from __future__ import annotations

import re
import shlex

import dask
import pytest
import yaml
from doc_pages import parse

from clusters.slurm.conftest import FILES
from clusters.slurm.page import PAGE, shell_lines

# What is said of each batch system: its class, and directives for 8 processors, 16 GiB and 2 hours.
SYSTEMS = {
    "jobqueue.yaml": (
        "SLURMCluster",
        ["#SBATCH --cpus-per-task=8", "#SBATCH --mem=16G", "#SBATCH -t 02:00:00"],
    ),
    "jobqueue-pbs.yaml": (
        "PBSCluster",
        ["#PBS -l select=1:ncpus=8:mem=16gb", "#PBS -l walltime=02:00:00", "#PBS -r y"],
    ),
    "jobqueue-lsf.yaml": (
        "LSFCluster",
        ["#BSUB -n 8", '#BSUB -R "span[hosts=1]"', "#BSUB -M 17180", "#BSUB -W 02:00", "#BSUB -r"],
    ),
    "jobqueue-sge.yaml": (
        "SGECluster",
        ["#$ -pe smp 8", "#$ -l h_vmem=2G", "#$ -l h_rt=02:00:00", "#$ -r y"],
    ),
}
# Lines that tests run or read as they stand; others are of every installation.
KNOWN = (
    r"((SHARES=\d+ )?sbatch (--\S+ )+[a-z]+\.sbatch|bulklmm|python -m venv|source|pip|mkdir|cp|cd) "
)


@pytest.mark.parametrize("name", SYSTEMS)
def test_defaults_make_job_scripts(name):
    jobqueue = pytest.importorskip("dask_jobqueue")
    ours = yaml.safe_load((FILES / name).read_text())["jobqueue"]
    defaults = dask.config.get("jobqueue")
    ((system, own),) = ours.items()
    assert own.keys() <= defaults[system].keys()
    kind, directives = SYSTEMS[name]
    merged = dask.config.merge(defaults, ours)
    options = {"scheduler_options": {"port": 0, "dashboard_address": ":0"}}
    with (
        dask.config.set(jobqueue=merged),
        getattr(jobqueue, kind)(**options) as cluster,
    ):
        lines = cluster.job_script().splitlines()
    for directive in directives:
        assert directive in lines
    command = lines[-1]
    for words in ("--nthreads 8", "--memory-limit 16.00GiB", "--lifetime 115m"):
        assert words in command
    assert f"| `{kind}` | `{name}` |" in PAGE


def test_all_defaults_are_told_of():
    assert {path.name for path in FILES.glob("*.yaml")} == SYSTEMS.keys()
    for path in FILES.iterdir():
        assert f"`{path.name}`" in PAGE


def test_lines_are_those_that_tests_run():
    for line in shell_lines():
        assert re.match(KNOWN, line), line
        if line.startswith("bulklmm "):
            numbered = re.sub(r"\$\w+", "2", line)
            parse(numbered)
            assert "$" not in line or re.search(r"--share \$\w+/10 --threads \$\w+$", line)


@pytest.mark.parametrize("path", sorted(FILES.glob("*.sbatch")), ids=lambda path: path.name)
def test_scripts_ask_for_what_is_said_of_them(path):
    text = path.read_text()
    directives = dict(
        shlex.split(line)[1].removeprefix("--").partition("=")[::2]
        for line in text.splitlines()
        if line.startswith("#SBATCH ")
    )
    assert directives["cpus-per-task"] == "8"
    assert directives["mem-per-cpu"] == "2G"
    assert "requeue" in directives
    # scancel sends SIGTERM, on which a script must not go back into the queue.
    assert ("trap requeue USR1" in text) == (directives.get("signal") == "B:USR1@120")
