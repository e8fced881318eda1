"""What a process keeps of kinships: found by equal values only, and bounded."""

import numpy as np
import pytest

from bulklmm_dask.lmm import samples as samples_module
from bulklmm_dask.lmm.basis import make_basis
from bulklmm_dask.lmm.known import Known
from bulklmm_dask.lmm.samples import Samples


@pytest.fixture
def bases(monkeypatch: pytest.MonkeyPatch) -> Known:
    known = Known(2**20)
    monkeypatch.setattr(samples_module, "_BASES", known)
    return known


def some_samples(seed: int = 0, n: int = 20) -> Samples:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, n))
    return Samples(np.ones((n, 1)), x @ x.T / n)


def test_a_basis_is_computed_once(bases: Known) -> None:
    first = some_samples().basis(keep=True)
    again = some_samples()  # other arrays of the same values
    assert again.basis(keep=True) is first
    assert some_samples().basis() is not first  # unless nothing is to be kept
    made = make_basis(again.kinship, again.covariates)
    np.testing.assert_array_equal(first.vectors, made.vectors)
    np.testing.assert_array_equal(first.eigenvalues, made.eigenvalues)


@pytest.mark.parametrize("part", ["kinship", "covariates", "weights"])
def test_one_bit_makes_other_samples(bases: Known, part: str) -> None:
    given = {"kinship": some_samples().kinship, "covariates": np.ones((20, 1))}
    given["weights"] = np.full(20, 2.0)
    first = Samples(**given).basis(keep=True)
    given[part] = given[part].copy()
    given[part].flat[-1] = np.nextafter(given[part].flat[-1], 3.0)
    assert Samples(**given).basis(keep=True) is not first


def test_what_is_changed_later_is_not_found(bases: Known) -> None:
    mine = some_samples()
    first = mine.basis(keep=True)
    mine.kinship[3, 3] += 0.5
    assert mine.basis(keep=True) is not first
    assert some_samples().basis(keep=True) is first


def test_eigenvectors_of_a_store_are_those_in_use(bases: Known) -> None:
    mine = some_samples()
    computed = mine.basis(keep=True)
    kept = Samples(mine.covariates, mine.kinship, eigen=(computed.eigenvalues, -computed.vectors))
    np.testing.assert_array_equal(kept.basis(keep=True).vectors, -computed.vectors)


def test_the_bytes_are_bounded() -> None:
    known: Known[int] = Known(1000)
    arrays = [np.full(25, float(i)) for i in range(4)]  # 200 bytes each
    for i, array in enumerate(arrays):
        known.keep([array], i, 200)
        known.find([arrays[0]])  # in use
    assert [known.find([array]) for array in arrays] == [0, None, None, 3]
    known.keep([np.zeros(200)], 5, 0)  # larger than all
    assert known.find([np.zeros(200)]) is None
    known.forget()
    assert known.find([arrays[0]]) is None


def test_equal_is_bit_by_bit() -> None:
    known: Known[int] = Known(1000)
    known.keep([np.array([0.0, np.nan])], 1, 8)
    assert known.find([np.array([0.0, np.nan])]) == 1
    assert known.find([np.array([-0.0, np.nan])]) is None
    assert known.find([np.array([0.0, np.nan], np.float32)]) is None
    assert known.find([None]) is None
