"""`permute` with several kernels: against dense covariances, its laws, stores, level, errors."""

from __future__ import annotations

import brute
import dask
import numpy as np
import pytest
import scipy.linalg
import zarr
from commands import run
from scipy.stats import binom
from test_component_calibration import litters
from test_components import cage_kernel, caged
from test_permute import StoppedError, founders, refit

import bulklmm_dask as blmm
from bulklmm_dask.analyses.again import analysis_of
from bulklmm_dask.lmm.components.groups import kernel_groups
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.simplex import ratios
from bulklmm_dask.lmm.permute.kernels import mixed
from bulklmm_dask.lmm.permute.refit import Refit
from bulklmm_dask.lmm.permute.residuals import permutations, restricted
from bulklmm_dask.reporting.repeat import how_to_repeat
from bulklmm_dask.storage.results.soundness import finished

KERNELS = {"additive": "kinship", "cage": "@cage"}
pytestmark = pytest.mark.filterwarnings("ignore:the kinship is of the whole genome")


def drawn(y, covariates, kernels, orders, *, weights=None):
    """Permuted traits (N, n) times the weights, by the symmetric root of the trait's covariance."""
    w = np.ones(len(y)) if weights is None else weights
    h, _ = brute.Components(y, covariates, kernels, reml=True, weights=weights).best()
    covariance = np.tensordot(h, brute.scaled_kernels(kernels, weights), axes=1) * np.outer(w, w)
    root = scipy.linalg.sqrtm(covariance).real
    q, _ = np.linalg.qr(np.linalg.solve(root, covariates * w[:, None]))
    residual = np.linalg.solve(root, y * w)
    residual = residual - q @ (q.T @ residual)
    return np.stack([root @ residual[order] for order in orders])


def slow_maxima(dosage, y, covariates, kernels, orders, *, reml, weights=None):
    """One permutation at a time: of every ratio of the kernels the best share, then a scan."""
    w = np.ones(len(y)) if weights is None else weights
    scaled = brute.scaled_kernels(kernels)[:-1] * np.outer(w, w)
    mixed = [np.tensordot(ratio, scaled, axes=1) for ratio in ratios(len(kernels))]
    fixed, found = covariates * w[:, None], []
    for permuted in drawn(y, covariates, kernels, orders, weights=weights):
        tops = [refit(permuted, fixed, kinship, reml=reml) for kinship in mixed]
        best = int(np.argmax([value for _, value in tops]))
        lods = brute.lod_scores(dosage * w, permuted, fixed, mixed[best], tops[best][0])
        found.append(lods.max())
    return np.array(found)


def compare(ds, found, orders, kernels, *, reml=False, weights=None, variants=slice(None)):
    """Maxima (permutations, traits) of a study, each trait on its own samples."""
    dosage = ds.call_dosage.values.astype(float)[variants]
    covariates = np.column_stack([np.ones(ds.sizes["samples"]), ds.sample_covariate.values])
    for j in range(ds.sizes["traits"]):
        y = ds.sample_trait.values[:, j]
        some = np.flatnonzero(~np.isnan(y))
        expected = slow_maxima(
            dosage[:, some],
            y[some],
            covariates[some],
            [kernel[np.ix_(some, some)] for kernel in kernels],
            restricted(orders, some),
            reml=reml,
            weights=None if weights is None else weights[some],
        )
        np.testing.assert_allclose(found[:, j], expected, atol=2e-5, err_msg=str(j))


