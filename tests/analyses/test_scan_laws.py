"""Laws of a scan: the same numbers whatever the chunks, the scheduler and the neighbours."""

from __future__ import annotations

from functools import cache

import dask
import dask.array as da
import numpy as np
import pytest
import studies
import xarray as xr
from dask.base import tokenize
from hypothesis import example, given, settings
from hypothesis import strategies as st

import bulklmm_dask as blmm
from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.plan import make_plan

RESULTS = ("lod", "h2", "sigma2", "n_samples", "trait_status")


def same(left: xr.Dataset, right: xr.Dataset) -> None:
    """Equal names and statuses; numbers equal to the rounding of float32 scores."""
    for name in ("n_samples", "trait_status", "variants", "traits"):
        assert list(left[name].values) == list(right[name].values)
    np.testing.assert_allclose(left.lod, right.lod, rtol=3e-7, atol=1e-6)
    np.testing.assert_allclose(left.h2, right.h2, atol=1e-7)
    np.testing.assert_allclose(left.sigma2, right.sigma2, rtol=1e-6)


@cache
def whole(missing: float, covariates: int, **options) -> tuple[xr.Dataset, xr.Dataset]:
    """A study and its scan in one block."""
    ds = studies.study(m=24, missing=missing, covariates=covariates)
    return ds, blmm.scan(ds, **options).compute()


ONE_MARKER = {"variants": 1, "traits": 24, "in_variants": 30, "in_traits": 1}
ONE_TRAIT = {"variants": 30, "traits": 1, "in_variants": 1, "in_traits": 24}


# Blocks of one marker and of one trait are examples; of both there would be 720.
@pytest.mark.slow
@settings(max_examples=24)
@example(**ONE_MARKER, method="null-exact", reml=True, missing=0.3, covariates=1)
@example(**ONE_TRAIT, method="null-exact", reml=False, missing=0.3, covariates=0)
@given(
    variants=st.integers(2, 31),
    traits=st.integers(2, 25),
    in_variants=st.integers(1, 30),
    in_traits=st.integers(1, 24),
    method=st.sampled_from(["null-exact", "null-grid"]),
    reml=st.booleans(),
    missing=st.sampled_from([0.0, 0.3]),
    covariates=st.integers(0, 2),
)
def test_any_chunks_give_the_same_scan(
    variants, traits, in_variants, in_traits, method, reml, missing, covariates
):
    options = {"method": method, "reml": reml}
    ds, expected = whole(missing, covariates, **options)
    cut = ds.chunk(variants=in_variants, traits=in_traits)
    chunks = {"variants": variants, "traits": traits}
    same(blmm.scan(cut, chunks=chunks, **options).compute(), expected)


@pytest.mark.slow
@settings(max_examples=15)
@given(order=st.permutations(range(24)), keep=st.integers(1, 24))
def test_a_trait_does_not_depend_on_its_neighbours(order, keep):
    ds, expected = whole(0.3, 0)
    chosen = list(order)[:keep]
    same(blmm.scan(ds.isel(traits=chosen)).compute(), expected.isel(traits=chosen))


@pytest.mark.slow
@settings(max_examples=10)
@given(order=st.permutations(range(40)))
def test_samples_and_markers_in_any_order(order):
    ds, expected = whole(0.3, 1)
    order = list(order)
    of_markers = [i for i in order if i < 30]
    by_marker = blmm.scan(ds.isel(variants=of_markers)).compute()
    same(by_marker, expected.isel(variants=of_markers))
    by_sample = ds.isel(samples=order, samples_0=order, samples_1=order)
    same(blmm.scan(by_sample).compute(), expected)


