"""The likelihood of single pairs: its derivatives, and the climb to its maximum."""

from __future__ import annotations

import brute
import numpy as np
import pytest

from bulklmm_dask.lmm.alt import gains
from bulklmm_dask.lmm.alt.pairs import optimise_pairs, pair_profile
from bulklmm_dask.lmm.alt.search import AltSearch
from bulklmm_dask.lmm.basis import make_basis
from bulklmm_dask.lmm.null.fit import fit_null

both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])


def pairs(rank: int, count: int = 6) -> tuple[np.ndarray, ...]:
    """Kinship, covariates, markers and traits (samples, count)."""
    rng = np.random.default_rng(rank)
    factor = rng.standard_normal((40, rank))
    covariates = np.column_stack([np.ones(40), rng.standard_normal((40, 2))])
    x, y = rng.standard_normal((2, 40, count))
    return factor @ factor.T / rank, covariates, x, y + factor[:, :count]


@both
@pytest.mark.parametrize("h2", [0.0, 0.2, 0.9])
def test_derivatives_are_those_of_the_values(reml, h2):
    kinship, covariates, x, y = pairs(60)
    basis = make_basis(kinship, covariates)
    x, y = basis.vectors.T @ x, basis.vectors.T @ y
    step = 1e-5

    def at(h):
        return pair_profile(basis, x, y, np.full(x.shape[1], h), reml=reml)

    middle, below, above = at(h2 + step), at(h2), at(h2 + 2 * step)
    for value, slope in (
        ("value", "slope"),
        ("slope", "bend"),
        ("full", "full_slope"),
        ("full_slope", "full_bend"),
    ):
        change = (getattr(above, value) - getattr(below, value)) / (2 * step)
        np.testing.assert_allclose(getattr(middle, slope), change, rtol=1e-5, atol=1e-6)


@both
@pytest.mark.parametrize("rank", [12, 60])
def test_the_climb_finds_the_maximum_wherever_it_starts(reml, rank):
    """A curve that only says where to start; brute force searches the covariance itself."""
    kinship, covariates, x, y = pairs(rank)
    basis = make_basis(kinship, covariates)
    rotated = basis.vectors.T @ x, basis.vectors.T @ y
    points = basis.h2_max * np.sin(np.linspace(0, np.pi / 2, 61)) ** 2
    values = np.array(
        [pair_profile(basis, *rotated, np.full(6, h), reml=reml).value for h in points]
    ).T
    best = [
        brute.null_h2(y[:, j], np.c_[covariates, x[:, j]], kinship, reml=reml) for j in range(6)
    ]
    for shift in (-2, 0, 2):
        # The same curve beside its place: Newton's steps must bring every pair home.
        places = np.clip(np.arange(61) + shift, 0, 60)
        curves = values[:, places]
        h2, _ = optimise_pairs(basis, *rotated, points, curves, reml=reml)
        np.testing.assert_allclose(h2, best, atol=2e-6)


def test_too_few_nodes_leave_every_pair_to_the_full_likelihood(monkeypatch):
    kinship, covariates, x, y = pairs(60)
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, y, reml=False)
    enough = AltSearch.of(basis, model, reml=False, refine_above=3.0)
    monkeypatch.setattr(gains, "_MOST", gains._LEAST)
    scanner = AltSearch.of(basis, model, reml=False, refine_above=3.0)
    assert enough.nodes.suffice
    assert not scanner.nodes.suffice
    found = scanner.scan(x.T, single=False)
    assert found["refined"].all()
    for i, j in ((0, 0), (2, 5)):
        lod, h2 = brute.alternative(x[:, i], y[:, j], covariates, kinship)
        assert found["lod"][i, j] == pytest.approx(lod, abs=1e-6)
        assert found["h2_alt"][i, j] == pytest.approx(h2, abs=1e-5)
