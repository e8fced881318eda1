"""The analysis `heritability`: estimate, standard error and test, for all traits at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import xarray as xr

from bulklmm_dask.analyses.advice import warn_of_few_degrees
from bulklmm_dask.analyses.components import TESTS, shares
from bulklmm_dask.analyses.fields import attributes_of
from bulklmm_dask.analyses.inputs.kernels import KernelLike, are_several
from bulklmm_dask.analyses.inputs.kinship import KinshipLike, require_kinship
from bulklmm_dask.analyses.inputs.vectors import VectorLike
from bulklmm_dask.analyses.package import labels, package
from bulklmm_dask.analyses.prepare import ModelInputs, prepare_measurements
from bulklmm_dask.engine.heritability import estimate_all
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.null.heritability import boundary_test
from bulklmm_dask.lmm.statistics import OF_HERITABILITIES, OF_TRAITS
from bulklmm_dask.study.checks import require_flag
from bulklmm_dask.study.schema import validate

_COLUMNS = (
    *("h2", "h2_se", "sigma2", "log_likelihood", "log_likelihood_0"),
    *TESTS,
    *("n_samples", "trait_status"),
)


def heritability(
    ds: xr.Dataset,
    *,
    kinship: KinshipLike | Mapping[str, KernelLike] = "kinship",
    covariates: bool | Sequence[str] | None = True,
    weights: VectorLike | None = None,
    replicates: VectorLike | None = None,
    reml: bool = True,
) -> xr.Dataset:
    r"""Heritability of every trait, with its standard error and the test that there is none.

    Of the model y = C a + u + e, Var(y) = s2 [h2 K + (1 - h2) I], h2 maximises the profile
    likelihood l over the whole admissible interval: [0, 1], or up to 1 - 1e-5 for a singular
    kinship. Its unit is that of the kinship: a kinship twice as large gives another h2 of the same
    fit. With v_g = s2 h2, v_e = s2 (1 - h2) and t the mean diagonal of the kinship centred on the
    samples of the trait, GEMMA's share of the variance is pve = v_g t / (v_g t + v_e).

    Parameters
    ----------
    ds : Dataset
        A study, from a reader, `create_dataset` or `open_dataset`; its genotypes are not used.
        Missing trait values leave their samples out of that trait.
    kinship : str, array (samples, samples), DataArray, DataFrame or mapping
        As in `scan`; None leaves no heritability to estimate and is refused. A mapping gives the
        model several random effects, each with a kernel by a name of its own,
        ``{"additive": K, "cage": "cage"}``: a matrix; the name of a matrix of the study; a method
        of `kinship`, such as ``"dominance"``, that is computed now, or a method and a region,
        ``"centered:7:20-40"``, of the markers there; the name of a sample variable, or one label a
        sample, for groups that share an effect (``"@cage"`` is the variable, even if a matrix is
        called cage).
    covariates : bool, str or sequence of str
        As in `scan`: True for those of the study, False or None for none, or names.
    weights, replicates : str, array (samples,), DataArray or Series, optional
        As in `scan`.
    reml : bool
        Restricted maximum likelihood, as R/qtl2, GEMMA and GCTA estimate heritability by default;
        False for maximum likelihood, as `scan` does by default.

    Returns
    -------
    Dataset
        Computed, since it is small: chunk by chunk of the traits, under whatever Dask scheduler is
        active. All over (traits), with the names and the metadata of the traits:

        - ``h2``, ``sigma2``, ``n_samples``, ``trait_status``: as in the result of `scan`;
        - ``h2_se``: 1 / sqrt(-l''(h2)), from the observed information with s2 and the fixed
          effects maximised out, as in GEMMA. At a bound, 0 or the upper end, the expected
          restricted information takes its place, that of a trait with this h2 in this study; no
          normal interval follows from it (`profile` gives likelihood intervals).
          GEMMA's figure at a bound is the curvature in h2/(1-h2) and differs;
        - ``log_likelihood`` and ``log_likelihood_0``: at h2 and at 0, in nats, restricted under
          REML, with all constants, as in `profile`;
        - ``lr_statistic``: twice their difference;
        - ``p_value`` of h2 = 0, from 1/2 chi2_0 + 1/2 chi2_1 (Self and Liang 1987), 1 where h2
          is 0; ``neg_log10_p``: -log10 of it, finite however small it is. The mixture holds for
          many independent families. With few, and under maximum likelihood with many covariates or
          an uncentred kinship, more than half of all statistics are 0 and the test is
          conservative: without heritability fewer than 5% of traits have p < 0.05. So test under
          REML.

        A trait that cannot be fitted has NaN. Where the likelihood grows without end towards
        h2 = 1, log-likelihood, test and standard error are NaN and the status is "unbounded":
        prefer REML or an uncentred kinship.

        With a mapping, Var(y) = s2 [sum_k h_k K_k + h_e R], R = I or that of the weights. Every
        kernel is divided by its mean diagonal on the samples of the trait, so that h_k is its share
        of their mean variance, and the shares sum to one. There is a dimension ``components``,
        the kernels by name and ``residual`` last:

        - ``h2`` (components, traits): the shares that maximise l over all h_k >= 0; the residual is
          at least 1e-5 if a kernel is singular;
        - ``h2_se`` (components, traits): by the delta method from the average information on all
          variances (Gilmour et al. 1995), as in ``gemma -vc 2``;
        - ``variance`` (components, traits): s2 h, for kernels of mean diagonal one;
        - ``log_likelihood_0``, ``lr_statistic``, ``p_value``, ``neg_log10_p`` (components, traits):
          the largest log-likelihood without the component, all others fitted again, and the test
          of it, from the same mixture. That is its distribution where the other shares are inside;
          NaN for the residual;
        - ``sigma2``, ``log_likelihood``, ``n_samples``, ``trait_status`` (traits). A status is also
          "boundary" if a share is at its bound; "flat" if other shares are as likely, and there
          is no error; "confounded" if the samples of this trait cannot tell kernels apart, and all
          is NaN.

    Raises
    ------
    InputError
        If the study, the kinship, the covariates or an option cannot be used; if a kernel is 0
        beside the covariates, or a sum of multiples of other kernels and the identity.

    Warns
    -----
    StudyWarning
        For samples left out because they lack a covariate; for texts read as covariates; for fewer
        than five samples more than columns of covariates.

    Examples
    --------
    >>> estimates = blmm.heritability(ds)
    >>> table = estimates[["h2", "h2_se", "p_value"]].reset_coords(drop=True).to_dataframe()
    >>> table.head(4).round(3)
                h2  h2_se  p_value
    traits
    trait01  0.636  0.121    0.000
    trait02  0.610  0.096    0.000
    trait03  0.163  0.123    0.050
    trait04  0.248  0.146    0.016

    Samples of 24 cages, which share an effect:

    >>> ds["sample_cage"] = ("samples", [f"cage{i % 24}" for i in range(120)])
    >>> estimates = blmm.heritability(ds, kinship={"additive": "kinship", "cage": "cage"})
    >>> estimates.h2.isel(traits=0).to_series().round(3)
    components
    additive    0.639
    cage        0.014
    residual    0.347
    Name: h2, dtype: float64
    """
    require_flag(reml, "reml")
    require_kinship(kinship, "estimate")
    ds = validate(ds)
    if not ds.sizes["samples"] or not ds.sizes["traits"]:
        raise InputError(f"nothing to estimate: the study has sizes {dict(ds.sizes)}")
    inputs = ModelInputs(
        kinship=None, covariates=covariates, weights=weights, replicates=replicates
    )
    if are_several(kinship):
        return shares(ds, replace(inputs, kernels=kinship), reml=bool(reml))
    inputs = replace(inputs, kinship=cast(KinshipLike, kinship))
    measured = prepare_measurements(ds, inputs)
    found = estimate_all(measured, reml=reml)
    warn_of_few_degrees(measured, found["n_samples"])
    gain = found["log_likelihood"] - found["log_likelihood_0"]
    found |= dict(zip(TESTS, boundary_test(gain), strict=True))
    about = attributes_of(OF_TRAITS + OF_HERITABILITIES)
    columns = {name: ("traits", found[name], about[name]) for name in _COLUMNS}
    attrs = {"reml": bool(reml), **inputs.of_model(measured)}
    return package(labels(ds, {"traits"}), columns, attrs)
