"""Threads and memory from the variables of a job, its control groups, and the processors."""

import os
import re
from functools import partial

import pytest

from bulklmm_dask.analyses.loads import Shapes, scan_load
from bulklmm_dask.analyses.scan_options import ScanOptions
from bulklmm_dask.engine import allotted
from bulklmm_dask.engine.allotted import allotted_memory, allotted_threads
from bulklmm_dask.engine.local import workers
from bulklmm_dask.engine.room import bytes_of, fitting, room_of_workers
from bulklmm_dask.errors import InputError
from bulklmm_dask.surface import command_line

VARIABLES = (
    "SLURM_CPUS_PER_TASK",
    "OMP_NUM_THREADS",
    "DASK_NUM_WORKERS",
    "SLURM_MEM_PER_NODE",
    "SLURM_MEM_PER_CPU",
    "SLURM_CPUS_ON_NODE",
)


# A scan whose usual blocks need some 1 GB.
MAKE = partial(
    scan_load,
    Shapes(1000, 10**6, 10**5),
    ScanOptions(method="null-exact", reml=False, precision="double"),
)


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of 16 processors and 64 GB, without a job and control groups."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(allotted, "_PROC", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(allotted, "_memory_of_the_machine", lambda: 64 * 10**9)
    return tmp_path


def test_all_of_the_machine_by_default():
    assert allotted_threads() == allotted.Allotted(16, "all processors")
    assert allotted_memory() == allotted.Allotted(64 * 10**9, "the machine")


