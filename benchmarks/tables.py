"""Tables of the documentation, from the book alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from timing import Spread, short

PAGE = Path(__file__).resolve().parents[1] / "docs" / "guide" / "speed.md"
# Studies that share a table, side by side; any other has one of its own.
TOGETHER = (("strains", "distinct", "different"), ("founders", "founders-distinct"))
LOOPS = {
    "avx512": "With AVX-512",
    "avx2": "Without AVX-512 (loops of AVX2)",
    "baseline": "With no more than the baseline of x86-64",
    "numpy": "By NumPy, without loops in C",
}


def table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(names), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(spread: dict[str, float]) -> str:
    return str(Spread(**spread))


def _goal(most: float | None) -> str:
    return "" if most is None else f"{most:g}"


def about(run: dict[str, Any], part: str) -> str:
    """What the figures of a part were measured by, in a sentence."""
    machine, figures = run["machine"], run[part]

    def values(key: str) -> str:
        found = sorted({figure[key] for figure in figures if key in figure})
        return " and ".join(f"{value:,}" for value in found)

    told = {"threads": "threads", "traits": "traits", "repeats": "runs of each"}
    options = [f"{word}: {values(key)}" for key, word in told.items() if values(key)]
    return (
        f"**{LOOPS[run['instructions']['loops']]}**: {machine['processor']}, {machine['cores']} "
        f"cores, {run['instructions']['blas'].strip()}, version {run['versions']['bulklmm-dask']}, "
        f"{run['date']}. {'; '.join(options).capitalize()}; load of the machine up to "
        f"{max(figure['load'] for figure in figures):g}."
    )


def of_cases(run: dict[str, Any]) -> str:
    """Ratios by processor time: a table for each group of studies."""
    figures = run.get("cases", [])
    parts = []
    for group in _groups(figures):
        inside = [figure for figure in figures if figure["study"] in group]
        parts += [_titles(inside, group), _of_group(inside, group)]
    return "\n\n".join(parts)


def _groups(figures: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    studies = list(dict.fromkeys(figure["study"] for figure in figures))
    groups = []
    for study in studies:
        group = next((group for group in TOGETHER if study in group), (study,))
        groups.append(tuple(name for name in group if name in studies))
    return list(dict.fromkeys(groups))


def _titles(figures: list[dict[str, Any]], group: tuple[str, ...]) -> str:
    titles = {figure["study"]: figure["title"] for figure in figures}
    return "\n".join(f"- {study}: {titles[study]}." for study in group)


def _of_group(figures: list[dict[str, Any]], group: tuple[str, ...]) -> str:
    found = {(figure["study"], figure["case"]): figure for figure in figures}
    rows = []
    for name in dict.fromkeys(figure["case"] for figure in figures):
        row = [found.get((study, name)) for study in group]
        one = next(figure for figure in row if figure)
        cells = ["" if figure is None else cell(figure["processor"]) for figure in row]
        rows.append([name, one["beside"], *cells, _goal(one["goal"])])
    return table(("", "beside", *group, "at most"), rows)


def of_peers(run: dict[str, Any]) -> str:
    """Time of a test of other programs beside ours; those that were not there, by name."""
    figures = run.get("peers", [])
    rows = [
        [
            f"{figure['peer']} ({figure['version']})",
            figure["study"],
            figure["ours"],
            short(figure["ns"]),
            short(figure["ours_ns"]),
            cell(figure["times"]),
            "" if figure["goal"] is None else f"{figure['goal']:,g}",
        ]
        for figure in figures
        if "left_out" not in figure
    ]
    out = sorted({figure["left_out"] for figure in figures if "left_out" in figure})
    names = ("", "study", "ours", "ns a test", "ours, ns", "times", "at least")
    return "\n\n".join([table(names, rows)] * bool(rows) + [f"Not timed: {why}." for why in out])


def of_sizes(run: dict[str, Any]) -> str:
    """Time of a test against the size of a study, and its ratio."""
    figures = run.get("sizes", [])
    axes = list(dict.fromkeys(figure["axis"] for figure in figures))
    rows = []
    for figure in sorted(figures, key=lambda one: (axes.index(one["axis"]), one["size"])):
        rows.append(
            [
                f"{figure['axis']}: {figure['size']:,}",
                figure["case"],
                short(figure["ns"]),
                cell(figure["processor"]),
                _goal(figure["goal"]),
            ]
        )
    return table(("", "", "ns a test", "ratio", "at most"), rows) if rows else ""


MARKS = {"cases": of_cases, "peers": of_peers, "sizes": of_sizes}


def marked(runs: dict[str, Any], part: str) -> str:
    """Everything that stands between the marks of a part on the page."""
    made = []
    for name in LOOPS:
        run = runs.get(name, {})
        if run.get(part):
            made += [about(run, part), MARKS[part](run)]
    return "\n\n".join(made)


def on_page(text: str, runs: dict[str, Any]) -> str:
    """The page with its tables made anew."""
    for part in MARKS:
        begin, end = f"<!-- {part} of the book: begin -->", f"<!-- {part} of the book: end -->"
        if not (begin in text and end in text):
            raise SystemExit(f"{PAGE} lacks the lines {begin!r} and {end!r}: put them back")
        between = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        inside = f"{begin}\n\n{marked(runs, part)}\n\n{end}"
        text = between.sub(inside.replace("\\", r"\\"), text)
    return text
