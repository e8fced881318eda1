"""Peak memory of a worker process in real runs, against its plan."""

import sys
from pathlib import Path

import cloudpickle
import pytest
from studies import told

import bulklmm_dask as blmm
from bulklmm_dask.engine.calibration import Rates
from bulklmm_dask.engine.local import workers
from bulklmm_dask.engine.run import active_client

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc"),
]

# What a run imports, before it has any work.
_MODULES = ("analyses.scan", "analyses.permute", "study.io")


def of_this_process(what: str) -> int:
    """A line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{what}:"))
    return 1024 * int(line.split()[1])


def idle() -> int:
    from importlib import import_module

    for module in _MODULES:
        import_module(f"bulklmm_dask.{module}")
    return of_this_process("VmRSS")


def peak() -> int:
    return of_this_process("VmHWM")


# Memory does not depend on the speed of a machine.
RATES = Rates(5e10, 5e10, 2e10, 5e-7, 5e-9, 3e-8, 0.0, 4e8, 0.9, 0.15, 1e-9)

# Gaps between arrays in memory that was freed and is used again.
FREED = 2**25

KERNELS = {"additive": "kinship", "cage": "@cage"}

# Markers and samples that are all distinct: copies take less.
RUNS = {
    "null-exact": ({"n_samples": 600, "n_variants": 2048, "n_traits": 4096}, {}),
    "alt-exact": (
        {"n_samples": 300, "n_variants": 1024, "n_traits": 1024},
        {"method": "alt-exact"},
    ),
    "alt-grid, 2 threads": (
        {"n_samples": 600, "n_variants": 2048, "n_traits": 1024},
        {"method": "alt-grid"},
    ),
    "loco": (
        {"n_samples": 600, "n_variants": 2048, "n_traits": 1024, "n_contigs": 5},
        {"loco": True},
    ),
    "permutations": (
        {"n_samples": 500, "n_variants": 8192, "n_traits": 32},
        {"method": "per-trait", "n_permutations": 100},
    ),
    "two kernels": (
        {"n_samples": 300, "n_variants": 2048, "n_traits": 512},
        {"kinship": KERNELS},
    ),
    "permutations, two kernels": (
        {"n_samples": 300, "n_variants": 4096, "n_traits": 16},
        {"method": "per-trait", "n_permutations": 100, "kinship": KERNELS},
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_worker_keeps_to_its_plan(name, tmp_path, monkeypatch):
    monkeypatch.setattr("bulklmm_dask.analyses.plan.calibrate", lambda *_, **__: RATES)
    sizes, options = RUNS[name]
    threads = 2 if "2 threads" in name else 1
    ds = blmm.simulate_study(n_strains=None, **sizes)
    if options.get("loco"):
        ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    ds["kinship"] = blmm.kinship(ds)
    ds["sample_cage"] = ("samples", [f"cage{i % 30}" for i in range(ds.sizes["samples"])])
    blmm.save(ds, tmp_path / "study.zarr")
    study = blmm.open_dataset(tmp_path / "study.zarr")
    planned, _ = told(blmm.plan, study, **options, threads=threads, memory="4GB")
    # The functions of this module travel to the worker by value: it has no folder of tests.

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with workers(processes=1, threads=threads, memory="4GB"):
        client = active_client()
        (before,) = client.run(idle).values()
        run = {key: value for key, value in options.items() if key != "method"}
        if options.get("method") == "per-trait":
            told(blmm.permute, study, **run, store=tmp_path / "result.zarr")
        else:
            told(blmm.scan, study, **options, store=tmp_path / "result.zarr")
        (after,) = client.run(peak).values()
    of_work = planned.memory_bytes - planned.memory["worker"]
    assert of_work > 4e7  # more than the libraries of the worker may grow by
    assert 1 / 1.2 < before / planned.memory["worker"] < 1.2
    assert 1 / 1.2 < after / planned.memory_bytes < 1.2
    assert of_work / 1.2 < after - before < 1.2 * of_work + FREED
