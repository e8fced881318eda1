"""The benchmarks' book, its tables and picture, and what is left out."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dask import config
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """Modules of the benchmarks import each other as scripts of one folder do."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield
    for name in set(sys.modules) - before:
        place = getattr(sys.modules[name], "__file__", None) or ""
        if place.startswith(str(ROOT / "benchmarks")):
            del sys.modules[name]


@pytest.fixture
def runs():
    import book

    found = book.read(book.BOOK)
    assert found
    return found


def figure(case="null-exact, double", study="strains", **values):
    spread = {"median": 0.5, "least": 0.25, "most": 1.0}
    return {
        "study": study,
        "title": "a study",
        "case": case,
        "beside": "product",
        "processor": spread,
        "goal": 2.0,
    } | values


# --- the page --------------------------------------------------------------------------------


def test_the_page_says_what_the_book_has(runs):
    import tables

    page = tables.PAGE.read_text()
    assert tables.on_page(page, runs) == page, "make the tables anew: make bench-page"


def test_a_table_has_every_figure_with_its_spread(runs):
    import tables

    for run in runs.values():
        text = tables.of_cases(run)
        cells = Counter(re.findall(r"[\d,.]+ \([\d,.]+ to [\d,.]+\)", text))
        assert cells == Counter(tables.cell(one["processor"]) for one in run["cases"])
        assert all(one["processor"]["least"] <= one["processor"]["median"] for one in run["cases"])


def test_studies_side_by_side_have_one_row_a_case():
    import tables

    other = {"median": 3.0, "least": 2.0, "most": 123.4}
    run = {
        "cases": [
            figure(),
            figure("only here", goal=None),
            figure(study="distinct", processor=other),
        ]
    }
    assert tables.of_cases(run).splitlines()[-4:] == [
        "|  | beside | strains | distinct | at most |",
        "| --- | --- | --- | --- | --- |",
        "| null-exact, double | product | 0.50 (0.25 to 1.00) | 3.00 (2.00 to 123) | 2 |",
        "| only here | product | 0.50 (0.25 to 1.00) |  |  |",
    ]


def test_a_page_without_marks_is_refused():
    import tables

    with pytest.raises(SystemExit, match="lacks the lines '<!-- cases of the book: begin -->'"):
        tables.on_page("# Speed\n", {})


def test_the_picture_has_every_size(runs):
    pytest.importorskip("matplotlib")
    import size_picture

    drawn = size_picture.drawn(runs)
    points = {
        (ax.get_xlabel(), x, y)
        for ax in drawn.axes
        for line in ax.lines
        if line.get_marker() == "o"
        for x, y in line.get_xydata()
    }
    assert points == {
        (one["axis"], one["size"], one["ns"])
        for run in runs.values()
        for one in run.get("sizes", [])
        if one["case"] == "null-exact, double"
    }
    assert size_picture.PICTURE.read_text().startswith("<?xml")
    size_picture.pyplot().close(drawn)


# --- the book --------------------------------------------------------------------------------


def test_a_figure_is_renewed_and_others_stay(tmp_path):
    import book

    path = tmp_path / "book.json"
    book.begin(path, partly=True)
    book.add(path, "cases", figure())
    book.add(path, "cases", figure("another"))
    book.begin(path, partly=True)
    book.add(path, "cases", figure(goal=3.0))
    (run,) = book.read(path).values()
    assert [(one["case"], one["goal"]) for one in run["cases"]] == [
        ("null-exact, double", 3.0),
        ("another", 2.0),
    ]
    assert run["versions"]["numpy"] == np.__version__
    assert list(book.read(path)) == [book.loops()]


@pytest.mark.parametrize("partly", [True, False])
def test_figures_of_another_machine_are_given_up_for_whole_runs_only(tmp_path, partly):
    import book

    path = tmp_path / "book.json"
    book.begin(path, partly=False)
    book.add(path, "cases", figure())
    text = json.loads(path.read_text())
    text["runs"][book.loops()]["machine"]["processor"] = "Another"
    path.write_text(json.dumps(text))
    if partly:
        with pytest.raises(SystemExit, match="with other machine, of which a part would be left"):
            book.begin(path, partly=True)
        assert json.loads(path.read_text()) == text
    else:
        book.begin(path, partly=False)
        assert "cases" not in book.read(path)[book.loops()]


