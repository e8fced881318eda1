"""Permutation maxima against the slow, obvious way; the laws they keep; stores; their level."""

from __future__ import annotations

import io
import sys
from itertools import permutations as all_orders

import brute
import dask
import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import studies
import xarray as xr
from click.testing import CliRunner
from scipy.stats import binom

import bulklmm_dask as blmm
from bulklmm_dask.cli import main
from bulklmm_dask.lmm.basis import make_basis
from bulklmm_dask.lmm.permute.refit import _FINE, Refit, refit_grid
from bulklmm_dask.lmm.permute.residuals import permutations, restricted
from bulklmm_dask.storage.results.soundness import finished

CHUNKS = {"permutations": 7, "traits": 5}


def refit(y, covariates, kinship, *, reml):
    """The most likely h2 of a grid and between its points, by Cholesky and QR; its likelihood."""
    grid = refit_grid(make_basis(kinship, covariates))
    if len(grid) == 1:
        return 0.0, brute.log_likelihood(0.0, y, covariates, kinship, reml)
    points = grid[::_FINE]
    value = [brute.log_likelihood(h, y, covariates, kinship, reml) for h in points]
    best = int(np.argmax(value))
    middle = min(max(best, 1), len(points) - 2)
    bend = np.polyfit([-1, 0, 1], value[middle - 1 : middle + 2], 2)
    step = -bend[1] / (2 * bend[0]) if bend[0] < 0 else best - middle
    step = np.clip(step, best - middle - 0.5, best - middle + 0.5)
    top = max(np.polyval(bend, step), max(value))
    return grid[np.clip(round(_FINE * (middle + step)), 0, len(grid) - 1)], top


def slow_maxima(dosage, y, covariates, kinship, orders, *, reml, weights=None):
    """One permutation at a time: the covariance itself, its symmetric root, a scan."""
    if weights is not None:
        dosage, y, covariates = dosage * weights, y * weights, covariates * weights[:, None]
        kinship = kinship * np.outer(weights, weights)
    h2 = brute.null_h2(y, covariates, kinship, reml=True)
    root = scipy.linalg.sqrtm(h2 * kinship + (1 - h2) * np.eye(len(y))).real
    inverse = np.linalg.inv(root)
    q, _ = np.linalg.qr(inverse @ covariates)
    residual = inverse @ y
    residual = residual - q @ (q.T @ residual)
    found = []
    for order in orders:
        permuted = root @ residual[order]
        at, _ = refit(permuted, covariates, kinship, reml=reml)
        found.append(brute.lod_scores(dosage, permuted, covariates, kinship, at).max())
    return np.array(found)


def compare(ds, result, orders, *, reml=False, weights=None, kinship=None, variants=slice(None)):
    """Some traits of a study, each on its own samples."""
    dosage = ds.call_dosage.values.astype(float)[variants]
    kinship = ds.kinship.values if kinship is None else kinship
    covariates = np.ones((ds.sizes["samples"], 1))
    if "sample_covariate" in ds:
        covariates = np.column_stack([covariates, ds.sample_covariate.values])
    for j in range(ds.sizes["traits"]):
        y = ds.sample_trait.values[:, j]
        some = np.flatnonzero(~np.isnan(y))
        expected = slow_maxima(
            dosage[:, some],
            y[some],
            covariates[some],
            kinship[np.ix_(some, some)],
            restricted(orders, some),
            reml=reml,
            weights=None if weights is None else weights[some],
        )
        np.testing.assert_allclose(result[:, j], expected, atol=1e-5, err_msg=str(j))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "reml", "weighted"),
    [
        ({}, False, False),
        ({"covariates": 2}, True, False),
        ({"missing": 0.2}, False, False),
        ({"missing": 0.1, "covariates": 1}, False, True),
    ],
)
def test_equal_to_the_slow_way(options, reml, weighted):
    ds = studies.study(n=30, p=30, m=5, **options)
    weights = np.random.default_rng(3).uniform(0.5, 2, 30) if weighted else None
    strata = np.arange(30) % 2
    orders = permutations(4, range(6), strata)
    for precision in ("single", "double"):
        result = blmm.permute(
            ds,
            n_permutations=6,
            seed=4,
            strata=strata,
            reml=reml,
            weights=weights,
            precision=precision,
        )
        compare(ds, result.max_lod.values, orders, reml=reml, weights=weights)


