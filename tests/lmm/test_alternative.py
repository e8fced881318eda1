"""The alternative methods against brute force: every pair alone, its covariance, QR, a search."""

from __future__ import annotations

from functools import cache

import brute
import numpy as np
import pytest
import studies
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from references import reference_study

import bulklmm_dask as blmm

DENSE_MEAN, DENSE_LARGEST = 2e-4, 5e-3
EXACT = 1e-6
# Of LODs of the null methods below some 12, whose logarithm is computed in single precision.
NULL_ROUNDING = 5e-6
EVERY, NONE = 0.0, float("inf")


def from_arrays(dosage, traits, kinship=None, covariates=None) -> xr.Dataset:
    """A study of dosages (samples, variants); its kinship is BulkLMM's where none is given."""
    ds = blmm.create_dataset(dosage, traits, covariates=covariates, maximum=2)
    if kinship is None:
        ds["kinship"] = blmm.kinship(ds).compute()
    else:
        ds["kinship"] = (("samples_0", "samples_1"), kinship)
    return ds


def families(n: int, p: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Dosages of related samples, a root of their kinship, and the stream that goes on."""
    dosage, _ = studies.arrays(n, p, 1, seed)
    kinship = blmm.kinship(blmm.create_dataset(dosage, np.ones((n, 1)), maximum=2)).values
    values, vectors = np.linalg.eigh(kinship)
    return dosage, vectors * np.sqrt(np.maximum(values, 0)), np.random.default_rng(seed + 1)


def extremes(n: int, p: int, m: int, seed: int) -> xr.Dataset:
    """Traits with h2 at or near 0 and 1, each with a locus that is weak or strong."""
    dosage, root, rng = families(n, p, seed)
    h2 = np.resize([0, 1, 0.02, 0.98, 0.5, 0.999], m)
    traits = np.sqrt(h2) * (root @ rng.standard_normal((n, m)))
    traits += np.sqrt(1 - h2) * rng.standard_normal((n, m))
    return from_arrays(dosage, traits + dosage[:, rng.integers(p, size=m)] * rng.uniform(0, 1, m))


def one_locus(n: int = 60) -> xr.Dataset:
    """Traits that one marker explains nearly entirely; the rest is noise or the kinship's."""
    dosage, root, rng = families(n, 40, seed=21)
    rest = np.geomspace(1, 1e-4, 12)
    noise = rng.standard_normal((n, 12))
    noise[:, ::2] = root @ noise[:, ::2]
    return from_arrays(dosage, dosage[:, rng.integers(40, size=12)] + rest * noise)


def maxima(values: np.ndarray) -> np.ndarray:
    """How many maxima along the first axis, the ends among them, are within one nat of the best."""
    padded = np.pad(values, ((1, 1), (0, 0)), constant_values=-np.inf)
    peak = (values > padded[:-2]) & (values > padded[2:]) & (values > values.max(axis=0) - 1)
    return peak.sum(axis=0)


@cache
def two_maxima() -> xr.Dataset:
    """A kinship of three sorts of eigenvalues, and traits whose likelihoods have two maxima."""
    n, sizes, rng = 40, [3, 30, 7], np.random.default_rng(22)
    rotation, _ = np.linalg.qr(rng.standard_normal((n, n)))
    kinship = (rotation * np.repeat([200, 0.7, 0.02], sizes)) @ rotation.T
    dosage = rng.binomial(2, 0.4, (n, 30)).astype(float)
    traits: list[np.ndarray] = []
    while len(traits) < 20:
        spread = np.repeat(10 ** rng.uniform(-1.5, 1.5, 3), sizes)
        y = rotation @ (spread * rng.standard_normal(n))
        y += dosage[:, len(traits)] * rng.choice([0, 1]) * y.std()
        alone = brute.Pairs(dosage.T[:1], y, np.ones((n, 1)), kinship)
        if maxima(alone.on_grid(alone.grid(), None, False)) > 1:
            traits.append(y)
    return from_arrays(dosage, np.column_stack(traits), kinship)


def nearly_singular() -> xr.Dataset:
    """Ten strains of five samples each that differ by a hair."""
    ds = studies.study(n=50, p=40, m=12, seed=4)
    strains = np.repeat(np.arange(10), 5)
    root = np.eye(10)[strains] + 1e-5 * np.random.default_rng(0).standard_normal((50, 10))
    return ds.assign(kinship=(("samples_0", "samples_1"), root @ root.T + 1e-7 * np.eye(50)))


def replicates() -> xr.Dataset:
    """Strains with replicated samples: a kinship of low rank, markers constant in a strain."""
    ds = blmm.simulate_study(
        n_samples=72, n_strains=18, n_variants=40, n_traits=10, n_contigs=2, seed=5
    )
    return ds.assign(kinship=blmm.kinship(ds).compute())


def structure() -> xr.Dataset:
    """Markers along the kinship's own eigenvectors, the largest and the smallest among them."""
    dosage, _, rng = families(48, 60, seed=24)
    plain = from_arrays(dosage, np.ones((48, 1)))
    values, vectors = np.linalg.eigh(plain.kinship.values)
    along = vectors[:, [0, 1, 2, 10, 20, 30, 40, 44, 45, 46, 47]]
    scaled = 1 + along / np.abs(along).max()
    traits = vectors @ (values[:, None] ** [0, 0.25, 0.5, 1, -0.25] * rng.standard_normal((48, 5)))
    traits = np.concatenate([traits, traits + 3 * along[:, [-1, -2, 0, 4, 5]]], axis=1)
    mixed = np.concatenate([scaled, dosage[:, :20]], axis=1)
    return from_arrays(mixed, traits, plain.kinship.values)


def outliers() -> xr.Dataset:
    """One value far from all others, as in counts that nobody transformed."""
    ds = studies.study(n=50, p=40, m=10, seed=25)
    ds.sample_trait.values[7, :5] += 1e3
    ds["sample_trait"] = ds.sample_trait.copy(data=np.exp(ds.sample_trait.values.clip(max=12)))
    return ds


def bxd(reference) -> xr.Dataset:
    """Six published phenotypes with 20 to 190 of 198 strains, at every 80th marker."""
    with pytest.warns(blmm.StudyWarning, match="'H'"):
        ds = blmm.read_rqtl2(reference / "bxd" / "bxd.zip")
    ds["kinship"] = blmm.kinship(ds).compute()
    measured = ds.sample_trait.notnull().sum("samples").values
    traits = [int(np.abs(measured - n).argmin()) for n in (20, 33, 47, 64, 90, 190)]
    ds = ds.drop_vars("call_code")  # scanned as dosages
    return ds.isel(traits=traits, variants=slice(None, None, 80)).load()


CASES = {
    "related": lambda _: studies.study(n=60, p=40, m=12, seed=3),
    "covariates": lambda _: studies.study(n=60, p=40, m=12, seed=7, covariates=2),
    "missing": lambda _: studies.study(n=50, p=30, m=12, seed=8, covariates=1, missing=0.3),
    "reference": lambda path: reference_study(path, 5).isel(variants=slice(None, None, 50)),
    "bxd": bxd,
    "extremes": lambda _: extremes(60, 40, 12, seed=20),
    "extremes, n = 30": lambda _: extremes(30, 40, 12, seed=26),
    "extremes, n = 1000": lambda _: extremes(1000, 12, 4, seed=27),
    "one locus": lambda _: one_locus(),
    "two maxima": lambda _: two_maxima(),
    "nearly singular": lambda _: nearly_singular(),
    "replicates": lambda _: replicates(),
    "structure": lambda _: structure(),
    "outliers": lambda _: outliers(),
}


def samples_of(ds: xr.Dataset, j: int) -> tuple[np.ndarray, ...]:
    """Dosages (variants, n), trait, covariates and kinship of the samples of a trait."""
    y = ds.sample_trait.values[:, j]
    has = np.flatnonzero(~np.isnan(y))
    covariates = np.ones((len(has), 1))
    if "sample_covariate" in ds:
        covariates = np.column_stack([covariates, ds.sample_covariate.values[has]])
    dosage = ds.call_dosage.transpose("variants", "samples").values[:, has].astype(float)
    return dosage, y[has], covariates, ds.kinship.values[np.ix_(has, has)]


class Case:
    """A study and its true alternatives, searched once."""

    def __init__(self, ds: xr.Dataset) -> None:
        self.ds = ds
        self.truth = cache(self._truth)
        self.pairs = [brute.Pairs(*samples_of(ds, j)) for j in range(ds.sizes["traits"])]

    def _truth(self, reml: bool) -> tuple[np.ndarray, np.ndarray]:
        found = [pairs.alternatives(reml=reml) for pairs in self.pairs]
        return np.column_stack([f[0] for f in found]), np.column_stack([f[1] for f in found])

    def scan(self, **options) -> xr.Dataset:
        result = blmm.scan(self.ds, method="alt-exact", **options).compute()
        assert result.lod.dtype == np.float64
        assert result.h2_alt.dtype == np.float32
        return result

    def lost(self, h2_alt: np.ndarray, reml: bool) -> np.ndarray:
        """How much likelihood every pair lacks at these h2, in nats; 0 for float32's rounding."""
        _, best = self.truth(reml)
        out = np.zeros_like(best)
        for j, pairs in enumerate(self.pairs):
            differs = np.abs(h2_alt[:, j] - best[:, j]) > 1e-5
            rows = np.flatnonzero(pairs.varies & differs)
            at = np.minimum(h2_alt[rows, j].astype(float), pairs.top)
            top = pairs.likelihood(best[rows, j], rows, reml)
            out[rows, j] = top - pairs.likelihood(at, rows, reml)
        return out

    def errors(self, result: xr.Dataset, reml: bool, tied: float) -> np.ndarray:
        """How far every LOD is off.

        A restricted likelihood may have two maxima that differ by less than `tied` nats, and the
        full likelihoods there may differ by much more; either maximum is right.
        """
        lod, best = self.truth(reml)
        error = np.abs(result.lod.values - lod)
        if not reml:
            return error
        h2_alt = result.h2_alt.values
        other = (np.abs(h2_alt - best) > 0.1) & (self.lost(h2_alt, reml) <= tied)
        for i, j in np.argwhere(other):
            dosage, *rest = samples_of(self.ds, j)
            theirs = min(float(h2_alt[i, j]), brute.largest_h2(rest[-1]))
            score = brute.ratio(dosage[i], *rest, float(result.h2[j]), theirs)
            error[i, j] = abs(result.lod.values[i, j] - score)
        return error


# What is left has covariates, missing values, bounds, replicates and kinships of any sort.
LONG = {"reference", "bxd", "extremes, n = 1000", "two maxima", "structure", "outliers"}
LONG |= {"related", "covariates", "extremes"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in CASES],
)
def case(request):
    name = request.param
    needs = name in ("reference", "bxd")
    return Case(CASES[name](request.getfixturevalue("reference") if needs else None))


