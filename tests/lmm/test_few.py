"""Few traits against many markers: brute force and the usual scanner are the judges."""

from __future__ import annotations

import pickle
from dataclasses import replace

import brute
import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.lmm.basis import Basis, make_basis
from bulklmm_dask.lmm.chunk import fit_traits, scan_block
from bulklmm_dask.lmm.few.forms import ERROR, Rotation
from bulklmm_dask.lmm.few.scan import FewScan
from bulklmm_dask.lmm.few.triangle import Triangle, less_common_call
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples


def kinship_of(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Kinships of distinct samples, of two populations, nearly singular, and of strains."""
    if kind == "populations":
        x = rng.standard_normal((n, 3 * n)) + 6.0 * (np.arange(n) % 2)[:, None]
    elif kind == "strains":
        x = rng.standard_normal((n // 4, 3 * n))[np.arange(n) % (n // 4)]
    else:
        x = rng.standard_normal((n, 3 * n if kind == "distinct" else n + 1))
    return x @ x.T / x.shape[1]


def projection(kinship: np.ndarray, covariates: np.ndarray, h2: float) -> np.ndarray:
    inverse = np.linalg.inv(h2 * kinship + (1 - h2) * np.eye(len(kinship)))
    c = inverse @ covariates
    return inverse - c @ np.linalg.solve(covariates.T @ c, c.T)


def errors(basis: Basis, x: np.ndarray, h2: np.ndarray, exact: np.ndarray):
    """Error of S_xx (variants, traits) as a share of |M| |x|^2."""
    found = Rotation.of(basis, h2).squares(np.ascontiguousarray(x, np.float32))
    norm = basis.at(h2).weights.max(axis=0) * np.sum(x * x, axis=1)[:, None]
    return np.abs(found - exact) / norm


@pytest.mark.parametrize("kind", ["distinct", "populations", "singular", "strains"])
@pytest.mark.parametrize("c", [0, 1, 4])
def test_error_of_squares(kind: str, c: int) -> None:
    rng = np.random.default_rng(c)
    n = 300
    kinship = kinship_of(kind, n, rng)
    covariates = np.column_stack([np.ones((n, min(c, 1))), rng.standard_normal((n, max(c - 1, 0)))])
    basis = make_basis(kinship, covariates)
    largest = np.linalg.eigh(kinship)[1][:, ::-1][:, :20].T  # where M is least
    x = np.concatenate([rng.binomial(2, 0.3, (200, n)).astype(float), largest * np.sqrt(n)])
    x = (x - x.mean(axis=1, keepdims=True)).astype(np.float32).astype(float)
    for h2 in (1e-3, 0.3, 0.7, 0.97):
        at = np.array([h2, 0.5 * h2, 0.2])
        exact = np.stack(
            [np.einsum("ik,kl,il->i", x, projection(kinship, covariates, h), x) for h in at], axis=1
        )
        found = errors(basis, x, at, exact)
        assert found.max() < ERROR / 2
        assert found[:200].max() < 3e-7


FAMILIES = [(100, 10), (300, 30), (300, 150), (1000, 50)]


def of_families(n: int, size: int) -> np.ndarray:
    """Kinship of families, whose members are alike to one half."""
    family = np.arange(n) // size
    return 0.5 * np.eye(n) + 0.5 * (family[:, None] == family)


def rare(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Markers of one carrier, of rare and common alleles, and of whole families."""
    shares = np.repeat([0.01, 0.05, 0.3], 100)[:, None]
    by_family = rng.binomial(2, 0.3, (100, -(-n // size)))[:, np.arange(n) // size]
    x = np.concatenate([np.eye(n)[:100], rng.binomial(2, shares, (300, n)), by_family])
    return x[np.ptp(x, axis=1) > 0].astype(float)


@pytest.mark.parametrize(("n", "size"), FAMILIES)
def test_error_of_squares_of_rare_markers_in_families(n: int, size: int) -> None:
    """Most samples have the same genotype, and rounding errors of long sums the same sign."""
    x = rare(n, size, np.random.default_rng(1))
    x -= x.mean(axis=1, keepdims=True)
    kinship, covariates = of_families(n, size), np.ones((n, 1))
    basis = make_basis(kinship, covariates)
    at = np.array([0.3, 0.7])
    ms = [projection(kinship, covariates, h2) for h2 in at]
    exact = np.stack([np.einsum("ik,ik->i", x @ m, x) for m in ms], axis=1)
    assert errors(basis, x, at, exact).max() < ERROR / 2


@pytest.mark.parametrize("size", [10, 150])
@pytest.mark.parametrize("gaps", [0.0, 0.03, 0.1])
def test_error_of_the_triangle(size: int, gaps: float) -> None:
    """Less a common call, rounding errors of rare markers do not grow with the samples."""
    n, rng = 300, np.random.default_rng(3)
    half = np.where(rng.random((50, n)) < 0.5, 0.0, rng.choice([1.0, 1.9], (50, n)))
    rounded = np.where(rng.random((50, n)) < 0.04, 0.01, rng.binomial(1, 0.01, (50, n)))
    x = np.concatenate([rare(n, size, rng), 2.0 - rare(n, size, rng), half, rounded])
    holes = rng.random(x.shape) < gaps
    x = np.where(holes, np.nanmean(np.where(holes, np.nan, x), axis=1, keepdims=True), x)
    x = x[np.ptp(x, axis=1) > 1e-9]
    single, error = less_common_call(x)
    serves = np.isfinite(error)
    assert serves.mean() > (0.8 if gaps < 0.05 else 0.1)
    single, error = single[serves], error[serves]
    x = single.astype(float)
    for kinship in (of_families(n, size), kinship_of("distinct", n, rng)):
        basis = make_basis(kinship, np.ones((n, 1)))
        for h2 in (1e-3, 0.3, 0.97):
            form = Triangle.of(basis, h2)
            assert form is not None
            exact = np.einsum("ik,ik->i", x @ projection(kinship, np.ones((n, 1)), h2), x)
            most = basis.at(np.array([h2])).weights.max() * np.sum(x * x, axis=1) * error
            assert (np.abs(form.squares(single) - exact) <= most / 2).all()


def test_a_common_call_is_subtracted() -> None:
    x = np.tile([0.0, 1.0, 1.0, 1.0, 2.0], (4, 20))
    x[1] = np.arange(100)
    x[2] = 0.3
    x[3, :10] = 1.1
    single, error = less_common_call(x)
    np.testing.assert_array_equal(single[0], x[0] - 1.0)
    assert not single[2].any()
    assert np.isfinite(error).tolist() == [True, False, True, False]


def test_no_triangle_where_constants_matter() -> None:
    rng = np.random.default_rng(4)
    kinship = kinship_of("distinct", 40, rng)
    assert Triangle.of(make_basis(kinship, rng.standard_normal((40, 2))), 0.5) is None
    weights = rng.uniform(0.5, 2.0, 40)
    assert Triangle.of(make_basis(kinship, np.ones((40, 1)), weights), 0.5) is not None


@pytest.mark.parametrize(("n", "size"), [(60, 10), (300, 30), (1000, 10)])
def test_lods_of_rare_markers_in_families(n: int, size: int) -> None:
    rng = np.random.default_rng(2)
    kinship, x = of_families(n, size), np.tile(rare(n, size, rng), (10, 1))
    y = np.linalg.cholesky(kinship) @ rng.standard_normal((n, 1)) + rng.standard_normal((n, 1))
    samples, options = Samples(np.ones((n, 1)), kinship, None), ModelOptions()
    usual = fit_traits(y, samples, options)
    few = fit_traits(y, samples, options, n_markers=4 * n)
    assert [type(group.scanner) for group in few.groups] == [FewScan]
    expected = scan_block(x, usual, options, single=False)["lod"]
    found = scan_block(x, few, options, single=False)["lod"]
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=1e-5)


def difficult(n: int, m: int, covariates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Markers (m, n): copies, constants, a covariate and nearly one, tiny and large numbers."""
    x = rng.binomial(2, rng.uniform(0.05, 0.5, (m, 1)), (m, n)).astype(float)
    x[1] = x[0]
    x[2], x[3] = 1.0, 0.0
    x[4] = covariates[:, -1]
    x[5] = covariates[:, -1] + 1e-3 * x[5]
    x[6] *= 1e-30
    x[7] = 1e-3 * x[7] + 1.0
    return x


@pytest.mark.parametrize("traits", [1, 2, 10])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["distinct", "populations", "strains"])
@pytest.mark.parametrize("single", [False, True])
def test_same_lods_as_the_usual_scanner(
    traits: int, weighted: bool, kind: str, single: bool
) -> None:
    rng = np.random.default_rng(traits)
    n, m = 120, 1500
    kinship = kinship_of(kind, n, rng)
    covariates = np.column_stack([np.ones(n), rng.standard_normal(n)])
    x = difficult(n, m, covariates, rng)
    root = np.linalg.cholesky(kinship + 1e-9 * np.eye(n))
    y = root @ rng.standard_normal((n, traits)) + rng.standard_normal((n, traits))
    y[:, 0] += 3.0 * x[9]  # a LOD above 100 or so
    y[:, -1] += 1e-7 * x[10] + 0.4 * x[11]
    samples = Samples(covariates, kinship, rng.uniform(0.5, 2.0, n) if weighted else None)
    options = ModelOptions()
    usual = fit_traits(y, samples, options)
    few = fit_traits(y, samples, options, n_markers=m)
    assert [type(group.scanner) for group in usual.groups] == [NullScan]
    assert [type(group.scanner) for group in few.groups] == [FewScan]
    expected = scan_block(x, usual, options, single=False)["lod"]
    travelled = pickle.loads(pickle.dumps(few))
    for fitted in (few, travelled):
        found = scan_block(x, fitted, options, single=single)["lod"]
        np.testing.assert_allclose(found, expected, rtol=3e-7, atol=1e-4 if single else 1e-5)
    assert (found[2:5] == 0.0).all()
    assert found[9, 0] > 20.0


@pytest.mark.parametrize("traits", [1, 3])
def test_scans_equal_brute_force(traits: int) -> None:
    ds = studies.study(40, 400, traits, seed=5, covariates=2)
    result = blmm.scan(ds).compute()
    covariates = np.column_stack([np.ones(40), ds.sample_covariate.values])
    for j in range(traits):
        y, h2 = ds.sample_trait.values[:, j], float(result.h2[j])
        dosage, kinship = ds.call_dosage.values, ds.kinship.values
        scores = brute.lod_scores(dosage, y, covariates, kinship, h2)
        np.testing.assert_allclose(result.lod.values[:, j], scores, atol=1e-5, rtol=1e-7)


OPTIONS = {
    "loco": {"loco": True},
    "reml": {"reml": True},
    "weights": {"weights": "w"},
    "effects": {"statistics": ["beta", "se", "neg_log10_p", "explained", "perfect_fit"]},
    "grid": {"method": "null-grid"},
    "none": {"kinship": None},
    "single": {"precision": "single"},
    "condition": {"condition": "variant3"},
    "chunks": {"chunks": {"variants": 77, "traits": 2}},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_few_traits_equal_many(name: str, missing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan of some traits has the numbers of the scan of all."""
    options = dict(OPTIONS[name])
    ds = studies.study(40, 400, 12, seed=6, missing=missing)
    rng = np.random.default_rng(0)
    ds["call_dosage"] = ds.call_dosage.where(rng.random(ds.call_dosage.shape) > 0.02)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    ds["sample_w"] = ("samples", rng.uniform(0.5, 2.0, 40))
    if "weights" in options:
        options["weights"] = ds["sample_w"].values
    if "condition" in options:
        options["condition"] = str(ds.variant_id.values[3])
    for some in ([3], [1, 4, 7]):
        few = blmm.scan(ds.isel(traits=some), **options).compute()
        with monkeypatch.context() as context:
            context.setattr("bulklmm_dask.engine.scan.MOST_TRAITS", 0)
            usual = blmm.scan(ds.isel(traits=some), **options).compute()
        for variable in usual.data_vars:
            if usual[variable].dtype.kind != "f":
                assert (few[variable] == usual[variable]).all()
                continue
            atol = 1e-4 if name == "single" else 1e-5
            np.testing.assert_allclose(few[variable], usual[variable], rtol=3e-7, atol=atol)


def test_only_where_it_pays() -> None:
    rng = np.random.default_rng(0)
    n = 30
    kinship = kinship_of("distinct", n, rng)
    samples, y = Samples(np.ones((n, 1)), kinship), rng.standard_normal((n, 11))

    def kind(count: int, n_markers: int | None, **options: object) -> type:
        chosen = replace(ModelOptions(), **options)
        (group,) = fit_traits(y[:, :count], samples, chosen, n_markers=n_markers).groups
        return type(group.scanner)

    assert kind(1, 1000) is FewScan
    assert kind(10, 1000) is FewScan
    assert kind(11, 1000) is NullScan
    assert kind(1, 100) is NullScan
    assert kind(1, None) is NullScan
    assert kind(1, 1000, grid=(0.0, 0.5)) is FewScan
    assert kind(1, 1000, wanted=("lod", "beta")) is NullScan
