"""Profile likelihoods: against densities, bounded searches, GEMMA's printed values, and scans."""

from __future__ import annotations

import json

import brute
import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.optimize
import studies
import xarray as xr
from scipy.stats import chi2, multivariate_normal

import bulklmm_dask as blmm
from bulklmm_dask.analyses.profile import profile
from bulklmm_dask.lmm.null.profile import DROP, TraitModel, lod_score, with_marker
from bulklmm_dask.lmm.samples import Samples


@pytest.fixture(scope="module")
def ds():
    """40 related samples, 2 covariates, missing values and calls."""
    study = studies.study(n=40, p=30, m=12, covariates=2, missing=0.2)
    study["call_dosage"][4, 7] = np.nan
    study["kinship"] = blmm.kinship(study).compute()
    return study


def parts(ds, trait, variant=None):
    """Trait, fixed effects and kinship of the complete samples."""
    y = ds.sample_trait.sel(traits=trait).values
    used = ~np.isnan(y)
    fixed = [np.ones(len(y)), *ds.sample_covariate.values.T]
    if variant is not None:
        x = ds.call_dosage.sel(variants=variant).values
        fixed.append(np.where(np.isnan(x), np.nanmean(x), x))
    kinship = ds.kinship.values[np.ix_(used, used)]
    return y[used], np.column_stack(fixed)[used], kinship


def density(h2, y, fixed, kinship, reml, weights=None):
    """The normal log-density of the data, or of their contrasts, at the best of the rest."""
    noise = np.ones(len(y)) if weights is None else 1 / weights**2
    v = h2 * kinship + (1 - h2) * np.diag(noise)
    if reml:
        contrasts = scipy.linalg.null_space(fixed.T)
        y, v = contrasts.T @ y, contrasts.T @ v @ contrasts
        mean = np.zeros(len(y))
    else:
        beta = np.linalg.solve(fixed.T @ np.linalg.solve(v, fixed), fixed.T @ np.linalg.solve(v, y))
        mean = fixed @ beta
    sigma2 = (y - mean) @ np.linalg.solve(v, y - mean) / len(y)
    return multivariate_normal.logpdf(y, mean, sigma2 * v)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("trait", ["trait2", "trait7", "trait11"])
