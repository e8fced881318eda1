"""The one command, the one script and the one notebook cell that run everywhere, and their numbers.

A place says how to reach its workers: words at the end of the command (`command`) and of those of
the script (study, store), or lines before the cell (`cell`). Nothing else changes from place to
place. The script is `cluster_configs/scan.py`, with one line of it edited for blocks that are as
small as the study.

    from clusters.everywhere import assert_same, command, make_script, make_study

    study, script = make_study(folder), make_script(folder)
    run(*command(study, folder / "lod.zarr", "--scheduler", address))
    machines.start(script, study, folder / "again.zarr", "--scheduler", address).code()
    assert_same(folder / "lod.zarr", folder / "again.zarr")

The package itself is installed, or on PYTHONPATH, where the workers are; this folder need not be.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import brute
import numpy as np
import xarray as xr
from doc_pages import ROOT

import bulklmm_dask as blmm

# 20 blocks of 12 markers x 4 traits.
SIZES = {"n_samples": 40, "n_strains": None, "n_variants": 60, "n_traits": 16, "n_contigs": 3}
CHUNKS = {"variants": 12, "traits": 4}
BLOCKS = 20
SCRIPT = ROOT / "cluster_configs" / "scan.py"
_OPTIONS = '"method": "null-exact"'

_CELL = """\
import bulklmm_dask as blmm

ds = blmm.open_dataset({study!r})
result = blmm.scan(ds, store={store!r}, chunks={chunks!r})
peaks = blmm.max_lod(result)
"""


@cache
def _study() -> xr.Dataset:
    ds = blmm.simulate_study(**SIZES, seed=3)
    ds["kinship"] = blmm.kinship(ds).compute()
    return ds


def make_study(folder: os.PathLike[str] | str) -> Path:
    """Write the study, with its kinship, as ``study.zarr`` in a folder; its path."""
    path = Path(folder) / "study.zarr"
    blmm.save(_study(), path)
    return path


def make_script(folder: os.PathLike[str] | str) -> Path:
    """Copy the script into a folder, edited as users do: its line of options. Its path."""
    text = SCRIPT.read_text()
    assert text.count(_OPTIONS) == 1
    path = Path(folder) / SCRIPT.name
    path.write_text(text.replace(_OPTIONS, f'{_OPTIONS}, "chunks": {CHUNKS}'))
    return path


def command(study: object, store: object, *where: object) -> list[str]:
    """Words of the scan command behind ``bulklmm``; `where` are those of the place."""
    chunks = ",".join(str(size) for size in CHUNKS.values())
    return ["scan", str(study), str(store), "--chunks", chunks, *map(str, where)]


def cell(study: object, store: object, where: str = "") -> str:
    """Source of the notebook cell; `where` are the lines of the place, which come before it."""
    body = _CELL.format(study=str(study), store=str(store), chunks=CHUNKS)
    return f"{where.rstrip()}\n{body}" if where else body


def run_cell(study: object, store: object, where: str = "") -> dict[str, object]:
    """Run the cell in this process; the names that it leaves."""
    names: dict[str, object] = {}
    exec(compile(cell(study, store, where), "cell", "exec"), names)
    return names


@cache
def expected() -> xr.Dataset:
    """The scan on one thread of this process, held against one trait at a time by `brute`."""
    import dask

    ds = _study()
    with dask.config.set(scheduler="synchronous"):
        found = blmm.scan(ds, chunks=CHUNKS).compute()
    dosage = ds.call_dosage.transpose("variants", "samples").values
    traits = ds.sample_trait.transpose("traits", "samples").values
    constant = np.ones((ds.sizes["samples"], 1))
    for trait, y in enumerate(traits):
        h2 = brute.null_h2(y, constant, ds.kinship.values)
        slow = brute.lod_scores(dosage, y, constant, ds.kinship.values, h2)
        np.testing.assert_allclose(found.lod.isel(traits=trait), slow, atol=1e-4)
    return found


def assert_same(*stores: object) -> None:
    """The stores are complete and sound, and hold the numbers of `expected`, bit for bit."""
    for store in map(str, stores):
        assert not len(blmm.verify(store))
        found = blmm.open_result(store)
        assert found.lod.data.npartitions == BLOCKS
        for name in ("lod", "h2", "trait_id", "variant_id"):
            np.testing.assert_array_equal(found[name], expected()[name], err_msg=f"{store}: {name}")
