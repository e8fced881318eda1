"""Eigenvectors that a store keeps of the kinship of an analysis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.genotypes import contigs_of
from bulklmm_dask.analyses.inputs.kinship import KinshipLike
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.engine.study import Measurements
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.proof.fingerprint import fingerprint, of_rows
from bulklmm_dask.storage.proof.lazy import kept_digest
from bulklmm_dask.storage.proof.stamp import VALUES
from bulklmm_dask.study.digests import digests_of_rows
from bulklmm_dask.study.kinship_store import STORE, kept_eigen
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted

_GENOTYPES = ("call_dosage", "call_genotype_probability")


def with_kept_eigen(ds: xr.Dataset, kinship: KinshipLike, measured: Measurements) -> Measurements:
    """The measurements, with the eigenvectors that the store of their kinship keeps, if they serve.

    Parameters
    ----------
    ds : Dataset
        The study.
    kinship : str, array, DataArray, DataFrame or None
        The kinship, from `opened`.
    measured : Measurements
        The measurements of the study, with the kinship in the order of its samples.

    Warns
    -----
    StudyWarning
        If the kinship is from a store whose eigenvectors do not serve, or of other genotypes.
    """
    path = kinship.attrs.get(STORE) if isinstance(kinship, xr.DataArray) else None
    if path is None or is_lazy(measured.kinship):
        return measured
    assert isinstance(kinship, xr.DataArray)
    name, samples = kinship.attrs.get("source", path), measured.sample_names.tolist()
    _warn_of_other_genotypes(ds, kinship, samples, name)
    why = ""
    if measured.weights is not None:
        why = "samples have weights"
    elif np.isnan(measured.covariates).any():
        why = "some samples lack a covariate"
    if not why:
        found = kept_eigen(path, measured.kinship, samples)
        if found is not None:
            return replace(measured, eigen=tuple(found))
        of = kinship.sizes[kinship.dims[-1]]
        why = (
            f"the study has {len(samples):,} of its {counted(of, 'sample')}"
            if of != len(samples)
            else "the kinship is not the one in the store"
        )
    say(f"the eigenvectors in {name} do not serve, for {why}: they are computed anew")
    return measured


def digests_for_kinship(ds: xr.Dataset, *, loco: bool) -> dict[str, str]:
    """Digests of what a kinship is computed from: genotypes, and by `loco` the contig of each.

    Those of the genotypes are as the store of a study keeps them.
    """
    found = {}
    if loco and "variant_contig" in ds:
        found["variant_contig"] = fingerprint([text(ds["contig_id"].values)[contigs_of(ds)]])
    for name in _GENOTYPES:
        if name in ds:
            found[name] = kept_digest(ds[name].data) or of_rows(
                digests_of_rows(ds[[name]])[name].values
            )
    return found


def _warn_of_other_genotypes(
    ds: xr.Dataset, kinship: xr.DataArray, samples: list[str], name: str
) -> None:
    """Warn if a kinship of the same samples was computed from something else than the study."""
    kept = kinship.attrs.get(VALUES, {})
    if not kept or text(kinship[kinship.dims[-1]].values).tolist() != samples:
        return
    # Lazy genotypes without a digest are not read for this.
    known = [one for one in _GENOTYPES if one in ds]
    if any(is_lazy(ds[one].data) and kept_digest(ds[one].data) is None for one in known):
        return
    if digests_for_kinship(ds, loco=kinship.ndim == 3) != kept:
        what = "genotypes, or another map," if kinship.ndim == 3 else "genotypes"
        say(
            f"the kinship {name} was computed from other {what} than those of the study; "
            "compute it again, unless that is meant"
        )
