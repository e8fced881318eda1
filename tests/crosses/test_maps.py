"""Map functions, pseudomarkers and their names."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask.crosses.maps import (
    MAP_FUNCTIONS,
    between,
    grid,
    pseudomarker_names,
    recombination,
)

# The inverse of each: cM of a recombination fraction.
DISTANCE = {
    "haldane": lambda r: -50 * np.log(1 - 2 * r),
    "kosambi": lambda r: 50 * np.arctanh(2 * r),
    "carter-falconer": lambda r: 12.5 * (np.log((1 + 2 * r) / (1 - 2 * r)) + 2 * np.arctan(2 * r)),
    "morgan": lambda r: 100 * r,
}


@pytest.mark.parametrize("name", MAP_FUNCTIONS)
def test_map_functions_are_the_inverse_of_distances(name):
    r = np.array([1e-6, 0.001, 0.03, 0.2, 0.45])
    np.testing.assert_allclose(recombination(DISTANCE[name](r), name), r, rtol=1e-9)


@pytest.mark.parametrize("name", MAP_FUNCTIONS)
def test_fractions_stay_between_coincidence_and_independence(name):
    assert recombination(np.array([0.0, 1e5]), name).tolist() == [1e-8, 0.5]


def test_haldane_adds_up():
    one, other, whole = recombination(np.array([3.0, 11.0, 14.0]), "haldane")
    assert one + other - 2 * one * other == pytest.approx(whole, rel=1e-14)


def test_the_grid_ends_at_the_last_marker():
    assert grid(np.array([27.3, 51.4, 110.3]), 1).size == 84  # 27.3, 28.3, ..., 110.3
    assert grid(np.array([0.0, 0.9]), 0.3).tolist() == pytest.approx([0, 0.3, 0.6, 0.9])


def test_positions_at_markers_are_left_out():
    markers = np.array([10.0, 0.0, 5.0])
    found = between(markers, np.array([0, 4.995, 5.02, 7, 2.5, 7, 10.009, -3, 12]))
    assert found.tolist() == [-3, 2.5, 5.02, 7, 12]


def test_names_have_the_decimals_of_the_step():
    positions = np.array([28.3, 29.3])
    assert pseudomarker_names("1", positions, 1) == ["c1.loc28", "c1.loc29"]
    assert pseudomarker_names("X", positions, 0.5) == ["cX.loc28.3", "cX.loc29.3"]
    assert pseudomarker_names("1", np.array([1.21, 1.23, 2.0]), 0.5) == [
        "c1.loc1.21",
        "c1.loc1.23",
        "c1.loc2",
    ]