def test_one_chromosome_left_out_equals_the_slow_way():
    ds = studies.study(n=30, p=30, m=4, missing=0.1)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    result = blmm.permute(ds, n_permutations=5, seed=1, loco=True, by="contig").compute()
    assert result.max_lod.dims == ("permutations", "traits", "contigs")
    assert result.h2.dims == ("contigs", "traits")
    orders = permutations(1, range(5), np.zeros(30, int))
    for contig in range(2):
        mine = ds.variant_contig.values == contig
        kinship = ds.kinship_loco.values[contig]
        compare(ds, result.max_lod.values[:, :, contig], orders, kinship=kinship, variants=mine)
    whole = blmm.permute(ds, n_permutations=5, seed=1, loco=True)
    np.testing.assert_allclose(whole.max_lod, result.max_lod.max("contigs"), atol=1e-6)


def test_without_a_kinship_residuals_of_the_regression_are_permuted():
    ds = studies.study(n=25, p=20, m=3)
    result = blmm.permute(ds, n_permutations=8, seed=2, kinship=None).max_lod.values
    orders = permutations(2, range(8), np.zeros(25, int))
    for j in range(3):
        y = ds.sample_trait.values[:, j]
        for i, order in enumerate(orders):
            r2 = max(np.corrcoef(x, y[order])[0, 1] ** 2 for x in ds.call_dosage.values)
            np.testing.assert_allclose(result[i, j], -12.5 * np.log10(1 - r2), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("reml", [False, True])
def test_h2_is_estimated_again_closely(reml):
    """Close to the optimum of the likelihood, which the curve around it measures."""
    ds = studies.study(n=60, p=40, m=25, covariates=1)
    kinship = ds.kinship.values
    covariates = np.column_stack([np.ones(60), ds.sample_covariate.values])
    basis = make_basis(kinship, covariates)
    model = Refit.of(basis, reml=reml)
    at, _ = model.estimate(basis.rotate(ds.sample_trait.values).T)
    found = model.h2[at]
    for j, h2 in enumerate(found):
        y = ds.sample_trait.values[:, j]
        best = brute.null_h2(y, covariates, kinship, reml=reml)
        args = (y, covariates, kinship, reml)
        loss = brute.log_likelihood(best, *args) - brute.log_likelihood(h2, *args)
        assert loss < 0.01, (j, h2, best)


def test_restricted_permutations_are_uniform_and_stay_in_their_stratum():
    orders = np.array(list(all_orders(range(5))))
    found = restricted(orders, np.array([0, 2, 3]))
    _, count = np.unique(found, axis=0, return_counts=True)
    np.testing.assert_array_equal(count, 20)
    # Wherever the image is among the chosen, nothing changes.
    kept = np.isin(orders[:, [0, 2, 3]], [0, 2, 3])
    np.testing.assert_array_equal(np.array([0, 2, 3])[found][kept], orders[:, [0, 2, 3]][kept])
    strata = np.array([0, 1, 0, 1, 1, 0, 1, 0])
    some = np.array([0, 1, 4, 5, 6, 7])
    orders = permutations(0, range(200), strata)
    assert (strata[orders] == strata).all()
    assert (strata[some][restricted(orders, some)] == strata[some]).all()
    assert len(np.unique(orders, axis=0)) > 100


def test_a_seed_gives_the_same_whatever_is_around_it():
    ds = studies.study(n=30, p=30, m=12, missing=0.1)
    whole = blmm.permute(ds, n_permutations=20, seed=5).max_lod.values
    np.testing.assert_allclose(
        blmm.permute(ds, n_permutations=20, seed=5, chunks=CHUNKS).max_lod, whole, atol=1e-5
    )
    few = ds.isel(traits=[2, 7, 9]).chunk(variants=8)
    with dask.config.set(scheduler="synchronous"):
        part = blmm.permute(few, n_permutations=11, seed=5).max_lod.values
    np.testing.assert_allclose(part, whole[:11, [2, 7, 9]], atol=1e-5)
    again = blmm.permute(few, n_permutations=11, seed=6).max_lod.values
    assert np.abs(again - part).max() > 0.1
    shared = [
        blmm.permute(each, n_permutations=20, seed=5, method="shared").sel(traits=few.traits.values)
        for each in (ds, few)
    ]
    levels = [blmm.thresholds(each, 0.2).threshold.values for each in shared]
    np.testing.assert_allclose(*levels, atol=1e-5)


@pytest.mark.parametrize(
    "scheduler",
    ["synchronous", "threads", pytest.param("distributed", marks=pytest.mark.slow)],
    indirect=True,
)
@pytest.mark.parametrize("method", ["per-trait", "shared"])
def test_any_scheduler_gives_the_same_maxima(scheduler, method, tmp_path):
    ds = studies.study(n=30, p=30, m=12, missing=0.1)
    options = {"n_permutations": 20, "method": method}
    expected = blmm.permute(ds, **options).max_lod.values
    with dask.config.set(scheduler=scheduler):
        if method == "per-trait":
            options["chunks"] = CHUNKS
        lazy = blmm.permute(ds, **options)
        np.testing.assert_allclose(lazy.max_lod, expected, atol=1e-5)
        stored = blmm.permute(ds, **options, store=tmp_path / "p.zarr")
    np.testing.assert_allclose(stored.max_lod, expected, atol=1e-5)


def test_the_same_permutation_for_all_traits_keeps_their_correlation():
    ds = studies.study(n=40, p=30, m=6)
    traits = ds.sample_trait.values.copy()
    traits[:, 1] = 3 - 2 * traits[:, 0]
    traits[:, 2] = traits[:, 0]
    traits[5, 2] = np.nan
    ds = ds.assign(sample_trait=(("samples", "traits"), traits))
    maxima = blmm.permute(ds, n_permutations=60).max_lod.values
    np.testing.assert_allclose(maxima[:, 0], maxima[:, 1], atol=1e-5)
    assert np.corrcoef(maxima[:, 0], maxima[:, 2])[0, 1] > 0.8
    assert abs(np.corrcoef(maxima[:, 0], maxima[:, 4])[0, 1]) < 0.5


def test_traits_that_cannot_be_fitted_are_left_out():
    ds = studies.study(n=20, p=12, m=4)
    traits = ds.sample_trait.values.copy()
    traits[:, 1] = 2.5
    traits[2:, 2] = np.nan
    ds = ds.assign(sample_trait=(("samples", "traits"), traits))
    for method in ("per-trait", "shared"):
        result = blmm.permute(ds, n_permutations=30, method=method).compute()
        assert list(result.trait_status.values) == ["ok", "constant", "too-few-samples", "ok"]
        levels = blmm.thresholds(result).threshold
        fitted = np.isfinite(levels).all("alpha").values
        np.testing.assert_array_equal(fitted, [True, False, False, True])


@pytest.mark.filterwarnings("ignore:2 of 2 traits have fewer than 5 samples")
def test_markers_without_variation_and_covariates_that_explain_all_score_nothing():
    """A permuted residual may lie among the covariates: three samples leave two orders or so."""
    ds = studies.study(n=4, p=6, m=2)
    dosage = ds.call_dosage.values.copy()
    dosage[0] = 1
    ds = ds.assign(call_dosage=ds.call_dosage.copy(data=dosage))
    result = blmm.permute(ds, n_permutations=40).max_lod.values
    assert np.isfinite(result).all()
    assert (result >= 0).all()
    flat = ds.isel(variants=[0])
    assert (blmm.permute(flat, n_permutations=3).max_lod.values == 0).all()


class StoppedError(Exception):
    pass


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path):
    ds = studies.study(n=25, p=20, m=12)
    path = tmp_path / "p.zarr"

    def stop(progress):
        if progress.done == 4:
            raise StoppedError

    options = {"n_permutations": 20, "seed": 1, "store": path}
    with pytest.raises(StoppedError), dask.config.set(scheduler="synchronous"):
        blmm.permute(ds, **options, chunks=CHUNKS, progress=stop)
    assert finished(path) == (4, 9)
    with pytest.raises(blmm.StoreError, match=r"unfinished: 4 of 9 blocks.*goes on"):
        blmm.open_result(path)
    steps = []
    result = blmm.permute(ds, **options, progress=steps.append)
    assert [step.done for step in steps] == list(range(4, 10))
    assert steps[-1].tests_done == steps[-1].tests_total == 20 * 20 * 12
    assert result.max_lod.chunks == ((7, 7, 6), (5, 5, 2))
    expected = blmm.permute(ds, n_permutations=20, seed=1).compute()
    for found in (result, blmm.open_result(path)):
        np.testing.assert_allclose(found.max_lod, expected.max_lod, atol=1e-5)
        np.testing.assert_allclose(found.h2, expected.h2, atol=1e-8)
        assert found.attrs == expected.attrs
    for other in ({"seed": 2}, {"reml": True}, {"strata": np.arange(25) % 2}, {"by": "contig"}):
        with pytest.raises(blmm.StoreError, match=r"other inputs: options(, labels)? differ"):
            blmm.permute(ds, **(options | other))


