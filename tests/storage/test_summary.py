"""The summary of a study and of a result: short, without a computation, safe in a notebook."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=30, p=20, m=6, covariates=1)


def no_compute(*args, **options):
    raise AssertionError("something was computed")


def test_a_study_is_summarised(ds):
    lines = str(ds.bulklmm).splitlines()
    assert lines[0] == "study: 30 samples, 20 markers on 2 chromosomes, 6 traits, 1 covariate"
    assert [line.split()[0] for line in lines[1:]] == [
        *("call_dosage", "sample_trait", "sample_covariate", "kinship", "map")
    ]
    assert "20 x 30, 4.8 kB in memory: dosage of the counted allele" in lines[1]
    assert "(bulklmm)" in lines[4]
    assert lines[5].endswith("contigs '1', '2'; 0.00 to 9.00 Mb")
    strains = np.empty(30, dtype=object)
    strains[:] = [["one"], "two", "two"] * 10  # of any kind: a list is no key of a set
    of_strains = ds.assign(sample_strain=("samples", strains))
    assert str(of_strains.bulklmm).startswith("study: 30 samples of 2 strains, ")


def test_a_result_is_summarised_and_what_is_lazy_stays_lazy(ds, tmp_path):
    stored = blmm.scan(ds, reml=True, store=tmp_path / "r.zarr")
    with dask.config.set(scheduler=no_compute):
        lazy = str(blmm.scan(ds, reml=True, chunks={"variants": 8, "traits": 4}).bulklmm)
        found = str(stored.bulklmm)
        stored.bulklmm._repr_html_()
    for text in (lazy, found):
        assert text.startswith("result of a scan: 20 markers x 6 traits = 120 tests")
        assert "null-exact, REML" in text
        assert "covariates  covariate1" in text
        assert len(text.splitlines()) < 20
    assert "lazy, in blocks of 8 x 4" in lazy
    assert "median" not in lazy
    h2 = stored.h2.values
    assert f"median {np.median(h2):.2f}, from {h2.min():.2f} to {h2.max():.2f}" in found
    assert found.endswith("6 ok")


@pytest.mark.parametrize(
    ("make", "title"),
    [
        (lambda ds: blmm.permute(ds, n_permutations=3), "maxima of permutations: 3 permutations"),
        (lambda ds: blmm.heritability(ds), "dataset: traits 6"),
        (lambda ds: blmm.profile(ds, "trait3"), "dataset: h2"),
        (lambda ds: ds.sel(traits="trait3"), "dataset: variants 20, samples 30"),
        (lambda ds: blmm.scan(ds).sel(traits="trait3"), "result of a scan: 20 markers x 1 trait"),
        (lambda ds: blmm.scan(ds).lod.to_dataset(), "result of a scan"),
        (lambda ds: ds.isel(contigs=0), "study: "),
        (lambda ds: xr.Dataset(), "dataset: a single value"),
    ],
)
def test_whatever_is_made_of_them_is_summarised(ds, make, title):
    made = make(ds)
    assert str(made.bulklmm).startswith(title)
    assert made.bulklmm._repr_html_().count("<table") == 1


def test_names_cannot_steer_the_page(ds):
    nasty = ds.assign_attrs(source="<script>alert(1)</script>\x1b[2J")
    assert "<script>" not in nasty.bulklmm._repr_html_()
    assert "\x1b" not in nasty.bulklmm._repr_html_() + str(nasty.bulklmm)