@pytest.mark.slow
@pytest.mark.parametrize("reml", [False, True], ids=["ML", "REML"])
@pytest.mark.parametrize("kind", ["two", "weights and gaps", "three"])
def test_equal_to_the_slow_way(kind, reml):
    ds = caged(n=30, m=3, missing=0.2 * (kind == "weights and gaps"))
    weights = np.random.default_rng(3).uniform(0.5, 2, 30) if "weights" in kind else None
    kernels = {"additive": ds.kinship.values, "cage": cage_kernel(ds)}
    if kind == "three":
        batch = np.arange(30) % 4
        kernels["batch"] = (batch[:, None] == batch).astype(float)
    strata, count = np.arange(30) % 2, 2 if kind == "three" else 4
    how = {"kinship": kernels, "n_permutations": count, "seed": 4, "strata": strata}
    how |= {"reml": reml, "weights": weights}
    single, double = (
        blmm.permute(ds, **how, precision=precision).max_lod.values
        for precision in ("single", "double")
    )
    orders = permutations(4, range(count), strata)
    compare(ds, double, orders, list(kernels.values()), reml=reml, weights=weights)
    np.testing.assert_allclose(single, double, atol=1e-5)


@pytest.mark.parametrize(("kernels", "count", "most"), [(2, 17, 0.05), (3, 66, 0.3)])
def test_shares_are_estimated_again_closely(kernels, count, most):
    """In nats below the largest likelihood, which a search of each trait finds."""
    ds = caged(n=60, m=20)
    batch = np.arange(60) % 7
    each = [ds.kinship.values, cage_kernel(ds), (batch[:, None] == batch).astype(float)]
    covariates = np.column_stack([np.ones(60), ds.sample_covariate.values])
    samples = KernelSamples(covariates, np.stack(each[:kernels]))
    y = ds.sample_trait.values + np.random.default_rng(0).standard_normal((7, 20))[batch]
    (group,) = kernel_groups(y, samples, np.empty(20, dtype=object), reml=True)
    best = [group.search.best(j).point.value for j in range(20)]
    refits = [Refit.of(one.basis(), reml=True) for one in mixed(samples)]
    found = [refit.estimate(refit.basis.rotate(y).T)[1] for refit in refits]
    assert len(found) == count
    loss = best - 0.5 * group.search.likelihood.count * np.log(group.scale**2) - np.max(found, 0)
    assert loss.min() > -0.01  # a parabola errs
    assert loss.mean() < most / 3
    assert loss.max() < most


def test_the_contig_of_a_marker_is_left_out_of_the_kernels_made_by_contig():
    ds = caged(n=24, m=2, missing=0.1)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    how = {"kinship": KERNELS, "n_permutations": 2, "seed": 1, "loco": True}
    found = blmm.permute(ds, **how, by="contig").compute()
    assert found.max_lod.dims == ("permutations", "traits", "contigs")
    assert found.h2.dims == ("contigs", "components", "traits")
    orders = permutations(1, range(2), np.zeros(24, int))
    for contig in range(2):
        mine = found.max_lod.values[:, :, contig]
        kernels = [ds.kinship_loco.values[contig], cage_kernel(ds)]
        compare(ds, mine, orders, kernels, variants=ds.variant_contig.values == contig)
    whole = blmm.permute(ds, **how)
    np.testing.assert_allclose(whole.max_lod, found.max_lod.max("contigs"), atol=1e-6)


@pytest.mark.parametrize("reml", [False, True], ids=["ML", "REML"])
def test_one_kernel_is_a_kinship(reml):
    ds = caged(m=5, missing=0.2)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    weights = np.random.default_rng(0).uniform(0.5, 2, 50)
    for own in ({}, {"weights": weights}, {"loco": True, "by": "contig"}):
        how = {"n_permutations": 30, "seed": 3, "reml": reml, "precision": "double", **own}
        wanted = blmm.permute(ds, **how).compute()
        found = blmm.permute(ds, kinship={"additive": "kinship"}, **how).compute()
        np.testing.assert_allclose(found.max_lod, wanted.max_lod, atol=1e-6)
        shares = found.h2.sel(components="additive")
        np.testing.assert_allclose(shares, wanted.h2, atol=1e-6)  # diagonals of one


