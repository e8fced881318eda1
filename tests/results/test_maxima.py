import threading
import weakref

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.storage.labels.encoding import text

CONTIG = np.repeat([0, 1, 2], [40, 25, 35])


def result_of(lod, contig=CONTIG) -> xr.Dataset:
    """A result of the shape that scan returns, with three contigs."""
    n_variants, n_traits = lod.shape
    return xr.Dataset(
        {
            "lod": (("variants", "traits"), lod),
            "h2": ("traits", np.linspace(0, 1, n_traits)),
            "variant_contig": ("variants", contig),
            "variant_position": ("variants", np.arange(n_variants) / 2, {"units": "Mb"}),
            "contig_id": ("contigs", text(["1", "2", "X"])),
        },
        coords={
            "variants": text(f"m{i}" for i in range(n_variants)),
            "traits": text(f"t{i}" for i in range(n_traits)),
        },
    )


@pytest.fixture
def lod():
    return np.random.default_rng(0).exponential(size=(100, 12)).astype("float32")


@pytest.mark.parametrize("chunks", [None, (100, 12), (7, 5), (33, 1)])
def test_the_highest_lod_of_every_trait(lod, chunks):
    table = max_lod(result_of(lod if chunks is None else da.from_array(lod, chunks=chunks)))
    best = lod.argmax(axis=0)
    first = ["trait", "variant", "contig", "position", "lod", "h2"]
    assert list(table.columns) == [*first, "effect_allele", "other_allele", "frequency", "n"]
    assert table.trait.tolist() == [f"t{i}" for i in range(12)]
    assert table.variant.tolist() == [f"m{i}" for i in best]
    assert table.contig.tolist() == np.array(["1", "2", "X"])[CONTIG[best]].tolist()
    np.testing.assert_array_equal(table.position, best / 2)
    np.testing.assert_array_equal(table.lod, lod.max(axis=0))
    np.testing.assert_array_equal(table.h2, np.linspace(0, 1, 12))


@pytest.mark.parametrize("contig", [CONTIG, CONTIG[::-1], np.arange(100) % 3])
def test_the_highest_lod_on_every_contig(lod, contig):
    table = max_lod(result_of(da.from_array(lod, chunks=(9, 5)), contig), by="contig")
    assert len(table) == 36
    for row in table.itertuples():
        column = np.where(
            contig == ["1", "2", "X"].index(row.contig), lod[:, int(row.trait[1:])], -1
        )
        assert (row.variant, row.lod) == (f"m{column.argmax()}", column.max())


def test_of_equal_lods_the_first_marker_counts():
    lod = np.zeros((100, 2), "float32")
    lod[[30, 31, 70], 1] = 4
    table = max_lod(result_of(da.from_array(lod, chunks=(10, 1))))
    assert table.variant.tolist() == ["m0", "m30"]


def test_a_trait_that_could_not_be_fitted_has_no_maximum(lod):
    lod[:, 3] = np.nan
    lod[:50, 4] = np.nan
    table = max_lod(result_of(da.from_array(lod, chunks=(20, 5))))
    assert np.flatnonzero(table.lod.isna()).tolist() == [3]
    assert table.loc[3, ["variant", "contig"]].tolist() == ["", ""]
    assert np.isnan(table.position[3])
    assert table.variant[4] == f"m{50 + lod[50:, 4].argmax()}"


def test_without_a_map_the_place_is_empty(lod):
    bare = result_of(lod).drop_vars(["variant_contig", "variant_position", "contig_id"])
    table = max_lod(bare)
    assert set(table.contig) == {""}
    assert table.position.isna().all()
    with pytest.raises(InputError, match=r"no variant_contig.*by=None"):
        max_lod(bare, by="contig")


def test_an_unknown_grouping_is_refused(lod):
    with pytest.raises(InputError, match="unknown by 'chromosome'"):
        max_lod(result_of(lod), by="chromosome")


@pytest.mark.parametrize("by", [None, "contig"])
def test_one_selected_trait_is_a_table_of_one_trait(lod, by):
    result = result_of(lod)
    one = max_lod(result.sel(traits="t3"), by=by)
    pd.testing.assert_frame_equal(one, max_lod(result.sel(traits=["t3"]), by=by))


def test_what_is_no_result_is_refused(lod):
    result = result_of(lod)
    for other in (result.lod, lod, result.drop_vars("lod")):
        with pytest.raises(InputError, match="Dataset that scan or open_result gives"):
            max_lod(other)
    for none in (result.isel(variants=slice(0)), result.isel(traits=slice(0))):
        with pytest.raises(InputError, match=r"has no LODs.*: 0"):
            max_lod(none)


def test_a_result_from_zarr_gives_the_same_table(lod, tmp_path):
    result = result_of(lod)
    lazy = result.assign(lod=result.lod.chunk(variants=30, traits=5))
    lazy.to_zarr(tmp_path / "r.zarr", zarr_format=3, consolidated=False)
    stored = xr.open_zarr(tmp_path / "r.zarr", consolidated=False)
    pd.testing.assert_frame_equal(max_lod(stored, by="contig"), max_lod(result, by="contig"))


@pytest.mark.parametrize("by", [None, "contig"])
def test_every_block_is_computed_once_and_few_are_held(by):
    lock, computed, held, most = threading.Lock(), [], set(), [0]

    def block(block_id):
        with lock:
            out = np.full((5, 10), sum(block_id), dtype="float32")
            computed.append(block_id)
            held.add(block_id)
            most[0] = max(most[0], len(held))
            weakref.finalize(out, held.discard, block_id)
        return out

    lod = da.map_blocks(
        lambda block_id: block(block_id),
        chunks=((5,) * 20, (10,) * 15),
        dtype="float32",
        meta=np.empty((0, 0), "float32"),
    )
    table = max_lod(result_of(lod), by=by)
    assert sorted(computed) == sorted(np.ndindex(20, 15))
    assert most[0] <= 30  # of 300
    assert table.lod.max() == 19 + 14
