"""Speed of the package: each case as a ratio to a bare matrix product, or to another checkout.

The speed of a machine drifts. So a matrix product of the same size is timed right before each run
of a case, and a ratio is the median over such pairs, by the clock and by processor time. Where
other programs run on the machine, the clock also measures these; processor time does so far less,
and the tables of the documentation have that. All figures go into a book, a file in JSON. Other
programs that are installed are timed on the same studies.

With --against, each case runs in turn in this checkout and in another one, each in a process of its
own, and the ratios are those of the medians of their times: above 1 this checkout is slower.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import book
import numpy as np
import peers
import size_picture
import tables
from cases import Case, chosen
from checkouts import beside_checkout, serve
from dask import config
from ratios import Bench, Ratio, measured
from simulated import STUDIES
from timing import limit_blas

import bulklmm_dask as blmm


def figure(study: str, case: Case, ratio: Ratio, n_traits: int) -> dict[str, Any]:
    """What the book keeps of a case."""
    return {
        "study": study,
        "title": STUDIES[study].title,
        "case": case.name,
        "traits": n_traits,
        "seconds": {
            "clock": book.rounded(ratio.seconds.clock),
            "processor": book.rounded(ratio.seconds.processor),
        },
        "beside": case.beside,
        "clock": book.spread(ratio.clock),
        "processor": book.spread(ratio.processor),
        "goal": case.most,
    }


def of_cases(bench: Bench, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Time every case, print it, and give its figure."""
    before = ""
    for study, case, ratio in measured(bench, options.only, options.repeats, options.threads):
        n_traits = bench.study(study).sizes["traits"]
        if study != before:
            print(f"\n{STUDIES[study].title}, {n_traits} traits", flush=True)
            before = study
        goal = "" if case.most is None else f"  at most {case.most:g}"
        print(
            f"{case.name:34s} {ratio.seconds.clock:6.2f} s  processor {ratio.processor}, "
            f"clock {ratio.clock} to the {case.beside}{goal}",
            flush=True,
        )
        yield figure(study, case, ratio, n_traits)


def accuracy(bench: Bench) -> Iterator[dict[str, Any]]:
    """How far single precision is off, and how many pairs alt-exact refines."""
    part = bench.study("strains").isel(traits=slice(0, 4096))
    double, single = (blmm.scan(part, precision=p).lod.values for p in ("double", "single"))
    gap = float(np.abs(single - double)[double < 100].max())
    print(f"\nlargest difference of single from double precision: {gap:.1e}  at most 1e-4")
    yield {
        "what": "largest difference of single precision, LODs below 100",
        "value": book.rounded(gap),
    }
    share = float(blmm.scan(part, method="alt-exact").refined.mean())
    print(f"alt-exact refined {share:.2%} of the pairs one by one")
    yield {"what": "share of pairs that alt-exact refines", "value": book.rounded(share)}


def of_peers(bench: Bench, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Time other programs, print each beside ours, and give its figure."""
    print("\nOther programs, by processor time", flush=True)
    for figure in peers.beside(bench, options):
        if "left_out" in figure:
            print(f"not timed: {figure['left_out']}", flush=True)
        else:
            goal = "" if figure["goal"] is None else f"  at least {figure['goal']:g}"
            print(
                f"{figure['peer']:24s} {figure['study']:10s} {figure['ns']:12,.1f} ns a test, ours "
                f"({figure['ours']}) {figure['ours_ns']:,.1f}: {tables.cell(figure['times'])} "
                f"times{goal}",
                flush=True,
            )
        yield figure


def into_book(options: argparse.Namespace, folder: Path) -> None:
    """Measure what is asked for; every figure is in the book as soon as it is known."""
    kept = {"threads": options.threads, "repeats": options.repeats}
    book.begin(options.book, partly=options.only is not None)
    bench = Bench(options.traits, folder)
    parts: dict[str, Iterator[dict[str, Any]]] = {"cases": of_cases(bench, options)}
    if options.only is None:
        parts["accuracy"] = accuracy(bench)
    if options.only is None or options.peers:
        parts["peers"] = of_peers(bench, options)
    for part, figures in parts.items():
        for one in figures:
            book.add(options.book, part, one | kept)
    run = book.read(options.book)[book.loops()]
    for part in parts:
        if part in tables.MARKS:
            print(f"\n{tables.marked({book.loops(): run}, part)}")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="compare with the package in this folder, another checkout, instead of with products",
    )
    parser.add_argument(
        "--only", metavar="REGEX", help='only cases whose "STUDY: NAME" it is found in; see --list'
    )
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--traits", type=int, default=32445, help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    book.add_option(parser)
    parser.add_argument(
        "--peers", action="store_true", help="other programs too, where --only leaves cases out"
    )
    parser.add_argument(
        "--fastlmm",
        type=Path,
        metavar="PYTHON",
        help="Python of an environment that has FaST-LMM (pip install fastlmm)",
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="put tables and picture of the book into the documentation, and stop",
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    options = arguments().parse_args()
    if options.list:
        print("\n".join(f"{study}: {case.name}" for study, case in chosen(options.only)))
        return
    if options.page:
        runs = book.read(options.book)
        tables.PAGE.write_text(tables.on_page(tables.PAGE.read_text(), runs))
        size_picture.write(runs)
        return
    config.set(scheduler="threads", num_workers=options.threads)
    limit_blas(options.threads)
    warnings.simplefilter("ignore", blmm.StudyWarning)
    if options.against is not None:
        beside_checkout(options.against, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.serve:
            serve(Bench(options.traits, Path(folder)))
        else:
            into_book(options, Path(folder))


if __name__ == "__main__":
    main()
