"""The front door of profile likelihoods: how well the data tell h2 of one trait."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.covariates import covariate_matrix
from bulklmm_dask.analyses.inputs.kinship import KinshipLike, kinship_matrix
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.kinship import check_kinship, impute
from bulklmm_dask.lmm.null.fit import CONSTANT, TOO_FEW, UNBOUNDED
from bulklmm_dask.lmm.null.profile import (
    TraitModel,
    curve_points,
    likelihood_interval,
    lod_score,
    with_marker,
)
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.study.checks import refuse_infinite, refuse_outside
from bulklmm_dask.study.schema import validate
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array


def profile(
    ds: xr.Dataset,
    trait: str,
    *,
    variant: str | None = None,
    kinship: KinshipLike = "kinship",
    covariates: bool | Sequence[str] = True,
    reml: bool = False,
    n_points: int = 401,
) -> xr.Dataset:
    r"""Profile log-likelihood of the heritability of one trait, without and with one marker.

    Of the model y = C a + u + e, Var(y) = s2 V(h) with V(h) = h K + (1 - h) I, everything but h is
    maximised out. With RSS(h) the weighted residual sum of squares, n samples and c columns of C,

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
    covariates : bool or sequence of str
        True for all of the study, False for none, or their names; an intercept is always in.
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
    """
    if n_points < 2:
        raise InputError(f"n_points is {n_points}; a curve needs at least 2")
    names, matrix = covariate_matrix(validate(ds), covariates)
    y = _values(ds, trait)
    used = np.flatnonzero(~np.isnan(y) & ~np.isnan(matrix).any(axis=1))
    x = None if variant is None else _dosages(ds, variant)
    relation = _matrix(ds, kinship)[np.ix_(used, used)]
    with one_blas_thread():
        basis = Samples(matrix[used], relation).basis()
        models = {"null": _fit(basis, y[used], f"trait {trait!r}", reml)}
        if x is not None:
            named = f"trait {trait!r} with variant {variant!r}"
            basis = _with_marker(basis, matrix[used], x[used], named)
            models["alternative"] = _fit(basis, y[used], named, reml)
        curves = _dataset(models, n_points)
    return curves.assign_attrs(
        {
            "trait": trait,
            **({} if variant is None else {"variant": variant}),
            "n_samples": len(used),
            "reml": reml,
            "covariates": names,
            **{f"{name}_status": model.status for name, model in models.items()},
            "version": version("bulklmm-dask"),
        }
    )


def _place(ds: xr.Dataset, kind: str, name: str) -> int:
    """Where a trait or a variant stands; the error for an unknown one names similar ones."""
    known = text(ds[f"{kind}_id"].values)
    found = np.flatnonzero(known == name)
    if len(found):
        return int(found[0])
    similar = get_close_matches(str(name), list(known), n=3)
    hint = f"similar are {listing(similar)}" if similar else f"there are {listing(known, 3)}"
    raise InputError(f"no {kind} {name!r} in the study; {hint}")


def _values(ds: xr.Dataset, trait: str) -> Array:
    """Values of a trait (samples,), NaN where missing."""
    column = _place(ds, "trait", trait)
    values = np.asarray(ds["sample_trait"][:, [column]].values, dtype=np.float64)
    refuse_infinite(values, "sample_trait", list(ds["sample_id"].values), [trait])
    return values[:, 0]


def _dosages(ds: xr.Dataset, variant: str) -> Array:
    """Dosages of a marker (samples,), none missing."""
    row = _place(ds, "variant", variant)
    if "call_dosage" not in ds:
        raise InputError(
            f"the study has no call_dosage to take variant {variant!r} from; reduce its genotype "
            "probabilities to dosages with create_dataset"
        )
    dosage = ds["call_dosage"][[row]].values
    maximum = float(ds["call_dosage"].attrs["maximum"])
    refuse_outside(dosage, maximum, [variant], list(ds["sample_id"].values))
    return impute(dosage)[0]


def _matrix(ds: xr.Dataset, kinship: KinshipLike) -> Array:
    """The kinship in memory, checked."""
    matrix = kinship_matrix(ds, kinship)
    if matrix is None:
        raise InputError(
            "kinship is None, but without a kinship there is no heritability to profile; name the "
            "study's variable or hand a matrix over"
        )
    if is_lazy(matrix):
        return check_kinship(np.asarray(matrix), ds.sizes["samples"])
    return np.asarray(matrix)


def _with_marker(basis: Basis, covariates: Array, x: Array, named: str) -> Basis:
    """The basis with the marker among the covariates, unless it has no variation left."""
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


def _dataset(models: dict[str, TraitModel], n_points: int) -> xr.Dataset:
    """Curves, optima and intervals of the models on one set of heritabilities."""
    optima = [model.h2 for model in models.values()]
    h2 = np.union1d(curve_points(models["null"].basis, n_points), optima)
    out = xr.Dataset(coords={"h2": h2, "limits": text(["low", "high"])})
    for name, model in models.items():
        curve = model.log_likelihood(h2)
        out[name] = ("h2", curve, {"units": "nats"})
        out[f"{name}_h2"] = model.h2
        out[f"{name}_interval"] = ("limits", likelihood_interval(h2, curve))
    if "alternative" in models:
        out["lod"] = lod_score(models["null"], models["alternative"])
    return out
