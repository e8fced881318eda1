"""Tests of several columns at once against brute force, pair by pair, and against R/qtl2."""

from __future__ import annotations

from dataclasses import replace

import brute
import numpy as np
import pandas as pd
import pytest
import scipy.linalg
from threadpoolctl import threadpool_limits

from bulklmm_dask.lmm.basis import make_basis
from bulklmm_dask.lmm.interpolate import TOLERANCE, eigenvalue_bounds, interpolate_inverses
from bulklmm_dask.lmm.joint.design import prepare_designs
from bulklmm_dask.lmm.joint.effects import MultiEffects
from bulklmm_dask.lmm.joint.inverses import NodeWeights, inverses_at_nodes
from bulklmm_dask.lmm.joint.scan import MultiScan, packed
from bulklmm_dask.lmm.null.fit import fit_null
from bulklmm_dask.lmm.null.scan import NullScan

NO_POWER = np.zeros(1, np.int64)  # traits are in their own units


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small matrices, and many: threads would wait for each other most of the time."""
    with threadpool_limits(1, user_api="blas"):
        yield


def independent(x, covariates):
    """Columns of x (n, d), in order, that add to the covariates and to those before them."""
    basis = list(np.linalg.qr(covariates)[0].T)
    kept = []
    for index, column in enumerate(x.T):
        rest = column - column.mean()
        size = np.linalg.norm(rest)
        for _ in range(2):
            for q in basis:
                rest = rest - q * (q @ rest)
        if np.linalg.norm(rest) > 1e-5 * size and size > 1e-10 * np.linalg.norm(column):
            basis.append(rest / np.linalg.norm(rest))
            kept.append(index)
    return kept


def joint_lods(columns, y, covariates, kinship, h2):
    """n/2 log10(RSS0/RSS1) of every marker (variants, d, n) by QR of the whitened model."""
    _, (yw, cw) = brute.whiten(h2, kinship, y, covariates)

    def rss(design):
        q, _ = np.linalg.qr(design)
        rest = yw - q @ (q.T @ yw)
        rest -= q @ (q.T @ rest)
        return rest @ rest

    out = []
    for x in columns.transpose(0, 2, 1):
        kept = independent(x, covariates)
        # Off the covariates first, as whitening may blow up what they share.
        inside = np.linalg.lstsq(covariates, x[:, kept])[0]
        _, (xw,) = brute.whiten(h2, kinship, x[:, kept] - covariates @ inside)
        out.append(len(y) / 2 * np.log10(rss(cw) / rss(np.column_stack([cw, xw]))))
    return np.array(out)


def model_at(basis, y, h2):
    """A null model whose heritabilities are given."""
    return replace(fit_null(basis, y, reml=False, grid=np.zeros(1)), h2=h2)


def zero_sum(beta, se):
    """Coefficients of genotypes as R/qtl2 reports them: deviations, their mean and its error.

    R/qtl2 takes the root of the mean of the squared standard errors for the error of the mean.
    """
    count = (~np.isnan(beta)).sum(axis=-1)
    intercept = np.nansum(beta, axis=-1) / count
    return beta - intercept[..., None], intercept, np.sqrt(np.nansum(se * se, axis=-1) / count)


def probabilities(rng, variants, k, n, strains=None):
    """Genotype probabilities (variants, k, n), those of a strain alike."""
    own = rng.dirichlet(np.full(k, 0.15), size=(variants, strains or n)).swapaxes(1, 2)
    return own[:, :, np.arange(n) % (strains or n)]


class Case:
    """Markers of d columns and traits of every size of association, at given heritabilities."""

    def __init__(self, kind, *, n, d, extra=0, strains=None, traits=40, variants=25):
        rng = np.random.default_rng(n + d)
        self.columns = probabilities(rng, variants, d + 1, n, strains)[:, :d]
        loci = probabilities(rng, 300, 4, n, strains)
        if kind == "low-rank":
            loci = loci[:10]
        self.kinship = 2 * np.einsum("vki,vkj->ij", loci, loci) / len(loci)
        if kind == "centred":
            centre = np.eye(n) - 1 / n
            self.kinship = centre @ self.kinship @ centre
        if kind == "nearly-singular":
            root = np.eye(10)[np.arange(n) % 10] + 1e-5 * rng.standard_normal((n, 10))
            self.kinship = root @ root.T + 1e-9 * np.eye(n)
        self.covariates = np.column_stack([np.ones(n), rng.standard_normal((n, extra))])
        self.basis = make_basis(self.kinship, self.covariates)
        top = self.basis.h2_max
        near = 1 - np.geomspace(1e-5, 0.1, 6)
        self.h2 = np.concatenate([[0, 1e-6, 1], near, rng.uniform(0, 1, traits - 9)]) * top
        values, vectors = np.linalg.eigh(self.kinship)
        spread = np.sqrt(np.maximum(values, 0)[:, None] * self.h2 + 1 - self.h2)
        self.y = vectors @ (spread * rng.standard_normal((n, traits)))
        effects = np.geomspace(0.1, 30, traits) * (np.arange(traits) % 2)
        self.y += self.columns[rng.integers(variants, size=traits), 0].T * effects
        self.model = model_at(self.basis, self.y, self.h2)
        self.scanner = MultiScan.of(self.basis, self.model)

    def expected(self, columns=None):
        columns = self.columns if columns is None else columns
        return np.column_stack(
            [
                joint_lods(columns, y, self.covariates, self.kinship, h)
                for y, h in zip(self.y.T, self.h2, strict=True)
            ]
        )


CASES = [
    ("plain", {"n": 30, "d": 1}),
    ("plain", {"n": 60, "d": 2, "extra": 2}),
    ("plain", {"n": 120, "d": 7, "extra": 1}),
    ("plain", {"n": 300, "d": 7, "variants": 8}),
    ("centred", {"n": 60, "d": 2, "extra": 2}),
    ("strains", {"n": 120, "d": 7, "strains": 20}),
    ("strains", {"n": 120, "d": 7, "strains": 20, "extra": 1}),
    ("nearly-singular", {"n": 60, "d": 2, "strains": 10, "extra": 1}),
    ("nearly-singular", {"n": 60, "d": 7, "strains": 10}),
    ("low-rank", {"n": 80, "d": 7, "extra": 2}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "sizes"), CASES)
def test_joint_tests_equal_brute_force(kind, sizes):
    case = Case(kind, **sizes)
    designs = prepare_designs(case.basis, case.columns)
    assert (designs.df == sizes["d"]).all()
    expected = case.expected()
    lod = case.scanner.scan(designs, single=False)["lod"]
    assert lod.dtype == np.float32
    np.testing.assert_allclose(lod, expected, atol=1e-5, rtol=1e-7)
    single = case.scanner.scan(designs, single=True)["lod"]
    assert np.abs(single - expected)[expected < 100].max() < 1e-4


@pytest.mark.parametrize("single", [False, True])
def test_one_column_is_the_ordinary_scan(single):
    case = Case("plain", n=80, d=1, extra=1, traits=70)
    one = NullScan.of(case.basis, case.model)
    expected = one.scan(case.columns[:, 0], single=single)["lod"]
    lod = case.scanner.scan(prepare_designs(case.basis, case.columns), single=single)["lod"]
    np.testing.assert_allclose(lod, expected, atol=5e-5 if single else 2e-6, rtol=1e-6)


@pytest.mark.parametrize("single", [False, True])
def test_columns_that_depend_on_others_cost_no_degree_of_freedom(single):
    case = Case("plain", n=60, d=4, extra=2)
    columns = case.columns.copy()
    columns[0, 2] = 0  # a genotype nobody has
    columns[1, 1] = 0.1 + 0.2  # constant, and not exact in binary
    columns[2, 3] = columns[2, 0] - 2 * columns[2, 1]
    columns[3, 0] = 5 + case.covariates[:, 1] - case.covariates[:, 2]
    columns[4] = columns[4, 0]
    columns[5] = 1.0
    columns[6, 3] = columns[6, 0] * 1e-9
    columns[7] *= 1e-7  # small is not dependent
    columns[8, 1] = columns[8, 0] + 1e-4 * columns[8, 1]  # nor is nearly alike
    designs = prepare_designs(case.basis, columns)
    np.testing.assert_array_equal(designs.df[:9], [3, 3, 3, 3, 1, 0, 3, 4, 4])
    assert list(designs.kept[3]) == [False, True, True, True]
    assert list(designs.leading_df(2)[:6]) == [2, 1, 2, 1, 1, 0]
    lod = case.scanner.scan(designs, single=single)["lod"]
    assert (lod[5] == 0).all()
    expected = case.expected(columns)
    tolerance = 1e-4 if single else 1e-5
    assert np.abs(lod - expected)[expected < 100].max() < tolerance


def test_perfect_and_nearly_perfect_fits():
    case = Case("plain", n=50, d=3, traits=40)
    rng = np.random.default_rng(1)
    noise = np.geomspace(1e-5, 1, 39) * rng.standard_normal((50, 39))
    fit = 3 + case.columns[5].T @ [1.0, -2.0, 0.5]
    case.y = np.column_stack([fit, fit[:, None] + noise])
    scanner = MultiScan.of(case.basis, model_at(case.basis, case.y, case.h2))
    designs = prepare_designs(case.basis, case.columns)
    case.y, case.h2 = case.y[:, 1:], case.h2[1:]
    expected = case.expected()
    assert expected.max() > 200
    for single in (False, True):
        lod = scanner.scan(designs, single=single)["lod"]
        assert np.isfinite(lod).all()
        assert lod[5, 0] > 300
        assert lod[:, 0].argmax() == 5
        high = expected > 20
        np.testing.assert_allclose(lod[:, 1:][high], expected[high], atol=1e-5, rtol=2e-7)


@pytest.mark.slow
@pytest.mark.parametrize("single", [False, True])
def test_interactions_beside_their_additive_part(single):
    case = Case("plain", n=90, d=2, extra=1)
    modifier = case.covariates[:, 1]
    columns = np.concatenate([case.columns, case.columns * modifier], axis=1)
    columns[3, 3] = columns[3, 2]
    designs = prepare_designs(case.basis, columns)
    found = case.scanner.scan(designs, single=single, additive=2)
    full, additive = case.expected(columns), case.expected()
    small = full < 100
    for lod, expected in ((found["lod"], full), (found["lod_interaction"], full - additive)):
        assert lod.dtype == np.float32
        assert np.abs(lod - expected)[small].max() < (1e-4 if single else 1e-5)
    assert list((designs.df - designs.leading_df(2))[2:5]) == [2, 1, 2]
    assert list(case.scanner.scan(designs, single=single)) == ["lod"]


def test_residual_weights():
    case = Case("plain", n=60, d=3, extra=1)
    weights = np.sqrt(np.random.default_rng(0).integers(1, 9, 60))
    basis = make_basis(case.kinship, case.covariates, weights)
    scanner = MultiScan.of(basis, model_at(basis, case.y, case.h2 * 0.9))
    lod = scanner.scan(prepare_designs(basis, case.columns), single=False)["lod"]
    # The same model multiplied by w; its intercept is w.
    centred = case.columns - case.columns.mean(axis=2, keepdims=True)
    for j in range(0, 40, 5):
        expected = joint_lods(
            centred * weights,
            case.y[:, j] * weights,
            case.covariates * weights[:, None],
            case.kinship * np.outer(weights, weights),
            case.h2[j] * 0.9,
        )
        np.testing.assert_allclose(lod[:, j], expected, atol=1e-5, rtol=1e-7)


def test_without_kinship_is_ordinary_regression():
    rng = np.random.default_rng(0)
    columns, y = probabilities(rng, 10, 3, 50)[:, :2], rng.standard_normal((50, 4))
    covariates = np.ones((50, 1))
    basis = make_basis(None, covariates)
    scanner = MultiScan.of(basis, fit_null(basis, y, reml=False))
    lod = scanner.scan(prepare_designs(basis, columns), single=False)["lod"]
    expected = [joint_lods(columns, each, covariates, np.eye(50), 0.0) for each in y.T]
    np.testing.assert_allclose(lod, np.column_stack(expected), atol=1e-5)


@pytest.mark.parametrize(("kind", "sizes"), CASES)
def test_interpolation_of_inverses_is_as_exact_as_it_says(kind, sizes):
    case = Case(kind, **sizes)
    designs = prepare_designs(case.basis, case.columns)
    traits = case.scanner._folded if designs.folded else case.scanner._unfolded
    spectrum, top = traits.spectrum, case.basis.h2_max
    h2 = np.concatenate([np.random.default_rng(0).uniform(0, top, 200), spectrum.grid()])
    eigenvalues = eigenvalue_bounds(spectrum, folded=designs.folded)
    found = interpolate_inverses(h2, lambda: eigenvalues, spectrum.h2_max)
    assert found.error.max() <= TOLERANCE
    columns, d = designs.columns.swapaxes(0, 1), sizes["d"]
    (exact,) = inverses_at_nodes(columns, NodeWeights.at(spectrum, h2), (d,))
    (nodes,) = inverses_at_nodes(columns, NodeWeights.at(spectrum, found.nodes), (d,))
    inverses = exact.transpose(2, 3, 0, 1)
    gap = (nodes @ found.weights).transpose(2, 3, 0, 1) - inverses
    # Of every form b'Pb the relative error at most: the largest eigenvalue in the metric of P.
    factor = np.linalg.inv(np.linalg.cholesky(inverses))
    worst = np.abs(np.linalg.eigvalsh(factor @ gap @ factor.swapaxes(2, 3))).max(axis=-1)
    rounding = 1e-15 * found.growth * np.linalg.cond(inverses)
    # What the values at the nodes themselves are worth, which are differences of larger numbers.
    weights = 1 / spectrum.variances(found.nodes)[: designs.columns.shape[2]]
    whole = np.einsum("iar,rq,ibr->iqab", designs.columns, weights, designs.columns)
    share = np.einsum("iqab,baiq->iq", whole, nodes).max(axis=1, keepdims=True)
    rounding = rounding + 5e-15 * share * found.growth
    assert (worst < 2 * TOLERANCE + rounding).all()
    assert found.growth.max() < 200
    b = np.random.default_rng(1).standard_normal(d)
    pairs = np.concatenate([b[a] * b[a:] for a in range(d)])
    form = np.einsum("a,abiq,b->iq", b, exact, b)
    np.testing.assert_allclose(np.einsum("e,eiq->iq", pairs, packed(exact)), form, rtol=1e-9)


def test_heritabilities_near_one_need_few_nodes_of_their_own():
    case = Case("strains", n=120, d=7, strains=20, extra=1)
    traits = case.scanner._folded
    h2 = np.concatenate([1 - np.geomspace(1e-5, 0.1, 200), np.linspace(0, 0.9, 2000)])
    eigenvalues = eigenvalue_bounds(traits.spectrum, folded=True)
    assert eigenvalues[0] > 0.0  # although the covariate varies within strains
    for low, most in ((eigenvalues[0], 30), (0.0, 60)):
        found = interpolate_inverses(
            h2, lambda low=low: (low, eigenvalues[1]), traits.spectrum.h2_max
        )
        assert len(found.nodes) < most
        assert found.error.max() <= TOLERANCE


def test_replicated_samples_shrink_the_products():
    case = Case("strains", n=120, d=3, strains=20)
    designs = prepare_designs(case.basis, case.columns)
    assert designs.folded
    assert designs.columns.shape == (25, 3, 20)


def test_nothing_handed_in_is_changed():
    case = Case("plain", n=30, d=2)
    for kinship, centre in ((case.kinship, True), (None, False)):
        before = case.columns.copy()
        prepare_designs(make_basis(kinship, case.covariates), case.columns, centre=centre)
        np.testing.assert_array_equal(case.columns, before)


def gls(x, y, kinship, h2):
    """Coefficients and standard errors by whitened least squares."""
    _, (xw, yw) = brute.whiten(h2, kinship, x, y)
    beta, rss, rank, _ = np.linalg.lstsq(xw, yw)
    inverse = scipy.linalg.inv(xw.T @ xw)
    return beta, np.sqrt(np.diag(inverse) * rss / (len(y) - rank))


@pytest.mark.parametrize(("kind", "sizes"), CASES[1:3] + CASES[5:7])
def test_effects_equal_generalised_least_squares(kind, sizes):
    case = Case(kind, **sizes)
    columns = case.columns[:6].copy()
    columns[2, 1] = 3 * columns[2, 0]
    found = MultiEffects.of(case.basis, case.y, case.h2, NO_POWER).scan(
        prepare_designs(case.basis, columns)
    )
    assert np.isnan(found["beta"][2, :, 1]).all()
    assert np.isnan(found["se"][2, :, 1]).all()
    for i in range(6):
        kept = independent(columns[i].T, case.covariates)
        design = np.column_stack([case.covariates, columns[i, kept].T])
        for j in range(0, 40, 3):
            beta, se = gls(design, case.y[:, j], case.kinship, case.h2[j])
            c = case.covariates.shape[1]
            np.testing.assert_allclose(found["se"][i, j, kept], se[c:], rtol=1e-6)
            error = np.abs(found["beta"][i, j, kept] - beta[c:])
            assert (error < 1e-6 * np.abs(beta[c:]) + 1e-8 * se[c:]).all()


@pytest.mark.parametrize("extra", [0, 2])
def test_genotype_effects_need_no_intercept(extra):
    rng = np.random.default_rng(3)
    case = Case("plain", n=60, d=2, extra=extra)
    columns = probabilities(rng, 5, 3, 60)
    columns[1, 0] += columns[1, 2]
    columns[1, 2] = 0  # a genotype nobody has
    y = case.y + 1000.0
    basis = case.basis.with_covariates(case.covariates[:, 1:])
    designs = prepare_designs(basis, columns, centre=False)
    np.testing.assert_array_equal(designs.df, [3, 2, 3, 3, 3])
    found = MultiEffects.of(basis, y, case.h2, NO_POWER).scan(designs)
    deviations, intercept, intercept_se = zero_sum(found["beta"], found["se"])
    assert np.isnan(found["beta"][1, :, 2]).all()
    np.testing.assert_allclose(np.nansum(deviations, axis=2), 0, atol=1e-8)
    for i in range(5):
        kept = [0, 1] if i == 1 else [0, 1, 2]
        design = np.column_stack([columns[i, kept].T, case.covariates[:, 1:]])
        for j in range(0, 40, 7):
            beta, se = (
                part[: len(kept)] for part in gls(design, y[:, j], case.kinship, case.h2[j])
            )
            np.testing.assert_allclose(found["beta"][i, j, kept], beta, rtol=1e-7)
            np.testing.assert_allclose(found["se"][i, j, kept], se, rtol=1e-6)
            np.testing.assert_allclose(intercept[i, j], beta.mean(), rtol=1e-7)
            np.testing.assert_allclose(intercept_se[i, j], np.sqrt((se**2).mean()), rtol=1e-6)


class Iron:
    """R/qtl2's intercross: 284 samples, 64 positions, 3 genotypes, sex as a covariate."""

    def __init__(self, folder):
        self.folder = folder
        table = pd.read_csv(folder / "probs.csv.gz", index_col=0)
        self.probabilities = table.to_numpy().reshape(64, 284, 3).swapaxes(1, 2)
        self.contigs = pd.read_csv(folder / "map.csv", index_col=0).chr[table.index].to_numpy()
        self.traits = pd.read_csv(folder / "pheno.csv", index_col=0).to_numpy()
        self.sex = pd.read_csv(folder / "covar.csv", index_col=0).to_numpy(dtype=float)
        self.covariates = np.column_stack([np.ones(284), self.sex])

    def answers(self, name):
        return pd.read_csv(self.folder / name, index_col=0).to_numpy()

    def kinship_without(self, contig):
        """Twice the mean, over the positions elsewhere, of the sum of products of alleles."""
        p = self.probabilities[self.contigs != contig]
        alleles = np.stack([p[:, 0] + p[:, 1] / 2, p[:, 2] + p[:, 1] / 2], axis=1)
        return 2 * np.einsum("vai,vaj->ij", alleles, alleles, optimize=True) / len(p)


