"""Parts of a stored array: what is selected of it, told by places, reads the same values."""

import pickle
import warnings

import numpy as np
import pytest
import xarray as xr
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.engine.parts import Part, parts_of
from bulklmm_dask.storage.proof.lazy import Deferred

M, N = 1024, 60
RNG = np.random.default_rng(7)
SOME, ORDER, MASK = (
    np.sort(RNG.permutation(M)[:500]),
    RNG.permutation(N),
    np.arange(M) % 3 > 0,
)
# What is a selection, so that each block reads its own part.
SELECTIONS = {
    "all": lambda d: d,
    "slice": lambda d: d[3:],
    "steps": lambda d: d[5:-3:4],
    "backwards": lambda d: d[::-1],
    "mask": lambda d: d[MASK],
    "places": lambda d: d[SOME],
    "samples": lambda d: d[:, ORDER],
    "both": lambda d: d[{"variants": SOME, "samples": ORDER[:20]}],
    "twice": lambda d: d[5:][::2].isel(samples=[3, 5, 9])[:100],
    "transposed": lambda d: d.T[:, ::2].T,
    "chunks": lambda d: d.chunk({"variants": 100, "samples": 7}),
    "without some": lambda d: xr.concat([d[:100], d[120:]], "variants"),
    "none": lambda d: d[:0],
}
# What is none, or reads far more than it uses: dask reads and keeps the chunks.
OTHERS = {
    "another type": lambda d: d.astype("f4"),
    "values": lambda d: d.fillna(0.0),
    "a function": lambda d: d.copy(data=d.data.map_blocks(lambda x: x[:], dtype=d.dtype)),
    "with values in memory": lambda d: xr.concat([d[:100], d[100:].compute()], "variants"),
    "random order": lambda d: d[RNG.permutation(M)],
    "far apart": lambda d: d[::40],
}


@pytest.fixture(scope="module", params=[None, {"variants": 130, "samples": 25}])
def dosage(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts") / "study.zarr"
    blmm.save(study(n=N, p=M, m=3), folder)
    found = blmm.open_dataset(folder).call_dosage
    return found if request.param is None else found.chunk(request.param)


def sizes(count):
    return (64,) * (count // 64) + ((count % 64,) if count % 64 or not count else ())


def parts(array):
    return parts_of(array.data, (sizes(array.shape[0]), (array.shape[1],)))


@pytest.mark.parametrize("name", SELECTIONS)
def test_parts_read_what_dask_computes(dosage, name, monkeypatch):
    selected = SELECTIONS[name](dosage)
    with monkeypatch.context() as patch:
        patch.setattr(Deferred, "take", lambda *_: pytest.fail("it was read"))
        found = parts(selected)
    if name == "none" and found is None:  # dask makes an array in memory of nothing
        return
    assert [part.shape[0] for part in found] == list(sizes(len(selected)))
    read = [pickle.loads(pickle.dumps(part)).read() for part in found]
    np.testing.assert_array_equal(np.concatenate(read), selected.values)
    assert read[0].dtype == selected.dtype


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_selection_has_no_parts(dosage, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xarray's, of a random order
        assert parts(OTHERS[name](dosage)) is None


@pytest.mark.parametrize("rows", [slice(1, None), SOME, MASK, slice(None, None, -1)])
def test_a_scan_of_some_markers_is_that_of_their_values(rows, tmp_path):
    ds = study(n=N, p=M, m=3)
    ds["kinship"] = blmm.kinship(ds)
    blmm.save(ds, tmp_path / "study.zarr")
    some = blmm.open_dataset(tmp_path / "study.zarr").isel(variants=rows)
    chunks = {"variants": 64, "traits": 2}
    found, expected = (blmm.scan(each, chunks=chunks) for each in (some, some.compute()))
    np.testing.assert_array_equal(found.lod.values, expected.lod.values)
    assert blmm.max_lod(found).equals(blmm.max_lod(expected))
    np.testing.assert_array_equal(blmm.kinship(some).values, blmm.kinship(some.compute()).values)


def test_a_part_tells_how_much_more_is_read_than_used(dosage):
    (whole,) = parts_of(dosage.data, ((M,), (N,)))
    assert isinstance(whole, Part)
    assert whole.span == 1
    assert whole[::4].span == pytest.approx((M - 3) / (M / 4))
    assert whole[[0, M - 1], [0, N - 1]].span == M * N / 4
    assert whole[[0, M - 1]].read().shape == (2, N)
