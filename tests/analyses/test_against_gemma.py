"""GEMMA's own answers: its likelihood ratio test re-estimates h2 for every marker, as alt-exact.

GEMMA writes seven digits, keeps its variance ratio lambda = h2 / (1 - h2) within [1e-5, 1e5] and
centres the kinship on the samples with a phenotype.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from gemma import Analysis, run_gemma, simulated
from references import longevity_arrays

TRAITS = ["trait1", "trait3c", "trait7"]
TRAITS += [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("trait2", "trait4", "trait5", "trait6c", "trait8")
]
DENSE_MEAN, DENSE_LARGEST = 2e-4, 5e-3
both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])


def full_log_likelihood(n: int, profile: np.ndarray) -> np.ndarray:
    """With the constant that profile likelihoods leave out."""
    return profile + n / 2 * (np.log(n / (2 * np.pi)) - 1)


@pytest.fixture(scope="module", params=TRAITS)
def analysis(request, reference):
    name = request.param
    genotypes, kinship, traits = longevity_arrays(reference)
    covariate = traits["covariate"].to_numpy() if name.endswith("c") else None
    gemma = pd.read_csv(reference / "gemma" / f"{name}.csv.xz")
    found = Analysis.of(2 * genotypes, traits[name].to_numpy(), covariate, kinship, gemma)
    found.null = json.loads((reference / "gemma" / "null_models.json").read_text())[name]
    assert found.ds.sizes["samples"] == found.null["n"]
    assert found.ds.sizes["variants"] == 7321
    return found


@pytest.mark.slow
def test_every_marker_refined(analysis):
    result = analysis.scan(refine_above=0)
    assert str(result.trait_status.values) == "ok"
    np.testing.assert_allclose(result.lod, analysis.lod, atol=1e-4, rtol=0)
    analysis.check_h2(result.h2_alt.values, reml=False)
    n, h2 = analysis.ds.sizes["samples"], result.h2.values[None]
    null = full_log_likelihood(n, analysis.pairs().likelihood(h2, None, False))
    # GEMMA's lambda of 1e-5 at least costs up to 3e-4 where h2 is 0.
    assert null == pytest.approx(analysis.null["mle_loglik"], abs=6e-4)
    alternative = null + result.lod.values * np.log(10)
    np.testing.assert_allclose(alternative, analysis.gemma["logl_H1"], atol=4e-4, rtol=0)


def test_default_threshold(analysis):
    result = analysis.scan()
    error = np.abs(result.lod.values - analysis.lod)
    assert error.mean() <= DENSE_MEAN
    assert error.max() <= DENSE_LARGEST
    assert error[analysis.lod >= 3].max(initial=0) <= 1e-4
    assert int(result.n_refined) >= (analysis.lod >= 3).sum()


def test_restricted_heritabilities(analysis):
    result = analysis.scan(reml=True, refine_above=0)
    analysis.check_h2(result.h2_alt.values, reml=True)
    variances = analysis.null
    h2 = variances["vg"] / (variances["vg"] + variances["ve"])
    assert float(result.h2) == pytest.approx(h2, abs=2e-5)


KINDS = {
    "plain": "ok",
    "covariate and missing values": "ok",
    "one strong locus": "ok",
    "no heritability": "ok",
    "nothing but heritability": "unbounded",  # its likelihood grows without end: no noise at all
    # Centred, their kinship has the intercept for its null space: ML has no maximum, and GEMMA
    # reports the bound of lambda just as the scan does.
    "distinct samples": "unbounded",
}


@pytest.mark.gemma
@pytest.mark.skipif(shutil.which("gemma") is None, reason="no program gemma on the PATH")
@pytest.mark.parametrize("kind", KINDS)
def test_gemma_run_now(kind, tmp_path):
    data = simulated(kind)
    live = Analysis.of(*data, run_gemma(tmp_path, *data))
    result = live.scan(refine_above=0)
    assert str(result.trait_status.values) == KINDS[kind]
    np.testing.assert_allclose(result.lod, live.lod, atol=1e-4, rtol=0)
    live.check_h2(result.h2_alt.values, reml=False)
    live.check_h2(live.scan(refine_above=0, reml=True).h2_alt.values, reml=True)


def test_effects_and_their_errors(analysis):
    """GEMMA's beta and se are those at the restricted estimate of each marker, per allele copy."""
    found = analysis.scan(reml=True, refine_above=0, statistics=("beta", "se"))
    beta, se = (analysis.gemma[name].to_numpy() for name in ("beta", "se"))
    # Its signs refer to the allele of its own file, the same for all markers.
    np.testing.assert_allclose(found.se, se, rtol=1e-4)
    np.testing.assert_allclose(found.beta, beta, rtol=1e-4, atol=1e-4 * se.min())
