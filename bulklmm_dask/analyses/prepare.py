"""From the Dataset and arguments of a user to checked arrays: a `Study`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.advice import warn_of_few_degrees
from bulklmm_dask.analyses.inputs.covariates import (
    CovariatesLike,
    ModelColumns,
    covariate_matrix,
    model_columns,
)
from bulklmm_dask.analyses.inputs.genotypes import genotype_arrays, genotype_variable
from bulklmm_dask.analyses.inputs.kept_eigen import with_kept_eigen
from bulklmm_dask.analyses.inputs.kernels import (
    KernelLike,
    in_words,
    kernels_of,
    refuse_several,
    require_apart,
)
from bulklmm_dask.analyses.inputs.kinship import (
    KinshipLike,
    kinship_in_words,
    kinship_matrix,
    opened,
)
from bulklmm_dask.analyses.inputs.markers import (
    ConditionLike,
    condition_in_words,
    dosage_of,
    own_markers,
    position_of,
    shared_markers,
)
from bulklmm_dask.analyses.inputs.prior import PriorLike, prior_in_words, prior_of_traits
from bulklmm_dask.analyses.inputs.vectors import VectorLike
from bulklmm_dask.analyses.inputs.weights import sample_weights, weights_in_words
from bulklmm_dask.analyses.inputs.x_covariates import (
    XCovariatesLike,
    x_covariates_in_words,
    x_covariates_of,
)
from bulklmm_dask.analyses.options import Model
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.engine.study import Measurements, Study, checked_kinship
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.study.checks import refuse_infinite
from bulklmm_dask.study.gaps import is_uncounted, say_uncounted
from bulklmm_dask.study.schema import validate
from bulklmm_dask.typing import Array, Index

# Attributes left out of the options fingerprint, because the arrays they name are hashed.
HASHED = frozenset(
    {"kinship", "covariates", "strata", "weights", "replicates", "prior", "x_covariates"}
)


@dataclass(frozen=True)
class ModelInputs:
    """Parts of a model besides traits and markers, as the user gave them.

    Attributes are the arguments of `scan` of the same name; `kernels` are those of several random
    effects by name, beside which there is no kinship.
    """

    kinship: KinshipLike = "kinship"
    loco: bool = False
    covariates: CovariatesLike = True
    interaction: str | Sequence[str] | None = None
    condition: ConditionLike = None
    weights: VectorLike | None = None
    replicates: VectorLike | None = None
    prior: PriorLike = None
    genotypes: str | None = None
    model: Model = "full"
    x_covariates: XCovariatesLike = None
    kernels: Mapping[str, KernelLike] | None = None

    def __post_init__(self) -> None:
        refuse_several(self.kinship)

    def columns(self, ds: xr.Dataset) -> ModelColumns:
        """Covariates of the model, and which of them interact with a marker."""
        return model_columns(ds, self.covariates, self.interaction)

    def n_genotypes(self, ds: xr.Dataset) -> int | None:
        """Number of genotypes whose probabilities are tested; None for dosages."""
        size = genotype_variable(ds, self.genotypes).sizes.get("genotypes")
        return None if size is None else int(size)

    def of_model(self, measured: Measurements) -> dict[str, Any]:
        """Attributes of a result that describe its model; JSON values."""
        return {
            "covariates": list(measured.covariate_names),
            "kinship": (
                kinship_in_words(self.kinship) if self.kernels is None else in_words(self.kernels)
            ),
            **weights_in_words(self.weights, self.replicates),
        }

    def of_tests(self, ds: xr.Dataset, measured: Measurements) -> dict[str, Any]:
        """Attributes of the model, and of the tests at a marker."""
        attrs = self.of_model(measured) | {
            "loco": int(self.loco),
            "genotypes": str(genotype_variable(ds, self.genotypes).name),
        }
        if self.model != "full":
            attrs["model"] = self.model
        if measured.of_x is not None:
            attrs["x_covariates"] = x_covariates_in_words(ds, self.x_covariates)
        if self.condition is not None:
            attrs["condition"] = condition_in_words(self.condition)
        if measured.prior is not None:
            attrs["prior"] = prior_in_words(measured.prior)
        return attrs


def strings(given: str | Sequence[str] | None, what: str) -> tuple[str, ...]:
    """Give a name, or a sequence of names, as a tuple; `what` is the option in errors."""
    if isinstance(given, str):
        return (given,)
    try:
        return () if given is None else tuple(given)
    except TypeError:
        raise InputError(f"{what} is {given!r}; give a name or a list of names") from None


def prepare(ds: xr.Dataset, inputs: ModelInputs, variants: Index | None = None) -> Study:
    """A study as arrays, lazy where the Dataset is.

    Values in memory are checked here, lazy ones where they are computed.

    Parameters
    ----------
    ds : Dataset
        The study, checked by `validate`.
    inputs : ModelInputs
        Parts of the model besides traits and markers.
    variants : array of int, optional
        Positions of the markers that are tested; by default all.

    Raises
    ------
    InputError
        If the study or an input cannot be used.
    """
    measured = prepare_measurements(ds, inputs)
    if variants is not None:
        ds = ds.isel(variants=variants)
    calls = genotype_variable(ds, inputs.genotypes)
    if not calls.size or not ds.sizes["traits"]:
        raise InputError(f"nothing to scan: the study has sizes {dict(ds.sizes)}")
    if is_uncounted(calls) and not _is_computed(ds, inputs):
        say_uncounted()
    return Study(measured, genotype_arrays(ds, calls, by_contig=measured.relations is not None))


def _is_computed(ds: xr.Dataset, inputs: ModelInputs) -> bool:
    """Tell whether the kinship comes from `kinship`, which counts missing calls on its way."""
    several = [inputs.kinship] if inputs.kernels is None else list(inputs.kernels.values())
    named = [name for one in several if isinstance(one, str) for name in (one, LOCO)]
    found = [ds[name] for name in named if name in ds]
    return any(
        "n_variants" in one.attrs for one in [*found, *several] if isinstance(one, xr.DataArray)
    )


def prepare_measurements(ds: xr.Dataset, inputs: ModelInputs) -> Measurements:
    """Do what `prepare` does, without the genotypes of the markers to test."""
    columns = inputs.columns(ds)
    covariates = covariate_matrix(ds, columns)
    weights = sample_weights(ds, inputs.weights, inputs.replicates)
    traits = ds["sample_trait"]
    samples, trait_names = text(ds["sample_id"].values), text(ds["trait_id"].values)
    if traits.chunks is None:
        refuse_infinite(traits.values, "sample_trait", list(samples), list(trait_names))
    markers = np.empty((len(samples), 0))
    if inputs.condition is not None:
        markers = shared_markers(ds, genotype_variable(ds, inputs.genotypes), inputs.condition)
    fixed = np.concatenate([covariates, markers], axis=1)
    kinship = opened(ds, inputs.kinship)
    measured = Measurements(
        traits=traits.data,
        covariates=fixed,
        kinship=kinship_matrix(ds, kinship, loco=inputs.loco and inputs.kernels is None),
        sample_names=samples,
        trait_names=trait_names,
        covariate_names=tuple(columns.columns),
        weights=weights,
        interacting=columns.interacting_positions,
        prior=prior_of_traits(inputs.prior, ds),
        own_markers=own_markers(ds, inputs.condition),
        of_x=x_covariates_of(ds, inputs.x_covariates, fixed),
    )
    if inputs.kernels is not None:
        kernels = kernels_of(ds, inputs.kernels, loco=inputs.loco)
        names = tuple(kernels.components)
        measured = replace(measured, kernels=kernels.matrices, components=names)
        require_apart(kernels, measured)
    warn_of_few_degrees(measured)
    return with_kept_eigen(ds, kinship, measured)


@dataclass(frozen=True)
class TraitData:
    """One trait in its n complete samples, in memory.

    Attributes
    ----------
    measured : Measurements
        This trait and the model, of all samples.
    values : array (n,)
        Trait values.
    samples : Samples
        The samples with a value and all covariates.
    dosage : array (n,) or None
        Dosages of a marker, missing ones imputed.
    """

    measured: Measurements
    values: Array
    samples: Samples
    dosage: Array | None


def prepare_trait(
    ds: xr.Dataset, trait: str, variant: str | None, inputs: ModelInputs
) -> TraitData:
    """One trait, and a marker if one is named, as arrays."""
    ds = validate(ds)
    column = position_of(ds, "trait", trait)
    measured = prepare_measurements(ds.isel(traits=[column]), inputs)
    dosage = None if variant is None else dosage_of(ds, variant)
    values = np.asarray(measured.traits, dtype=np.float64)
    refuse_infinite(values, "sample_trait", list(measured.sample_names), [trait])
    kinship = measured.kinship
    if is_lazy(kinship):
        kinship = checked_kinship(np.asarray(kinship))
    everyone = Samples(measured.covariates, kinship, measured.weights, eigen=measured.eigen_of(0))
    used = np.flatnonzero(~np.isnan(values[:, 0]) & everyone.complete)
    own = None if dosage is None else dosage[used]
    return TraitData(measured, values[used, 0], everyone.take(used), own)
