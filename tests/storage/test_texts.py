"""Damaged texts: what a chunk says about their number is checked before room is made for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.storage.places.location import Location

MANY = (0x51_00_00_FF).to_bytes(4, "little")  # 10 GiB of references
TRAITS = pd.DataFrame({"t": [1.0, 2, 4]}, index=list("abc"))


def bare(path, names, form):
    """Write names without compression, and give the file of their chunk."""
    array = zarr.create_array(
        path,
        shape=len(names),
        dtype=str,
        chunks=len(names),
        compressors=None,
        dimension_names=["traits"] if form == 3 else None,
        zarr_format=form,
        overwrite=True,
    )
    array[:] = np.array(names, dtype="T")
    return path / ("c/0" if form == 3 else "0")


@pytest.mark.parametrize("count", [MANY, b"\0\0\0\0", b"\7\0\0\0"])
def test_a_number_of_texts_that_is_not_that_of_the_chunk(tmp_path, count):
    file = bare(tmp_path / "s.zarr" / "x", ["é", ""], 3)
    store = Location.of(tmp_path / "s.zarr")
    assert list(store.open_array("x")[...]) == ["é", ""]
    file.write_bytes(count + file.read_bytes()[4:])
    with pytest.raises(ValueError, match=r"2 texts says that it has [\d,]+"):
        store.open_array("x")[...]


@pytest.mark.parametrize("form", [2, 3])
def test_texts_of_vcf_zarr(tmp_path, form):
    group = zarr.open_group(tmp_path / "v.vcz", mode="w", zarr_format=form)
    arrays = {
        "call_genotype": np.array([[[0, 0], [0, 1], [1, 1]], [[0, 1], [0, 0], [1, 1]]], np.int8),
        "contig_id": np.array(["1"], dtype="T"),
        "variant_contig": np.zeros(2, np.int8),
        "variant_position": np.array([5, 9], np.int32),
        "variant_id": np.array(["m1", "m2"], dtype="T"),
        "variant_allele": np.array([["A", "G"], ["C", "T"]], dtype="T"),
    }
    for name, values in arrays.items():
        made = group.create_array(name, shape=values.shape, dtype=values.dtype, fill_value=None)
        made[...] = values
    file = bare(tmp_path / "v.vcz" / "sample_id", list("abc"), form)
    assert blmm.open_vcf_zarr(tmp_path / "v.vcz", traits=TRAITS).sizes["samples"] == 3
    file.write_bytes(MANY + file.read_bytes()[4:])
    with pytest.raises(blmm.InputError, match=r"sample_id cannot be read .*1,358,954,751"):
        blmm.open_vcf_zarr(tmp_path / "v.vcz", traits=TRAITS)
