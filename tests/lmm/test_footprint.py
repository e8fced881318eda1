"""Memory of fits and scans as announced, against what NumPy allocates."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from bulklmm_dask.lmm.basis import are_wide
from bulklmm_dask.lmm.chunk import fit_traits, scan_block
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.scan import fit_components
from bulklmm_dask.lmm.few.scan import FewScan
from bulklmm_dask.lmm.footprint import Footprint
from bulklmm_dask.lmm.operations import Operations
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.residuals import permutations, permuted_maxima, split_markers
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.lmm.statistics import statistics

GRID = tuple(np.arange(10) / 10)
MODELS = {
    "null-exact": ModelOptions(),
    "alt-exact": ModelOptions(alternative=True),
    "alt-grid": ModelOptions(alternative=True, grid=GRID),
    "null-grid": ModelOptions(grid=GRID),
    "effects": ModelOptions(wanted=("beta", "se")),
    "genotypes": ModelOptions(genotypes=4),
    "interaction": ModelOptions(interactions=1),
}
SHAPES = {"wide": (200, 256, 1024), "tall": (400, 1024, 256), "deep": (800, 256, 256)}


def study(n, variants, traits, genotypes=None, interactions=0):
    """Samples, traits of all heritabilities and genotypes, all of them distinct."""
    rng = np.random.default_rng(0)
    founders = rng.integers(0, 2, (800, n)) - 0.5
    kinship = founders.T @ founders * (4 / 800) / 2 + 0.5
    root = np.linalg.cholesky(kinship + 1e-6 * np.eye(n))
    h2 = rng.uniform(0, 0.8, traits)
    drawn = rng.standard_normal((2, n, traits))
    y = root @ drawn[0] * np.sqrt(h2) + drawn[1] * np.sqrt(1 - h2)
    x = rng.integers(0, 3, (variants, n)).astype(float)
    if genotypes:
        x = rng.dirichlet(np.full(genotypes, 0.3), (variants, n))
    covariates = np.stack([np.ones(n), rng.standard_normal(n)], axis=1)
    return Samples(covariates, kinship, None, (1,) * interactions), y, x


def taken(action):
    """What an action gives, its peak and what it leaves, in float64 numbers."""
    tracemalloc.start()
    found = action()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found, peak / 8, kept / 8


def require_near(measured, planned):
    assert planned / 1.2 < measured < 1.2 * planned


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODELS)
def test_fits_and_blocks_take_what_is_announced(name, shape):
    model, (n, variants, traits) = MODELS[name], SHAPES[shape]
    samples, y, x = study(n, variants, traits, model.genotypes, model.interactions)
    foot = Footprint(model, n, n_covariates=2)
    basis, peak, kept = taken(samples.basis)
    require_near(peak, foot.basis().peak)
    require_near(kept, foot.basis().kept)
    fitted, peak, _ = taken(lambda: fit_traits(y, samples, model, complete=basis))
    require_near(peak, foot.fit(traits).peak)
    pair_bytes = sum(kind.itemsize for kind in statistics(model, single=False).values())
    _, first, _ = taken(lambda: scan_block(x[:5], fitted, model, single=False))
    _, peak, _ = taken(lambda: scan_block(x, fitted, model, single=False))
    require_near(max(first, peak), foot.scan(variants, traits, pair_bytes).peak)


@pytest.mark.parametrize("traits", [1, 10])
@pytest.mark.parametrize(("n", "variants"), [(200, 2048), (800, 512)])
def test_few_traits_take_no_more_than_is_announced(n, variants, traits):
    """It is what the usual scanner takes, which scans them where `few` does not serve."""
    model = ModelOptions()
    samples, y, x = study(n, variants, traits)
    fitted = fit_traits(y, samples, model, n_markers=4 * n)
    assert [type(group.scanner) for group in fitted.groups] == [FewScan]
    _, peak, _ = taken(lambda: scan_block(x, fitted, model, single=False))
    assert peak < 1.2 * Footprint(model, n, n_covariates=2).scan(variants, traits, 4).peak


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize(("n", "variants", "traits"), [(150, 512, 48), (500, 128, 32)])
def test_interpolated_gains_take_what_is_announced(n, variants, traits, reml):
    model = ModelOptions(alternative=True, reml=reml)
    samples, y, x = study(n, variants, traits)
    weights = 10.0 ** np.random.default_rng(1).uniform(-3, 3, n)
    samples = replace(samples, weights=weights)
    basis = samples.basis()
    assert basis.graded
    foot = Footprint(model, n, n_covariates=2, searched=are_wide(weights))
    fitted, peak, kept = taken(lambda: fit_traits(y, samples, model, complete=basis))
    require_near(peak, foot.fit(traits).peak)
    require_near(kept, foot.fit(traits).kept)
    pair_bytes = sum(kind.itemsize for kind in statistics(model, single=False).values())
    _, peak, _ = taken(lambda: scan_block(x, fitted, model, single=False))
    require_near(peak, foot.scan(variants, traits, pair_bytes).peak)


@pytest.mark.parametrize(("n", "variants", "count"), [(200, 4000, 256), (500, 2000, 1024)])
def test_permutations_take_what_is_announced(n, variants, count):
    samples, y, x = study(n, variants, 4)
    fitted = fit_traits(y, samples, ModelOptions(reml=True))
    orders = permutations(0, range(count), np.zeros(n, int))

    def scan():
        markers = split_markers(x, np.zeros(variants, int))
        return permuted_maxima(markers, 1, fitted, samples, orders, ModelOptions(), single=True)

    _, peak, _ = taken(scan)
    foot = Footprint(ModelOptions(), n, 2, single=True)
    require_near(peak, foot.permutations(variants, 4, count).peak)


@pytest.mark.parametrize(
    ("n", "variants", "count", "traits", "kernels"),
    [(200, 1000, 256, 16, 2), (200, 500, 64, 2, 3), (300, 1000, 128, 4, 2)],
)
def test_permutations_with_several_kernels_take_what_is_announced(
    n, variants, count, traits, kernels
):
    one, y, x = study(n, variants, traits)
    groups = np.random.default_rng(1).integers([[12], [7]], size=(2, n))
    others = [np.equal.outer(group, group).astype(float) for group in groups]
    samples = KernelSamples(one.covariates, np.stack([one.kinship, *others[: kernels - 1]]))
    model = ModelOptions(components=kernels + 1)
    foot = Footprint(model, n, 2, single=True, together=False)
    rotated = samples.rotated()
    reml = ModelOptions(reml=True)
    fitted, peak, _ = taken(
        lambda: fit_components(y, samples, reml, complete=rotated, together=False)
    )
    require_near(peak, foot.fit(traits).peak)
    orders = permutations(0, range(count), np.zeros(n, int))

    def scan():
        markers = split_markers(x, np.zeros(variants, int))
        return permuted_maxima(markers, 1, fitted, samples, orders, ModelOptions(), single=True)

    _, peak, _ = taken(scan)
    require_near(peak, foot.permutations(variants, traits, count).peak)


@pytest.mark.parametrize("name", [*MODELS, "interpolated"])
def test_more_of_anything_takes_more(name):
    searched = name == "interpolated"
    model = ModelOptions(alternative=True) if searched else MODELS[name]
    foot = Footprint(model, 300, 3, searched=searched)
    work = Operations(model, 300, 3, searched)
    for step in (
        lambda k: foot.fit(100 * k).peak,
        lambda k: foot.fit(100, patterns=k).peak,
        lambda k: foot.scan(100 * k, 100, 8).peak,
        lambda k: foot.scan(100, 100 * k, 8).peak,
        lambda k: foot.permutations(100 * k, 10, 100).peak,
        lambda k: Footprint(model, 300 * k).basis().peak,
        lambda k: work.fit(100 * k),
        lambda k: work.rotation(k),
        lambda k: work.products(100, k),
        lambda k: work.permuted(100, k, 10),
        lambda k: Operations(model, 300 * k).basis(),
    ):
        assert step(1) <= step(2) <= step(4) < step(64)
