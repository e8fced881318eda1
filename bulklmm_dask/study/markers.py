"""The map of a study: contig, position and alleles of each marker."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import array_of, is_absent, is_one_of, real_numbers
from bulklmm_dask.study.contigs import say_alike
from bulklmm_dask.study.labelled import by_variant, entries
from bulklmm_dask.text import listing

UNITS = ("bp", "Mb", "cM")


def put_map(ds: xr.Dataset, contigs: Any, positions: Any, unit: str, alleles: Any) -> None:
    """Put contigs, positions and alleles, or some of them, into a study with named variants."""
    size, variants = ds.sizes["variants"], ds["variant_id"].values.tolist()
    contigs = by_variant(contigs, "contigs", variants)
    positions = by_variant(positions, "positions", variants)
    alleles = by_variant(alleles, "alleles", variants)
    contigs, positions = (
        None if values is None else _one_each(values, what, size)
        for values, what in ((contigs, "contigs"), (positions, "positions"))
    )
    if contigs is not None:
        labels = contigs
        _refuse_absent(np.array([is_absent(label) for label in labels]), "contig", ds)
        index, names = pd.factorize(text(labels))
        say_alike(names, "the map")
        ds["variant_contig"] = ("variants", index.astype(np.int64))
        ds["contig_id"] = ("contigs", text(names))
        ds.coords["contigs"] = text(names)
    if positions is not None:
        if not is_one_of(unit, UNITS):
            raise InputError(f"position_unit is {unit!r}; it should be one of {', '.join(UNITS)}")
        numbers = _position_numbers(positions, ds)
        _refuse_absent(~np.isfinite(numbers), "position", ds)
        ds["variant_position"] = ("variants", numbers, {"units": unit})
    if alleles is not None:
        names = array_of(alleles, "alleles").astype(object)
        if names.shape not in ((2,), (size, 2)):
            raise InputError(f"alleles has shape {names.shape}; it should be (2,) or ({size}, 2)")
        pairs = np.broadcast_to(names, (size, 2))
        ds["variant_allele"] = (("variants", "alleles"), text(pairs.ravel()).reshape(size, 2))


def _one_each(values: Any, what: str, size: int) -> Any:
    """Give the entries for the variants, as they are if they are an array; else as a list."""
    is_array = isinstance(values, np.ndarray) and values.ndim == 1
    found = values if is_array else entries(values, what)
    if len(found) != size:
        raise InputError(f"{what} has {len(found)} entries for {size} variants")
    return found


def _position_numbers(positions: Any, ds: xr.Dataset) -> np.ndarray:
    try:
        found = real_numbers(positions, "positions", "give a number for each variant")
        if found.ndim == 1:
            return found
    except InputError:
        pass
    for name, position in zip(
        ds["variant_id"].values.tolist(), entries(positions, "positions"), strict=True
    ):
        try:
            real_numbers([position], "", "").reshape(1)
        except (InputError, ValueError):
            raise InputError(
                f"the position of variant {name!r} is {position!r}, which is not a number; correct "
                "it, or drop the variant"
            ) from None
    raise InputError("positions are of different sizes; give a number for each variant")


def _refuse_absent(absent: np.ndarray, what: str, ds: xr.Dataset) -> None:
    if absent.any():
        names = ds["variant_id"].values[absent]
        raise InputError(
            f"{absent.sum()} variants have no {what}: {listing(names)}; give it, or drop them"
        )
