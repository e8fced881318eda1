"""Digests of values that a study keeps when it is saved: what a scan need not read for them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof import lazy
from bulklmm_dask.storage.proof.fingerprint import of_rows, row_digests
from bulklmm_dask.storage.proof.lazy import kept_digest
from bulklmm_dask.storage.proof.manifest import BLOCKS, marks
from bulklmm_dask.study import io

CHUNKS = {"variants": 20, "traits": 6}


@pytest.fixture(scope="module")
def ds():
    found = studies.study(n=25, p=60, m=12)
    found.call_dosage[3, 4] = np.nan
    return found


@pytest.fixture
def opened(ds, tmp_path, monkeypatch):
    """The study from a store whose genotypes lie in three chunks, as the blocks of a scan do."""
    monkeypatch.setattr(io, "_CHUNK_BYTES", ds.call_dosage.nbytes // 3)
    blmm.save(ds, tmp_path / "study.zarr")
    return blmm.open_dataset(tmp_path / "study.zarr")


@pytest.fixture
def reads(monkeypatch):
    """How often each array of a store was read, by the rows that were asked for."""
    found = Counter()
    real = lazy.read_checked

    def note(store, name, key, opening):
        found[name, key[0].start] += 1
        return real(store, name, key, opening)

    monkeypatch.setattr(lazy, "read_checked", note)
    return found


def of_genotypes(reads):
    return {start: count for (name, start), count in reads.items() if name == "call_dosage"}


def stop_after(blocks):
    def progress(state):
        if state.done == blocks:
            raise KeyboardInterrupt

    return progress


def test_what_is_kept_is_the_digest_of_the_values(ds, opened):
    values = ds.call_dosage.values
    assert kept_digest(opened.call_dosage.data) == of_rows(row_digests(values))
    assert kept_digest(opened.sample_trait.data) == of_rows(row_digests(ds.sample_trait.values.T))
    changed = values.copy()
    changed[-1, -1] = 1 - changed[-1, -1]
    assert of_rows(row_digests(changed)) != of_rows(row_digests(values))


@pytest.mark.parametrize("name", ["call_dosage", "sample_trait"])
def test_it_is_the_same_of_lazy_values(ds, opened, name, tmp_path):
    along = {"variants": 7} if name == "call_dosage" else {"traits": 5}
    streamed = ds.assign({name: ds[name].chunk(along)})
    blmm.save(streamed, tmp_path / "lazy.zarr")
    again = blmm.open_dataset(tmp_path / "lazy.zarr")
    assert kept_digest(again[name].data) == kept_digest(opened[name].data) is not None
    assert set(again.variables) == set(opened.variables)


def test_only_a_whole_unchanged_array_has_it(ds, opened):
    assert kept_digest(ds.call_dosage.data) is None
    assert kept_digest(opened.isel(variants=slice(1, None)).call_dosage.data) is None
    assert kept_digest((opened.call_dosage * 1).data) is None
    assert kept_digest(opened.isel(traits=[0]).call_dosage.data) is not None
    assert kept_digest(opened.isel(traits=[0]).sample_trait.data) is None


def test_a_scan_reads_the_genotypes_for_its_blocks_and_frequencies_only(
    ds, opened, reads, tmp_path
):
    blmm.scan(opened, store=tmp_path / "r.zarr", chunks=CHUNKS)
    assert of_genotypes(reads) == {0: 2, 20: 2, 40: 2}
    other = blmm.scan(ds, store=tmp_path / "other.zarr", chunks=CHUNKS)
    xr.testing.assert_identical(blmm.open_result(tmp_path / "r.zarr").compute(), other.compute())


def test_a_run_that_goes_on_reads_the_genotypes_of_what_is_missing_only(
    ds, opened, reads, tmp_path
):
    with pytest.raises(KeyboardInterrupt):  # made in memory, and gone on with from the store
        blmm.scan(ds, store=tmp_path / "r.zarr", chunks=CHUNKS, progress=stop_after(3))
    store = Location(str(tmp_path / "r.zarr"))
    done = marks(store, BLOCKS)
    blmm.scan(opened, store=tmp_path / "r.zarr")
    missing = np.flatnonzero(~done.all(axis=1)) * CHUNKS["variants"]
    assert of_genotypes(reads) == dict.fromkeys(missing.tolist(), 1)
    reads.clear()
    blmm.scan(opened, store=tmp_path / "r.zarr")
    assert of_genotypes(reads) == {}
    blmm.scan(ds, store=tmp_path / "r.zarr")


def test_another_study_is_refused_unread(ds, opened, reads, tmp_path):
    blmm.scan(opened, store=tmp_path / "r.zarr", chunks=CHUNKS)
    other = ds.copy(deep=True)
    other.call_dosage[1, 2] = 1 - other.call_dosage[1, 2]
    blmm.save(other, tmp_path / "study.zarr", overwrite=True)
    reads.clear()
    with pytest.raises(blmm.StoreError, match="other inputs: genotypes differ"):
        blmm.scan(blmm.open_dataset(tmp_path / "study.zarr"), store=tmp_path / "r.zarr")
    assert of_genotypes(reads) == {}
    with pytest.raises(blmm.StoreError, match="other inputs: genotypes differ"):
        blmm.scan(other, store=tmp_path / "r.zarr")


def test_a_chunk_of_another_study_is_noticed_when_it_is_read(ds, opened, tmp_path):
    other = ds.assign(call_dosage=1 - ds.call_dosage)
    blmm.save(other, tmp_path / "other.zarr")
    file = "call_dosage/c/1/0"
    (tmp_path / "study.zarr" / file).write_bytes((tmp_path / "other.zarr" / file).read_bytes())
    with pytest.raises(blmm.StoreError, match="call_dosage is damaged: its file c/1/0"):
        blmm.scan(opened, store=tmp_path / "r.zarr", chunks=CHUNKS)


def test_values_that_a_scan_refuses_have_no_digest(ds, tmp_path):
    bad = ds.assign(call_dosage=ds.call_dosage.copy(deep=True).astype(np.float32))
    bad.call_dosage[2, 1] = 7
    bad["call_dosage"] = bad.call_dosage.chunk({"variants": 20})
    blmm.save(bad, tmp_path / "bad.zarr")
    found = blmm.open_dataset(tmp_path / "bad.zarr")
    assert kept_digest(found.call_dosage.data) is None
    assert kept_digest(found.sample_trait.data) is not None
    with pytest.raises(blmm.InputError, match=r"1 genotype outside 0\.\."):
        blmm.scan(found, store=tmp_path / "r.zarr", chunks=CHUNKS)
    assert not (tmp_path / "r.zarr").exists()