def test_a_seed_gives_the_same_whatever_is_around_it():
    ds = caged(n=20, m=66)  # as many as a scan would take in bulk
    how = {"kinship": KERNELS, "seed": 5}
    whole = blmm.permute(ds, n_permutations=4, **how).compute()
    assert whole.max_lod.dims == ("permutations", "traits")
    assert list(whole.components.values) == ["additive", "cage", "residual"]
    shares = blmm.heritability(ds, kinship=KERNELS)
    np.testing.assert_allclose(whole.h2, shares.h2, atol=1e-6)
    few = ds.isel(traits=[2, 7, 65]).chunk(variants=8)
    with dask.config.set(scheduler="synchronous"):
        part = blmm.permute(few, n_permutations=9, chunks={"permutations": 2, "traits": 2}, **how)
        np.testing.assert_allclose(part.max_lod[:4], whole.max_lod[:, [2, 7, 65]], atol=1e-5)


def test_a_stopped_run_goes_on_and_can_be_made_again(tmp_path):
    ds = caged(m=5)
    path = tmp_path / "p.zarr"

    def stop(progress):
        if progress.done == 2:
            raise StoppedError

    options = {"n_permutations": 6, "seed": 1, "store": path, "kinship": KERNELS}
    chunks = {"permutations": 3, "traits": 2}
    with pytest.raises(StoppedError), dask.config.set(scheduler="synchronous"):
        blmm.permute(ds, **options, chunks=chunks, progress=stop)
    assert finished(path) == (2, 6)
    found = blmm.permute(ds, **options)
    expected = blmm.permute(ds, kinship=KERNELS, n_permutations=6, seed=1).compute()
    for one in (found, blmm.open_result(path)):
        np.testing.assert_allclose(one.max_lod, expected.max_lod, atol=1e-5)
        np.testing.assert_allclose(one.h2, expected.h2, atol=1e-6)
        assert one.attrs == expected.attrs
    with pytest.raises(blmm.StoreError, match="kinship"):
        blmm.permute(ds, **options | {"kinship": {"additive": "kinship"}})
    raw = dict(zarr.open_group(path, mode="r").attrs)
    assert analysis_of(dict(found.attrs) | raw).arguments["kinship"] == KERNELS
    # What follows from them: thresholds, adjusted p and the report.
    result = blmm.scan(ds, kinship=KERNELS).compute()
    levels = blmm.thresholds(found, 0.2).threshold
    np.testing.assert_allclose(levels[:, 0], np.quantile(expected.max_lod, 0.8, axis=0), atol=1e-5)
    top = blmm.trait_fdr(found, blmm.max_lod(result))
    higher = (expected.max_lod.values >= top.lod.values).sum(axis=0)
    np.testing.assert_allclose(top.p_adjusted, (1 + higher) / 7)
    told = how_to_repeat(result, found, study=False, threshold=3, n_top=5)
    assert told.shell.count("--kernel cage=@cage") == 2
    blmm.report(result, tmp_path / "r.html", study=ds, perm=found)
    assert "bulklmm permute" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("kind", ["probabilities", "interaction"])
def test_several_columns_a_marker(kind):
    ds = caged(n=30, m=2)
    weights = np.random.default_rng(3).uniform(0.5, 2, 30)
    covariates = np.column_stack([np.ones(30), ds.sample_covariate.values])
    x = ds.call_dosage.values[:12].astype(float)
    ds, options = ds.isel(variants=slice(12)), {"interaction": "covariate1"}
    columns = np.stack([x, x * covariates[:, 1]], axis=-1)
    if kind == "probabilities":
        ds, options = founders(ds), {"weights": weights}
        columns = ds.call_genotype_probability.values[:, :, 1:]
    found = blmm.permute(ds, kinship=KERNELS, n_permutations=3, seed=2, **options).max_lod.values
    orders = permutations(2, range(3), np.zeros(30, int))
    w = weights if kind == "probabilities" else np.ones(30)
    kernels = [ds.kinship.values, cage_kernel(ds)]
    for j in range(2):
        y = ds.sample_trait.values[:, j]
        for i, permuted in enumerate(drawn(y, covariates, kernels, orders, weights=w)):
            own = brute.Components(permuted / w, covariates, kernels, reml=False, weights=w)
            h, _ = own.best()
            white = np.linalg.cholesky(np.tensordot(h, own.parts, axes=1))

            def rss(design, permuted=permuted, white=white):
                a, b = (np.linalg.solve(white, one) for one in (design, permuted / w))
                return np.sum((b - a @ np.linalg.lstsq(a, b, rcond=None)[0]) ** 2)

            least = min(rss(np.column_stack([covariates, one])) for one in columns)
            wanted = 15 * np.log10(rss(covariates) / least)
            np.testing.assert_allclose(found[i, j], wanted, atol=2e-5)


