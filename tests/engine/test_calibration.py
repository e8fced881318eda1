"""The small blocks that the speed of a machine is measured on are those of the study."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask.engine.copies import Copies
from bulklmm_dask.engine.small_study import Drawn
from bulklmm_dask.lmm.markers import distinct_markers, prepare_markers


def drawn(different: int | None, kinds: int | None = None) -> Drawn:
    return Drawn(40, different, kinds, np.random.default_rng(0))


@pytest.mark.parametrize("different", [None, 7, 40])
@pytest.mark.parametrize("graded", [False, True])
def test_a_basis_has_the_rank_of_the_different_samples(different, graded):
    basis, covariates = drawn(different).basis(3, graded=graded)
    rank = different or 40
    assert basis.rank == rank
    assert covariates.shape == (40, 3)
    assert basis.vectors is not None
    np.testing.assert_allclose(basis.vectors.T @ basis.vectors, np.eye(40), atol=1e-12)
    assert (basis.h2_max < 1) == (rank < 40)
    assert np.mean(np.abs(basis.vectors[:, :rank]) > 1e-6) > 0.9  # dense


def test_markers_have_scores_in_as_many_rows_as_samples_differ():
    some = drawn(7)
    basis, _ = some.basis(1)
    x = some.genotypes(20)
    assert len(np.unique(x, axis=1).T) == 7
    assert prepare_markers(basis, x).rotated.shape == (20, 7)
    assert (
        prepare_markers(drawn(None).basis(1)[0], drawn(None).genotypes(20)).rotated.shape[1] == 40
    )


def test_probabilities_of_genotypes_add_up():
    x = drawn(7, kinds=3).genotypes(5)
    assert x.shape == (5, 40, 3)
    np.testing.assert_allclose(x.sum(axis=2), 1.0)
    assert len(np.unique(x[:, :, 0], axis=1).T) == 7


@pytest.mark.parametrize("n_variants", [1, 2047, 2048, 3000, 9000])
def test_copies_of_markers_are_counted_in_some_blocks(n_variants):
    rng = np.random.default_rng(0)
    pairs = np.repeat(rng.integers(0, 3, (n_variants // 2 + 1, 30)).astype(float), 2, axis=0)
    pairs = pairs[:n_variants]
    found = Copies.of(pairs, None, None)
    alone = len(distinct_markers(pairs[:2048])[0]) / len(pairs[:2048])
    assert found.markers == pytest.approx(alone, abs=0.01)
    assert found.samples is None
    assert Copies.of(rng.random((n_variants, 30)), None, np.arange(30)) == Copies()
