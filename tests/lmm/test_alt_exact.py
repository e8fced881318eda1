"""alt-exact by polynomials and by sums of few terms: against brute force, and against nodes."""

from __future__ import annotations

import brute
import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.lmm.alt.exact import AltExact
from bulklmm_dask.lmm.alt.pairs import pair_profile
from bulklmm_dask.lmm.alt.search import AltSearch
from bulklmm_dask.lmm.alt.sums import PairSums
from bulklmm_dask.lmm.basis import fold, make_basis
from bulklmm_dask.lmm.null.fit import fit_null
from bulklmm_dask.lmm.projected import Projected

# Largest errors of LODs from 3 on and below; float32 rounds a LOD of 100 by 4e-6.
EXACT, BELOW = 2e-6, 3e-4
KINDS = ["related", "low rank", "nearly singular", "replicates", "steep", "three sorts"]
both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])


def study(kind: str, seed: int) -> tuple[np.ndarray, ...]:
    """Kinship, covariates, dosages (p, n) and traits (n, m) with h2 at and between the bounds."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    n = int(rng.integers(12, 61))
    dosage = rng.binomial(2, 0.4, (16, n)).astype(float)
    covariates = np.column_stack([np.ones(n), rng.standard_normal((n, int(rng.integers(3))))])
    rotation, _ = np.linalg.qr(rng.standard_normal((n, n)))
    values = np.ones(n)
    if kind == "related":
        parents = rng.binomial(2, 0.4, (max(3, n // 4), 200))
        mixed = parents[rng.integers(len(parents), size=n)]
        changed = rng.random((n, 200)) < 0.3
        alleles = np.where(changed, rng.binomial(2, 0.4, (n, 200)), mixed).astype(float)
        kinship, dosage = (alleles - 1) @ (alleles - 1).T / 100 + 0.5, alleles[:, :16].T
    elif kind == "replicates":
        strain = np.arange(n) % int(rng.integers(6, max(7, n // 2)))
        signs = rng.choice([-1.0, 1.0], (strain.max() + 1, 100))[strain]
        kinship, dosage = signs @ signs.T / 100 + 0.5, (signs[:, :16].T + 1).astype(float)
    else:
        if kind == "low rank":
            values = (np.arange(n) < n // 3) * 3.0
        elif kind == "nearly singular":
            values = np.where(np.arange(n) < n // 4, 4.0, 10.0 ** rng.uniform(-9, -3))
        elif kind == "steep":
            values = 10.0 ** -rng.uniform(0, 5, n)
            values *= n / values.sum()
        else:
            values = np.repeat([200, 0.7, 0.02], [3, n // 2, n - 3 - n // 2])
        kinship = (rotation * values) @ rotation.T
        kinship = (kinship + kinship.T) / 2
    if covariates.shape[1] > 1:  # markers that a covariate nearly explains
        dosage[0] = covariates[:, 1] + 1e-2 * rng.standard_normal(n)
    values, vectors = np.linalg.eigh(kinship)
    h2 = np.array([0, 1, 0.5, 0.0, 0.9])
    spread = np.sqrt(np.outer(np.maximum(values, 0), h2) + 1 - h2 + 1e-12)
    traits = vectors @ (spread * rng.standard_normal((n, 5)))
    locus = dosage[rng.integers(16, size=5)].T * np.array([0, 0.5, 0, 1, 1])
    return kinship, covariates, dosage, traits + locus * traits.std(axis=0)


@pytest.mark.parametrize("kind", ["related", "steep", "centred", "weighted", "replicates"])
@both
def test_markers_in_the_projected_rows_by_one_product_have_the_same_scores(kind, reml):
    like = kind if kind in KINDS else "related"
    kinship, covariates, dosage, traits = study(like, 3)
    n = len(kinship)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, n) if kind == "weighted" else None
    if kind == "centred":  # its null space is that of the intercept
        kinship = kinship - kinship.mean(axis=0)
        kinship = kinship - kinship.mean(axis=1)[:, None]
        kinship += 0.1 * (np.eye(n) - 1.0 / n)
        kinship = (kinship + kinship.T) / 2
    basis = make_basis(kinship, covariates, weights)
    assert (basis.to_projected is None) == (kind == "replicates")
    dosage[1], dosage[2] = 0.7, 1e8 + covariates[:, -1]  # neither varies beside the covariates
    model = fit_null(basis, traits, reml=reml)
    scanner = AltExact.of(basis, model, reml=reml, refine_above=3.0)
    found = scanner._found(dosage, single=False)
    expected = super(AltExact, scanner)._found(dosage, single=False)
    assert (found["lod"][[1, 2]] == 0).all()
    assert found["lod"].max() > 1
    np.testing.assert_allclose(found["lod"], expected["lod"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found["refined"][1:3], False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_no_pair_of_a_random_study_is_far_off(kind, seed):
    kinship, covariates, dosage, traits = study(kind, seed)
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, traits, reml=False)
    scanner = AltExact.of(basis, model, reml=False, refine_above=3.0)
    for single in (False, True):
        found = scanner.scan(dosage, single=single)
        for j in range(traits.shape[1]):
            pairs = brute.Pairs(dosage, traits[:, j], covariates, kinship)
            lod, _, _ = pairs.alternatives()
            error = np.abs(found["lod"][:, j] - lod)
            rounding = np.spacing(np.float32(lod.max())) if single else 0.0
            assert error[lod >= 3].max(initial=0) <= EXACT + rounding
            assert error[lod < 3].max(initial=0) <= BELOW
    assert not found["refined"].all()


@pytest.mark.parametrize("noise", [0.0, 1e-4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_traits_that_copy_a_marker_in_the_range_of_the_kinship(seed, noise):
    """The null likelihood has no bound at h2 = 1; with a near copy of the marker h2 is far below.

    The near copy has a part outside the range, so that at the null estimate it says nothing.
    """
    rng = np.random.default_rng(seed)
    n, rank = 60, 40
    factor = rng.standard_normal((n, rank))
    inside = (factor @ rng.standard_normal((rank, 5))).T
    copies = inside[np.repeat(np.arange(5), 3)]
    copies[np.arange(15), rng.integers(n, size=15)] += rng.choice([-1.0, 1.0, 0.1], size=15)
    dosage = np.concatenate([copies, rng.binomial(2, 0.4, (5, n))])
    values, vectors = np.linalg.eigh(kinship := factor @ factor.T / rank)
    polygenes = vectors * np.sqrt(np.maximum(values, 0)) @ rng.standard_normal((n, 5))
    traits = inside.T + noise * polygenes
    covariates = np.ones((n, 1))
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, traits, reml=False)
    scanner = AltExact.of(basis, model, reml=False, refine_above=3.0)
    found = [scanner.scan(dosage, single=single)["lod"] for single in (False, True)]
    for j in range(traits.shape[1]):
        lod, h2, null = brute.Pairs(dosage, traits[:, j], covariates, kinship).alternatives()
        assert null == basis.h2_max
        assert ((lod > 5) & (h2 < 0.5)).any()
        for lods in found:
            error = np.abs(lods[:, j] - lod)
            np.testing.assert_array_less(error[lod >= 3], 1e-5 + 1e-7 * lod[lod >= 3])
            assert error[lod < 3].max(initial=0) <= BELOW


@both
@pytest.mark.parametrize(("n", "every"), [(15, True), (16, False)])
def test_all_pairs_of_few_samples_are_optimised(n, every, reml):
    rng = np.random.default_rng(n)
    factor = rng.standard_normal((n, 30))
    basis = make_basis(factor @ factor.T / 30, np.ones((n, 1)))
    model = fit_null(basis, rng.standard_normal((n, 4)), reml=reml)
    dosage = rng.binomial(2, 0.4, (20, n)).astype(float)
    for kind in (AltExact, AltSearch):
        found = kind.of(basis, model, reml=reml, refine_above=3.0).scan(dosage, single=False)
        assert found["refined"].all() == every


@both
@pytest.mark.parametrize("strains", [None, 20])
def test_polynomials_and_nodes_say_the_same(reml, strains):
    rng = np.random.default_rng(5)
    n = 80
    founders = rng.choice([-1.0, 1.0], (n, 300))
    of = founders if strains is None else founders[np.arange(n) % strains]
    kinship = of @ of.T / 300 + 0.5
    covariates = np.column_stack([np.ones(n), rng.standard_normal(n)])
    root = np.linalg.cholesky(kinship + 1e-9 * np.eye(n))
    h2 = np.linspace(0, 1, 40)
    traits = np.sqrt(h2) * (root @ rng.standard_normal((n, 40)))
    traits += np.sqrt(1 - h2) * rng.standard_normal((n, 40)) + of[:, :40] * np.linspace(0, 2, 40)
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, traits, reml=reml)
    fast, slow = (
        kind.of(basis, model, reml=reml, refine_above=above).scan(of.T[:120], single=False)
        for kind, above in ((AltExact, 3.0), (AltSearch, 0.0))
    )
    high = slow["lod"] >= 3
    assert 20 < high.sum() < 0.5 * high.size
    error = np.abs(fast["lod"] - slow["lod"])
    assert error[high].max() <= EXACT
    assert error[~high].max() <= BELOW
    assert fast["refined"].mean() < 0.5


@both
@pytest.mark.parametrize("rank", [10, 60])
def test_sums_of_few_terms_are_the_likelihood_and_its_derivatives(reml, rank):
    rng = np.random.default_rng(rank)
    factor = rng.standard_normal((40, rank))
    covariates = np.column_stack([np.ones(40), rng.standard_normal((40, 2))])
    basis = make_basis(factor @ factor.T / rank, covariates)
    inside = rng.standard_normal((rank, 6)) if rank < 40 else rng.standard_normal((40, 6))
    x = basis.vectors[:, : len(inside)] @ inside
    y = rng.standard_normal((40, 6))
    spectrum, turned = fold(basis, basis.vectors.T @ np.concatenate([x, y], axis=1))
    projected = Projected.of(spectrum, folded=True)
    xs, ys = (projected.vectors.T @ part for part in (turned[:, :6], turned[:, 6:]))
    terms = np.zeros((len(projected.with_null), 3, 6))
    terms[:, 0] = projected.square_terms(turned[:, 6:], ys)
    terms[:-1, 1], terms[:-1, 2] = projected.left @ (xs * ys), projected.left @ (xs * xs)
    volumes = [projected.log_volume(reml=kind) for kind in (False, reml)]
    count = 40 - 4 * reml
    sums = PairSums(projected.with_null, terms, *volumes, 40, count, reml)
    rotated = basis.vectors.T @ x, basis.vectors.T @ y
    constants = []
    for h2 in (0.0, 0.3, 0.9):
        h = np.full(6, h2)
        truth = pair_profile(basis, *rotated, h, reml=reml)
        slope, bend = sums.derivatives(np.arange(6), h)
        np.testing.assert_allclose(slope, truth.slope, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(bend, truth.bend, rtol=1e-6, atol=1e-7)
        value, full, _ = sums.values(np.arange(6), h)
        np.testing.assert_allclose(full, truth.full, rtol=1e-9)
        constants.append(value - truth.value)
    np.testing.assert_allclose(np.ptp(constants, axis=0), 0, atol=1e-8)


@both
def test_unrelated_samples_have_the_lods_of_one_h2(reml):
    """With K = I every h2 has the same likelihood; a warning would be an error."""
    ds = studies.study(n=40, p=30, m=8, seed=2)
    ds["kinship"] = (("samples_0", "samples_1"), np.eye(40))
    found, null = (blmm.scan(ds, method=f"{kind}-exact", reml=reml).lod for kind in ("alt", "null"))
    np.testing.assert_allclose(found, null, atol=1e-5)


@both
def test_a_kinship_that_is_0_beside_the_covariates_with_markers_that_do_not_vary(reml):
    rng = np.random.default_rng(3)
    ds = blmm.create_dataset(np.ones((9, 2)), rng.standard_normal((9, 3)), maximum=2)
    result = blmm.scan(ds, kinship=np.ones((9, 9)), method="alt-exact", reml=reml).compute()
    assert (result.lod.values == 0).all()
    assert (result.h2_alt.values == result.h2.values.astype(np.float32)).all()
    assert not result.refined.any()
