"""Facts of a study and its scan for people: pairs of a name and a text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.options import Option
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.status import FITTED
from bulklmm_dask.storage.labels.summary import n_strains
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.study.schema import unknown_names
from bulklmm_dask.text import counted, listing

Facts: TypeAlias = list[tuple[str, str]]

# Meaning of each trait_status.
_STATUS = {
    "ok": "fitted",
    "unbounded": "fitted at the bound of h², where the likelihood still rises",
    "boundary": "fitted, with a share at its bound",
    "flat": "fitted, but other shares are as likely",
    "confounded": "not fitted: its samples cannot tell kernels apart",
    "all-missing": "not fitted: no value",
    "constant": "not fitted: all values equal",
    "too-few-samples": "not fitted: too few samples",
}
_METHODS = {
    "null-exact": "h² once a trait, its maximum over [0, 1]",
    "null-grid": "h² once a trait, the best value of a grid",
    "alt-exact": "h² again for every marker, its maximum over [0, 1]",
    "alt-grid": "h² again for every marker, the best value of a grid",
}
_MOST = 6  # different numbers of samples that are listed one by one


def require_same(result: xr.Dataset, study: xr.Dataset) -> None:
    """Raise InputError where the study lacks traits or markers of the result."""
    if not isinstance(study, xr.Dataset) or "sample_trait" not in study:
        raise InputError("study should be the Dataset of the study that was scanned")
    for dim in ("traits", "variants"):
        require_within(result, study, dim, "the study", "give the study that was scanned")


def require_within(
    result: xr.Dataset, other: xr.Dataset, dim: str, subject: str, remedy: str
) -> None:
    """Raise InputError where another dataset lacks traits or variants of the result."""
    if absent := unknown_names(other[dim].values, result[dim].values):
        lost = counted(len(absent), "marker" if dim == "variants" else "trait")
        raise InputError(f"{subject} lacks {lost} of the result: {listing(absent)}; {remedy}")


def n_fitted(result: xr.Dataset) -> int:
    """Number of traits with LODs."""
    if "trait_status" not in result:
        return result.sizes["traits"]
    return int(np.isin(result["trait_status"].values, FITTED).sum())


def study_facts(result: xr.Dataset, study: xr.Dataset | None) -> Facts:
    """Origin, sizes and missing values of the study; without it, what the result tells of them."""
    out: Facts = []
    if study is not None:
        if study.attrs.get("source"):
            out.append(("Source", str(study.attrs["source"])))
        samples = f"{study.sizes['samples']:,}"
        if "sample_strain" in study:
            samples += f" of {counted(n_strains(study), 'strain')}"
        out.append(("Samples", samples))
    out += [("Traits", f"{result.sizes['traits']:,}"), ("Markers", _markers(result))]
    if study is None:
        return out
    if study.sizes.get("covariates"):
        out.append(("Covariates", ", ".join(map(str, study["covariates"].values))))
    missing = [("Missing trait values", study["sample_trait"])]
    for name, words in (
        ("call_dosage", "Missing genotypes"),
        ("call_genotype_probability", "Missing genotype probabilities"),
    ):
        if name in study:
            missing.append((words, study[name]))
    shares = xr.Dataset({words: array.isnull().mean() for words, array in missing}).compute()
    return out + [(words, _share(float(shares[words]))) for words, _ in missing]


def _markers(result: xr.Dataset) -> str:
    """Number of markers and of their chromosomes."""
    words = f"{result.sizes['variants']:,}"
    if "variant_contig" in result:
        words += f" on {counted(np.unique(result['variant_contig'].values).size, 'chromosome')}"
    return words


def _share(value: float) -> str:
    """Write a share in percent, where 0 is "none" and a tiny share is not."""
    if value == 0:
        return "none"
    return "below 0.01%" if value < 1e-4 else f"{value:.2%}"


def scan_facts(result: xr.Dataset, study: xr.Dataset | None) -> Facts:
    """How the scan was made, from the attributes of the result."""
    attrs = result.attrs
    out: Facts = []
    if "method" in attrs:
        words = _METHODS.get(str(attrs["method"]), "")
        out.append(("Method", f"{attrs['method']}: {words}" if words else str(attrs["method"])))
    if "reml" in attrs:
        kind = "restricted maximum likelihood" if attrs["reml"] else "maximum likelihood"
        out.append(("Estimated by", kind))
    if "kinship" in attrs:
        out.append(("Kinship", _kinship(attrs, study)))
    for name, words in (
        ("covariates", "Covariates"),
        ("interaction", "Interaction with"),
        ("condition", "Conditional on"),
        ("weights", "Residual weights"),
        ("replicates", "Replicates"),
        ("prior", "Prior on the residual variance"),
    ):
        value = attrs.get(name)
        if value or (name == "covariates" and name in attrs):
            out.append((words, in_words(value)))
    if attrs.get("genotypes") == "call_genotype_probability":
        out.append(("Tested", "genotype probabilities, together"))
    if "df" in result:
        out.append(("Degrees of freedom", "as many as a marker has (column df)"))
    tests = result.sizes["variants"] * n_fitted(result)
    return [*out, ("Tests", f"{tests:,}"), *_traits(result)]


def _kinship(attrs: dict[str, Any], study: xr.Dataset | None) -> str:
    """Name the kinship of a scan with its method, if the study has it."""
    if attrs["kinship"] == "none":
        return "none: ordinary regression"
    words = str(attrs["kinship"])
    loco = bool(attrs.get("loco"))
    name = LOCO if loco and words == "kinship" and study is not None and LOCO in study else words
    if study is not None and "method" in (study[name].attrs if name in study else {}):
        words = f"{name} (method {study[name].attrs['method']})"
    return words + (", leaving the chromosome of the marker out" if loco else "")


def in_words(value: Any) -> str:
    """Write an attribute of a result: lists with commas, nothing as "none"."""
    words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return words or "none"


def with_plain_options(ds: xr.Dataset, options: Sequence[Option]) -> xr.Dataset:
    """A result with its options in its attributes as values of JSON, as which they were written.

    Other programs, and NetCDF, give them back as numbers and arrays of NumPy.

    Raises
    ------
    InputError
        If one is no number, no text and no list of these.
    """
    found = {}
    for name in [option.name for option in options if option.name in ds.attrs]:
        value = ds.attrs[name]
        found[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        try:
            json.dumps(found[name])
        except (TypeError, ValueError):
            raise InputError(
                f"attrs[{name!r}] is {value!r}, which is no number, no text and no list of these; "
                f"set it to the {name} of the call, or delete it"
            ) from None
    return ds.assign_attrs(found)


def _traits(result: xr.Dataset) -> Facts:
    """Number of traits by status, and how many samples they were fitted on."""
    out: Facts = []
    if "trait_status" in result:
        for status, count in Counter(result["trait_status"].values.tolist()).most_common():
            words = _STATUS.get(status, status)
            out.append((f"Traits {status}", f"{count:,} {words}"))
    if "n_samples" in result:
        out.append(("Samples used", _samples(result["n_samples"].values)))
    return out


def _samples(used: Any) -> str:
    """Numbers of samples used, with the number of traits for each; their range if they are many."""
    numbers = Counter(used.tolist())
    if len(numbers) == 1:
        return f"{used[0]:,} for every trait"
    if len(numbers) > _MOST:
        return (
            f"{used.min():,} to {used.max():,}, median {np.median(used):,.0f}: "
            f"{len(numbers):,} different numbers"
        )
    parts = [f"{n:,} ({counted(count, 'trait')})" for n, count in sorted(numbers.items())]
    return ", ".join(reversed(parts))
