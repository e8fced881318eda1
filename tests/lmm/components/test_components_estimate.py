"""Shares of several components against dense covariances, and the laws that they obey."""

from __future__ import annotations

import brute
import numpy as np
import pytest
import studies
from scipy.stats import chi2

from bulklmm_dask.lmm.components.estimate import estimate_shares
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.likelihood import Likelihood
from bulklmm_dask.lmm.components.simplex import Mesh, newton_target
from bulklmm_dask.lmm.null.heritability import estimate
from bulklmm_dask.lmm.samples import Samples

both = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def groups(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    label = rng.integers(count, size=n)
    return np.equal.outer(label, label).astype(float)


def drawn(rng, h, kernels, m=1, weights=None, covariates=None):
    """Traits (n, m) of these shares of the kernels and the residual."""
    parts = brute.scaled_kernels(kernels, weights)
    n = len(parts[0])
    covariance = np.tensordot(h, parts, axes=1) + 1e-9 * np.eye(n)
    y = np.linalg.cholesky(covariance) @ rng.standard_normal((n, m))
    return y if covariates is None else y + covariates @ rng.standard_normal((len(covariates.T), m))


def random_study(seed: int):
    """A small study at random: kernels of any rank, samples repeated, shares at edges, weights."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(12, 41)), int(rng.integers(2, 4))
    where = rng.integers(max(4, n // 3), size=n) if rng.random() < 0.4 else np.arange(n)
    kernels = []
    for _ in range(k):
        kind = rng.choice(["groups", "dense", "low rank", "squared"])
        if kind == "groups":
            kernels.append(groups(rng, n, int(rng.integers(2, n // 2))))
            continue
        rank = 2 if kind == "low rank" else int(rng.choice([n // 2 + 1, 3 * n]))
        features = rng.standard_normal((n, rank))[where]
        kernel = features @ features.T
        kernels.append(kernel**2 if kind == "squared" else kernel)
    covariates = np.column_stack([np.ones(n), *rng.standard_normal((rng.integers(2), n))])
    weights = rng.uniform(0.5, 3, n) if rng.random() < 0.3 else None
    h = rng.dirichlet(np.full(k + 1, 0.4))
    if rng.random() < 0.3:
        h[rng.integers(k + 1)] = 0.0
    y = drawn(rng, h / h.sum(), kernels, 1, weights, covariates)[:, 0]
    return y, covariates, kernels, weights


@both
@pytest.mark.parametrize("seed", range(12))
def test_shares_and_likelihoods_are_those_of_dense_covariances(seed, reml):
    y, covariates, kernels, weights = random_study(seed)
    samples = KernelSamples(covariates, np.stack(kernels), weights)
    if samples.rotated().dependent():
        pytest.skip("kernels drawn that cannot be told apart")
    found = estimate_shares(y[:, None], samples, reml=reml)
    status = found.trait_status[0]
    search = brute.Components(y, covariates, kernels, reml=reml, weights=weights)
    h, highest = search.best(starts=4)
    ours = search.value(found.h2[:, 0])
    assert ours >= highest - 1e-6
    assert found.h2[:, 0].sum() == pytest.approx(1.0, abs=1e-12)
    assert (found.h2 >= 0).all()
    if status == "unbounded":
        assert np.isnan(found.log_likelihood).all()
        return
    assert status in ("ok", "boundary")
    assert found.sigma2[0] == pytest.approx(search.sigma2(found.h2[:, 0]), rel=1e-8)
    np.testing.assert_allclose(found.variance, found.h2 * found.sigma2, rtol=1e-12)
    assert found.log_likelihood[0] == pytest.approx(ours, abs=1e-6)
    np.testing.assert_allclose(found.h2[:, 0], h, atol=1e-4)
    for component in range(len(kernels)):
        without = search.best(without=component, starts=2)[1]
        lost = found.log_likelihood[0] - found.log_likelihood_0[component, 0]
        assert lost == pytest.approx(ours - without, abs=2e-6)
    assert np.isnan(found.log_likelihood_0[-1, 0])


@both
def test_standard_errors_are_those_of_the_average_information(reml):
    """From the definition: observed and expected information on the variances, P itself."""
    rng = np.random.default_rng(3)
    n = 60
    features = rng.standard_normal((n, 90))
    kernels = [features @ features.T, groups(rng, n, 8)]
    covariates = np.column_stack([np.ones(n), rng.standard_normal(n)])
    y = drawn(rng, [0.4, 0.3, 0.3], kernels)
    found = estimate_shares(y, KernelSamples(covariates, np.stack(kernels)), reml=reml)
    assert found.trait_status[0] == "ok"
    parts = brute.scaled_kernels(kernels)
    variance = np.tensordot(found.variance[:, 0], parts, axes=1)
    inverse = np.linalg.inv(variance)
    solved = inverse @ covariates
    p = inverse - solved @ np.linalg.solve(covariates.T @ solved, solved.T)
    t = [p @ part for part in parts]
    if reml:
        expected = np.array([[0.5 * np.trace(a @ b) for b in t] for a in t])
        quadratic = np.array([[(y.T @ a @ b @ p @ y).item() for b in t] for a in t])
        observed = quadratic - expected
        information = (observed + expected) / 2
    else:
        information = np.array([[0.5 * (y.T @ a @ b @ p @ y).item() for b in t] for a in t])
    h, total = found.h2[:, 0], found.sigma2[0]
    change = (np.eye(3) - h[:, None]) / total
    error = np.sqrt(np.diag(change @ np.linalg.inv(information) @ change.T))
    np.testing.assert_allclose(found.h2_se[:, 0], error, rtol=1e-7)


@both
@pytest.mark.parametrize("weighted", [False, True])
def test_one_component_is_the_model_of_one_kinship(reml, weighted):
    ds = studies.study(n=50, m=12, p=60, seed=3, covariates=1)
    rng = np.random.default_rng(0)
    covariates = np.column_stack([np.ones(50), ds.sample_covariate.values])
    weights = rng.uniform(0.5, 2.0, 50) if weighted else None
    kinship, traits = ds.kinship.values, ds.sample_trait.values
    kinship = kinship / np.trace(kinship) * 50
    found = estimate_shares(traits, KernelSamples(covariates, kinship[None], weights), reml=reml)
    one = estimate(traits, Samples(covariates, kinship, weights), reml=reml)
    np.testing.assert_allclose(found.h2[0], one.h2, atol=1e-6)
    np.testing.assert_allclose(found.sigma2, one.sigma2, rtol=1e-6)
    np.testing.assert_allclose(found.log_likelihood, one.log_likelihood, atol=1e-8)
    np.testing.assert_allclose(found.log_likelihood_0[0], one.log_likelihood_0, atol=1e-8)
    np.testing.assert_array_equal(found.n_samples, one.n_samples)


def three_kernels(n: int, seed: int):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, 2 * n))
    additive = features @ features.T / (2 * n)
    kernels = [additive, groups(rng, n, n // 6), additive**2]
    return rng, kernels


@both
def test_components_in_another_order(reml):
    rng, kernels = three_kernels(45, 1)
    y = drawn(rng, [0.3, 0.2, 0.2, 0.3], kernels, 6)
    ones = np.ones((45, 1))
    found = estimate_shares(y, KernelSamples(ones, np.stack(kernels)), reml=reml)
    order = [2, 0, 1]
    turned = [kernels[k] for k in order]
    again = estimate_shares(y, KernelSamples(ones, np.stack(turned)), reml=reml)
    places = [*order, 3]
    np.testing.assert_allclose(again.h2, found.h2[places], atol=1e-6)
    np.testing.assert_allclose(again.h2_se, found.h2_se[places], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(again.log_likelihood, found.log_likelihood, atol=1e-9)
    np.testing.assert_allclose(again.log_likelihood_0, found.log_likelihood_0[places], atol=1e-8)


def test_the_scale_of_a_kernel_and_the_unit_of_a_trait_change_no_share():
    rng, kernels = three_kernels(40, 2)
    y = drawn(rng, [0.3, 0.2, 0.2, 0.3], kernels, 4)
    ones = np.ones((40, 1))
    found = estimate_shares(y, KernelSamples(ones, np.stack(kernels)), reml=True)
    sizes = np.array([1e-8, 7.0, 1e6])[:, None, None]
    again = estimate_shares(
        1e3 * y + 5e5, KernelSamples(ones, sizes * np.stack(kernels)), reml=True
    )
    np.testing.assert_allclose(again.h2, found.h2, atol=1e-6)
    np.testing.assert_allclose(again.variance, 1e6 * found.variance, rtol=1e-5, atol=1.0)
    shift = 39 * np.log(1e3)
    np.testing.assert_allclose(again.log_likelihood, found.log_likelihood - shift, atol=1e-6)
    extreme = estimate_shares(y * 1e-200, KernelSamples(ones, np.stack(kernels)), reml=True)
    np.testing.assert_allclose(extreme.h2, found.h2, atol=1e-6)


@both
def test_a_kernel_split_in_two_leaves_the_likelihood_as_it_is(reml):
    """Its halves have no shares of their own: the sum has, and the status says so."""
    rng, kernels = three_kernels(40, 4)
    y = drawn(rng, [0.5, 0.2, 0.0, 0.3], kernels, 5)
    ones = np.ones((40, 1))
    whole = KernelSamples(ones, np.stack(kernels[:2]))
    split = KernelSamples(ones, np.stack([kernels[0], 3 * kernels[0], kernels[1]]))
    assert split.rotated().dependent() == (0, 1)
    for h in np.random.default_rng(0).dirichlet(np.ones(4), 5):
        joined = np.array([h[0] + h[1], h[2], h[3]])
        np.testing.assert_allclose(
            Likelihood(split.rotated(), reml).values(h, whole.rotated().rotate(y)),
            Likelihood(whole.rotated(), reml).values(joined, whole.rotated().rotate(y)),
            rtol=1e-10,
        )
    found = estimate_shares(y, split, reml=reml)
    assert (found.trait_status == "confounded").all()
    assert np.isnan(found.h2).all()


def test_gradient_and_information_by_differences():
    rng, kernels = three_kernels(30, 5)
    covariates = np.column_stack([np.ones(30), rng.standard_normal(30)])
    samples = KernelSamples(covariates, np.stack(kernels), rng.uniform(0.5, 2, 30))
    rotated = samples.rotated()
    y = rotated.rotate(rng.standard_normal((30, 1)))
    inner = np.array([0.2, 0.3, 0.1, 0.4])
    for reml in (True, False):
        likelihood = Likelihood(rotated, reml)
        point = likelihood.at(inner, y[:, 0])
        assert point.value == pytest.approx(likelihood.values(inner, y)[0], abs=1e-10)
        for k, step in enumerate(1e-6 * np.eye(4)):
            up, down = (likelihood.values(inner + s * step, y)[0] for s in (1, -1))
            assert point.slope[k] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-6)
        assert point.slope @ inner == pytest.approx(0.0, abs=1e-9)
        np.testing.assert_allclose(point.profiled(inner) @ inner, 0.0, atol=1e-10)


def test_patterns_of_missing_values_are_those_of_traits_alone():
    rng, kernels = three_kernels(45, 6)
    covariates = np.column_stack([np.ones(45), rng.standard_normal(45)])
    covariates[7, 1] = np.nan
    y = drawn(rng, [0.3, 0.2, 0.2, 0.3], kernels, 6)
    y[:5, ::2] = np.nan
    y[20:30, 4] = np.nan
    samples = KernelSamples(covariates, np.stack(kernels), rng.uniform(0.5, 2, 45))
    together = estimate_shares(y, samples, reml=True)
    assert list(together.n_samples) == [39, 44, 39, 44, 29, 44]
    for j in range(6):
        rows = np.flatnonzero(~np.isnan(y[:, j]) & samples.complete)
        alone = estimate_shares(y[rows][:, [j]], samples.take(rows), reml=True)
        for name, values in alone.columns().items():
            ours = together.columns()[name][..., j]
            if name == "trait_status":
                assert ours == values[0]
            else:
                np.testing.assert_allclose(ours, values[..., 0], rtol=1e-6, atol=1e-7)


def test_traits_that_cannot_be_fitted():
    rng, kernels = three_kernels(40, 7)
    # Outside of the first 20 samples every group has one member.
    label = np.concatenate([np.repeat(np.arange(5), 4), np.arange(5, 25)])
    kernels = [kernels[0], np.equal.outer(label, label).astype(float)]
    y = drawn(rng, [0.3, 0.3, 0.4], kernels, 7)
    y[:, 0] = 7.0
    y[:, 1] = np.nan
    y[1:, 2] = np.nan
    y[2:, 3] = np.nan
    y[:20, 4] = np.nan
    found = estimate_shares(y, KernelSamples(np.ones((40, 1)), np.stack(kernels)), reml=True)
    few = "too-few-samples"
    assert list(found.trait_status[:5]) == ["constant", "all-missing", few, few, "confounded"]
    assert set(found.trait_status[5:]) <= {"ok", "boundary"}
    for name in ("h2", "h2_se", "variance", "sigma2", "log_likelihood", "log_likelihood_0"):
        assert np.isnan(found.columns()[name][..., :5]).all(), name
    assert not np.isnan(found.h2[:, 5:]).any()


def test_a_trait_without_noise_within_groups_grows_without_end():
    rng = np.random.default_rng(8)
    label = np.repeat(np.arange(12), 3)
    cage = np.equal.outer(label, label).astype(float)
    features = rng.standard_normal((36, 50))
    y = rng.standard_normal(12)[label][:, None]
    kernels = np.stack([features @ features.T, cage])
    found = estimate_shares(y, KernelSamples(np.ones((36, 1)), kernels), reml=True)
    assert found.trait_status[0] == "unbounded"
    assert found.h2[1, 0] == pytest.approx(1 - 1e-5, abs=1e-6)
    for name in ("h2_se", "log_likelihood", "log_likelihood_0"):
        assert np.isnan(found.columns()[name]).all(), name


@both
def test_kernels_that_are_nearly_the_same_have_a_flat_likelihood(reml):
    """No share of either has an error, but their sum is that of a model with one of them."""
    rng, kernels = three_kernels(40, 12)
    noise = rng.standard_normal((40, 80))
    nearly = kernels[0] + 1.2e-4 * noise @ noise.T / 80
    y = drawn(rng, [0.5, 0.2, 0.0, 0.3], kernels, 8)
    ones = np.ones((40, 1))
    samples = KernelSamples(ones, np.stack([kernels[0], nearly, kernels[1]]))
    found = estimate_shares(y, samples, reml=reml)
    whole = estimate_shares(y, KernelSamples(ones, np.stack(kernels[:2])), reml=reml)
    flat = found.trait_status == "flat"
    told = whole.h2[0] > 0.1
    assert told.sum() >= 3
    assert (flat == told).all()
    assert np.isnan(found.h2_se[:, flat]).all()
    np.testing.assert_allclose(found.h2[0] + found.h2[1], whole.h2[0], atol=2e-3)
    np.testing.assert_allclose(found.log_likelihood, whole.log_likelihood, atol=2e-3)
    # All of it to the one or to the other is as likely.
    for j in np.flatnonzero(flat):
        search = brute.Components(y[:, j], ones, list(samples.kernels), reml=reml)
        first, second = found.h2[:, j].copy(), found.h2[:, j].copy()
        first[:2] = first[:2].sum(), 0.0
        second[:2] = 0.0, second[:2].sum()
        for h in (first, second):
            assert search.value(h) > found.log_likelihood[j] - 2e-3


def test_what_is_collinear():
    rng, kernels = three_kernels(30, 9)
    ones, eye = np.ones((30, 1)), np.eye(30)

    def dependent(*given, covariates=ones, weights=None):
        return KernelSamples(covariates, np.stack(given), weights).rotated().dependent()

    a, cage, squared = kernels
    weights = rng.uniform(0.5, 2, 30)
    assert dependent(a, cage, squared) == ()
    assert dependent(a, 5 * a) == (0, 1)
    assert dependent(a, cage, 2 * a + 0.1 * cage) == (0, 1, 2)
    assert dependent(a, a + eye) == (0, 1, 2)
    assert dependent(cage, 3 * eye) == (1, 2)
    assert dependent(eye, weights=weights) == ()
    assert dependent(np.diag(weights**-2), weights=weights) == (0, 1)
    assert dependent(a, np.ones((30, 30))) == (1,)
    # Beside the intercept a kernel and the same centred are one.
    centre = eye - 1 / 30
    assert dependent(a, centre @ a @ centre) == (0, 1)
    assert dependent(np.ones((30, 30)), covariates=np.arange(30.0)[:, None] + 1) == ()


@pytest.mark.slow
def test_errors_measure_the_spread_and_tests_the_chance():
    """Simulated traits of known shares: coverage of the intervals, and p without a cage effect."""
    rng = np.random.default_rng(10)
    n, m = 120, 200
    family = np.kron(np.eye(30), np.full((4, 4), 0.5) + 0.5 * np.eye(4))
    label = np.arange(n) % 20
    cage = np.equal.outer(label, label).astype(float)
    samples = KernelSamples(np.ones((n, 1)), np.stack([family, cage]))
    y = drawn(rng, [0.5, 0.25, 0.25], [family, cage], m)
    found = estimate_shares(y, samples, reml=True)
    inside = found.trait_status == "ok"
    assert inside.mean() > 0.9
    spread = found.h2[:, inside].std(axis=1)
    told = np.sqrt((found.h2_se[:, inside] ** 2).mean(axis=1))
    np.testing.assert_allclose(told, spread, rtol=0.2)
    np.testing.assert_allclose(found.h2.mean(axis=1), [0.5, 0.25, 0.25], atol=0.04)
    without = estimate_shares(drawn(rng, [0.5, 0.0, 0.5], [family, cage], m), samples, reml=True)
    statistic = 2 * (without.log_likelihood - without.log_likelihood_0[1])
    # Half of the statistics are 0, the others chi-square with one degree of freedom.
    assert 0.4 < (statistic < 1e-9).mean() < 0.62
    for level in (0.2, 0.05):
        rejected = (statistic > chi2.isf(2 * level, 1)).mean()
        assert abs(rejected - level) < 4 * np.sqrt(level * (1 - level) / m)


@pytest.mark.parametrize("corners", [2, 3, 4, 5, 6, 7])
def test_a_mesh_covers_its_simplex(corners):
    mesh = Mesh.of(corners)
    np.testing.assert_allclose(mesh.points.sum(axis=1), 1.0)
    assert (mesh.points >= 0).all()
    assert len(np.unique(mesh.steps, axis=0)) == len(mesh.steps)
    for corner in range(corners):
        assert (mesh.points == np.eye(corners)[corner]).all(axis=1).sum() == 1


@pytest.mark.parametrize(("seed", "trait"), [(15, 62), (23, 9)])
def test_a_top_on_a_ridge_near_the_least_residual_is_found(seed, trait):
    """An uncentred kernel takes most of the trait: its share is near 1, the residual small."""
    rng, n = np.random.default_rng(seed), 16
    features = rng.standard_normal((n, n // 2 + 1))
    kernel = features @ features.T
    kernels = [kernel / np.trace(kernel) * n + 100.0, groups(rng, n, n // 3)]
    shares = rng.dirichlet(np.full(3, 0.5), 96)
    shares[:, 2] *= 10.0 ** rng.uniform(-4, -1, 96)
    y = np.concatenate([drawn(rng, h / h.sum(), kernels) for h in shares], axis=1)
    design = np.ones((n, 1))
    samples = KernelSamples(design, np.stack(kernels))
    found = estimate_shares(y[:, [trait]], samples, reml=False)
    dense = brute.Components(y[:, trait], design, kernels, reml=False)
    assert dense.value(found.h2[:, 0]) >= dense.best()[1] - 1e-6


def test_peaks_of_a_mesh_are_its_local_maxima():
    mesh = Mesh.of(3)
    values = -np.minimum(
        np.square(mesh.points - [1, 0, 0]).sum(axis=1),
        np.square(mesh.points - [0, 1, 0]).sum(axis=1) + 0.01,
    )
    peaks = mesh.peaks(values, 3, 5.0)
    np.testing.assert_allclose(peaks, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(mesh.peaks(values, 3, 0.005), [[1, 0, 0]], atol=1e-12)


def test_a_top_of_an_edge_beside_a_ridge_is_a_peak():
    mesh = Mesh.of(3)
    ridge = -np.abs(mesh.points[:, 0] - mesh.points[1, 0])
    edge = -np.abs(mesh.points[:, 1] - 0.5) - 0.1
    on_edge = mesh.points[:, 0] == 0
    values = np.where(on_edge, edge, ridge)
    tops = mesh.peaks(values, 10, 4.0)
    assert (tops[:, 0] > 0).any()
    assert tops[tops[:, 0] == 0].tolist() == [[0.0, 0.5, 0.5]]


def test_a_newton_target_is_the_best_of_the_simplex():
    rng = np.random.default_rng(11)
    mesh = np.random.default_rng(12).dirichlet(np.full(4, 0.5), 4000)
    for _ in range(20):
        root = rng.standard_normal((4, 4))
        inner, slope = rng.dirichlet(np.ones(4)), 3 * rng.standard_normal(4)
        b = root @ root.T
        target = newton_target(inner, slope, b, np.ones(4, dtype=bool))

        def model(x, slope=slope, b=b, inner=inner):
            step = x - inner
            return step @ slope - 0.5 * np.einsum("...i,ij,...j", step, b, step)

        assert model(target) >= model(mesh).max() - 1e-6
        assert target.sum() == pytest.approx(1.0, abs=1e-12)
        assert (target >= 0).all()
        held = newton_target(inner, slope, b, np.array([True, True, False, True]))
        assert held[2] == 0.0


@pytest.mark.parametrize("corners", [1, 2, 3])
def test_without_information_a_newton_target_is_the_highest_corner(corners):
    """A likelihood may be flat to all digits, as it is where only one corner is free."""
    free = np.arange(3) < corners
    with np.errstate(all="raise"):
        target = newton_target(np.full(3, 1 / 3), np.array([1.0, 2.0, 3.0]), np.zeros((3, 3)), free)
    np.testing.assert_allclose(target, np.arange(3) == corners - 1, atol=1e-12)