def test_processors_that_the_process_may_run_on(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    assert allotted_threads().amount == 3
    assert "may use" in allotted_threads().source


def test_variables_in_their_order(monkeypatch):
    for name, number in reversed(list(zip(VARIABLES[:3], (3, 5, 7), strict=True))):
        monkeypatch.setenv(name, str(number))
        assert allotted_threads() == allotted.Allotted(number, name)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", " ")
    assert allotted_threads() == allotted.Allotted(5, "OMP_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")  # of nested loops
    assert allotted_threads().amount == 4


@pytest.mark.parametrize("name", VARIABLES[:3])
@pytest.mark.parametrize("value", ["many", "0", "-2", "1.5", "4 cores", "²"])
def test_a_variable_that_is_no_number_of_threads_is_quoted(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        allotted_threads()
    assert f"{name}={value!r}, which is no number of threads" in str(caught.value)
    with command_line(), pytest.raises(InputError, match="unset it, or give --threads"):
        allotted_threads()
    with workers(threads=2) as where:  # what is asked for needs no variable
        assert str(where) == "2 threads of this process (from threads)"


def cgroup2(folder, limits):
    """A hierarchy of version 2 with files in the group of the process and in those above it."""
    (folder / "cgroup").write_text("0::/system/job_7/step\n")
    mounted = folder / "fs"
    (folder / "mountinfo").write_text(
        f"24 1 0:22 / / rw - ext4 /dev/sda rw\n"
        f"31 24 0:28 / {mounted} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    (mounted / "system/job_7/step").mkdir(parents=True)
    for path, text in limits.items():
        (mounted / path).write_text(text)


def test_control_groups_of_version_2(machine):
    cgroup2(
        machine,
        {
            "system/job_7/step/cpu.max": "max 100000\n",
            "system/job_7/cpu.max": "350000 100000\n",
            "system/cpu.max": "800000 100000\n",
            "system/job_7/step/memory.max": "max\n",
            "system/job_7/memory.max": "3000000000\n",
        },
    )
    assert allotted_threads() == allotted.Allotted(4, "the quota of the cgroup")
    assert allotted_memory() == allotted.Allotted(3 * 10**9, "the limit of the cgroup")


def test_control_groups_of_version_1(machine):
    (machine / "cgroup").write_text(
        "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
    )
    cpu, memory = machine / "cpu,cpuacct", machine / "memory"
    # In a container the group itself is the root of the mount.
    (machine / "mountinfo").write_text(
        f"31 24 0:28 /docker/abc {cpu} rw - cgroup cgroup rw,cpu,cpuacct\n"
        f"32 24 0:29 /docker/abc {memory} rw - cgroup cgroup rw,memory\n"
    )
    cpu.mkdir()
    memory.mkdir()
    (cpu / "cpu.cfs_quota_us").write_text("200000\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    (memory / "memory.limit_in_bytes").write_text("5000000000\n")
    assert allotted_threads().amount == 2
    assert allotted_memory().amount == 5 * 10**9
    (cpu / "cpu.cfs_quota_us").write_text("-1\n")
    (memory / "memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")
    assert allotted_threads().amount == 16
    assert allotted_memory().amount == 64 * 10**9


def test_a_quota_above_the_processors_is_not_used(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    cgroup2(machine, {"system/job_7/cpu.max": "800000 100000\n"})
    assert allotted_threads().amount == 2


def test_a_part_of_a_processor_is_one_thread(machine):
    cgroup2(machine, {"system/job_7/cpu.max": "20000 100000\n"})
    assert allotted_threads().amount == 1


def test_files_of_control_groups_that_cannot_be_read(machine):
    cgroup2(machine, {"system/cpu.max": "\n", "system/job_7/cpu.max": "a b c\n"})
    (machine / "fs/system/job_7/memory.max").write_bytes(b"\xff")
    assert allotted_threads().amount == 16
    assert allotted_memory().amount == 64 * 10**9
    (machine / "cgroup").write_text("nonsense\n\n0::\n")
    (machine / "mountinfo").write_text("- -\nx - y\n")
    assert allotted_threads().amount == 16


def test_memory_of_the_job(monkeypatch, machine):
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "2000")
    assert allotted_memory().amount == 2000 * 2**20
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert allotted_memory() == allotted.Allotted(8000 * 2**20, "SLURM_MEM_PER_CPU")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert allotted_memory().amount == 6000 * 2**20
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "16G")
    assert allotted_memory() == allotted.Allotted(16 * 2**30, "SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # all of the node
    assert allotted_memory().amount == 6000 * 2**20
    cgroup2(machine, {"system/job_7/memory.max": "1000000000\n"})
    assert allotted_memory().source == "the limit of the cgroup"


def test_the_machine_has_memory(monkeypatch):
    monkeypatch.undo()
    assert 10**8 < allotted_memory().amount <= allotted._memory_of_the_machine()


def test_blocks_of_threads_fit_into_the_memory_of_the_job(monkeypatch):
    with workers(threads=2):
        assert room_of_workers() is None
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "600")
    with workers(threads=2) as where:
        assert str(where).endswith("and 629 MB (from SLURM_MEM_PER_NODE)")
        room = room_of_workers()
        assert (room.threads, room.limit, room.usable) == (2, 600 * 2**20, 600 * 2**20)
        load = fitting(MAKE, "auto", room)
        assert room.memory(load).total <= room.usable < room.memory(MAKE("auto")).total
    assert room_of_workers() is None


def test_too_little_memory_of_the_job_is_told(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "250")
    with workers(threads=4):
        room = room_of_workers()
        with pytest.raises(InputError) as error:
            fitting(MAKE, "auto", room)
    needed = room.memory(MAKE({"variants": 256, "traits": 128})).total
    words = str(error.value)
    assert "this process may use 262 MB (from SLURM_MEM_PER_NODE) for 4 threads, but" in words
    (said,) = re.findall(r"give it (\S+ MB) or more, or fewer threads$", words)
    assert needed <= bytes_of(said) < 1.01 * needed


@pytest.mark.parametrize("name", ["SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU"])
def test_a_variable_that_is_no_amount_of_memory_is_quoted(monkeypatch, name):
    monkeypatch.setenv(name, "plenty")
    with pytest.raises(InputError, match=f"{name}='plenty', which is no amount of memory"):
        allotted_memory()
