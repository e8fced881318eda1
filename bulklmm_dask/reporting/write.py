"""Writing the report of a result: check the input, search the result, fill the template."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import date
from pathlib import Path
from typing import Any

import jinja2
import xarray as xr

from bulklmm_dask.analyses.options import PERMUTE, SCAN
from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import pyplot
from bulklmm_dask.reporting import pictures
from bulklmm_dask.reporting.facts import (
    Facts,
    n_fitted,
    require_same,
    require_within,
    scan_facts,
    study_facts,
    with_plain_options,
)
from bulklmm_dask.reporting.findings import ALPHA, Findings, find, is_placed
from bulklmm_dask.reporting.repeat import how_to_repeat
from bulklmm_dask.reporting.table import TAIL, table
from bulklmm_dask.results.checks import require_result
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.checks import number, whole_number
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import printable


def report(
    result: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    study: xr.Dataset | None = None,
    perm: xr.Dataset | None = None,
    threshold: float = 5.0,
    n_top: int = 100,
    overwrite: bool = False,
) -> None:
    """Write the findings of a scan as one self-contained page of HTML.

    The page has the facts of the study and of the scan, the distribution of h2, a table of the
    highest peaks that can be sorted and searched, the map of all peaks, hotspots, p-values against
    their expectation, LOD curves of the traits with the highest peaks, and the calls, commands and
    versions that make the result again. It loads nothing from elsewhere and can be sent and
    printed. Only sorting and searching need JavaScript.

    LODs are read block by block: once for the peaks, once for the p-values, and those of the
    highest peaks and their traits once more. A lazy result would be computed each time: store it
    first, with ``scan(..., store=...)``.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result``. Without a marker map, the page has the highest
        marker of each trait instead of peaks, and no map, hotspots or curves.
    path : path
        File to write, such as report.html. It appears when it is complete.
    study : Dataset, optional
        The study that was scanned; adds its samples, origin and missing values.
    perm : Dataset, optional
        Permutations of the study, from ``permute``; adds genome-wide adjusted p, and thresholds of
        the traits whose curves are drawn.
    threshold : float
        LOD that peaks exceed.
    n_top : int
        Most rows of the table of peaks.
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    InputError
        If this is no result, the study or the permutations lack some of its traits or markers, an
        option is out of range, or matplotlib is not installed.
    StoreError
        If the file exists or cannot be written; then nothing is left behind.

    Examples
    --------
    Store the scan first: the page reads its LODs several times.

    >>> result = blmm.scan(ds, store="scan.zarr")
    >>> perm = blmm.permute(ds, n_permutations=200, seed=1, store="perm.zarr")
    >>> blmm.report(result, "report.html", study=ds, perm=perm, threshold=4)
    >>> from pathlib import Path
    >>> Path("report.html").exists()
    True
    """
    result = with_plain_options(require_result(result, "report"), SCAN)
    lowest = number(threshold, option("threshold"), 0.0)
    n_top = whole_number(n_top, "n_top", 1)
    if study is not None:
        require_same(result, study)
    if perm is not None:
        _require_permuted(result, perm)
        perm = with_plain_options(perm, PERMUTE)
    pyplot()
    target = Location.of(path)
    target.require_free_file(overwrite=overwrite)
    result = _with_traits_known(result)
    findings = None
    if n_fitted(result):
        findings = find(result, perm, threshold=lowest, n_top=n_top)
    page = _template("page.html").render(**_page(result, study, perm, findings, lowest, n_top))
    target.write_text(page)


def _with_traits_known(result: xr.Dataset) -> xr.Dataset:
    """Compute the variables of traits once; `n_refined`, which takes all pairs, is left out."""
    result = result.drop_vars("n_refined", errors="ignore")
    of_pairs = [name for name, array in result.items() if {"variants", "traits"} <= set(array.dims)]
    return result.assign(result.drop_vars(of_pairs).compute().data_vars)


def _require_permuted(result: xr.Dataset, perm: Any) -> None:
    """Raise InputError, before any work, where there are no permutations of the traits."""
    if not isinstance(perm, xr.Dataset) or "max_lod" not in perm:
        raise InputError(
            either(
                "perm should be the Dataset that permute gives, with its max_lod",
                "--perm holds no permutations; give a store of 'bulklmm permute'",
            )
        )
    require_within(result, perm, "traits", option("perm"), "permute the study that was scanned")


def _template(name: str) -> jinja2.Template:
    """Template that escapes every value put into it, its control characters too."""
    loader = jinja2.PackageLoader("bulklmm_dask.reporting")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        finalize=_seen,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _seen(value: Any) -> Any:
    """A value without control characters and signs that turn the direction of writing."""
    whole = isinstance(value, str) and not hasattr(value, "__html__")  # no HTML of this package
    return printable(value, lines=True) if whole else value


def _asset(name: str) -> str:
    """Text of a file beside the templates."""
    return Path(__file__).with_name("templates").joinpath(name).read_text(encoding="utf-8")


def _page(
    result: xr.Dataset,
    study: xr.Dataset | None,
    perm: xr.Dataset | None,
    findings: Findings | None,
    threshold: float,
    n_top: int,
) -> dict[str, Any]:
    """Values of the template."""
    unit = _unit(result)
    script = _asset("table.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "title": (study.attrs.get("description") if study is not None else None) or "Genome scan",
        "today": date.today().isoformat(),
        "style": _asset("style.css"),
        "script": script,
        "script_digest": f"sha256-{digest}",
        "figures": _figures(result, findings, threshold),
        "study": study_facts(result, study),
        "scan": scan_facts(result, study),
        "placed": is_placed(result),
        "threshold": f"{threshold:g}",
        "findings": findings,
        "columns": []
        if findings is None or findings.top.empty
        else table(findings.top, _contigs(result), unit, _effect_unit(result)),
        "effect_unit": _effect_unit(result),
        "tail": TAIL if findings is not None and "p_source" in findings.top else "",
        "pictures": _pictures(result, findings, threshold, unit),
        "repeat": how_to_repeat(
            result, perm, study=study is not None, threshold=threshold, n_top=n_top
        ),
    }


def _unit(result: xr.Dataset) -> str:
    """Unit of the positions; empty without a marker map."""
    return str(result["variant_position"].attrs.get("units", "")) if is_placed(result) else ""


def _effect_unit(result: xr.Dataset) -> str | None:
    """What one unit of effects is; None for a result without effects."""
    return result.attrs.get("effect_unit") if {"beta", "se"} & set(result) else None


def _contigs(result: xr.Dataset) -> list[str]:
    """Names of the contigs; none without a marker map."""
    return [str(name) for name in result["contig_id"].values] if is_placed(result) else []


def _figures(result: xr.Dataset, findings: Findings | None, threshold: float) -> Facts:
    """Numbers at the top of the page."""
    fitted = n_fitted(result)
    out = [
        ("traits", f"{result.sizes['traits']:,}"),
        ("markers", f"{result.sizes['variants']:,}"),
        ("tests", f"{fitted * result.sizes['variants']:,}"),
    ]
    if findings is None:
        return out
    with_loci = findings.loci["trait"].nunique()
    out.append((f"traits above LOD {threshold:g}", f"{with_loci:,}"))
    if is_placed(result):
        out.append((f"peaks above LOD {threshold:g}", f"{len(findings.loci):,}"))
    if "p_adjusted" in findings.loci:
        known = int((findings.loci["p_adjusted"] <= ALPHA).sum())
        out.append((f"of them with adjusted p ≤ {ALPHA:g}", f"{known:,}"))
    return out


def _pictures(
    result: xr.Dataset, findings: Findings | None, threshold: float, unit: str
) -> dict[str, pictures.Picture | None]:
    """Pictures by name; None where there is nothing to draw."""
    out: dict[str, pictures.Picture | None] = dict.fromkeys(
        ("heritability", "quantiles", "curves", "map", "hotspots")
    )
    out["heritability"] = pictures.heritabilities(result)
    if findings is None:
        return out
    out["quantiles"] = pictures.quantiles(findings)
    if findings.loci.empty or not is_placed(result):
        return out
    out["curves"] = pictures.curves(findings, threshold)
    out["map"] = pictures.loci_map(findings, result, threshold)
    if findings.hotspots is not None:
        out["hotspots"] = pictures.hotspot_profile(findings, result, unit)
    return out