both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])


@pytest.mark.slow
@both
def test_dense_scores_are_near_brute_force(case, reml):
    result = case.scan(reml=reml, refine_above=NONE)
    error = case.errors(result, reml, tied=2e-3)
    assert error.mean() <= DENSE_MEAN
    assert error.max() <= DENSE_LARGEST
    assert case.lost(result.h2_alt.values, reml).max() <= 0.02


@pytest.mark.slow
@both
def test_refined_scores_equal_brute_force(case, reml):
    result = case.scan(reml=reml, refine_above=EVERY)
    assert case.errors(result, reml, tied=1e-8).max() <= EXACT
    assert (result.n_refined == case.ds.sizes["variants"]).all()
    assert case.lost(result.h2_alt.values, reml).max() <= 1e-7


@both
def test_by_default_scores_from_3_are_exact(case, reml):
    result = case.scan(reml=reml)
    lod, _ = case.truth(reml)
    error = case.errors(result, reml, tied=2e-3)
    large = (result.lod.values >= 3) | (lod >= 3 + DENSE_LARGEST)
    assert case.errors(result, reml, tied=1e-8)[large].max(initial=0) <= EXACT
    assert error.mean() <= DENSE_MEAN
    assert error.max() <= DENSE_LARGEST
    assert (result.n_refined >= (result.lod >= 3).sum("variants")).all()


