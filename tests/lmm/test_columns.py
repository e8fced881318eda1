"""Which columns add to a model: the judgement does not depend on where their zero lies."""

import numpy as np
import pytest

from bulklmm_dask.lmm.columns import centred, has_intercept, independent_columns

N = 40
OFFSETS = (0.0, 37.5, -273.15, 2.46e6, 20240131.0, 4e9, 1.7e12)


def columns(offset, *others):
    rng = np.random.default_rng(1)
    deviations = np.round(rng.normal(size=N) * 16) / 16
    return np.column_stack([np.ones(N), offset + deviations, *others]), deviations


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("weighted", [False, True])
def test_an_offset_does_not_change_the_span(offset, weighted):
    matrix, deviations = columns(offset)
    w = np.random.default_rng(2).uniform(0.5, 2, N) if weighted else None
    basis, dependent = independent_columns(matrix, w)
    assert dependent == []
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-14)
    plain = np.column_stack([np.ones(N), deviations]) * (1 if w is None else w[:, None])
    inside = basis @ (basis.T @ plain)
    np.testing.assert_allclose(inside, plain, atol=1e-12)


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_constant_adds_nothing(offset):
    constant = np.full(N, offset + 0.1)
    matrix, _ = columns(3.0, constant, np.nextafter(constant, np.inf), np.zeros(N))
    assert independent_columns(matrix)[1] == [2, 3, 4]
    last = constant.copy()
    last[::2] = np.nextafter(last[::2], np.inf)  # one unit in the last place is rounding
    assert independent_columns(np.column_stack([matrix, last]))[1] == [2, 3, 4, 5]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("factor", [1.0, -2.0, 1e-3, 1e6])
def test_a_multiple_of_another_column_adds_nothing_at_any_offset(offset, factor):
    matrix, deviations = columns(offset, np.zeros(N))
    matrix[:, 2] = factor * deviations + 5.0
    assert independent_columns(matrix)[1] == [2]


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e200, 1e300])
def test_extreme_columns_are_no_constants(size):
    matrix, deviations = columns(1.0)
    basis, dependent = independent_columns(np.column_stack([matrix[:, :1], size * deviations]))
    assert dependent == []
    np.testing.assert_allclose(basis, independent_columns(matrix)[0], atol=1e-12)


def test_without_an_intercept_nothing_is_centred():
    matrix, _ = columns(5.0)
    basis, dependent = independent_columns(matrix[:, 1:])
    assert dependent == []
    np.testing.assert_allclose(
        np.abs(basis[:, 0]), np.abs(matrix[:, 1]) / np.linalg.norm(matrix[:, 1])
    )
    assert not has_intercept(matrix[:, 1:])
    assert has_intercept(matrix)
    assert not has_intercept(np.zeros((3, 2)))
    assert not has_intercept(np.empty((0, 1)))


def test_centred_columns_of_a_large_mean_keep_their_digits():
    matrix, deviations = columns(4e9)
    expected = deviations - deviations.mean()
    np.testing.assert_allclose(centred(matrix)[:, 1], expected, atol=1e-14)