def test_curves_are_the_densities_of_the_data(ds, trait, reml):
    found = profile(ds, trait, variant="variant5", reml=reml, n_points=25)
    for name, variant in (("null", None), ("alternative", "variant5")):
        data = parts(ds, trait, variant)
        expected = [density(h2, *data, reml) for h2 in found.h2.values]
        np.testing.assert_allclose(found[name], expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("covariates", [0, 2])
def test_weights_are_unequal_residual_variances(reml, covariates):
    """C is taken as measured in log|C'C|: contrasts of the samples before they are weighted."""
    ds = studies.study(n=40, p=30, m=12, covariates=2)
    weights = np.random.default_rng(1).uniform(0.3, 3, 40)
    y, fixed, kinship = parts(ds, "trait7", "variant5")
    null, x = fixed[:, : 1 + covariates], fixed[:, -1]
    basis = Samples(null, kinship, weights).basis()
    models = {
        "null": (TraitModel.of(basis, y, reml=reml), null),
        "alternative": (
            TraitModel.of(with_marker(basis, null, x), y, reml=reml),
            np.column_stack([null, x]),
        ),
    }
    points = np.array([0, 0.03, 0.4, 0.9, 1])
    full = {}
    for name, (model, columns) in models.items():
        expected = [density(h2, y, columns, kinship, reml, weights) for h2 in points]
        np.testing.assert_allclose(model.log_likelihood(points), expected, atol=1e-8, rtol=0)
        near = np.clip(model.h2 + np.array([0, -1e-3, 1e-3]), 0, 1)
        best, *others = [density(h2, y, columns, kinship, reml, weights) for h2 in near]
        assert best >= max(others)
        full[name] = density(model.h2, y, columns, kinship, False, weights)
    lod = (full["alternative"] - full["null"]) / np.log(10)
    found = lod_score(models["null"][0], models["alternative"][0])
    assert found == pytest.approx(lod if reml else max(0, lod), abs=1e-9)


@pytest.mark.parametrize("reml", [False, True])
def test_a_profile_with_weights_is_the_density_of_the_data(ds, reml):
    weights = np.random.default_rng(2).integers(1, 6, 40).astype(float) ** 0.5
    used = ~np.isnan(ds.sample_trait.sel(traits="trait7").values)
    found = profile(ds, "trait7", variant="variant5", weights=weights, reml=reml, n_points=25)
    assert found.attrs["weights"] == "given"
    full = []
    for name, variant in (("null", None), ("alternative", "variant5")):
        data = (*parts(ds, "trait7", variant), reml, weights[used])
        expected = [density(h2, *data) for h2 in found.h2.values]
        np.testing.assert_allclose(found[name], expected, atol=1e-8, rtol=0)
        full.append(density(float(found[f"{name}_h2"]), *data[:3], False, weights[used]))
    assert float(found.lod) == pytest.approx((full[1] - full[0]) / np.log(10), abs=1e-8)
    counts = pd.Series(weights**2, index=ds.samples.values)[::-1]
    again = profile(ds, "trait7", variant="variant5", replicates=counts, reml=reml, n_points=25)
    xr.testing.assert_equal(again, found)
    scanned = blmm.scan(ds, weights=weights, reml=reml)
    assert float(found.null_h2) == pytest.approx(float(scanned.h2.sel(traits="trait7")), abs=1e-9)
    with pytest.raises(blmm.InputError, match="weights and replicates are both given"):
        profile(ds, "trait7", weights=weights, replicates=weights)


def test_nothing_beats_the_density_at_its_closed_form_optimum(ds):
    """So that the reference above maximises over effects and variance indeed."""
    y, fixed, kinship = parts(ds, "trait7")
    v = 0.4 * kinship + 0.6 * np.eye(len(y))

    def cost(free):
        return -multivariate_normal.logpdf(y, fixed @ free[:-1], np.exp(free[-1]) * v)

    start = np.append(np.linalg.lstsq(fixed, y)[0], 0.0)
    searched = scipy.optimize.minimize(cost, start, method="BFGS", options={"gtol": 1e-6})
    assert -searched.fun == pytest.approx(density(0.4, y, fixed, kinship, False), abs=1e-7)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("trait", ["trait1", "trait5", "trait8", "trait12"])
def test_optima_are_those_of_a_bounded_search(ds, trait, reml):
    found = profile(ds, trait, variant="variant9", reml=reml, n_points=30)
    for name, variant in (("null", None), ("alternative", "variant9")):
        searched = brute.null_h2(*parts(ds, trait, variant), reml=reml)
        assert float(found[f"{name}_h2"]) == pytest.approx(searched, abs=1e-6)
        assert float(found[name].max()) == float(found[name].sel(h2=found[f"{name}_h2"]))


def test_the_lod_is_the_ratio_of_the_full_likelihoods(ds):
    found = profile(ds, "trait6", variant="variant3")
    gap = float(found.alternative.max() - found.null.max())
    assert float(found.lod) == pytest.approx(gap / np.log(10), abs=1e-12)
    restricted = profile(ds, "trait6", variant="variant3", reml=True)
    each = [
        density(float(restricted[f"{name}_h2"]), *parts(ds, "trait6", variant), False)
        for name, variant in (("null", None), ("alternative", "variant3"))
    ]
    assert float(restricted.lod) == pytest.approx((each[1] - each[0]) / np.log(10), abs=1e-9)


@pytest.mark.parametrize("reml", [False, True])
def test_the_null_optimum_is_that_of_a_scan(ds, reml):
    scanned = blmm.scan(ds, reml=reml)
    for trait in ("trait3", "trait9"):
        found = profile(ds, trait, reml=reml, n_points=10)
        assert float(found.null_h2) == pytest.approx(float(scanned.h2.sel(traits=trait)), abs=1e-9)
        assert found.n_samples == int(scanned.n_samples.sel(traits=trait))
        assert "alternative" not in found
        assert "lod" not in found


def test_points_are_many_near_the_ends_and_include_them(ds):
    found = profile(ds, "trait6", variant="variant3")
    h2 = found.h2.values
    assert h2[0] == 0
    assert h2[-1] == 1
    assert (np.diff(h2) > 0).all()
    assert np.diff(h2).max() < 0.01
    assert (h2 < 1e-3).sum() > 10
    assert (h2 > 1 - 1e-3).sum() > 10
    assert {float(found.null_h2), float(found.alternative_h2)} <= set(h2)
    assert 401 <= len(h2) <= 403
    few = profile(ds, "trait6", n_points=2)
    np.testing.assert_array_equal(few.h2, np.unique([0, float(few.null_h2), 1]))


def test_the_interval_lies_where_the_likelihood_has_dropped(ds):
    assert pytest.approx(chi2.ppf(0.95, 1) / 2) == DROP
    found = profile(ds, "trait6", variant="variant3")
    for name, variant in (("null", None), ("alternative", "variant3")):
        data = parts(ds, "trait6", variant)
        top = density(float(found[f"{name}_h2"]), *data, False)
        for end in found[f"{name}_interval"].values:
            drop = top - density(end, *data, False)
            assert drop == pytest.approx(DROP, abs=1e-3) or (end in (0, 1) and drop < DROP)
    low, high = found.null_interval.values
    assert low < float(found.null_h2) <= high


def test_a_singular_kinship_stops_below_one_and_loses_no_digits():
    study = studies.study(n=24, p=30, m=6)
    twice = study.isel(samples=np.repeat(np.arange(24), 2)).drop_vars("kinship")
    twice["sample_id"] = ("samples", np.array([f"s{i}" for i in range(48)], dtype=object))
    twice = twice.assign_coords(samples=twice.sample_id.values)
    noise = np.random.default_rng(2).standard_normal((48, 6))
    twice["sample_trait"] = twice.sample_trait + 0.5 * noise
    kinship = np.kron(study.kinship.values, np.ones((2, 2)))
    found = profile(twice, "trait4", variant="variant8", kinship=kinship)
    assert float(found.h2.max()) == 1 - 1e-5
    y, x = (
        twice.sample_trait.sel(traits="trait4").values,
        twice.call_dosage.sel(variants="variant8").values,
    )
    fixed = np.column_stack([np.ones(48), x])
    some = found.isel(h2=slice(None, None, 20))
    for name, columns in (("null", fixed[:, :1]), ("alternative", fixed)):
        expected = [density(h2, y, columns, kinship, False) for h2 in some.h2.values]
        np.testing.assert_allclose(some[name], expected, atol=1e-5)


def test_a_likelihood_without_a_maximum_is_said():
    study = studies.study(n=20, p=60, m=4)
    study["kinship"] = blmm.kinship(study, method="centered").compute()
    y = study.kinship.values @ np.random.default_rng(1).standard_normal(20)
    study["sample_trait"][:, 0] = y
    with pytest.warns(blmm.StudyWarning, match=r"'trait1': .*no maximum below h2 = 1.*REML"):
        found = profile(study, "trait1")
    assert found.null_status == "unbounded"
    assert float(found.null_h2) == float(found.h2.max()) == 1 - 1e-5


def test_a_marker_without_variation_changes_nothing(ds):
    flat = ds.copy(deep=True)
    flat["call_dosage"][0] = 1.0
    with pytest.warns(blmm.StudyWarning, match=r"'variant1'.*no variation"):
        found = profile(flat, "trait6", variant="variant1", reml=True)
    np.testing.assert_array_equal(found.null, found.alternative)
    assert float(found.lod) == 0


def test_arguments_are_those_of_a_scan(ds):
    lazy = ds.chunk(samples=10, variants=7, traits=5).assign(kinship=blmm.kinship(ds))
    expected = profile(ds, "trait6", variant="variant3", n_points=9)
    xr.testing.assert_allclose(profile(lazy, "trait6", variant="variant3", n_points=9), expected)
    named = pd.DataFrame(ds.kinship.values, ds.sample_id.values, ds.sample_id.values)
    shuffled = named.sample(frac=1, random_state=0)
    again = profile(ds, "trait6", variant="variant3", kinship=shuffled, n_points=9)
    xr.testing.assert_allclose(again, expected)
    alone = profile(ds, "trait6", covariates=["covariate2"], n_points=9)
    assert alone.attrs["covariates"] == "covariate2"
    y, fixed, kinship = parts(ds, "trait6")
    assert float(alone.null[0]) == pytest.approx(density(0, y, fixed[:, [0, 2]], kinship, False))


def test_a_profile_survives_a_file(ds, tmp_path):
    found = profile(ds, "trait6", variant="variant3", n_points=9)
    found.to_zarr(tmp_path / "p.zarr", consolidated=False)
    back = xr.open_zarr(tmp_path / "p.zarr", consolidated=False).load()
    xr.testing.assert_identical(back, found)


def test_what_cannot_be_profiled_is_refused(ds):
    def refuses(match, *names, study=ds, **options):
        with pytest.raises(blmm.InputError, match=match):
            profile(study, *names, **options)

    refuses(r"no trait 'trait112' in the study; similar are 'trait12'", "trait112")
    refuses(r"no trait 'Xyz' in the study; there are 'trait1', 'trait2', 'trait3', \.\.\.", "Xyz")
    refuses(
        r"no variant 'varant3' in the study; similar are 'variant3'", "trait1", variant="varant3"
    )
    refuses(r"kinship=None is given, but", "trait1", kinship=None)
    refuses(r"no variable 'K'", "trait1", kinship="K")
    refuses(r"no covariate 'shoe'", "trait1", covariates=["shoe"])
    refuses(r"n_points is 1; a curve needs at least 2", "trait1", n_points=1)
    bad = ds.copy(deep=True)
    bad["sample_trait"][:, 0] = 3.0
    bad["sample_trait"][4:, 1] = np.nan
    bad["sample_trait"][:, 2] = np.nan
    bad["sample_trait"][0, 3] = np.inf
    bad["call_dosage"][0, 0] = 2.5
    bad["sample_trait"][:, 4] = ds["call_dosage"][1] * 3 - 1
    refuses(r"trait 'trait1' has no variation in its \d+ complete", "trait1", study=bad)
    refuses(r"trait 'trait2' has 4 complete samples, too few .* 3 fixed", "trait2", study=bad)
    refuses(r"trait 'trait3' has 0 complete samples", "trait3", study=bad)
    refuses(r"infinite value.*'trait4'", "trait4", study=bad)
    refuses(r"outside 0\.\.2, the first 2\.5", "trait6", variant="variant1", study=bad)
    refuses(
        r"trait 'trait5' with variant 'variant2' has no variation .* 4 fixed effects",
        "trait5",
        variant="variant2",
        study=bad,
    )


@pytest.fixture(scope="module")
def gemma(reference):
    """Folder, study and null models of GEMMA's eight traits."""
    samples = pd.read_csv(reference / "bxd_longevity" / "samples.csv")
    strains = pd.read_csv(reference / "bxd_longevity" / "strain_genotypes.csv.gz", index_col=0)
    traits = pd.read_csv(reference / "gemma" / "traits.csv.gz", index_col=0)
    dosage = strains[samples["strain"]].to_numpy(dtype=float).T
    study = blmm.create_dataset(
        dosage,
        traits.drop(columns="covariate"),
        covariates=traits[["covariate"]],
        variant_ids=strains.index,
        strains=samples["strain"].to_numpy(),
        maximum=1,
    )
    study["kinship"] = blmm.kinship(study, method="bulklmm").compute()
    models = json.loads((reference / "gemma" / "null_models.json").read_text())
    return reference / "gemma", study, models


@pytest.mark.parametrize("trait", [f"trait{i}" for i in ("1", "2", "3c", "4", "5", "6c", "7", "8")])
def test_log_likelihoods_and_optima_are_gemmas(gemma, trait):
    folder, study, models = gemma
    model = models[trait]
    used = ~np.isnan(study.sample_trait.sel(traits=trait).values)
    centring = np.eye(len(used)) - np.outer(used, used) / used.sum()  # as GEMMA centres K
    table = pd.read_csv(folder / f"{trait}.csv.xz", index_col="rs")
    top = table.p_lrt.idxmin()
    options = {
        "kinship": centring @ study.kinship.values @ centring,
        "covariates": model["covariate"],
        "variant": top,
        "n_points": 20,
    }
    ml, reml = (profile(study, trait, reml=reml, **options) for reml in (False, True))
    assert ml.n_samples == model["n"]
    assert float(ml.null.max()) == pytest.approx(model["mle_loglik"], abs=1e-3)
    assert float(reml.null.max()) == pytest.approx(model["remle_loglik"], abs=1e-3)
    row = table.loc[top]
    assert float(ml.alternative.max()) == pytest.approx(row.logl_H1, abs=1e-3)
    for found, ratio in ((ml, row.l_mle), (reml, row.l_remle)):
        assert float(found.alternative_h2) == pytest.approx(ratio / (1 + ratio), abs=2e-5)
    assert float(ml.lod) == pytest.approx(chi2.isf(row.p_lrt, 1) / (2 * np.log(10)), abs=1e-4)
