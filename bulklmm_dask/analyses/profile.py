"""The analysis `profile`: the profile likelihood of h2 of one trait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.fields import attributes_of
from bulklmm_dask.analyses.inputs.kinship import KinshipLike, require_kinship
from bulklmm_dask.analyses.inputs.vectors import VectorLike
from bulklmm_dask.analyses.package import package
from bulklmm_dask.analyses.prepare import ModelInputs, prepare_trait
from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.null.profile import (
    TraitModel,
    curve_points,
    likelihood_interval,
    lod_score,
    with_marker,
)
from bulklmm_dask.lmm.statistics import OF_PAIRS
from bulklmm_dask.lmm.status import CONSTANT, TOO_FEW, UNBOUNDED
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.warn import say
from bulklmm_dask.typing import Array

# The models that are compared, in words.
_MODELS = {"null": "without the marker", "alternative": "with the marker"}


def profile(
    ds: xr.Dataset,
    trait: str,
    *,
    variant: str | None = None,
    kinship: KinshipLike = "kinship",
    covariates: bool | Sequence[str] | None = True,
    weights: VectorLike | None = None,
    replicates: VectorLike | None = None,
    reml: bool = False,
    n_points: int = 401,
) -> xr.Dataset:
    r"""Profile log-likelihood of the heritability of one trait, without and with one marker.

    Of the model y = C a + u + e, Var(y) = s2 V(h) with V(h) = h K + (1 - h) R, R = I or, with
    weights w, diag(1/w^2), everything but h is maximised out. With RSS(h) the residual sum of
    squares in the metric of V, n samples and c columns of C,

    - ML:   l(h) = -1/2 [ n (log(2 pi RSS/n) + 1) + log|V| ]
    - REML: l(h) = -1/2 [ (n-c) (log(2 pi RSS/(n-c)) + 1) + log|V| + log|C'V^-1 C| - log|C'C| ]

    in nats, all constants included (Harville 1974; Patterson and Thompson 1971). They are the
    log-likelihoods that GEMMA prints (Zhou and Stephens 2012). The model with the marker has it as
    one more column of C.

    Parameters
    ----------
    ds : Dataset
        A study, from a reader, `create_dataset` or `open_dataset`. Only the samples with a value
        of the trait and of every covariate are used.
    trait : str
        Name of the trait.
    variant : str, optional
        Name of a marker to put into the model; missing dosages take the mean of the marker.
    kinship : str, array (samples, samples), DataArray or DataFrame
        As in `scan`; None leaves no heritability to profile and is refused.
    covariates : bool, str or sequence of str
        As in `scan`: True for those of the study, False or None for none, or names.
    weights, replicates : str, array (samples,), DataArray or Series, optional
        As in `scan`.
    reml : bool
        Restricted instead of full likelihood. Restricted likelihoods with and without the marker
        are not comparable: the LOD is that of the full likelihoods at the restricted optima.
    n_points : int
        Number of heritabilities, at least 2. They lie closer together towards both ends, which
        are included; the optima are added to them.

    Returns
    -------
    Dataset
        ``null`` (h2): log-likelihood without a marker; ``null_h2``: its optimum over the whole
        admissible interval, [0, 1] or up to 1 - 1e-5 for a singular kinship; ``null_interval``
        (limits): where it lies within 1.92 of its maximum, the 95% likelihood interval of h2.
        With a marker also ``alternative``, ``alternative_h2``, ``alternative_interval``, and
        ``lod`` = (l1 - l0) / ln 10 of the full likelihoods, each at its own optimum. The
        attributes say trait, variant, number of samples and, as ``null_status`` and
        ``alternative_status``, "ok", or "unbounded" where the likelihood has no maximum below
        h2 = 1.

    Raises
    ------
    InputError
        If there is no such trait or variant, the trait cannot be fitted, or the study, the
        kinship, the covariates or an option cannot be used.

    Warns
    -----
    StudyWarning
        For samples left out because they lack a covariate, for texts read as covariates, for fewer
        than five samples more than columns of covariates, for a marker without variation beside
        the covariates, and for a likelihood without a maximum below h2 = 1.

    Examples
    --------
    >>> values = blmm.profile(ds, "trait06", variant="2:54233555")
    >>> round(float(values.null_h2), 2), values.null_interval.values.round(2).tolist()
    (0.59, [0.22, 0.83])
    >>> round(float(values.alternative_h2), 2), round(float(values.lod), 2)
    (0.0, 9.28)
    >>> ax = blmm.plot.profile(values)
    """
    if n_points < 2:
        raise InputError(f"n_points is {n_points}; a curve needs at least 2")
    require_kinship(kinship, "profile")
    inputs = ModelInputs(
        kinship=kinship, covariates=covariates, weights=weights, replicates=replicates
    )
    one = prepare_trait(ds, trait, variant, inputs)
    with one_blas_thread():
        basis = one.samples.basis()
        models = {"null": _fit(basis, one.values, f"trait {trait!r}", reml)}
        if one.dosage is not None:
            named = f"trait {trait!r} with variant {variant!r}"
            basis = _with_marker(basis, one.samples.covariates, one.dosage, named)
            models["alternative"] = _fit(basis, one.values, named, reml)
        h2 = np.union1d(
            curve_points(models["null"].basis, n_points), [each.h2 for each in models.values()]
        )
        columns = _columns(models, h2)
    attrs = {
        "trait": trait,
        **({} if variant is None else {"variant": variant}),
        "n_samples": len(one.values),
        "reml": reml,
        **inputs.of_model(one.measured),
        **{f"{name}_status": model.status for name, model in models.items()},
    }
    names = xr.Dataset(
        coords={
            "h2": ("h2", h2, {"long_name": "heritability"}),
            "limits": ("limits", text(["low", "high"]), {"long_name": "end of the interval"}),
        }
    )
    return package(names, columns, attrs)


def _with_marker(basis: Basis, covariates: Array, x: Array, named: str) -> Basis:
    """The basis with the marker among the covariates; unchanged if the marker depends on them."""
    wider = with_marker(basis, covariates, x)
    if wider is None:
        say(f"{named}: the marker has no variation beside the covariates, so nothing changes")
        return basis
    return wider


def _fit(basis: Basis, y: Array, named: str, reml: bool) -> TraitModel:
    fit = TraitModel.of(basis, y, reml=reml)
    effects = f"{basis.n_covariates} fixed effects (with the intercept)"
    if fit.status == TOO_FEW:
        raise InputError(
            f"{named} has {basis.n} complete samples, too few for a model with {effects}; choose "
            "another, or fewer covariates"
        )
    if fit.status == CONSTANT:
        raise InputError(
            f"{named} has no variation in its {basis.n} complete samples beside the {effects}, "
            "so its likelihood is infinite; choose another, or fewer covariates"
        )
    if fit.status == UNBOUNDED:
        say(
            f"{named}: the likelihood has no maximum below h2 = 1, and the optimum given is only "
            f"the bound {fit.h2:g}; use REML or an uncentred kinship"
        )
    return fit


def _columns(models: dict[str, TraitModel], h2: Array) -> dict[str, tuple[Any, ...]]:
    """Curve, optimum and interval of every model, and the LOD of one over the other."""
    columns: dict[str, tuple[Any, ...]] = {}
    for name, model in models.items():
        curve = model.log_likelihood(h2)
        where = _MODELS[name]
        about = {"long_name": f"log-likelihood {where}", "units": "nats"}
        columns[name] = ("h2", curve, about)
        best = {"long_name": f"heritability {where}"}
        columns[f"{name}_h2"] = ((), model.h2, best)
        interval = likelihood_interval(h2, curve)
        within = {"long_name": f"95% likelihood interval of the heritability {where}"}
        columns[f"{name}_interval"] = ("limits", interval, within)
    if "alternative" in models:
        lod = lod_score(models["null"], models["alternative"])
        columns["lod"] = ((), lod, attributes_of(OF_PAIRS)["lod"])
    return columns