def test_any_scheduler_gives_the_same_scan(scheduler, tmp_path):
    ds = studies.study(m=20, missing=0.3, covariates=1)
    with dask.config.set(scheduler="synchronous"):
        expected = blmm.scan(ds).compute()
    chunks = {"variants": 11, "traits": 7}
    with dask.config.set(scheduler=scheduler):
        same(blmm.scan(ds, chunks=chunks).compute(), expected)
        seen = []
        stored = blmm.scan(ds, chunks=chunks, store=tmp_path / "r.zarr", progress=seen.append)
        same(stored.compute(), expected)
    assert [step.done for step in seen] == list(range(3 * 3 + 1))
    assert seen[-1].tests_done == seen[-1].tests_total == 30 * 20
    assert seen[-1].bytes_written == 4 * 30 * 20


def test_nothing_computes_until_asked():
    def fail(*_, **__):
        raise AssertionError("computed")

    ds = studies.study()
    dosage = da.map_blocks(fail, chunks=((10, 20), (40,)), dtype=float, meta=np.empty((0, 0)))
    lazy = ds.assign(call_dosage=ds.call_dosage.copy(data=dosage))
    result = blmm.scan(lazy.assign(kinship=blmm.kinship(lazy)))
    assert all(result[name].chunks is not None for name in RESULTS)
    assert result.lod.shape == (30, 12)
    assert result.lod.dtype == np.float32
    with pytest.raises(AssertionError, match="computed"):
        result.h2.compute()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the genotypes are read as they are used")
def test_maxima_of_a_scan_too_large_for_memory():
    """200,000 x 40,000 scores are 32 GB; a corner of their maxima computes in a moment."""
    n = 20
    rng = np.random.default_rng(0)
    genotypes = da.from_array(rng.binomial(2, 0.5, (n, 1000)).astype(np.float32), chunks=(n, 1000))
    ds = blmm.create_dataset(
        da.concatenate([genotypes] * 200, axis=1),
        da.from_array(rng.standard_normal((n, 40_000)), chunks=(n, 4096)),
        maximum=2,
    )
    result = blmm.scan(ds, kinship=np.eye(n))
    assert result.lod.nbytes == 32e9
    top = result.lod.max("variants").isel(traits=slice(0, 3), drop=True)
    narrow = blmm.scan(ds.isel(traits=slice(0, 3), variants=slice(0, 1000)), kinship=np.eye(n))
    corner = result.lod.isel(variants=slice(0, 1000), traits=slice(0, 3))
    np.testing.assert_allclose(corner, narrow.lod, atol=1e-6)
    assert top.shape == (3,)


def test_null_models_are_fitted_once_for_all_blocks_of_a_trait_chunk(monkeypatch):
    from bulklmm_dask.engine import scan as scanning

    calls = []
    fit = scanning.fit_traits
    monkeypatch.setattr(scanning, "fit_traits", lambda *a, **o: calls.append(1) or fit(*a, **o))
    ds = studies.study(m=20)
    result = blmm.scan(ds, chunks={"variants": 3, "traits": 10})
    with dask.config.set(scheduler="threads"):
        result.compute()
    assert len(calls) == 2


def test_inputs_are_told_apart_by_dask_names():
    ds = studies.study()
    one, two = blmm.scan(ds), blmm.scan(ds, reml=True)
    assert tokenize(one.lod) != tokenize(two.lod)
    together = dask.compute(one.lod, two.lod)
    for alone, result in zip((one, two), together, strict=True):
        np.testing.assert_array_equal(result, alone.lod.compute())
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_a_study_changed_in_memory_is_scanned_as_it_is_now():
    ds = studies.study()
    before = blmm.scan(ds).lod.values
    ds["sample_trait"] = ds.sample_trait * 1.0
    ds.sample_trait.values[:, 0] = np.random.default_rng(9).random(ds.sizes["samples"])
    after = blmm.scan(ds).lod.values
    assert np.abs(after[:, 0] - before[:, 0]).max() > 0.01
    np.testing.assert_array_equal(after[:, 1:], before[:, 1:])