def test_a_shared_null_is_stored_too(tmp_path):
    ds = studies.study(n=25, p=20, m=12, missing=0.1)
    path = tmp_path / "p.zarr"
    options = {"n_permutations": 20, "method": "shared", "by": "contig"}
    stored = blmm.permute(ds, **options, store=path)
    expected = blmm.permute(ds, **options)
    for found in (stored, blmm.open_result(path), blmm.permute(ds, **options, store=path)):
        np.testing.assert_array_equal(found.max_lod, expected.max_lod)
        np.testing.assert_array_equal(found.trait_pattern, expected.trait_pattern)
    with pytest.raises(blmm.StoreError, match="options differ"):
        blmm.permute(ds, **options, seed=3, store=path)


def without_loci(n_traits: int, seed: int = 1) -> xr.Dataset:
    """A study of inbred strains whose traits are polygenic, h2 from 0.1 to 0.9, without a locus."""
    ds = blmm.simulate_study(
        n_samples=80, n_strains=40, n_variants=300, n_traits=1, n_contigs=4, seed=seed
    )
    kinship = blmm.kinship(ds).values
    rng = np.random.default_rng(seed)
    h2, noise = rng.uniform(0.1, 0.9, n_traits), rng.standard_normal((2, 80, n_traits))
    root = np.linalg.cholesky(kinship + 1e-9 * np.eye(80))
    out = blmm.create_dataset(
        ds.call_dosage.values.T,
        np.sqrt(h2) * (root @ noise[0]) + np.sqrt(1 - h2) * noise[1],
        maximum=1,
    )
    return out.assign(kinship=(("samples_0", "samples_1"), kinship))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["per-trait", "shared"])
