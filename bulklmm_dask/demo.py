"""A guided tour: a study, a scan of all its traits, peaks, pictures, thresholds and a report."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, indent, shorten

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
# Files of the folder besides the stores, and what there is to see in them.
_FILES = {
    "report.html": "open it in a browser: the highest peaks in a table to sort and search, curves, "
    "the map, hotspots, p-values, and how to make it again",
    "lod.png": "the LOD curve of the trait with the highest peak; dashed are its thresholds",
    "eqtl.html": "open it in a browser: every locus against the place of its trait. The wheel "
    "zooms, a locus under the pointer says its name. Cis loci lie on the diagonal, a hotspot is a "
    "column",
    "maxima.csv": "the highest LOD of every trait, one a row, for a spreadsheet or pandas",
}
_DRAWS, _ALPHA = 200, 0.05
_WIDTH = 50  # most characters of a trait's description
_LINE = 92  # letters

Echo = Callable[[str], object]


@dataclass(frozen=True)
class _Places:
    """Where the tour reads and writes: a folder, and a study in it or elsewhere."""

    folder: Path
    study: Path

    @property
    def scan(self) -> Path:
        """The scan; it tells that the folder is one of a tour."""
        return self.folder / f"{self.study.stem}-scan.zarr"

    @property
    def perm(self) -> Path:
        return self.folder / f"{self.study.stem}-perm.zarr"

    def file(self, name: str) -> Path:
        assert name in _FILES
        return self.folder / name


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

    def command(self, *words: object) -> None:
        self._echo(f"   $ bulklmm {shlex.join(map(str, words))}")

    def note(self, text: str) -> None:
        for line in text.splitlines():
            self._echo(f"   {line}")

    def file(self, path: Path, words: str) -> None:
        """Say what there is to see in a file."""
        self.note(str(path))
        self.note(indent(fill(words, _LINE), "    "))


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
        Folder for the study, the LOD scores, ``report.html``, ``lod.png``, ``eqtl.html`` and
        ``maxima.csv``.
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
    Location.of(folder / "lod.png").require_writable()
    tour = _Tour(echo)
    echo("The same by hand: in Python what follows >>>, or in a shell what follows $.")
    tour.code("import bulklmm_dask as blmm")
    ds, at = _study(study, folder, n_traits, tour, overwrite=overwrite)
    result = _scan(ds, at, tour)
    maxima = max_lod(result)
    _tell_peaks(ds, maxima, at, tour)
    perm = _tell_chance(ds, maxima, at, tour)
    _draw(ds, result, maxima, perm, at, tour)
    _write_report(ds, result, perm, at, tour)
    _tell_where(at, tour)
    return maxima


def _study(
    source: str | Path | None, folder: Path, n_traits: int, tour: _Tour, *, overwrite: bool
) -> tuple[xr.Dataset, _Places]:
    """Read or simulate the study and its kinship; make it a Zarr study if it is none."""
    tour.step("The study: genotypes and traits of the same samples")
    if source is None:
        path = folder / f"simulated-{n_traits}.zarr"
        tour.command("simulate", path, "--traits", n_traits, *_again(path))
        tour.code(f"ds = blmm.simulate_study(n_traits={n_traits})")
        ds = simulate_study(n_traits=n_traits)
    elif Location.of(source).is_store():
        path = Location.of(source).local
        tour.code(f"ds = blmm.open_dataset({str(path)!r})")
        ds = open_dataset(path)
    else:
        path = folder / f"{Location.of(source).local.stem}.zarr"
        name = guess_format(source)
        tour.command("import", source, path, *_again(path))
        ds = read_alone(source, name)
        tour.code(f"ds = blmm.{READERS[str(name)].python}({str(source)!r})")
    tour.note(shape_of(ds))
    folder.mkdir(parents=True, exist_ok=True)
    is_new = source is None or path != Location.of(source).local
    at = _Places(folder, path)
    if not at.scan.exists():  # else this tour was here before
        for one in [*(folder / name for name in _FILES), *([path] if is_new else [])]:
            Location.of(one).require_free(overwrite=overwrite)
    tour.step("The kinship: how alike the samples are over all markers; kept with the study")
    if "kinship" not in ds:
        tour.command("kinship", path)
        tour.code('ds["kinship"] = blmm.kinship(ds)')
        ds["kinship"] = kinship(ds)
    if is_new:
        tour.code(f"blmm.save(ds, {str(path)!r}, overwrite=True)")
        save(ds, path, overwrite=True)
        tour.code(f"ds = blmm.open_dataset({str(path)!r})")
        ds = open_dataset(path)
    return ds, at


def _again(path: Path) -> list[str]:
    """Option of a command that replaces what an earlier tour has left."""
    return ["--overwrite"] if path.exists() else []


def _scan(ds: xr.Dataset, at: _Places, tour: _Tour) -> xr.Dataset:
    tests = ds.sizes["variants"] * ds.sizes["traits"]
    tour.step(f"The scan: a LOD score for each of {quantity(tests)} pairs of trait and marker")
    tour.note(
        "The heritability of each trait is estimated exactly. The LODs go to disk block by block,\n"
        "so that a scan that was stopped goes on where it was."
    )
    tour.command("scan", at.study, at.scan)
    tour.code(f"result = blmm.scan(ds, store={str(at.scan)!r})")
    with ProgressBar() as bar:
        return scan(ds, store=at.scan, progress=bar)


def _tell_peaks(ds: xr.Dataset, maxima: pd.DataFrame, at: _Places, tour: _Tour) -> None:
    tour.step("The peaks: the highest LOD of each trait; the traits with the highest of all")
    path = at.file("maxima.csv")
    tour.command("maxima", at.scan, "--out", path, "--overwrite")
    tour.command("maxima", at.scan, "--top", _SHOWN)
    tour.code("peaks = blmm.max_lod(result)")
    tour.code(f"peaks.to_csv({str(path)!r}, index=False)")
    with Location.of(path).appearing_file() as partial:
        maxima.to_csv(partial, index=False)
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


def _tell_chance(ds: xr.Dataset, maxima: pd.DataFrame, at: _Places, tour: _Tour) -> xr.Dataset:
    tour.step("The thresholds: how high the LOD of each trait is by chance alone")
    tour.note("Random residuals stand in for those of all traits, at some heritabilities.")
    options = f'method="shared", n_permutations={_DRAWS}'
    tour.command("permute", at.study, at.perm, "--method", "shared", "--permutations", _DRAWS)
    tour.code(f"perm = blmm.permute(ds, {options}, store={str(at.perm)!r})")
    perm = permute(ds, method="shared", n_permutations=_DRAWS, store=at.perm)
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


def _draw(
    ds: xr.Dataset,
    result: xr.Dataset,
    maxima: pd.DataFrame,
    perm: xr.Dataset,
    at: _Places,
    tour: _Tour,
) -> None:
    tour.step("The pictures: the LOD curve of the first trait above, and the map of all loci")
    best = str(maxima["trait"][maxima["lod"].fillna(-1).argmax()])
    curve, dots, table = (at.file(name) for name in ("lod.png", "eqtl.html", "maxima.csv"))
    tour.command("plot", "lod", at.scan, best, "--perm", at.perm, "--out", curve, "--overwrite")
    tour.code(f"ax = blmm.plot.lod(result, {best!r}, threshold=perm)")
    tour.code(f"blmm.plot.save(ax, {str(curve)!r}, overwrite=True)")
    keep(plot.lod(result, best, threshold=perm), curve)
    tour.command("plot", "eqtl", table, at.study, "--out", dots, "--overwrite")
    tour.code("ax = blmm.plot.eqtl(peaks, ds)")
    tour.code(f"blmm.plot.save(ax, {str(dots)!r}, overwrite=True)")
    keep(plot.eqtl(maxima, ds), dots)


def _write_report(
    ds: xr.Dataset, result: xr.Dataset, perm: xr.Dataset, at: _Places, tour: _Tour
) -> None:
    tour.step("The report: all of it on one page, with tables to sort and how to repeat it")
    page = at.file("report.html")
    given = ("--study", at.study, "--perm", at.perm)
    tour.command("report", at.scan, "--out", page, *given, "--overwrite")
    tour.code(f"blmm.report(result, {str(page)!r}, study=ds, perm=perm, overwrite=True)")
    report(result, page, study=ds, perm=perm, overwrite=True)


def _tell_where(at: _Places, tour: _Tour) -> None:
    tour.step("What to look at")
    for name, words in _FILES.items():
        tour.file(at.file(name), words)
    tour.file(
        at.scan, "the LODs of all pairs: blmm.open_result opens it, bulklmm info describes it"
    )
    tour.file(at.perm, "what chance alone gives every trait")
    tour.note(
        "The same with files of your own: bulklmm demo --study FILE, or step by step as above,\n"
        "beginning with bulklmm import."
    )
