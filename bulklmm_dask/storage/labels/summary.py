"""A study or a result on one screen: what it is, how large it is, and how it was made.

Every Dataset has it as ``ds.bulklmm``, once this package has made one.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.variables import LOCO, VARIABLES
from bulklmm_dask.text import counted, listing, position_text, printable, storage

_SCORES = ("lod", "max_lod")
# Attributes that another line tells of, or none.
_TOLD = ("method", "reml", "precision", "version")

_STYLE = (
    "<style>.bulklmm{border-collapse:collapse;margin:.2em 0}.bulklmm caption{text-align:left;"
    "font-weight:bold;padding-bottom:.3em}.bulklmm th,.bulklmm td{text-align:left;"
    "vertical-align:top;padding:.1em 1.2em .1em 0;font-weight:normal}.bulklmm th{opacity:.6}"
    "</style>"
)


def n_strains(ds: xr.Dataset) -> int:
    """Number of strains of a study whose samples have some."""
    return len(set(map(str, ds["sample_strain"].values)))


def shape_of(ds: xr.Dataset) -> str:
    """Count samples, markers, traits and covariates of a study in words."""
    samples = counted(ds.sizes["samples"], "sample")
    if "sample_strain" in ds:
        samples += f" of {counted(n_strains(ds), 'strain')}"
    markers = counted(ds.sizes["variants"], "marker")
    if "contigs" in ds.sizes:
        markers += f" on {counted(ds.sizes['contigs'], 'chromosome')}"
    parts = [samples, markers, counted(ds.sizes["traits"], "trait")]
    if number := ds.sizes.get("covariates"):
        parts.append(counted(number, "covariate"))
    return ", ".join(parts)


def kind_of(ds: xr.Dataset) -> tuple[str, str]:
    """What a result is of, and its size, in words."""
    traits = ds.sizes.get("traits", int("traits" in ds.coords))
    if "genomes" in ds.sizes:
        count = counted(ds.sizes.get("permutations", 0), "data set")
        return "baseline of hotspots", f"{count} without loci"
    if variants := ds.sizes.get("variants"):
        pairs = f"{counted(variants, 'marker')} x {counted(traits, 'trait')}"
        return "result of a scan", f"{pairs} = {variants * traits:,} tests"
    count = counted(ds.sizes.get("permutations", 0), "permutation")
    return "maxima of permutations", f"{count} x {counted(traits, 'trait')}"


@xr.register_dataset_accessor("bulklmm")
class Summary:
    """Kind, sizes, map, options and place of the values of a study or a result.

    Nothing is computed; what is not in memory is not looked at.

    Parameters
    ----------
    ds : Dataset
        Any Dataset; one that is neither a study nor a result has its sizes only.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def __repr__(self) -> str:
        title, rows = self._title(), self._rows()
        width = max((len(label) for label, _ in rows), default=0)
        return "\n".join([title, *(f"  {label:<{width}}  {words}" for label, words in rows)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(label)}</th><td>{escape(words)}</td></tr>"
            for label, words in self._rows()
        )
        caption = escape(self._title())
        return f'{_STYLE}<table class="bulklmm"><caption>{caption}</caption>{rows}</table>'

    def _title(self) -> str:
        ds = self._ds
        if self._is_study():
            return f"study: {shape_of(ds)}"
        if any(name in ds for name in _SCORES) or "genomes" in ds.sizes:
            return ": ".join(kind_of(ds))
        sizes = ", ".join(f"{dim} {size:,}" for dim, size in ds.sizes.items())
        return f"dataset: {sizes or 'a single value'}"

    def _is_study(self) -> bool:
        return "sample_trait" in self._ds and {"samples", "variants", "traits"} <= set(
            self._ds.sizes
        )

    def _rows(self) -> list[tuple[str, str]]:
        """Label and words of every line; lines without words are left out."""
        rows = [
            *self._of_values(),
            ("map", self._map()),
            ("model", self._model()),
            *self._of_attributes(),
            ("h2", self._heritabilities()),
            ("traits", self._status()),
        ]
        return [(label, printable(words)) for label, words in rows if words]

    def _of_values(self) -> list[tuple[str, str]]:
        """The variables that hold the values: dimensions, and where they are."""
        found = []
        for name, array in self._ds.data_vars.items():
            about = VARIABLES[str(name)].label if name in VARIABLES else ""
            about = about or str(array.attrs.get("long_name", ""))
            if name in ("kinship", LOCO):
                about += f" ({array.attrs.get('method', 'of unknown method')})"
            size = " x ".join(f"{length:,}" for length in array.shape) or "one value"
            found.append((str(name), f"{size}, {_place(array)}" + (f": {about}" if about else "")))
        return found

    def _map(self) -> str:
        ds = self._ds
        if "contig_id" not in ds or "variant_contig" not in ds or not ds["contig_id"].ndim:
            return ""
        if any(ds[name].chunks is not None for name in ("contig_id", "variant_contig")):
            return ""
        words = f"contigs {listing(ds['contig_id'].values, 8)}"
        position = ds.get("variant_position")
        if position is None or position.chunks is not None or not position.size:
            return words
        unit = str(position.attrs.get("units", ""))
        low, high = (position_text(float(at), unit) for at in (position.min(), position.max()))
        return f"{words}; {low} to {high} {unit or 'of unknown unit'}"

    def _model(self) -> str:
        attrs = self._ds.attrs
        words = [str(attrs["method"])] if "method" in attrs else []
        if "reml" in attrs:
            words.append("REML" if attrs["reml"] else "maximum likelihood")
        return ", ".join(words)

    def _of_attributes(self) -> list[tuple[str, str]]:
        """Other attributes, such as options; those that say no are left out."""
        shown = {name: value for name, value in self._ds.attrs.items() if name not in _TOLD}
        return [(str(name), _in_words(value)) for name, value in shown.items()]

    def _heritabilities(self) -> str:
        h2 = self._ds.get("h2")
        if h2 is None or h2.chunks is not None or not h2.size or "h2" in self._ds.dims:
            return ""
        if "components" in h2.dims:
            middle = h2.median([dim for dim in h2.dims if dim != "components"]).values
            names = text(h2["components"].values)
            each = (f"{name} {share:.2f}" for name, share in zip(names, middle, strict=True))
            return f"median {', '.join(each)}"
        values = np.asarray(h2.values, dtype=np.float64)
        known = values[np.isfinite(values)]
        if not known.size:
            return ""
        return f"median {np.median(known):.2f}, from {known.min():.2f} to {known.max():.2f}"

    def _status(self) -> str:
        status = self._ds.get("trait_status")
        if status is None or status.chunks is not None:
            return ""
        counts = Counter(map(str, np.ravel(status.values)))
        return ", ".join(f"{number:,} {name}" for name, number in counts.most_common())


def _place(array: xr.DataArray) -> str:
    """Whether values are in memory, or lazy and in which blocks."""
    if array.chunks is None:
        return f"{storage(array.nbytes)} in memory"
    block = " x ".join(f"{max(sizes):,}" for sizes in array.chunks)
    return f"{storage(array.nbytes)}, lazy, in blocks of {block}"


def _in_words(value: Any) -> str:
    """A value of an attribute; empty for none, for no and for nothing listed."""
    if isinstance(value, list | tuple | np.ndarray):
        return listing(value, 6)
    if isinstance(value, int | np.integer) and value in (0, 1):
        return "yes" if value else ""
    return "" if value is None else str(value)
