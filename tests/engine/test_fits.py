"""Null models travel without the eigenvectors, and are the same with those of the other side."""

import pickle

import numpy as np
import pytest
from dask.sizeof import sizeof

from bulklmm_dask.engine.fits import Fits, attached
from bulklmm_dask.engine.sizes import size_of
from bulklmm_dask.lmm.chunk import fit_traits, scan_block
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples

N = 150


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((N, 2 * N))
    covariates = np.column_stack([np.ones(N), rng.standard_normal(N)])
    return Samples(covariates, root @ root.T / (2 * N), interacting=(1,))


@pytest.fixture(scope="module")
def basis(samples):
    return samples.basis()


def traits_of(n_traits, missing):
    rng = np.random.default_rng(1)
    traits = rng.standard_normal((N, n_traits))
    if missing:
        traits[:9, 0] = np.nan
    return traits


def model(method):
    grid = (0.0, 0.3, 0.6) if method.endswith("grid") else None
    tested = {"interactions": 1} if method == "joint" else {}
    wanted = ("lod", "beta", "se") if method == "joint" else ("lod",)
    return ModelOptions(method.startswith("alt"), grid=grid, wanted=wanted, **tested)


def scanned(fitted, options):
    genotypes = np.random.default_rng(2).integers(0, 2, (20, N)).astype(float)
    return scan_block(genotypes, fitted, options, single=False)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", ["null-exact", "null-grid", "alt-grid", "alt-exact", "joint"])
def test_fits_that_have_travelled_give_the_same(samples, basis, method, missing):
    options = model(method)
    fitted = fit_traits(traits_of(3, missing), samples, options, complete=basis)
    fits = Fits(fitted, basis)
    assert fits.on(basis) is fitted  # within a worker
    there = pickle.loads(pickle.dumps(fits))
    further = pickle.loads(pickle.dumps(there))  # by way of a worker that has not used them
    (again,) = attached([further], [basis])
    last = pickle.loads(pickle.dumps(further)).on(basis)  # and of one that has
    buffers = []
    data = pickle.dumps(there, protocol=5, buffer_callback=buffers.append)  # as workers send it
    assert buffers
    sent = pickle.loads(data, buffers=[memoryview(part.raw()) for part in buffers])
    sent = pickle.loads(pickle.dumps(sent, protocol=5))
    expected = scanned(fitted, options)
    for other in (there.on(basis), again, last, sent.on(basis)):
        for name, values in scanned(other, options).items():
            np.testing.assert_array_equal(values, expected[name])
    assert again.groups[-1].basis.vectors is basis.vectors
    np.testing.assert_array_equal(there.estimates.h2, fitted.h2)
    assert [len(rows) for rows, _ in there.groups] == ([N - 9, N] if missing else [N])


def test_eigenvectors_stay_behind_but_those_of_fewer_samples_do_not(samples, basis):
    options = model("null-exact")
    whole = Fits(fit_traits(traits_of(3, False), samples, options, complete=basis), basis)
    assert len(pickle.dumps(whole)) < basis.vectors.nbytes / 4
    own = Fits(fit_traits(traits_of(3, True), samples, options, complete=basis), basis)
    assert len(pickle.dumps(own)) > 8 * (N - 9) ** 2
    with pytest.raises(pickle.UnpicklingError, match="need the eigenbasis"):
        pickle.loads(pickle.dumps(whole)).on(None)


def test_without_a_kinship_there_is_nothing_to_leave_out():
    samples, options = Samples(np.ones((N, 1)), None), model("null-exact")
    for complete in (samples.basis(), None):
        fitted = fit_traits(traits_of(3, False), samples, options, complete=complete)
        there = pickle.loads(pickle.dumps(Fits(fitted, complete)))
        (again,) = attached([there], [] if complete is None else [complete])
        for name, values in scanned(again, options).items():
            np.testing.assert_array_equal(values, scanned(fitted, options)[name])


def test_dask_knows_how_large_they_are(samples, basis):
    new = samples.basis()  # which keeps nothing yet that it has computed
    assert new.vectors.nbytes <= sizeof(new) < 1.1 * new.vectors.nbytes
    assert samples.kinship.nbytes <= sizeof(samples) < 1.1 * samples.kinship.nbytes
    fitted = fit_traits(traits_of(3, False), samples, model("null-exact"), complete=basis)
    fits = Fits(fitted, basis)
    scores = fitted.groups[0].scanner.scores.nbytes
    assert scores < sizeof(fits) < basis.vectors.nbytes / 4
    there = pickle.loads(pickle.dumps(fits))
    assert scores < sizeof(there) < basis.vectors.nbytes / 4


def test_an_array_and_its_views_count_once():
    whole = np.zeros(1000)
    assert size_of([whole, whole[:10], (whole, {"a"})]) == whole.nbytes
    assert size_of(whole[:10]) == whole.nbytes  # it keeps all of it
    assert size_of(whole, {id(whole)}) == 0
