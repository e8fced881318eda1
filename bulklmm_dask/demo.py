"""A guided tour: a study, a scan of all its traits, peaks, pictures, thresholds and a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import shorten

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask import plot
from bulklmm_dask.analyses.kinship import kinship
from bulklmm_dask.analyses.permute import permute
from bulklmm_dask.analyses.scan import scan
from bulklmm_dask.plot._files import keep
from bulklmm_dask.progress import ProgressBar
from bulklmm_dask.reporting import report
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.results.thresholds import thresholds, trait_fdr
from bulklmm_dask.simulate import simulate_study
from bulklmm_dask.storage.labels.summary import shape_of
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.io import open_dataset, save
from bulklmm_dask.study.readers.guess import guess_format
from bulklmm_dask.study.readers.registry import READERS, read_alone
from bulklmm_dask.text import quantity

_THRESHOLD = 5.0
_NEAR = 5.0  # Mb between a peak and the true locus
_SHOWN = 10  # peaks
_DPI = 200
_PICTURES = ("lod.png", "eqtl.png", "report.html")
_DRAWS, _ALPHA = 200, 0.05
_WIDTH = 50  # most characters of a trait's description

Echo = Callable[[str], object]


class _Tour:
    """Writes the steps of the tour, their Python or shell commands, and what they found."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._steps = 0

    def step(self, title: str) -> None:
        self._steps += 1
        self._echo(f"\n{self._steps}. {title}")

    def code(self, line: str) -> None:
        self._echo(f"   >>> {line}")

    def command(self, line: str) -> None:
        self._echo(f"   $ bulklmm {line}")

    def note(self, text: str) -> None:
        for line in text.splitlines():
            self._echo(f"   {line}")