@pytest.mark.parametrize("refine_above", [EVERY, 3.0, NONE])
def test_likelihood_ratios_are_never_negative_nor_below_the_null_methods(case, refine_above):
    lod = case.scan(refine_above=refine_above).lod.values
    null = blmm.scan(case.ds).lod.values
    assert lod.min() >= 0
    slack = np.where(lod >= refine_above, EXACT, DENSE_LARGEST) + NULL_ROUNDING
    assert (lod >= null * (1 - 1e-7) - slack).all()


@pytest.mark.slow
def test_the_cases_are_as_hard_as_they_claim():
    two = Case(two_maxima())
    several = moved = inside = 0
    for j, pairs in enumerate(two.pairs):
        several += (maxima(pairs.on_grid(pairs.grid(), np.arange(30), False)) > 1).sum()
        null = brute.null_h2(*samples_of(two.ds, j)[1:])
        best = two.truth(False)[1][:, j]
        moved += (np.abs(best - null) > 0.3).sum()
        inside += ((best > 0) & (best < 1)).sum()
    assert several > 200
    assert moved > 50
    assert inside > 100
    assert Case(one_locus()).truth(False)[0].max() > 150
    found = Case(extremes(60, 40, 12, seed=20)).truth(False)[1]
    assert (found == 0).sum() > 20
    assert (found == 1).sum() > 20


