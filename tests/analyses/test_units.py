"""What one unit of an effect is, which allele it counts, and how frequent that is."""

from __future__ import annotations

import shutil

import gemma
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm

COPY = "per copy of the effect allele"
HOMOZYGOTES = "difference between the homozygotes: two copies of the effect allele against none"
GAPS = {"complete": (0, 0, 0), "traits": (0.3, 0, 0), "calls": (0, 0.1, 0), "all": (0.2, 0.1, 0.1)}


def study(kind: str, maximum: int = 2, n: int = 40, p: int = 23, m: int = 9) -> xr.Dataset:
    """A study that lacks traits, calls or covariates; one trait has no value at all."""
    traits_lack, calls_lack, covariates_lack = GAPS[kind]
    rng = np.random.default_rng(7)
    dosage, traits = studies.arrays(n, p, m)
    patterns = rng.random((n, 4)) < traits_lack
    traits[patterns[:, np.arange(m) % 4]] = np.nan
    if traits_lack:
        traits[:, -1] = np.nan
    covariate = rng.standard_normal((n, 1))
    covariate[rng.random((n, 1)) < covariates_lack] = np.nan
    dosage[rng.random((n, p)) < calls_lack] = np.nan
    ds = blmm.create_dataset(
        dosage * maximum / 2,
        traits,
        covariates=covariate,
        contigs=np.repeat(["1", "2"], [p // 2, p - p // 2]),
        positions=np.arange(float(p)),
        alleles=[[f"A{i}", f"B{i}"] for i in range(p)],
        maximum=maximum,
    )
    return ds.assign(kinship=blmm.kinship(ds).compute())


def by_hand(ds: xr.Dataset) -> np.ndarray:
    """Frequency of the effect allele (variants, traits), one pair at a time."""
    dosage = ds.call_dosage.transpose("samples", "variants").values
    dosage = dosage / ds.call_dosage.attrs["maximum"]
    complete = ~np.isnan(ds.sample_covariate.values).any(axis=1)
    out = np.full((dosage.shape[1], ds.sizes["traits"]), np.nan)
    for j, y in enumerate(ds.sample_trait.values.T):
        used = ~np.isnan(y) & complete
        for i, x in enumerate(dosage.T):
            if (used & ~np.isnan(x)).any():
                out[i, j] = np.mean(x[used & ~np.isnan(x)])
    return out


@pytest.mark.filterwarnings("ignore::bulklmm_dask.StudyWarning")
@pytest.mark.parametrize(
    ("kind", "maximum"),
    [
        pytest.param("complete", 2, marks=pytest.mark.slow),
        ("traits", 1),
        pytest.param("calls", 1, marks=pytest.mark.slow),
        ("all", 2),
    ],
)
def test_frequencies_are_those_of_the_samples_scanned(kind, maximum, tmp_path):
    ds = study(kind, maximum)
    expected = by_hand(ds)
    blmm.save(ds, tmp_path / "s.zarr")
    chunks = {"variants": 7, "traits": 4}
    stored = blmm.scan(ds, chunks=chunks, store=tmp_path / "r.zarr")
    for result in (
        blmm.scan(ds, chunks=chunks),
        blmm.scan(blmm.open_dataset(tmp_path / "s.zarr")),
        blmm.scan(ds, chunks=chunks, precision="single", method="alt-exact"),
        stored,
        blmm.open_result(tmp_path / "r.zarr"),
    ):
        frequency = result.variant_frequency
        # One value a marker is enough where all traits have the same samples.
        assert frequency.dims == (("variants", "traits") if GAPS[kind][0] else ("variants",))
        assert frequency.dtype == np.float32
        assert frequency.attrs["long_name"].startswith("frequency of the effect allele")
        np.testing.assert_allclose(
            frequency.broadcast_like(result.lod), expected, rtol=1e-6, atol=1e-7
        )
    again = blmm.scan(ds, chunks=chunks, store=tmp_path / "r.zarr")
    xr.testing.assert_identical(again.compute(), stored.compute())


@pytest.mark.filterwarnings("ignore::bulklmm_dask.StudyWarning")
@pytest.mark.parametrize(
    "kind",
    ["traits", "all", *(pytest.param(k, marks=pytest.mark.slow) for k in ("complete", "calls"))],
)
def test_every_table_describes_its_pairs(kind, tmp_path):
    pytest.importorskip("pyarrow")
    ds = study(kind)
    expected = pd.DataFrame(by_hand(ds), ds.variants.values, ds.traits.values)
    result = blmm.scan(ds, statistics=("beta",), chunks={"variants": 7, "traits": 4})
    blmm.find_hits(result, threshold=0.3, store=tmp_path / "hits.parquet")
    used = ~np.isnan(ds.sample_trait.values) & ~np.isnan(ds.sample_covariate.values)
    n = pd.Series(used.sum(axis=0), ds.traits.values)
    for table in (
        blmm.max_lod(result),
        blmm.max_lod(result, by="contig"),
        blmm.find_peaks(result, threshold=0.3),
        blmm.find_hits(result, threshold=0.3),
        blmm.find_hits(result, fdr=0.9),
        pd.read_parquet(tmp_path / "hits.parquet"),
    ):
        assert n[table.trait].tolist() == table.n.tolist()
        known = table[table.lod.notna()]
        assert len(known)
        number = known.variant.str.removeprefix("variant").astype(int) - 1
        assert known.effect_allele.tolist() == [f"B{i}" for i in number]
        assert known.other_allele.tolist() == [f"A{i}" for i in number]
        found = [expected.loc[row.variant, row.trait] for row in known.itertuples()]
        np.testing.assert_allclose(known.frequency, found, rtol=1e-6)
        none = table[table.lod.isna()]
        assert none[["effect_allele", "other_allele", "frequency"]].isna().all(axis=None)
        if "beta" in table:
            assert set(table.effect_unit) == {COPY}


@pytest.mark.slow
@pytest.mark.parametrize(("maximum", "unit"), [(2, COPY), (1, HOMOZYGOTES)])
def test_one_unit_is_a_dosage_of_one_and_is_said(maximum, unit, tmp_path):
    ds = study("complete", maximum)
    copies = blmm.scan(study("complete", 2), statistics=("beta", "se")).compute()
    result = blmm.scan(ds, statistics=("beta", "se"), store=tmp_path / "r.zarr")
    factor = 2 / maximum
    np.testing.assert_allclose(result.beta, factor * copies.beta, rtol=1e-5)
    np.testing.assert_allclose(result.se, factor * copies.se, rtol=1e-5)
    assert result.attrs["effect_unit"] == unit
    for name in ("beta", "se"):
        assert result[name].attrs["units"] == f"trait unit, {unit}"
    assert set(blmm.find_hits(result, top=1).effect_unit) == {unit}
    blmm.report(result, tmp_path / "r.html", threshold=0.3)
    page = (tmp_path / "r.html").read_text()
    assert f"in units of the trait, {unit}." in page
    assert f"effect of the marker, {unit}" in page
    assert "Effect allele" in page
    assert "effect_unit" not in blmm.scan(ds).attrs


def test_genotypes_tested_together_have_no_effect_allele():
    rng = np.random.default_rng(0)
    ds = blmm.create_dataset(rng.dirichlet(np.ones(3), (40, 6)), rng.standard_normal((40, 2)))
    result = blmm.scan(ds, kinship=None, statistics=("beta",))
    assert "variant_frequency" not in result
    table = blmm.find_hits(result, top=1)
    assert table[["effect_allele", "other_allele", "frequency"]].isna().all(axis=None)
    assert table.n.tolist() == [40, 40]
    assert set(table.effect_unit) == {"mean of each genotype"}


def test_several_alternative_alleles_are_counted_together():
    ds = study("complete")
    alleles = np.array([["A", "C", ""], ["G", "T", "A"]] + [["A", "", ""]] * 21, dtype=object)
    ds = ds.drop_vars("variant_allele").assign(variant_allele=(("variants", "alleles"), alleles))
    table = blmm.find_hits(blmm.scan(ds), threshold=-np.inf).drop_duplicates("variant")
    by_marker = table.set_index("variant")
    assert by_marker.effect_allele["variant1"] == "C"
    assert by_marker.effect_allele["variant2"] == "T,A"
    assert by_marker.other_allele["variant2"] == "G"
    assert by_marker.effect_allele.isna().sum() == 21


def test_a_result_of_an_older_version_has_no_frequencies():
    result = blmm.scan(study("complete")).drop_vars(["variant_frequency", "n_samples"])
    table = blmm.max_lod(result)
    assert table[["frequency", "n"]].isna().all(axis=None)
    assert table.effect_allele.notna().all()


@pytest.mark.gemma
@pytest.mark.skipif(shutil.which("gemma") is None, reason="no program gemma on the PATH")
@pytest.mark.parametrize("kind", ["distinct samples", "covariate and missing values"])
def test_effects_alleles_and_frequencies_are_those_of_gemma(kind, tmp_path):
    dosage, y, covariate, kinship = gemma.simulated(kind)
    theirs = gemma.run_gemma(tmp_path, dosage, y, covariate, kinship)
    ds = blmm.create_dataset(
        dosage,
        y[:, None],
        covariates=None if covariate is None else covariate[:, None],
        variant_ids=list(theirs["rs"]),
        alleles=["G", "A"],  # BIMBAM names the counted allele first
        maximum=2,
    )
    for factor, read in (
        (1, ds),
        (2, ds.assign(call_dosage=(ds.call_dosage / 2).assign_attrs(maximum=1))),
    ):
        result = blmm.scan(
            read,
            method="alt-exact",
            reml=True,
            refine_above=0,
            kinship=kinship,
            statistics=("beta", "se"),
        )
        table = blmm.find_hits(result, threshold=-np.inf).set_index("variant").loc[theirs["rs"]]
        assert table.effect_allele.tolist() == theirs["allele1"].tolist()
        assert table.other_allele.tolist() == theirs["allele0"].tolist()
        np.testing.assert_allclose(table.frequency, theirs["af"], atol=5.1e-4)  # three digits
        se = theirs["se"].to_numpy()
        np.testing.assert_allclose(table.se / factor, se, rtol=1e-4)
        np.testing.assert_allclose(
            table.beta / factor, theirs["beta"], rtol=1e-4, atol=1e-4 * se.min()
        )
        assert set(table.effect_unit) == {COPY if factor == 1 else HOMOZYGOTES}