@pytest.mark.parametrize("reml", [False, True])
def test_one_in_twenty_traits_without_loci_exceeds_its_threshold(method, reml):
    ds = without_loci(2000)
    lod = blmm.max_lod(blmm.scan(ds, reml=reml)).lod.values
    perm = blmm.permute(ds, n_permutations=500, method=method, seed=1, reml=reml)
    levels = blmm.thresholds(perm).threshold
    for alpha in (0.1, 0.05):
        share = (lod > levels.sel(alpha=alpha).values).mean()
        low, high = binom(2000, alpha).ppf([0.025, 0.975]) / 2000
        assert low <= share <= high, (alpha, share)


def test_shared_thresholds_are_those_of_each_trait():
    ds = without_loci(40)
    own, shared = (
        blmm.thresholds(blmm.permute(ds, n_permutations=1000, method=method, seed=1)).threshold
        for method in ("per-trait", "shared")
    )
    assert float(abs(own - shared).mean()) < 0.1
    assert float(abs(own - shared).max()) < 0.35


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "both"}, "unknown method 'both'; choose one of per-trait, shared"),
        ({"n_permutations": 0}, "n_permutations is 0; .* from 1 on"),
        ({"n_permutations": 10.0}, "n_permutations is 10.0"),
        ({"seed": -1}, "seed is -1; .* from 0 on"),
        ({"by": "contig", "genotypes": "calls"}, "no genotypes 'calls'"),
        ({"interaction": "age"}, "interaction names 'age', not among the covariates"),
        ({"by": "chromosome"}, "unknown by 'chromosome'; choose one of None, contig"),
        ({"strata": "sex"}, "strata is 'sex', but the study has no variable of that name"),
        ({"strata": np.arange(3)}, r"strata has shape \(3,\) for 12 samples"),
        ({"strata": [1.0, np.nan] * 6}, "strata lacks a label for 'sample2', 'sample4'"),
        (
            {"strata": [1, 2] * 6, "method": "shared"},
            "strata and method='shared' exclude .* leave strata out",
        ),
        ({"chunks": {"variants": 3}}, "chunks is .*'permutations': 1000"),
        ({"chunks": {"permutations": 0}}, r"chunks\['permutations'\] is 0; .* whole number"),
        (
            {"chunks": {"permutations": 9}, "method": "shared"},
            "method='shared' exclude .* no blocks",
        ),
        ({"strata": np.arange(12)}, "as many labels as there are samples, 12"),
        ({"strata": np.ones((6, 2))}, r"strata has shape \(6, 2\) for 12 samples"),
        ({"kinship": "K"}, "no variable 'K'"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    ds = studies.study(n=12, p=8, m=2)
    with pytest.raises(blmm.InputError, match=message):
        blmm.permute(ds, **options)


def founders(ds, k=3):
    """The study with probabilities of k genotypes beside its dosages."""
    draws = np.random.default_rng(7).dirichlet(np.full(k, 0.3), size=ds.call_dosage.shape)
    dims = ("variants", "samples", "genotypes")
    return ds.assign(call_genotype_probability=xr.DataArray(draws, dims=dims))


def slow_joint_maxima(columns, y, covariates, kinship, orders, *, weights=None):
    """Several columns (variants, n, d) a marker; h2 of every permuted trait searched anew."""
    if weights is not None:
        columns, covariates = columns * weights[:, None], covariates * weights[:, None]
        y, kinship = y * weights, kinship * np.outer(weights, weights)
    h2 = brute.null_h2(y, covariates, kinship, reml=True)
    root = scipy.linalg.sqrtm(h2 * kinship + (1 - h2) * np.eye(len(y))).real
    q, _ = np.linalg.qr(np.linalg.solve(root, covariates))
    residual = np.linalg.solve(root, y)
    residual = residual - q @ (q.T @ residual)
    found = []
    for order in orders:
        permuted = root @ residual[order]
        at = brute.null_h2(permuted, covariates, kinship, reml=False)
        v = np.linalg.cholesky(at * kinship + (1 - at) * np.eye(len(y)))

        def rss(x, v=v, y=permuted):
            x, y = np.linalg.solve(v, x), np.linalg.solve(v, y)
            return np.sum((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2)

        full = [rss(np.column_stack([covariates, x])) for x in columns]
        found.append(len(y) / 2 * np.log10(rss(covariates) / min(full)))
    return np.array(found)


@pytest.mark.parametrize("kind", ["probabilities", "interaction", "weighted"])
def test_several_columns_a_marker_equal_the_slow_way(kind):
    ds = studies.study(n=30, p=12, m=3, covariates=1, missing=0.1)
    covariates = np.column_stack([np.ones(30), ds.sample_covariate.values])
    weights, options = None, {}
    if kind == "interaction":
        x = ds.call_dosage.values.astype(float)
        columns = np.stack([x, x * covariates[:, 1]], axis=-1)
        options = {"interaction": "covariate1"}
    else:
        ds = founders(ds)
        columns = ds.call_genotype_probability.values[:, :, 1:]
        if kind == "weighted":
            weights = np.random.default_rng(3).uniform(0.5, 2, 30)
    orders = permutations(2, range(5), np.zeros(30, int))
    result = blmm.permute(ds, n_permutations=5, seed=2, weights=weights, **options).max_lod.values
    for j in range(3):
        y = ds.sample_trait.values[:, j]
        some = np.flatnonzero(~np.isnan(y))
        own = None if weights is None else weights[some]
        part = (columns[:, some], y[some], covariates[some], ds.kinship.values[np.ix_(some, some)])
        expected = slow_joint_maxima(*part, restricted(orders, some), weights=own)
        np.testing.assert_allclose(result[:, j], expected, atol=2e-5)


def test_maxima_by_contig_need_contigs():
    ds = studies.study(n=12, p=8, m=2)
    with pytest.raises(blmm.InputError, match="no variant_contig"):
        blmm.permute(ds.drop_vars("variant_contig"), by="contig")
    placed = blmm.permute(ds, n_permutations=5, by="contig")
    perm = blmm.permute(ds.drop_vars("variant_position"), n_permutations=5, by="contig")
    np.testing.assert_array_equal(perm.max_lod, placed.max_lod)
    with pytest.raises(blmm.InputError, match="no contig_length by contig"):
        blmm.thresholds(perm, 0.5, by="x")


@pytest.mark.slow
def test_several_columns_by_contig_left_out_shared_and_in_blocks():
    ds = founders(studies.study(n=30, p=20, m=6))
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    options = {"n_permutations": 60, "loco": True, "by": "contig"}
    whole = blmm.permute(ds, **options).compute()
    parts = blmm.permute(ds, **options, chunks={"permutations": 13, "traits": 4})
    np.testing.assert_allclose(parts.max_lod, whole.max_lod, atol=1e-4)
    assert whole.attrs["genotypes"] == "call_genotype_probability"
    shared = blmm.permute(ds, **options, method="shared")
    own, other = (blmm.thresholds(each, 0.5).threshold for each in (whole, shared))
    assert float(abs(own - other).max()) < 0.6
    dosages = blmm.permute(ds, **options, genotypes="call_dosage")
    assert float(dosages.max_lod.mean()) < float(whole.max_lod.mean())  # one column, not two


def test_strata_by_name_and_by_label():
    ds = studies.study(n=24, p=12, m=3, covariates=1)
    labels = np.where(np.arange(24) % 3 == 0, "f", "m")
    expected = blmm.permute(ds, n_permutations=5, strata=labels).max_lod.values
    series = xr.DataArray(labels, dims="samples", coords={"samples": ds.samples})[::-1]
    for given in (series, series.to_series()):
        found = blmm.permute(ds, n_permutations=5, strata=given).max_lod.values
        np.testing.assert_array_equal(found, expected)
    named = ds.assign(sample_sex=("samples", labels.astype(object)))
    found = blmm.permute(named, n_permutations=5, strata="sample_sex").max_lod.values
    np.testing.assert_array_equal(found, expected)
    found = blmm.permute(named, n_permutations=5, strata="sex").max_lod.values
    np.testing.assert_array_equal(found, expected)
    # Samples that are alone stay where they are, which is said.
    alone = np.where(np.arange(24) < 22, np.arange(24), 22)
    with pytest.warns(blmm.StudyWarning, match="22 of 24 samples are alone in their stratum"):
        blmm.permute(ds, n_permutations=3, strata=alone)
    with pytest.raises(blmm.InputError, match="as many labels as there are samples"):
        blmm.permute(ds, n_permutations=3, strata="covariate1")


def test_on_the_command_line(tmp_path):
    ds = studies.study(n=25, p=20, m=6).assign(sample_sex=("samples", np.arange(25) % 2))
    study, perm, table = (str(tmp_path / name) for name in ("s.zarr", "p.zarr", "t.csv"))
    blmm.save(ds, study)
    run = CliRunner()
    options = ["--permutations", "30", "--seed", "1", "--strata", "sex", "--by", "contig"]
    done = run.invoke(main, ["permute", study, perm, *options, "--threads", "1"])
    assert done.exit_code == 0, done.output
    expected = blmm.permute(ds, n_permutations=30, seed=1, strata="sample_sex", by="contig")
    np.testing.assert_allclose(blmm.open_result(perm).max_lod, expected.max_lod, atol=1e-5)
    done = run.invoke(main, ["thresholds", perm, "--alpha", "0.05,0.2", "--out", table])
    assert done.exit_code == 0, done.output
    levels = blmm.thresholds(expected, (0.05, 0.2)).threshold
    found = np.loadtxt(table, delimiter=",", skiprows=1, usecols=(1, 2))
    np.testing.assert_allclose(found, levels, atol=1e-5)
    done = run.invoke(main, ["thresholds", perm, "--by", "contig"])
    assert done.stdout.splitlines()[0] == "trait,contig,lod_0.1,lod_0.05"
    assert len(done.stdout.splitlines()) == 13
    done = run.invoke(main, ["info", perm])
    assert "maxima of permutations, finished" in done.output
    done = run.invoke(main, ["thresholds", perm, "--alpha", "0.001"])
    assert done.exit_code == 2
    assert "30 permutations give levels from" in done.output


def test_single_precision_beside_a_marker_that_is_a_covariate():
    """What the covariates leave of a marker may be smaller than rounding in single precision."""
    rng = np.random.default_rng(3)
    ds = studies.study(n=60, p=20, m=4)
    dosage = ds.call_dosage.values.astype(float)
    for row, eps in enumerate((1e-2, 1e-3, 1e-4, 3e-5)):
        dosage[row] = np.clip(dosage[10] + eps * rng.standard_normal(60), 0, 1)
    ds = ds.assign(call_dosage=ds.call_dosage.copy(data=dosage))
    ds = ds.assign(
        sample_covariate=(("samples", "covariates"), dosage[10][:, None]),
        covariate_id=("covariates", np.array(["marker"], dtype=object)),
    )
    near = ds.isel(variants=[0, 1, 2, 3])
    for call in (
        lambda **how: blmm.permute(near, n_permutations=40, **how).max_lod,
        lambda **how: blmm.scan(near, **how).lod,
    ):
        single, double = call(precision="single").values, call(precision="double").values
        np.testing.assert_allclose(single, double, atol=1e-4)
        assert double.max() > 0.5


def test_saturated_markers_and_traits_have_no_maximum():
    ds = founders(studies.study(n=40, p=12, m=4), k=8)
    traits = ds.sample_trait.values.copy()
    traits[7:, 1] = np.nan  # as many samples as genotypes
    ds = ds.assign(sample_trait=(("samples", "traits"), traits))
    for method in ("per-trait", "shared"):
        perm = blmm.permute(ds, n_permutations=20, method=method)
        levels = blmm.thresholds(perm, 0.2).threshold.values[:, 0]
        assert np.isnan(levels).tolist() == [False, True, False, False]
    # Two markers that lack genotypes: the others of six samples are saturated.
    few = founders(studies.study(n=6, p=4, m=2), k=4)
    p = few.call_genotype_probability.values.copy()
    p[:2] = 0
    p[:2, :3, 0] = 1
    p[:2, 3:, 1] = 1
    few = few.assign(call_genotype_probability=few.call_genotype_probability.copy(data=p))
    assert np.isfinite(blmm.max_lod(blmm.scan(few)).lod).all()
    assert np.isfinite(blmm.permute(few, n_permutations=10).max_lod.values).all()


def test_no_trait_with_a_model():
    ds = studies.study(n=20, p=12, m=3)
    ds = ds.assign(sample_trait=(("samples", "traits"), np.ones((20, 3))))
    for method in ("per-trait", "shared"):
        perm = blmm.permute(ds, n_permutations=20, method=method)
        assert np.isnan(blmm.thresholds(perm).threshold.values).all()
        found = blmm.trait_fdr(perm, blmm.max_lod(blmm.scan(ds)))
        assert found.fdr.isna().all()
        assert found.p_adjusted.isna().all()


def test_a_study_that_holds_what_a_result_does(tmp_path):
    ds = studies.study(n=20, p=12, m=3)
    ds["h2"] = blmm.heritability(ds).h2.compute()
    ds["trait_status"] = ("traits", np.array(["mine"] * 3, dtype=object))
    for method in ("per-trait", "shared"):
        perm = blmm.permute(ds, n_permutations=5, method=method, store=tmp_path / method)
        assert list(perm.trait_status.values) == ["ok"] * 3


def test_a_finished_shared_null_is_not_drawn_again(tmp_path, monkeypatch):
    ds = studies.study(n=20, p=12, m=3)
    options = {"n_permutations": 20, "method": "shared", "store": tmp_path / "p.zarr"}
    first = blmm.permute(ds, **options)
    monkeypatch.setattr(sys.modules["bulklmm_dask.analyses.permute"], "draw_shared", None)
    np.testing.assert_array_equal(blmm.permute(ds, **options).max_lod, first.max_lod)
    with pytest.raises(blmm.StoreError, match="options differ"):
        blmm.permute(ds, **options | {"seed": 4})
    renamed = ds.assign_coords(traits=[f"other{i}" for i in range(3)])
    renamed["trait_id"] = ("traits", renamed.traits.values.astype(object))
    with pytest.raises(blmm.StoreError, match="labels differ"):
        blmm.permute(renamed, **options)
    with pytest.raises(blmm.StoreError, match="over permutations and traits, not variants"):
        blmm.scan(ds, store=tmp_path / "p.zarr")


def test_thresholds_of_a_lazy_result_compute_every_block_once(monkeypatch):
    from bulklmm_dask.engine import permute as module

    ds = studies.study(n=20, p=12, m=9)
    lazy = blmm.permute(ds, n_permutations=30, chunks={"permutations": 10, "traits": 4})
    calls = []
    slow = module.permuted_maxima
    monkeypatch.setattr(module, "permuted_maxima", lambda *a, **k: calls.append(1) or slow(*a, **k))
    blmm.thresholds(lazy)
    assert len(calls) == 3 * 3


@pytest.mark.slow
def test_findings_with_permutations_on_the_command_line(tmp_path):
    ds = studies.study(n=40, p=30, m=6, missing=0.1)
    traits = ds.sample_trait.values.copy()
    traits[:, 2] = 1.0  # has no threshold
    ds = ds.assign(sample_trait=(("samples", "traits"), traits))
    blmm.save(ds, tmp_path / "s.zarr")
    result = blmm.scan(ds, store=tmp_path / "r.zarr")
    perm = blmm.permute(ds, n_permutations=30, store=tmp_path / "p.zarr")
    levels = blmm.thresholds(perm, 0.9).threshold.sel(alpha=0.9)

    def run(*arguments):
        places = {"R": str(tmp_path / "r.zarr"), "P": str(tmp_path / "p.zarr")}
        done = CliRunner().invoke(main, [places.get(each, each) for each in arguments])
        assert done.exit_code == 0, done.output
        return pd.read_csv(io.StringIO(done.stdout), dtype={"contig": str})

    def same(found, expected):
        expected = expected.assign(p_source=expected.p_source.replace("", np.nan))
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-4)

    own = ("--perm", "P", "--alpha", "0.9")
    hits = blmm.adjusted_p(perm, blmm.find_hits(result, threshold=levels))
    assert len(hits) > 3
    same(run("hits", "R", *own), hits)
    peaks = blmm.adjusted_p(perm, blmm.find_peaks(result, threshold=levels))
    same(run("peaks", "R", *own), peaks)
    maxima = blmm.trait_fdr(perm, blmm.max_lod(result))
    found = run("maxima", "R", "--perm", "P")
    np.testing.assert_allclose(found.fdr, maxima.fdr, rtol=1e-4)
    found = run("maxima", "R", "--perm", "P", "--by", "contig")
    assert "fdr" not in found
    assert found.p_adjusted.notna().sum() == 10
    for wrong, message in (
        (("--alpha", "0.1"), "--alpha 0.1 needs --perm"),
        (("--perm", str(tmp_path / "p.zarr"), "--alpha", "0.1", "--threshold", "3"), "exclude"),
    ):
        done = CliRunner().invoke(main, ["hits", str(tmp_path / "r.zarr"), *wrong])
        assert done.exit_code == 2
        assert message in done.output


def test_a_trait_with_lods_but_no_threshold_is_named():
    ds = studies.study(n=30, p=12, m=3)
    levels = xr.DataArray([1.0, np.nan, 2.0], {"traits": ds.traits.values}, "traits")
    with pytest.warns(blmm.StudyWarning, match=r"1 trait without a threshold .*'trait2'"):
        hits = blmm.find_hits(blmm.scan(ds), threshold=levels)
    assert "trait2" not in set(hits.trait)


def test_shared_thresholds_of_each_chromosome_by_its_own_kinship():
    """Places have heritabilities and nulls of their own: a node's draws are its traits' maxima."""
    ds = studies.study(n=40, p=30, m=5, missing=0.1)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    perm = blmm.permute(ds, n_permutations=200, loco=True, by="contig", method="shared")
    levels = blmm.thresholds(perm, 0.3, by="contig").threshold.sel(alpha=0.3)
    for j, pattern in enumerate(perm.trait_pattern.values):
        for c in range(2):
            at = perm.null_h2.values[c, pattern]
            own = perm.max_lod.values[:, pattern, :, c]
            slow = np.interp(perm.h2.values[c, j], at, np.quantile(own, 0.7, axis=0))
            assert abs(levels.values[j, c] - slow) < 0.05
    together = blmm.thresholds(perm, 0.3).threshold.values[:, 0]
    assert (together >= levels.max("contigs")).all()