def test_traits_that_cannot_be_fitted_are_left_out():
    ds = caged(n=30, m=4)
    traits = ds.sample_trait.values.copy()
    traits[:, 1] = 2.5
    traits[2:, 2] = np.nan
    found = blmm.permute(
        ds.assign(sample_trait=(("samples", "traits"), traits)), kinship=KERNELS, n_permutations=3
    ).compute()
    assert list(found.trait_status.values[1:3]) == ["constant", "too-few-samples"]
    fitted = np.isfinite(found.max_lod.values).all(axis=0)
    np.testing.assert_array_equal(fitted, [True, False, False, True])


@pytest.mark.slow
def test_tasks_in_other_processes(processes):
    ds = caged(m=4, missing=0.2)
    how = {"kinship": KERNELS, "n_permutations": 4}
    wanted = blmm.permute(ds, **how).compute()
    with dask.config.set(scheduler="processes", pool=processes):
        found = blmm.permute(ds, **how, chunks={"permutations": 3, "traits": 2})
        np.testing.assert_allclose(found.max_lod, wanted.max_lod, atol=1e-5)


@pytest.mark.slow
def test_one_in_twenty_traits_without_loci_exceeds_its_threshold(capsys):
    """Where samples share a cage, whose markers are tested: their kinship alone says too much."""
    ds = litters(n=120, size=6, m=400, p=300, apart=40)
    shares = {}
    for name, kinship in (("kinship", "kinship"), ("both", KERNELS)):
        lod = blmm.max_lod(blmm.scan(ds, kinship=kinship, reml=True)).lod.values
        perm = blmm.permute(ds, n_permutations=200, seed=1, kinship=kinship, reml=True)
        level = blmm.thresholds(perm, 0.1).threshold.values[:, 0]
        shares[name] = float((lod > level).mean())
        with capsys.disabled():
            print(f"\n{name}: {shares[name]:.1%} of traits above their level of 10%")
    low, high = binom(400, 0.1).ppf([0.01, 0.99]) / 400
    assert low <= shares["both"] <= high


def test_random_residuals_are_drawn_with_one_kinship_only():
    with pytest.raises(blmm.InputError, match=r"method='shared' and 2 kernels by name .* exclude"):
        blmm.permute(caged(m=2), kinship=KERNELS, method="shared")


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ds = caged(m=4)
    blmm.save(ds, "s.zarr")
    kernels = ["--kernel", "additive=kinship", "--kernel", "cage=@cage"]
    how = ["--permutations", 5, "--seed", 2, "--threads", 1]
    said = run("permute", "s.zarr", "p.zarr", *kernels, *how).stderr
    assert "2 kernels, permuted with all components: about 0:0" in said
    wanted = blmm.permute(ds, kinship=KERNELS, n_permutations=5, seed=2)
    np.testing.assert_allclose(blmm.open_result("p.zarr").max_lod, wanted.max_lod, atol=1e-5)
    assert "lod_0.2" in run("thresholds", "p.zarr", "--alpha", 0.2).stdout
    wrong = run("permute", "s.zarr", "x.zarr", *kernels, "--method", "shared", code=2).stderr
    assert "--method shared and 2 kernels by name" in wrong
