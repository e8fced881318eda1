"""Codecs: those that may run code of the file are refused before any is made."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.describe import describe
from bulklmm_dask.storage.codecs.harmless import FILES, require_harmless
from bulklmm_dask.storage.places.location import Location

TRAITS = pd.DataFrame({"t": [1.0, 2, 4]}, index=list("abc"))


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def vcf(tmp_path):
    calls = xr.Dataset(
        {
            "call_genotype": (("variants", "samples", "ploidy"), np.ones((2, 3, 2), np.int8)),
            "sample_id": ("samples", np.array(["a", "b", "c"], dtype=object)),
            "contig_id": ("contigs", np.array(["1"], dtype=object)),
            "variant_contig": ("variants", [0, 0]),
            "variant_id": ("variants", np.array(["m1", "m2"], dtype=object)),
            "variant_position": ("variants", [5, 9]),
            "variant_allele": (("variants", "alleles"), [["A", "G"], ["C", "T"]]),
        }
    )
    calls.to_zarr(tmp_path / "v.vcz", zarr_format=2, consolidated=True)
    return tmp_path / "v.vcz"


def look(folder):
    require_harmless(Location.of(folder).metadata_files(FILES))


def poison(path, tmp_path):
    """Names of samples as objects, pickled, as Zarr v2 allows."""
    meta = json.loads((path / "sample_id" / ".zarray").read_text())
    meta |= {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}], "compressor": None}
    (path / "sample_id" / ".zarray").write_text(json.dumps(meta))
    (path / "sample_id" / "0").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    return meta


def test_a_store_of_vcf2zarr_or_sgkit_is_harmless(vcf):
    look(vcf)
    assert blmm.open_vcf_zarr(vcf, traits=TRAITS).sizes["samples"] == 3


def test_pickles_are_refused_before_they_run(vcf, tmp_path):
    poison(vcf, tmp_path)
    for call in (lambda: blmm.open_vcf_zarr(vcf, traits=TRAITS), lambda: look(vcf)):
        with pytest.raises(blmm.StoreError, match=r"sample_id/\.zarray names the codec 'pickle'"):
            call()
    assert not (tmp_path / "ran").exists()


def test_pickles_in_consolidated_metadata_are_refused(vcf, tmp_path):
    before = (vcf / "sample_id" / ".zarray").read_text()
    meta = poison(vcf, tmp_path)
    (vcf / "sample_id" / ".zarray").write_text(before)
    whole = json.loads((vcf / ".zmetadata").read_text())
    whole["metadata"]["sample_id/.zarray"] = meta
    (vcf / ".zmetadata").write_text(json.dumps(whole))
    with pytest.raises(blmm.StoreError, match=r"\.zmetadata names the codec 'pickle'"):
        blmm.open_vcf_zarr(vcf, traits=TRAITS)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "json2", "my_codec"])
@pytest.mark.parametrize("inside", [False, True])
def test_other_codecs_in_our_own_stores(tmp_path, codec, inside):
    blmm.save(study(8, 6, 2), tmp_path / "s.zarr")
    file = tmp_path / "s.zarr" / "sample_id" / "zarr.json"
    meta = json.loads(file.read_text())
    one = {"name": codec, "configuration": {}}
    meta["codecs"] = (
        [{"name": "sharding_indexed", "configuration": {"codecs": [one]}}] if inside else [one]
    )
    file.write_text(json.dumps(meta))
    for call in (blmm.open_dataset, describe):
        with pytest.raises(blmm.StoreError, match=r"sample_id/zarr\.json is damaged"):
            call(tmp_path / "s.zarr")
    root = tmp_path / "s.zarr" / "zarr.json"
    unsealed = json.loads(root.read_text())
    for name in ("parts", "digest", "format"):  # as version 0.1.0 wrote stores
        del unsealed["attributes"][name]
    root.write_text(json.dumps(unsealed))
    said = "is damaged" if inside else "names the codec"  # a shard without an index is none
    for call in (blmm.open_dataset, describe):
        with pytest.raises(blmm.StoreError, match=rf"sample_id/zarr\.json {said}"):
            call(tmp_path / "s.zarr")


def test_attributes_that_look_like_codecs_are_none(tmp_path):
    group = zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=3)
    group.attrs["filters"] = [{"id": "PASS", "description": "all passed"}]
    group.attrs["nested"] = {"codecs": ["pickle"]}
    look(tmp_path / "x.zarr")
    old = zarr.open_group(tmp_path / "y.zarr", mode="w", zarr_format=2)
    old.attrs["filters"] = [{"id": "q10"}]
    zarr.consolidate_metadata(tmp_path / "y.zarr")
    look(tmp_path / "y.zarr")


def test_no_result_is_made_of_a_study_in_format_2(tmp_path):
    study(8, 6, 2).to_zarr(tmp_path / "s.zarr", zarr_format=2)
    with pytest.raises(blmm.StoreError, match=r"s\.zarr"):
        blmm.open_result(tmp_path / "s.zarr")