@pytest.mark.slow
@both
def test_many_at_a_time_equal_one_by_one(reml):
    """Brute force itself: one bounded search a pair, with Cholesky factors, says the same."""
    for ds in (studies.study(n=40, m=12, covariates=1), nearly_singular()):
        for j in (0, 6):
            dosage, y, covariates, kinship = samples_of(ds, j)
            lod, h2_alt, h2 = brute.Pairs(*samples_of(ds, j)).alternatives(reml=reml)
            assert h2 == pytest.approx(brute.null_h2(y, covariates, kinship, reml=reml), abs=1e-6)
            for i in (0, int(lod.argmax())):
                one = brute.alternative(dosage[i], y, covariates, kinship, reml=reml)
                assert one == pytest.approx((lod[i], h2_alt[i]), abs=1e-6)


@both
@pytest.mark.parametrize("grid", [None, [0.15, 0.4, 0.77, 1.0]])
@pytest.mark.parametrize("covariates", [0, 2])
def test_grid_equals_brute_force_at_the_same_h2(reml, grid, covariates):
    ds = studies.study(n=50, p=40, m=25, covariates=covariates, missing=0.3, seed=5)
    result = blmm.scan(ds, method="alt-grid", h2_grid=grid, reml=reml).compute()
    assert result.lod.dtype == np.float64
    tried = np.arange(10) / 10 if grid is None else np.array(grid)
    for j in range(25):
        lod, h2_alt, h2 = brute.Pairs(*samples_of(ds, j)).alternatives(reml=reml, grid=tried)
        np.testing.assert_allclose(result.lod[:, j], lod, atol=EXACT, rtol=0)
        np.testing.assert_array_equal(result.h2_alt[:, j], h2_alt.astype(np.float32))
        assert result.h2[j] == h2
    assert len(np.unique(result.h2_alt)) > 2
    assert (result.h2_alt != result.h2).any()


