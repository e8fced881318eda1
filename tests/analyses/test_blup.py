"""BLUPs of genotype effects: against the mixed model written out, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError

N, P, K = 70, 5, 4


def study(seed=1, effect=2.0, missing=False):
    """Founder shares with a locus at the third marker, two traits, a covariate and a kinship."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(K, 0.3), size=(N, P))
    covariate = rng.normal(size=N)
    traits = np.column_stack(
        [
            effect * shares[:, 2] @ [1, 0, 0, -1] + 0.5 * covariate + rng.normal(size=N),
            rng.normal(size=N),
        ]
    )
    if missing:
        traits[:8, 1] = np.nan
    ds = blmm.create_dataset(
        shares,
        traits,
        covariates=covariate[:, None],
        contigs=["1"] * 3 + ["2"] * 2,
        positions=range(P),
    )
    factor = rng.normal(size=(N, N + 5))
    return ds.assign(kinship=(("samples_0", "samples_1"), factor @ factor.T / (N + 5)))


def written_out(ds, h2, trait, variant):
    """BLUPs and their conditional deviations from the equations of the mixed model."""
    y = ds.sample_trait.values[:, trait]
    used = ~np.isnan(y)
    y, n = y[used], used.sum()
    x = np.column_stack([np.ones(n), ds.sample_covariate.values[used]])
    z = ds.call_genotype_probability.values[variant][used].astype(float)
    kinship = ds.kinship.values[np.ix_(used, used)]
    polygenic = h2 * kinship + (1 - h2) * np.eye(n)

    def parts(theta):
        v = polygenic + theta * z @ z.T
        inverse = np.linalg.inv(v)
        gram = x.T @ inverse @ x
        m = inverse - inverse @ x @ np.linalg.solve(gram, x.T @ inverse)
        loss = (n - 2) * np.log(y @ m @ y) + np.linalg.slogdet(v)[1] + np.linalg.slogdet(gram)[1]
        return loss, m

    def at(power):
        return parts(np.exp(power))[0]

    grid = np.linspace(-12, 8, 60)
    best = grid[np.argmin([at(power) for power in grid])]
    found = minimize_scalar(
        at, bounds=(best - 1, best + 1), method="bounded", options={"xatol": 1e-9}
    )
    theta = np.exp(found.x) if found.fun < parts(0.0)[0] else 0.0
    m = parts(theta)[1]
    u = theta * z.T @ m @ y
    covariance = theta * np.eye(K) - theta**2 * z.T @ m @ z
    s2 = y @ m @ y / (n - 2)
    centre = np.eye(K) - 1 / K
    return u - u.mean(), np.sqrt(s2 * np.diag(centre @ covariance @ centre))


@pytest.mark.parametrize(("reml", "missing"), [(True, False), (False, True)])
def test_as_the_mixed_model_written_out(reml, missing):
    ds = study(missing=missing)
    found = blmm.blup(ds, ["trait1", "trait2"], reml=reml)
    h2 = blmm.scan(ds, reml=reml).h2.values
    np.testing.assert_allclose(found.h2, h2, atol=1e-6)
    for trait in range(2):
        for variant in range(P):
            beta, se = written_out(ds, h2[trait], trait, variant)
            np.testing.assert_allclose(found.beta[variant, trait], beta, atol=2e-4)
            np.testing.assert_allclose(found.se[variant, trait], se, atol=2e-4)


def test_effects_shrink_towards_their_mean():
    ds = study(effect=6.0)
    shrunk = blmm.blup(ds, "trait1").beta[2, 0].values
    plain = blmm.scan(ds, reml=True, statistics="beta").beta[2, 0].values
    plain = plain - plain.mean()
    assert abs(shrunk.sum()) < 1e-9
    assert np.abs(shrunk).sum() < np.abs(plain).sum()
    np.testing.assert_allclose(shrunk, plain, rtol=0.2, atol=0.2)


def test_genotypes_that_no_sample_has_are_left_out():
    """As if they had not been given: contigs of a cross have genotypes of their own."""
    ds = study()
    more = np.insert(ds.call_genotype_probability.values, [1, 4], 0.0, axis=2)
    other = ds.drop_dims("genotypes").assign(
        call_genotype_probability=(("variants", "samples", "genotypes"), more)
    )
    found, expected = (blmm.blup(one, "trait1") for one in (other, ds))
    assert np.isnan(found.beta[:, :, [1, 5]]).all()
    assert np.isnan(found.se[:, :, [1, 5]]).all()
    for name in ("beta", "se"):
        np.testing.assert_allclose(found[name][:, :, [0, 2, 3, 4]], expected[name], atol=1e-9)


def test_units_of_the_trait_and_shifts():
    ds = study()
    one = blmm.blup(ds, "trait1")
    for factor in (1e3, 1e-120, 1e150):
        other = blmm.blup(ds.assign(sample_trait=ds.sample_trait * factor), "trait1")
        np.testing.assert_allclose(other.beta / factor, one.beta, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(other.se / factor, one.se, rtol=1e-6, atol=1e-9)
    moved = blmm.blup(ds.assign(sample_trait=ds.sample_trait + 100), "trait1")
    np.testing.assert_allclose(moved.beta, one.beta, atol=1e-8)


def test_one_contig_leaving_it_out_and_lazily():
    ds = study()
    ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    whole = blmm.blup(ds, "trait1", loco=True)
    assert whole.h2.dims == ("contigs", "traits")
    part = blmm.blup(ds, "trait1", contig="chr2", loco=True)
    np.testing.assert_allclose(part.beta, whole.beta[3:])
    lazy = ds.assign(call_genotype_probability=ds.call_genotype_probability.chunk(variants=2))
    np.testing.assert_array_equal(blmm.blup(lazy, "trait1", loco=True).beta, whole.beta)


def test_what_has_no_effects_is_refused():
    ds = study()
    dosages = blmm.create_dataset(np.eye(6)[:, :3], np.ones((6, 1)), maximum=1)
    with pytest.raises(InputError, match="dosages only"):
        blmm.blup(dosages, "trait1")
    with pytest.raises(InputError, match="'weight'"):
        blmm.blup(ds, "weight")
    with pytest.raises(InputError, match="contig '7' is not in the study"):
        blmm.blup(ds, "trait1", contig="7")
    constant = ds.assign(sample_trait=ds.sample_trait * 0 + 1)
    assert np.isnan(blmm.blup(constant, "trait1").beta).all()
