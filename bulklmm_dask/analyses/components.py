"""Shares of the variance of several random effects: `heritability` with a mapping of kernels."""

from __future__ import annotations

from typing import Any

import xarray as xr

from bulklmm_dask.analyses.advice import warn_of_few_degrees
from bulklmm_dask.analyses.fields import attributes_of
from bulklmm_dask.analyses.package import labels, package
from bulklmm_dask.analyses.prepare import ModelInputs, prepare_measurements
from bulklmm_dask.engine.components import estimate_all_shares
from bulklmm_dask.lmm.null.heritability import boundary_test
from bulklmm_dask.lmm.statistics import OF_COMPONENTS, OF_HERITABILITIES, OF_TRAITS
from bulklmm_dask.storage.labels.coordinates import as_names

TESTS = ("lr_statistic", "p_value", "neg_log10_p")
# In the order of a result; all but those of traits are of the components.
_COLUMNS = (
    *("h2", "h2_se", "variance", "sigma2", "log_likelihood", "log_likelihood_0"),
    *TESTS,
    *("n_samples", "trait_status"),
)


def shares(ds: xr.Dataset, inputs: ModelInputs, *, reml: bool) -> xr.Dataset:
    """Shares of the kernels and the residual, for every trait of a checked study.

    Parameters
    ----------
    ds : Dataset
        The study.
    inputs : ModelInputs
        Parts of the model, with its kernels by name.
    reml : bool
        Restricted maximum likelihood.
    """
    measured = prepare_measurements(ds, inputs)
    found = estimate_all_shares(measured, reml=reml)
    warn_of_few_degrees(measured, found["n_samples"])
    gain = found["log_likelihood"] - found["log_likelihood_0"]
    found |= dict(zip(TESTS, boundary_test(gain), strict=True))
    about = attributes_of(OF_TRAITS + OF_HERITABILITIES) | attributes_of(OF_COMPONENTS)
    columns: dict[str, Any] = {
        name: (("components", "traits")[-found[name].ndim :], found[name], about[name])
        for name in _COLUMNS
    }
    names = as_names(measured.components)
    columns["components"] = ("components", names, {"long_name": "component"})
    attrs = {"reml": bool(reml), **inputs.of_model(measured)}
    return package(labels(ds, {"traits"}), columns, attrs)