def test_blas_threads_are_given_back():
    from threadpoolctl import threadpool_info

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    with one_blas_thread():
        with one_blas_thread():
            assert set(threads()) == {1}
        assert set(threads()) == {1}
    assert threads() == before


def test_the_plan_is_integer_arithmetic():
    plan = make_plan(248, 7321, 32445)
    assert plan.shape == (4, 8)
    assert sum(plan.variant_chunks) == 7321
    assert sum(plan.trait_chunks) == 32445
    assert plan.inner == (2048, 128)
    assert plan.n_blocks == 32
    assert plan.tests == 237_529_845
    odd = make_plan(10, 5, 7, {"variants": 3, "traits": 100})
    assert (odd.variant_chunks, odd.trait_chunks) == ((3, 2), (7,))
    assert odd.inner == (3, 7)


def test_chunks_that_make_no_sense():
    ds = studies.study()
    with pytest.raises(blmm.InputError, match="'small'"):
        blmm.scan(ds, chunks="small")
    with pytest.raises(blmm.InputError, match="samples"):
        blmm.scan(ds, chunks={"samples": 3})
    with pytest.raises(blmm.InputError, match="is 0"):
        blmm.scan(ds, chunks={"traits": 0})


MODELS = {
    "null": {},
    "alternative": {"alternative": True},
    "alternative, reml": {"alternative": True, "reml": True},
    "genotypes": {"genotypes": 4, "wanted": ("beta", "se")},
}


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_block_stays_within_what_the_plan_announced(model, missing):
    import tracemalloc

    from bulklmm_dask.engine.fits import Fits
    from bulklmm_dask.engine.scan import score_block
    from bulklmm_dask.engine.tasks import MarkerChunk
    from bulklmm_dask.lmm.chunk import fit_traits
    from bulklmm_dask.lmm.footprint import Footprint
    from bulklmm_dask.lmm.options import ModelOptions
    from bulklmm_dask.lmm.samples import Samples
    from bulklmm_dask.lmm.statistics import statistics

    ds = studies.study(n=60, p=400, m=500, missing=missing)
    options = ModelOptions(**MODELS[model])
    plan = make_plan(
        60,
        400,
        500,
        {"variants": 400},
        footprint=Footprint(options, 60),
        patterns=1 if missing == 0 else 500,
        pair_bytes=sum(kind.itemsize for kind in statistics(options, single=False).values()),
    )
    genotypes = ds.call_dosage.values
    if options.joint:
        genotypes = np.random.default_rng(0).dirichlet(np.ones(4), size=genotypes.shape)
    samples = Samples(np.ones((60, 1)), ds.kinship.values)
    one = np.zeros(400, dtype=int)  # kinship and pool
    names, chunk = ds.sample_id.values, MarkerChunk(ds.variant_id.values, one, 2.0, one)
    for traits in (slice(9), slice(None)):  # imports and caches first
        tracemalloc.start()
        fitted = Fits(fit_traits(ds.sample_trait.values[:, traits], samples, options), None)
        score_block(genotypes, chunk, names, fitted, model=options, single=False)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < plan.block_bytes < 20 * peak


def test_nearly_perfect_fits_are_exact():
    import brute

    rng = np.random.default_rng(0)
    dosage = rng.binomial(1, 0.5, size=(26, 40)).astype(float)
    traits = dosage[:, :30] + np.geomspace(1e-1, 1e-4, 30) * rng.standard_normal((26, 30))
    ds = blmm.create_dataset(dosage, traits)
    ds["kinship"] = blmm.kinship(ds).compute()
    result = blmm.scan(ds).compute()
    for j in range(30):
        y, kinship = traits[:, j], ds.kinship.values
        scores = brute.lod_scores(dosage.T, y, np.ones((26, 1)), kinship, result.h2.values[j])
        np.testing.assert_allclose(result.lod[:, j], scores, atol=1e-5, rtol=1e-6)
    assert result.lod.max() > 85