@pytest.fixture(scope="module")
def iron(reference):
    return Iron(reference / "iron")


@pytest.mark.parametrize("likelihood", ["ml", "reml"])
def test_iron_two_degrees_of_freedom(iron, likelihood):
    basis = make_basis(2 * iron.answers("kinship.csv.xz"), iron.covariates)
    model = fit_null(basis, iron.traits, reml=likelihood == "reml")
    hsq = iron.answers(f"scan1_sex_{likelihood}.hsq.csv")[0]
    np.testing.assert_allclose(model.h2, hsq, atol=1e-4)
    designs = prepare_designs(basis, iron.probabilities[:, :2])
    assert (designs.df == 2).all()
    expected = iron.answers(f"scan1_sex_{likelihood}.csv.gz")
    for single in (False, True):
        lod = MultiScan.of(basis, model).scan(designs, single=single)["lod"]
        np.testing.assert_allclose(lod, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("likelihood", ["ml", "reml"])
def test_iron_interactions_without_the_own_chromosome(iron, likelihood):
    expected = iron.answers(f"scan1_loco_intsex_{likelihood}.csv.gz")
    additive = iron.probabilities[:, :2]
    columns = np.concatenate([additive, additive * iron.sex[:, 0]], axis=1)
    for contig in np.unique(iron.contigs):
        basis = make_basis(iron.kinship_without(contig), iron.covariates)
        scanner = MultiScan.of(basis, fit_null(basis, iron.traits, reml=likelihood == "reml"))
        here = iron.contigs == contig
        designs = prepare_designs(basis, columns[here])
        found = scanner.scan(designs, single=False, additive=2)
        np.testing.assert_allclose(found["lod"], expected[here], atol=1e-4, rtol=0)
        alone = scanner.scan(prepare_designs(basis, additive[here]), single=False)["lod"]
        np.testing.assert_allclose(found["lod"] - alone, found["lod_interaction"], atol=5e-6)


def test_iron_effects_of_genotypes(iron):
    # scan1coef was given the kinship of the other chromosomes and REML.
    basis = make_basis(iron.kinship_without(16), iron.covariates)
    h2 = fit_null(basis, iron.traits, reml=True).h2
    basis = basis.with_covariates(iron.sex)
    designs = prepare_designs(basis, iron.probabilities[iron.contigs == 16], centre=False)
    found = MultiEffects.of(basis, iron.traits, h2, NO_POWER).scan(designs)
    deviations, intercept, intercept_se = zero_sum(found["beta"], found["se"])
    beta, se = iron.answers("coef_chr16_liver.csv"), iron.answers("coef_se_chr16_liver.csv")
    np.testing.assert_allclose(deviations[:, 0], beta[:, :3], rtol=1e-4)
    np.testing.assert_allclose(intercept[:, 0], beta[:, 4], rtol=1e-4)
    np.testing.assert_allclose(found["se"][:, 0], se[:, :3], rtol=1e-4)
    np.testing.assert_allclose(intercept_se[:, 0], se[:, 4], rtol=1e-4)
