"""Kinships that were handed in: rounded, scaled, not positive semi-definite, or zero."""

from __future__ import annotations

import re
import warnings

import dask.array as da
import numpy as np
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.lmm.check_kinship import check_kinship
from bulklmm_dask.lmm.rounding import rounding_of


def significant(matrix: np.ndarray, digits: int) -> np.ndarray:
    return np.array([[float(f"{value:.{digits}g}") for value in row] for row in matrix])


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    """200 distinct samples and few markers, so that most eigenvalues of a kinship are 0."""
    return studies.study(n=200, p=40, m=4, seed=2)


@pytest.fixture(scope="module")
def centred(ds) -> np.ndarray:
    return blmm.kinship(ds, method="centered").values


ROUNDED = {
    "6 decimals": lambda k: np.round(k, 6),
    "5 decimals": lambda k: np.round(k, 5),
    "6 significant digits": lambda k: 1e12 * np.round(k, 6),
    "5 significant digits": lambda k: significant(k, 5),
    "single precision": lambda k: k.astype(np.float32),
}


@pytest.mark.parametrize("words", ROUNDED)
def test_a_rounded_kinship_is_mended_and_said(ds, centred, words):
    exact = blmm.scan(ds, kinship=centred, reml=True).compute()
    said = f"kinship has slightly negative eigenvalues.*rounded to {words}; .*more digits"
    with pytest.warns(StudyWarning, match=said) as caught:
        found = blmm.scan(ds, kinship=ROUNDED[words](centred), reml=True).compute()
    assert len(caught) == 1
    np.testing.assert_allclose(found.lod, exact.lod, atol=1e-2)


def test_what_is_mended_has_no_negative_eigenvalue(centred):
    said: list[str] = []
    mended = check_kinship(np.round(centred, 6), 200, "K", said.append)
    assert len(said) == 1
    values = np.linalg.eigvalsh(mended)
    assert values[0] > -1e-13
    np.testing.assert_allclose(mended, centred, atol=1e-4)
    assert check_kinship(mended, 200, "K", pytest.fail) is not mended  # and is not mended again


def test_enough_digits_need_no_word(ds, centred):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blmm.scan(ds, kinship=np.round(centred + 0.1 * np.eye(200), 4))
        blmm.scan(ds, kinship=centred)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda k: np.round(k, 2), "; rounding of its entries to 2 decimals explains that, but"),
        (lambda k: np.round(k - 0.05 * np.eye(200), 6), ", more than rounding .* 6 decimals expl"),
        (lambda k: k - 0.05 * np.eye(200), ", (which is not|more than) rounding"),
        (lambda k: -k, ", (which is not|more than) rounding"),
    ],
    ids=["too coarse", "too negative", "not rounded", "negated"],
)
def test_what_rounding_does_not_explain_is_refused(ds, centred, make, reason):
    with pytest.raises(InputError, match=f"not positive semi-definite.*{reason}"):
        blmm.scan(ds, kinship=make(centred))


@pytest.mark.parametrize(
    "zeros", [np.zeros((200, 200)), np.zeros((200, 200), np.int8), -np.zeros((200, 200))]
)
def test_a_kinship_of_zeros_is_refused(ds, zeros):
    for analysis in (blmm.scan, blmm.heritability, blmm.permute):
        with pytest.raises(InputError, match=r"0 everywhere.*kinship=None for ordinary"):
            analysis(ds, kinship=zeros)
    with pytest.raises(InputError, match=r"'?kinship'? is 0 everywhere"):
        blmm.scan(ds.assign(kinship=0 * ds.kinship))


def test_lazy_and_by_contig(ds, centred):
    lazy = blmm.scan(ds, kinship=da.from_array(np.zeros((200, 200)), chunks=100))
    with pytest.raises(InputError, match="0 everywhere"):
        lazy.lod.compute()
    both = np.stack([centred, np.round(centred, 6)])
    with pytest.warns(StudyWarning, match="the kinship without contig 2 has slightly negative"):
        blmm.scan(ds, kinship=both, loco=True)


def test_kinship_zero_among_the_samples_of_one_trait_is_no_kinship():
    """Samples that the kinship says nothing of: the trait has h2 = 0 and a regression's LODs."""
    ds = studies.study(n=40, p=20, m=2, seed=4)
    kinship = ds.kinship.values.copy()
    kinship[:20] = kinship[:, :20] = 0.0
    ds.sample_trait.values[20:, 0] = np.nan
    found = blmm.scan(ds, kinship=kinship).compute()
    plain = blmm.scan(ds, kinship=None).compute()
    assert float(found.h2[0]) == 0.0
    assert str(found.trait_status.values[0]) == "ok"
    np.testing.assert_allclose(found.lod[:, 0], plain.lod[:, 0], atol=1e-6)


