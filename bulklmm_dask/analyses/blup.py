"""The analysis `blup`: effects of genotypes along the genome, shrunk towards their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.covariates import CovariatesLike
from bulklmm_dask.analyses.inputs.kinship import KinshipLike
from bulklmm_dask.analyses.inputs.regions import markers_on
from bulklmm_dask.analyses.inputs.vectors import VectorLike
from bulklmm_dask.analyses.inputs.x_covariates import XCovariatesLike
from bulklmm_dask.analyses.options import Model
from bulklmm_dask.analyses.package import labels, package
from bulklmm_dask.analyses.prepare import ModelInputs, prepare
from bulklmm_dask.analyses.tested import study_to_test
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.engine.study import Study
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.groups import NullEstimates, fit_groups
from bulklmm_dask.lmm.joint.absent import without_absent
from bulklmm_dask.lmm.joint.blup import predictors
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.lmm.powers import back
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import refuse_infinite, refuse_outside, require_flag
from bulklmm_dask.study.schema import select
from bulklmm_dask.surface import function
from bulklmm_dask.typing import Columns

_PROBABILITY = "call_genotype_probability"


def blup(
    ds: xr.Dataset,
    traits: str | Sequence[str],
    *,
    contig: str | None = None,
    kinship: KinshipLike = "kinship",
    loco: bool = False,
    covariates: CovariatesLike = True,
    x_covariates: XCovariatesLike = None,
    weights: VectorLike | None = None,
    replicates: VectorLike | None = None,
    reml: bool = True,
    model: Model = "full",
) -> xr.Dataset:
    """Predict effects of genotypes at every marker, as random ones that shrink to their mean.

    Of many genotypes some are rare, and their least-squares effects wild. Best linear unbiased
    predictors take the effects of a marker as draws from one normal distribution, whose variance is
    estimated by restricted maximum likelihood (Broman et al. 2019; R/qtl2's scan1blup). h2 of the
    kinship is estimated once a trait, without a marker. Effects by least squares are those of
    ``scan(ds, statistics="beta")``.

    Parameters
    ----------
    ds : Dataset
        A study with ``call_genotype_probability``: genotypes of an intercross, founders of a
        multi-parent cross (`allele_probabilities`). A raw cross is computed, which is said.
    traits : str or sequence of str
        Names of one or several traits.
    contig : str, optional
        Only the markers of this chromosome.
    kinship, loco, covariates, x_covariates, weights, replicates : optional
        The model, as in `scan`.
    reml : bool
        Estimate h2 by restricted instead of full maximum likelihood.
    model : {"full", "additive"}
        As in `scan`.

    Returns
    -------
    Dataset
        ``beta`` (variants, traits, genotypes), float64, in memory: deviations from the mean of all
        genotypes, in units of the trait; ``se``, their conditional standard deviations; ``h2`` as
        in a result of `scan`. NaN for a trait without a null model, and for genotypes that a
        contig does not have. `plot.coefficients` draws it.

    Raises
    ------
    InputError
        If the study has no genotype probabilities, a trait or contig is not in it, or an option
        cannot be used.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> founders = rng.dirichlet(np.full(4, 0.2), size=(80, 3))
    >>> trait = founders[:, 1] @ [2, 0, 0, -2] + rng.normal(size=80)
    >>> study = blmm.create_dataset(founders, trait[:, None], trait_ids=["weight"])
    >>> effects = blmm.blup(study, "weight", kinship=None)
    >>> effects.beta.sel(variants="variant2", traits="weight").values.round(1)
    array([ 1.8,  0. ,  0.1, -1.9])
    """
    require_flag(reml, "reml")
    ds = study_to_test(ds, _PROBABILITY if _PROBABILITY in ds else None, model)
    if _PROBABILITY not in ds:
        raise InputError(
            "the study has dosages only, and BLUPs are of the genotypes of a marker; make their "
            f"probabilities with {function('genotype_probabilities')}"
        )
    ds = select(ds, "traits", [traits] if isinstance(traits, str) else list(traits))
    mine = None if contig is None else markers_on(ds, contig)
    inputs = ModelInputs(
        kinship=kinship,
        loco=loco,
        covariates=covariates,
        x_covariates=x_covariates,
        weights=weights,
        replicates=replicates,
        genotypes=_PROBABILITY,
        model=model,
    )
    study = prepare(ds, inputs, mine).with_kinship_in_memory()
    found = _predicted(study, reml=reml)
    names = labels(ds if mine is None else ds.isel(variants=mine))
    if "genotype_id" in ds:
        genotypes = text(ds["genotype_id"].values)
    else:
        genotypes = text(f"genotype{i + 1}" for i in range(ds.sizes["genotypes"]))
    dims = ("variants", "traits", "genotypes")
    own = ("traits",) if found["h2"].ndim == 1 else ("contigs", "traits")
    columns = {
        "beta": (dims, found["beta"], {"long_name": "effect, as deviation from the mean"}),
        "se": (dims, found["se"], {"long_name": "conditional standard deviation of the effect"}),
        "h2": (own, found["h2"], {"long_name": "heritability"}),
    }
    attrs = {"method": "blup", "reml": reml, **inputs.of_tests(ds, study.measured)}
    return package(names.assign_coords(genotypes=genotypes), columns, attrs)


def _predicted(study: Study, *, reml: bool) -> Columns:
    measured, markers = study.measured, study.genotypes
    values, traits = markers.values, measured.traits
    if is_lazy(values) or is_lazy(traits):
        values, traits = computed(values, traits)
        refuse_outside(values, markers.maximum, list(markers.names), list(measured.sample_names))
        refuse_infinite(
            traits, "sample_trait", list(measured.sample_names), list(measured.trait_names)
        )
    x, measures = impute(values), np.asarray(traits, dtype=np.float64)
    _, n_variants, n_traits = study.sizes
    beta, se = np.full((2, n_variants, n_traits, x.shape[2]), np.nan)
    alike = np.array(measured.alike)
    h2 = np.full((len(alike), n_traits), np.nan)
    for model in np.unique(alike).tolist():
        mine = np.flatnonzero(alike[markers.relation] == model)
        samples = Samples(
            measured.covariates_on(model),
            measured.kinship_on(model),
            measured.weights,
            eigen=measured.eigen_of(model),
        )
        estimates = NullEstimates.unknown(measures, samples)
        for group in fit_groups(measures, samples, estimates, reml=reml):
            if not len(mine):
                continue
            probabilities = without_absent(x[mine][:, group.rows])
            null = group.model
            for j, own in enumerate(null.h2[null.fitted]):
                found = predictors(group.basis, null.rotated[:, j], own, probabilities)
                for name, out in (("beta", beta), ("se", se)):
                    out[mine, group.columns[j]] = back(
                        found[name] * null.scale[j], null.exponent[j]
                    )
        h2[alike == model] = estimates.h2
    return {"beta": beta, "se": se, "h2": h2[0] if measured.relations is None else h2}