def run_demo(
    *,
    study: str | Path | None = None,
    out: str | Path = "demo-output",
    n_traits: int = 5000,
    echo: Echo = print,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Take a study from its data to its peaks, with an explanation of each step.

    A second run goes on from the finished blocks of the scan in ``out``.

    Parameters
    ----------
    study : path, optional
        A Zarr study, or files that hold a whole study: R/qtl2's (zip, control file or folder) or
        PLINK's. By default a study is simulated: 248 samples of 50 inbred lines, 7,321 markers on
        20 chromosomes.
    out : path
        Folder for the study, the LOD scores, ``lod.png``, ``eqtl.png`` and ``report.html``.
    n_traits : int
        Number of traits to simulate.
    echo : callable
        Function that is called with each line of the tour.
    overwrite : bool
        Whether to replace files of these names in a folder without the scan of an earlier tour.

    Returns
    -------
    DataFrame
        The highest LOD of every trait, as ``max_lod`` returns it.

    Raises
    ------
    InputError
        If the study cannot be read, or matplotlib is not installed.
    StoreError
        If the folder cannot be written, or holds the scan of another study.
    """
    folder = Location.of(out).local
    Location.of(folder / _PICTURES[0]).require_writable()
    tour = _Tour(echo)
    echo("The same by hand: in Python what follows >>>, or in a shell what follows $.")
    tour.code("import bulklmm_dask as blmm")
    ds, path = _study(study, folder, n_traits, tour, overwrite=overwrite)
    store = _scan_in(folder, path)
    result = _scan(ds, path, store, tour)
    maxima = max_lod(result)
    _tell_peaks(ds, maxima, store, tour)
    _draw(ds, result, maxima, folder, tour)
    perm = _tell_chance(ds, path, maxima, folder, tour)
    _write_report(ds, result, perm, folder, store, tour)
    return maxima


def _study(
    source: str | Path | None, folder: Path, n_traits: int, tour: _Tour, *, overwrite: bool
) -> tuple[xr.Dataset, Path]:
    """Read or simulate the study and its kinship; make it a Zarr study if it is none."""
    tour.step("The study: genotypes and traits of the same samples")
    if source is None:
        path = folder / f"simulated-{n_traits}.zarr"
        tour.command(f"simulate {path} --traits {n_traits}")
        tour.code(f"ds = blmm.simulate_study(n_traits={n_traits})")
        ds = simulate_study(n_traits=n_traits)
    elif Location.of(source).is_store():
        path = Location.of(source).local
        tour.code(f'ds = blmm.open_dataset("{path}")')
        ds = open_dataset(path)
    else:
        path = folder / f"{Location.of(source).local.stem}.zarr"
        name = guess_format(source)
        tour.command(f"import {source} {path}")
        ds = read_alone(source, name)
        tour.code(f'ds = blmm.{READERS[str(name)].python}("{source}")')
    tour.note(shape_of(ds))
    folder.mkdir(parents=True, exist_ok=True)
    is_new = source is None or path != Location.of(source).local
    if not _scan_in(folder, path).exists():  # else this tour was here before
        for one in [*(folder / name for name in _PICTURES), *([path] if is_new else [])]:
            Location.of(one).require_free(overwrite=overwrite)
    tour.step("The kinship: how alike the samples are over all markers; kept with the study")
    if "kinship" not in ds:
        tour.command(f"kinship {path}")
        tour.code('ds["kinship"] = blmm.kinship(ds)')
        ds["kinship"] = kinship(ds)
    if is_new:
        tour.code(f'blmm.save(ds, "{path}", overwrite=True)')
        save(ds, path, overwrite=True)
        tour.code(f'ds = blmm.open_dataset("{path}")')
        ds = open_dataset(path)
    return ds, path


def _scan_in(folder: Path, study: Path) -> Path:
    """Path of the scan of a study; it tells that the folder is one of a tour."""
    return folder / f"{study.stem}-scan.zarr"


def _scan(ds: xr.Dataset, path: Path, store: Path, tour: _Tour) -> xr.Dataset:
    tests = ds.sizes["variants"] * ds.sizes["traits"]
    tour.step(f"The scan: a LOD score for each of {quantity(tests)} pairs of trait and marker")
    tour.note(
        "The heritability of each trait is estimated exactly. The LODs go to disk block by block,\n"
        "so that a scan that was stopped goes on where it was."
    )
    tour.command(f"scan {path} {store}")
    tour.code(f'result = blmm.scan(ds, store="{store}")')
    with ProgressBar() as bar:
        return scan(ds, store=store, progress=bar)


def _tell_peaks(ds: xr.Dataset, maxima: pd.DataFrame, store: Path, tour: _Tour) -> None:
    tour.step("The peaks: the highest LOD of each trait; the traits with the highest of all")
    tour.command(f"maxima {store} --top {_SHOWN}")
    tour.code("peaks = blmm.max_lod(result)")
    known = "trait_true_variant" in ds
    table = _with_truth(ds, maxima) if known else maxima.assign(**_descriptions(ds))
    top = table.sort_values("lod", ascending=False, kind="stable").head(_SHOWN)
    top = top.rename(columns={"lod": "LOD"})
    tour.note(top.to_string(index=False, float_format=_number, na_rep="-"))
    high = table[table["lod"] >= _THRESHOLD]
    tour.note(f"{len(high):,} of {len(table):,} traits have a LOD of {_THRESHOLD:g} or more.")
    if known and len(high):
        near = (high["Mb apart"] <= _NEAR).mean()
        tour.note(f"Of these, {near:.1%} have their peak within {_NEAR:g} Mb of the true locus.")


def _with_truth(ds: xr.Dataset, maxima: pd.DataFrame) -> pd.DataFrame:
    """Table of found and true markers with their distance, infinite between chromosomes."""
    true = ds[["variant_contig", "variant_position"]].sel(variants=ds["trait_true_variant"].values)
    same = ds["contig_id"].values[true["variant_contig"].values] == maxima["contig"]
    apart = np.abs(true["variant_position"].values - maxima["position"])
    return pd.DataFrame(
        {
            "trait": maxima["trait"],
            "found marker": maxima["variant"],
            "true marker": ds["trait_true_variant"].values,
            "Mb apart": apart.where(same, np.inf),
            "lod": maxima["lod"],
            "h2": maxima["h2"],
            "true h2": ds["trait_true_h2"].values,
        }
    )


def _number(value: float) -> str:
    return "elsewhere" if np.isinf(value) else f"{value:.2f}"


def _descriptions(ds: xr.Dataset) -> dict[str, list[str]]:
    if "trait_description" not in ds:
        return {}
    texts = ds["trait_description"].values
    return {"description": [shorten(str(text), _WIDTH, placeholder=" ...") for text in texts]}


def _draw(
    ds: xr.Dataset, result: xr.Dataset, maxima: pd.DataFrame, folder: Path, tour: _Tour
) -> None:
    tour.step("The pictures: the LOD curve of the first trait above, and the map of all loci")
    best = maxima["trait"][maxima["lod"].fillna(-1).argmax()]
    curve, dots = (folder / name for name in _PICTURES[:2])
    tour.code(f'blmm.plot.lod(result, "{best}").figure.savefig("{curve}", dpi={_DPI})')
    keep(plot.lod(result, best), curve, _DPI)
    tour.code(f'blmm.plot.eqtl(peaks, ds).figure.savefig("{dots}", dpi={_DPI})')
    keep(plot.eqtl(maxima, ds, threshold=_THRESHOLD), dots, _DPI)


def _tell_chance(
    ds: xr.Dataset, path: Path, maxima: pd.DataFrame, folder: Path, tour: _Tour
) -> xr.Dataset:
    tour.step("The thresholds: how high the LOD of each trait is by chance alone")
    tour.note("Random residuals stand in for those of all traits, at some heritabilities.")
    store = folder / f"{path.stem}-perm.zarr"
    options = f'method="shared", n_permutations={_DRAWS}'
    tour.command(f"permute {path} {store} --method shared --permutations {_DRAWS}")
    tour.code(f'perm = blmm.permute(ds, {options}, store="{store}")')
    perm = permute(ds, method="shared", n_permutations=_DRAWS, store=store)
    tour.code("found = blmm.trait_fdr(perm, peaks)")
    found = trait_fdr(perm, maxima)
    levels = thresholds(perm, _ALPHA)["threshold"]
    tour.note(
        f"LODs that chance exceeds with probability {_ALPHA:g}: "
        f"{float(levels.min()):.2f} to {float(levels.max()):.2f}, by trait.\n"
        f"{int((found['fdr'] <= _ALPHA).sum()):,} traits have a locus at a false discovery rate of "
        f"{_ALPHA:.0%}."
    )
    return perm


def _write_report(
    ds: xr.Dataset, result: xr.Dataset, perm: xr.Dataset, folder: Path, store: Path, tour: _Tour
) -> None:
    tour.step("The report: all of it on one page, with tables to sort and how to repeat it")
    page = folder / _PICTURES[2]
    tour.command(f"report {store} --out {page} --overwrite")
    tour.code(f'blmm.report(result, "{page}", study=ds, perm=perm, overwrite=True)')
    report(result, page, study=ds, perm=perm, overwrite=True)