# Studies with peaks near h2 = 1 that lie between points of the search, and flat restricted ones.
NARROW_OR_FLAT = [
    (37456, 19, 1.553, 0.784, 0.978, 1.78, 1, False),
    (793345, 11, 1.463, 0.678, 0.572, 2.573, 0, False),
    (457162, 37, 0.686, 0.907, -0.211, 0.581, 0, False),
    (2808, 12, 5.847, 1.373, 0.155, 2.37, 1, False),
    (722222, 12, 0.08, 0.709, 0.806, 0.048, 1, True),
    (55554, 46, 0.772, 0.965, -0.405, 1.513, 1, True),
    (155919, 59, 0.374, 0.95, 0.163, 0.075, 0, True),
]


@pytest.mark.parametrize("study", NARROW_OR_FLAT, ids=lambda study: str(study[0]))
def test_peaks_that_are_easily_missed(study):
    check_any(*study)


# Shrinking an example of brute force takes minutes, and a smaller study says no more.
@pytest.mark.slow
@settings(max_examples=25, phases=[Phase.generate])
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(8, 60),
    decades=st.floats(0, 6),
    rank=st.floats(0.3, 1.5),
    roughness=st.floats(-0.5, 1),
    strength=st.floats(0, 3),
    covariates=st.integers(0, 2),
    reml=st.booleans(),
)
def test_any_kinship_and_any_trait(**study):
    check_any(**study)


