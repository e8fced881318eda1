"""What dask holds between the tasks of a search does not grow with the markers of a study."""

import dask
import numpy as np
import pytest
from dask.callbacks import Callback
from studies import study

import bulklmm_dask as blmm

CHUNKS = {"variants": 64, "traits": 4}  # three chunks of traits
SEARCHES = {
    "hits": lambda result: blmm.find_hits(result, threshold=1),
    "maxima": blmm.max_lod,
    "largest": lambda result: result.lod.max().compute(),
}


SELECTIONS = {
    "slice": lambda m: slice(3, None),
    "steps": lambda m: slice(None, None, 2),
    "mask": lambda m: np.arange(m) % 3 > 0,
}


def nbytes(value):
    if isinstance(value, list | tuple):
        return sum(map(nbytes, value))
    return value.nbytes if isinstance(value, np.ndarray) else 0


def held(search, ds, options):
    """Most bytes of arrays that are kept for later tasks."""
    most = 0

    def look(*args):
        nonlocal most
        most = max(most, sum(map(nbytes, args[3]["cache"].values())))

    with dask.config.set(scheduler="synchronous"), Callback(posttask=look):
        search(blmm.scan(ds, chunks=CHUNKS, **options))
    return most


@pytest.mark.parametrize("loco", [False, True])
def test_genotypes_are_not_held_until_the_last_traits_need_them(tmp_path, loco):
    found = {}
    for m in (512, 1024):
        ds = study(n=200, p=m, m=12)
        ds["kinship"] = blmm.kinship(ds)
        if loco:
            ds["kinship_loco"] = blmm.kinship(ds, loco=True)
        blmm.save(ds, tmp_path / f"{m}.zarr")
        stored = blmm.open_dataset(tmp_path / f"{m}.zarr")
        found[m] = {name: held(one, stored, {"loco": loco}) for name, one in SEARCHES.items()}
    chunk = CHUNKS["variants"] * 200 * stored.call_dosage.dtype.itemsize
    for name in SEARCHES:
        assert found[1024][name] - found[512][name] < chunk, found


@pytest.mark.parametrize("selection", SELECTIONS)
def test_nor_are_those_of_some_markers(tmp_path, selection):
    found = {}
    for m in (512, 1024):
        ds = study(n=200, p=m, m=12)
        ds["kinship"] = blmm.kinship(ds)
        blmm.save(ds, tmp_path / f"{m}.zarr")
        some = blmm.open_dataset(tmp_path / f"{m}.zarr").isel(variants=SELECTIONS[selection](m))
        found[m] = {name: held(one, some, {}) for name, one in SEARCHES.items()}
    chunk = CHUNKS["variants"] * 200 * some.call_dosage.dtype.itemsize
    for name in SEARCHES:
        assert found[1024][name] - found[512][name] < chunk, found
