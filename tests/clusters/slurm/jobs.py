"""Jobs of the tests: the lines of the page, submitted with less, and looked at."""

from __future__ import annotations

import re

from faults.machines import blocks_of, wait_for

from clusters.slurm.conftest import BLOCKS

# Processors and memory of a task, in place of those in the scripts: the machine has few.
SMALL = ("--cpus-per-task=2", "--mem-per-cpu=700M")
# Seconds more that a block takes, so that a job is in the middle for long enough to be disturbed
# there, however loaded the machine is. A block ends before KillWait is over.
SLOW = 3


def submit(slurm, folder, words, *options, slow=0.0, stuck=0):
    """Submit what a line says from a folder; the number of its job.

    The words begin with those for the environment, and end with the arguments of the script. Until
    the job is requeued, its blocks take `slow` seconds more each, and a process of it that has
    written `stuck` blocks goes no further and hears no SIGTERM.
    """
    given = dict(word.split("=") for word in words if re.match(r"[A-Z]+=", word))
    _, *rest = words[len(given) :]
    slurm.environment |= {"SLOW": str(slow), "STUCK": str(stuck), **given}
    told = slurm.run("sbatch", "--parsable", *SMALL, *options, *rest, cwd=folder)
    for name in given:
        del slurm.environment[name]
    return told.partition(";")[0]


def log(folder, job):
    return "".join(file.read_text() for file in sorted(folder.glob(f"bulklmm-{job}*.log")))


def jobs(slurm):
    """Numbers of all jobs that have not ended."""
    return set(slurm.run("squeue", "-h", "-o", "%A").split())


def wait_for_some(store, least=6):
    """Wait until a run is in the middle."""
    wait_for(lambda: blocks_of(store) >= least)
    assert blocks_of(store) < BLOCKS