def check_any(seed, n, decades, rank, roughness, strength, covariates, reml):
    """Spectra of any steepness and rank, traits and markers smooth or rough along them."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((n, n)))
    values = 10 ** -rng.uniform(0, decades, n) * (np.arange(n) < rank * n)
    vary = values[:, None] ** (0 if rank < 1 else roughness)
    dosage = rotation @ (vary * rng.standard_normal((n, 15)))
    dosage = 2 * (dosage - dosage.min(axis=0)) / np.ptp(dosage, axis=0)
    h2 = rng.choice([0, 0.5, 1.0], 4)
    traits = rotation @ (
        np.sqrt(np.outer(values, h2) + 1 - h2 + 1e-12) * rng.standard_normal((n, 4))
    )
    traits += strength * (dosage - dosage.mean(axis=0))[:, :4]
    extra = rng.standard_normal((n, covariates)) if covariates else None
    case = Case(from_arrays(dosage, traits, (rotation * values) @ rotation.T, extra))
    dense, exact = (case.scan(reml=reml, refine_above=r) for r in (NONE, EVERY))
    error = case.errors(dense, reml, tied=2e-3)
    assert error.mean() <= DENSE_MEAN
    assert error.max() <= DENSE_LARGEST
    assert case.errors(exact, reml, tied=1e-8).max() <= EXACT
    if not reml:
        assert min(dense.lod.min(), exact.lod.min()) >= 0


@cache
def _whole(missing: float, options: tuple) -> tuple[xr.Dataset, xr.Dataset]:
    """A study and its scan in one block."""
    ds = studies.study(m=20, missing=missing, covariates=1)
    return ds, blmm.scan(ds, **dict(options)).compute()


@pytest.mark.slow
@settings(max_examples=12)
@given(
    variants=st.integers(2, 31),
    traits=st.integers(2, 21),
    in_variants=st.integers(1, 30),
    in_traits=st.integers(1, 20),
    options=st.sampled_from(
        [
            {"method": "alt-exact"},
            {"method": "alt-exact", "refine_above": NONE},
            {"method": "alt-exact", "refine_above": 1.0, "reml": True},
            {"method": "alt-grid"},
        ]
    ),
    missing=st.sampled_from([0.0, 0.3]),
)
def test_any_chunks_give_the_same_scan(variants, traits, in_variants, in_traits, options, missing):
    ds, expected = _whole(missing, tuple(options.items()))
    cut = ds.chunk(variants=in_variants, traits=in_traits)
    result = blmm.scan(cut, chunks={"variants": variants, "traits": traits}, **options).compute()
    np.testing.assert_allclose(result.lod, expected.lod, atol=1e-6)
    np.testing.assert_allclose(result.h2_alt, expected.h2_alt, atol=1e-3)
    np.testing.assert_allclose(result.h2, expected.h2, atol=1e-7)
    assert list(result.trait_status.values) == list(expected.trait_status.values)
    if "n_refined" in expected:
        np.testing.assert_array_equal(result.n_refined, expected.n_refined)


@pytest.mark.slow
@both
@pytest.mark.parametrize("n", [20, 248])
def test_single_precision_is_near_double(n, reml):
    rng = np.random.default_rng(7)
    dosage, root, _ = families(n, 40, seed=9)
    noise = rng.standard_normal((n, 40))
    noise[:, ::2] = root @ noise[:, ::2]
    locus = dosage[:, rng.integers(40, size=40)]
    ds = from_arrays(dosage, locus + np.geomspace(10, 1e-2, 40) * noise)
    for refine_above, tolerance in ((EVERY, 1e-5), (3.0, 1e-3)):
        options = {"method": "alt-exact", "reml": reml, "refine_above": refine_above}
        double, single = (blmm.scan(ds, precision=p, **options).lod for p in ("double", "single"))
        assert single.dtype == np.float32
        below = double.values < 100
        assert np.abs(single.values - double.values)[below].max() < tolerance
    assert double.values[below].max() > 30


def test_single_precision_of_a_grid():
    ds = extremes(60, 40, 12, seed=20)
    double, single = (
        blmm.scan(ds, method="alt-grid", precision=p).lod for p in ("double", "single")
    )
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["alt-exact", "alt-grid"])
def test_a_stored_scan_is_the_lazy_scan(method, tmp_path):
    ds = studies.study(m=12, missing=0.3, covariates=1)
    chunks = {"variants": 7, "traits": 5}
    lazy = blmm.scan(ds, method=method, chunks=chunks)
    assert all(lazy[name].chunks is not None for name in ("lod", "h2_alt", "h2"))
    stored = blmm.scan(ds, method=method, chunks=chunks, store=tmp_path / "r.zarr")
    again = blmm.open_result(tmp_path / "r.zarr")
    for opened in (stored, again):
        assert set(opened.data_vars) == set(lazy.data_vars)
        assert opened.lod.dtype == lazy.lod.dtype
        for name in lazy.data_vars:
            np.testing.assert_array_equal(opened[name], lazy[name], err_msg=name)
    assert again.attrs["method"] == method
    assert again.attrs.get("refine_above") == (3.0 if method == "alt-exact" else None)


def test_a_store_is_not_continued_with_another_threshold(tmp_path):
    ds = studies.study()
    blmm.scan(ds, method="alt-exact", store=tmp_path / "r.zarr")
    with pytest.raises(blmm.StoreError, match="options differ"):
        blmm.scan(ds, method="alt-exact", refine_above=2.0, store=tmp_path / "r.zarr")


@pytest.mark.parametrize("method", ["alt-exact", "alt-grid"])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_markers_without_variation_score_zero_at_the_null_h2(method, precision):
    dosage, traits = studies.arrays(n=40, p=10)
    dosage[:, 3] = 2.0
    dosage[:, 4] = 0.1 + 0.2  # not exact in binary, so that its mean leaves rounding behind
    ds = from_arrays(dosage, traits, covariates=dosage[:, [7]])
    options = {"refine_above": EVERY} if method == "alt-exact" else {}
    result = blmm.scan(ds, method=method, precision=precision, **options).compute()
    flat = result.isel(variants=[3, 4, 7])
    assert (flat.lod == 0).all()
    expected = np.broadcast_to(result.h2.values.astype(np.float32), (3, 12))
    np.testing.assert_array_equal(flat.h2_alt, expected)
    assert (np.delete(result.lod.values, [3, 4, 7], axis=0).max(axis=1) > 0).all()


@pytest.mark.parametrize("method", ["alt-exact", "alt-grid"])
def test_traits_that_cannot_be_fitted(method):
    dosage, traits = studies.arrays(n=20, p=10, m=4)
    traits[:, 0] = 7.25
    traits[2:, 1] = np.nan
    result = blmm.scan(from_arrays(dosage, traits), method=method).compute()
    assert list(result.trait_status.values) == ["constant", "too-few-samples", "ok", "ok"]
    for name in ("lod", "h2_alt"):
        assert np.isnan(result[name][:, :2]).all()
        assert np.isfinite(result[name][:, 2:]).all()
    if method == "alt-exact":
        assert (result.n_refined[:2] == 0).all()


@pytest.mark.parametrize("method", ["alt-exact", "alt-grid"])
def test_without_kinship_there_is_no_heritability(method):
    with pytest.raises(blmm.InputError, match=f"'{method}'.*null method"):
        blmm.scan(studies.study(), kinship=None, method=method)


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("refine_above", [EVERY, NONE])
def test_a_perfect_association_is_finite(precision, refine_above):
    dosage, traits = studies.arrays(n=30, p=10, m=3)
    traits[:, 0] = dosage[:, 2] * 2.5 + 1
    ds = from_arrays(dosage, traits)
    options = {"precision": precision, "refine_above": refine_above}
    result = blmm.scan(ds, method="alt-exact", **options).compute()
    assert np.isfinite(result.lod).all()
    assert result.lod.values[:, 0].argmax() == 2
    assert result.lod[2, 0] > 100


def test_a_likelihood_without_maximum_is_reported_and_scored_at_the_bound():
    ds = studies.study(n=40, p=60, m=8, seed=1)
    # Centred on the analysed samples, the null space of K is the intercept.
    ds["kinship"] = blmm.kinship(ds, method="centered").compute()
    case = Case(ds)
    lod, h2_alt = case.truth(False)
    unbounded = np.flatnonzero(case.scan().trait_status == "unbounded")
    assert len(unbounded)
    for refine_above, tolerance in ((NONE, DENSE_LARGEST), (EVERY, 1e-5)):
        result = case.scan(refine_above=refine_above)
        np.testing.assert_allclose(result.lod, lod, atol=tolerance)
        at_bound = result.h2_alt.values[:, unbounded][h2_alt[:, unbounded] == 1 - 1e-5]
        assert len(at_bound)
        np.testing.assert_allclose(at_bound, 1 - 1e-5, atol=1e-7)
    restricted = case.scan(reml=True, refine_above=EVERY)
    assert (restricted.trait_status == "ok").any()
    np.testing.assert_allclose(restricted.lod, case.truth(True)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "quoted"),
    [
        ({"method": "alt-exact", "refine_above": -1.0}, r"-1"),
        ({"method": "alt-exact", "refine_above": float("nan")}, r"nan"),
        ({"method": "null-exact", "refine_above": 2.0}, r"null-exact"),
        ({"method": "null-grid", "refine_above": 2.0}, r"null-grid"),
        ({"method": "alt-exact", "h2_grid": [0.1, 0.2]}, r"alt-exact"),
        ({"method": "alt-grid", "h2_grid": [0.1, 1.2]}, r"1\.2"),
        ({"method": "alternative"}, r"'alternative'.*alt-exact"),
    ],
)
def test_options_that_make_no_sense(options, quoted):
    with pytest.raises(blmm.InputError, match=quoted):
        blmm.scan(studies.study(), **options)
