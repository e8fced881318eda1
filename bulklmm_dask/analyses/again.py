"""An analysis made again from the attributes of its result, which computes what is not there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from bulklmm_dask.analyses.hotspot_baseline import REFUSED, hotspot_baseline
from bulklmm_dask.analyses.options import PERMUTE, SCAN, Option
from bulklmm_dask.analyses.permute import permute
from bulklmm_dask.analyses.recorded import recorded
from bulklmm_dask.analyses.scan import scan
from bulklmm_dask.engine.progress import Progress
from bulklmm_dask.errors import StudyWarning
from bulklmm_dask.lmm.statistics import STATISTICS
from bulklmm_dask.storage.health.repair import UnmendableError
from bulklmm_dask.storage.labels.layout import Layout
from bulklmm_dask.storage.results.saved import ORIGIN
from bulklmm_dask.surface import repeat
from bulklmm_dask.text import listing

# Options of a hotspot baseline: its own, and those that it has of a scan.
_COUNTING = ("window", "step", "threshold", "peakdrop", "n_permutations", "seed")
_SCANNING = tuple(option for option in SCAN if option.name not in REFUSED)


@dataclass(frozen=True)
class Analysis:
    """An analysis and its arguments besides the study.

    Attributes
    ----------
    function : callable
        `scan`, `permute` or `hotspot_baseline`.
    arguments : dict
        By name, as the result says.
    """

    function: Callable[..., object]
    arguments: dict[str, Any]

    def run(
        self,
        ds: xr.Dataset,
        store: str | os.PathLike[str],
        progress: Callable[[Progress], None],
    ) -> None:
        """Compute what a store lacks; the study was warned of when the store was made."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StudyWarning)
            self.function(ds, **self.arguments, store=store, progress=progress)


def analysis_of(attrs: Mapping[str, Any]) -> Analysis:
    """The analysis that made a result.

    Parameters
    ----------
    attrs : mapping
        Attributes of its store.

    Raises
    ------
    UnmendableError
        If it is not known, or took arrays that a result does not keep.
    """
    if attrs["fingerprints"] == ORIGIN:
        raise UnmendableError("it is a part of another result: save it again from there")
    sizes = dict(zip(attrs["dims"], attrs["block"], strict=True))
    if tuple(attrs["dims"]) == Layout.dims:
        statistics = ["lod", *(name for name in STATISTICS if name in attrs["statistics"])]
        return _analysis(scan, SCAN, {**attrs, "statistics": statistics}, {"chunks": sizes})
    if "window" in attrs:
        if attrs.get("threshold") is None:
            raise UnmendableError(_not_kept(["threshold"]))
        counting = {name: attrs[name] for name in _COUNTING}
        return _analysis(hotspot_baseline, _SCANNING, attrs, counting)
    blocks = {} if attrs["method"] == "shared" else {"chunks": sizes}
    return _analysis(permute, PERMUTE, attrs, blocks)


def _analysis(
    function: Callable[..., object],
    options: tuple[Option, ...],
    attrs: Mapping[str, Any],
    own: Mapping[str, Any],
) -> Analysis:
    found = recorded(options, attrs)
    if found.given:
        raise UnmendableError(_not_kept(found.given))
    return Analysis(function, {**found.arguments, **own})


def _not_kept(names: list[str]) -> str:
    return (
        f"{listing(names)} was given as an array or a table, which a result does not keep: "
        f"{repeat()} with another store"
    )