def test_runs_of_other_loops_stay(tmp_path, monkeypatch):
    import book

    path = tmp_path / "book.json"
    monkeypatch.setenv("BULKLMM_DASK_KERNELS", "numpy")
    book.begin(path, partly=False)
    monkeypatch.delenv("BULKLMM_DASK_KERNELS")
    book.begin(path, partly=False)
    assert set(book.read(path)) == {"numpy", book.loops()}


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "is no book of benchmarks"), ("[]", "is no book"), ('{"format": 7, "runs": {}}', "7")],
)
def test_another_file_is_no_book(tmp_path, text, words):
    import book

    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SystemExit, match=words):
        book.read(path)


# --- what is timed ---------------------------------------------------------------------------


def test_ratios_are_medians_of_pairs():
    from ratios import Ratio
    from timing import Seconds

    pairs = [(Seconds(4, 2), Seconds(2, 2)), (Seconds(9, 9), Seconds(1, 3))]
    ratio = Ratio.of([*pairs, (Seconds(1, 1), Seconds(1, 4))])
    assert ratio.seconds == Seconds(4, 2)
    assert (ratio.clock.least, ratio.clock.median, ratio.clock.most) == (1, 2, 9)
    assert (ratio.processor.least, ratio.processor.median, ratio.processor.most) == (0.25, 1, 3)


def test_each_base_is_timed_right_before_its_run():
    from ratios import in_turn
    from timing import Seconds

    order = []

    def told(name):
        order.append(name)
        return Seconds(len(order), 0)

    pairs = in_turn(lambda: told("run"), lambda: told("base"), 2)
    assert order == ["base", "run", "base", "run"]
    assert [(run.clock, base.clock) for run, base in pairs] == [(2, 1), (4, 3)]


def test_cases_have_names_of_their_own():
    from cases import CASES

    for cases in CASES.values():
        assert max(Counter(case.name for case in cases).values()) == 1


def test_time_of_a_program_is_that_of_its_processor(tmp_path):
    from timing import SAID, spent_by

    command = [sys.executable, "-c", "import time; time.sleep(0.5); print('slept')"]
    seconds = spent_by(command, tmp_path, 1)
    assert seconds.processor < 0.5 <= seconds.clock
    assert (tmp_path / SAID).read_text() == "slept\n"
    with pytest.raises(SystemExit, match="ended with 3:\nalas"):
        spent_by([sys.executable, "-c", "print('alas'); exit(3)"], tmp_path, 1)


def test_programs_that_are_missing_are_named(tmp_path, monkeypatch):
    import peers
    import tables

    monkeypatch.setenv("PATH", str(tmp_path))
    options = argparse.Namespace(fastlmm=tmp_path / "python", repeats=1, threads=1)
    bench = argparse.Namespace(folder=tmp_path)
    figures = list(peers.beside(bench, options))
    assert all("left_out" in one for one in figures)
    text = tables.of_peers({"peers": figures})
    for name in ("GEMMA", "FaST-LMM", "R/qtl2"):
        assert f"Not timed: {name}, for" in text


@pytest.mark.slow
def test_a_small_run_fills_a_book(tmp_path, monkeypatch, capsys):
    import bench
    import bench_size
    import book

    path = tmp_path / "book.json"
    options = ["--book", str(path), "--repeats", "1"]
    only = ["--only", "strains: null-grid 0.1, double", "--traits", "20", "--threads", "1"]
    monkeypatch.setattr("sys.argv", ["bench.py", *options, *only])
    with config.set(scheduler="threads", num_workers=1), threadpool_limits():  # put back afterwards
        bench.main()
    assert "| null-grid 0.1, double | product |" in capsys.readouterr().out

    small = bench_size.Axis("traits", (10, 20, 30), (1.5,))
    monkeypatch.setattr(bench_size, "axes", lambda cores: (small,))
    monkeypatch.setattr("sys.argv", ["bench_size.py", *options, "--limit", "0"])
    with config.set(scheduler="threads", num_workers=1), threadpool_limits():
        bench_size.main()
    assert "20 traits and more: left out, for --limit is 0 seconds" in capsys.readouterr().out
    run = book.read(path)[book.loops()]
    assert [(one["size"], one["goal"]) for one in run["sizes"]] == [(10, 1.5)]
    assert run["cases"][0]["processor"]["median"] > 0