@pytest.mark.parametrize("size", [1e-300, 1e-11, 1.0, 1e12, 1e300])
def test_symmetry_and_sign_are_judged_whatever_the_scale(size):
    good = np.array([[2.0, 1.0], [1.0, 2.0]]) * size
    np.testing.assert_array_equal(check_kinship(good, 2, "K", pytest.fail), good)
    for bad, what in ((good + np.triu(good, 1), "not symmetric"), (good[::-1], "not positive")):
        with pytest.raises(InputError, match=re.escape(what)):
            check_kinship(bad, 2, "K", pytest.fail)


def test_the_rounding_that_is_found():
    values = np.random.default_rng(0).standard_normal((30, 30))
    assert rounding_of(values).error == 0.0
    assert rounding_of(np.round(values, 3)).words == "3 decimals"
    assert rounding_of(np.round(values, 3)).error == 0.5e-3
    assert rounding_of(significant(1e-5 * values, 4)).words == "4 significant digits"
    assert rounding_of(significant(values, 8)).error >= 0.5e-8
    assert rounding_of(values.astype(np.float32)).words == "single precision"
    rounded = np.round(values, 4)
    assert np.abs(rounded - values).max() <= rounding_of(rounded).error
    change = np.abs(np.linalg.eigvalsh(rounded + rounded.T) - np.linalg.eigvalsh(values + values.T))
    assert change.max() <= 2 * rounding_of(rounded).eigenvalue(30)


@pytest.mark.parametrize("decimals", [3, 4, 6])
def test_a_centred_kinship_stays_centred_if_its_entries_are_rounded(decimals):
    """Whichever sign rounding gives the eigenvalue that is 0, fits of ML say so."""
    # 30 samples: the eigenvalues but the one of the vector of ones are far above rounding.
    ds = blmm.simulate_study(n_samples=30, n_strains=None, n_variants=400, n_traits=8, seed=4)
    exact = blmm.kinship(ds, method="centered").values
    wanted = blmm.scan(ds, kinship=exact).load()
    assert "unbounded" in wanted.trait_status.values
    signs = set()
    for turn in range(8):  # other rounding errors each time
        rounded = np.round(exact * (1 + turn / 97), decimals)
        signs.add(bool(np.linalg.eigvalsh(rounded)[0] > 0))
        with pytest.warns(StudyWarning, match="negative eigenvalues|was centred again") as caught:
            found = blmm.scan(ds, kinship=rounded).load()
        assert len(caught) == 1
        assert found.trait_status.values.tolist() == wanted.trait_status.values.tolist()
    assert signs == {False, True}


def test_rows_that_do_not_sum_to_zero_are_left_alone(ds, centred):
    for given in (np.round(centred + 0.02, 6), np.round(centred + 0.1 * np.eye(200), 6)):
        kept = check_kinship(given, 200, "K", pytest.fail)
        np.testing.assert_array_equal(kept, given)


@pytest.mark.parametrize("size", [1e-310, 1e306])
def test_a_kinship_of_a_size_that_doubles_cannot_multiply(centred, size):
    with pytest.raises(InputError, match="where doubles lose their digits; multiply the kinship"):
        check_kinship((centred + np.eye(200)) * size, 200, "K", pytest.fail)


@pytest.mark.parametrize("loco", [False, True])
def test_a_lazy_kinship_is_checked_once_however_many_graphs_need_it(ds, centred, tmp_path, loco):
    given = np.round(centred, 5)
    # One contig's kinship is rounded, and said; the other's is not.
    given = np.stack([given, np.eye(200)]) if loco else given
    given = da.from_array(given, chunks=-1)
    dims = ("contigs", "samples_0", "samples_1")[not loco :]
    lazy = {"kinship": xr.DataArray(given, dims=dims), "loco": loco, "reml": True}
    for run in (
        lambda: blmm.scan(ds, **lazy).load(),
        lambda: blmm.scan(ds, **lazy, chunks={"variants": 15, "traits": 2}).load(),
        lambda: blmm.scan(ds, **lazy, store=tmp_path / "r.zarr"),
        lambda: blmm.permute(ds, **lazy, n_permutations=3).load(),
        lambda: blmm.permute(ds, **lazy, n_permutations=3, method="shared"),
    ):
        with pytest.warns(StudyWarning, match="slightly negative eigenvalues") as caught:
            run()
        assert len(caught) == 1
    with pytest.raises(InputError, match=r"kinship has shape \(199, 200\), but the study has 200"):
        blmm.scan(ds, kinship=da.ones((199, 200)))
