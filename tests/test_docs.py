"""The documentation: its examples run, its commands parse, its reference has every public name."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest
from commands import run
from doc_pages import ROOT, blocks, commands, links, parse, paths
from test_imports import BELOW, LIBRARIES

import bulklmm_dask as blmm
from bulklmm_dask.study.readers.registry import READERS

DOCS = ROOT / "docs"
PAGES = [
    path
    for path in sorted(DOCS.rglob("*.md"))
    if not {"_build", "api"} & set(path.relative_to(DOCS).parts[:-1])
]
ALL = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

every_page = pytest.mark.parametrize(
    "page", [path.read_text() for path in ALL], ids=[str(path.relative_to(ROOT)) for path in ALL]
)
with_examples = [path for path in PAGES if blocks(path.read_text(), "python")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:covariate ")  # texts become numbers, as the page says
@pytest.mark.parametrize("path", with_examples, ids=lambda path: path.stem)
def test_examples_run(path, tmp_path, monkeypatch):
    """In order and in one namespace, as a reader would paste them."""
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    for cross in (ROOT / "tests" / "data" / "crosses").glob("*.zip"):
        shutil.copy(cross, tmp_path)
    names: dict[str, object] = {}
    for code in blocks(path.read_text(), "python", to_run=True):
        exec(compile(code, str(path.relative_to(ROOT)), "exec"), names)
    plt.close("all")


@pytest.mark.slow
def test_the_shell_of_getting_started_runs(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    for line in commands((DOCS / "getting_started.md").read_text()):
        if line.startswith("bulklmm ") and "--help" not in line and " " in line[8:]:
            run(*shlex.split(line, comments=True)[1:])
    assert (tmp_path / "report.html").is_file()


@every_page
def test_commands_parse(page):
    for line in commands(page):
        parse(line)


@every_page
def test_names_are_public(page):
    ours = re.sub(r"^\| R/qtl2 .*?\n\n", "", page, flags=re.MULTILINE | re.DOTALL)  # R's names
    for name in re.findall(r"\bblmm\.(\w+)", page) + re.findall(r"`([a-z_0-9]+)\(", ours):
        assert hasattr(blmm, name), name
    for name in re.findall(r"\bplot\.(\w+)\(", page):
        assert name in blmm.plot.__all__, name


@every_page
def test_targets_and_paths_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", page, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for path in paths(page):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target in links(path.read_text()):
        assert (path.parent / target).exists(), target


def test_reference_has_every_public_name():
    text = (DOCS / "reference" / "api.md").read_text()
    listed = re.findall(r"^   ([\w.]+)$", text, flags=re.MULTILINE)
    public = {name for name in blmm.__all__ if not name.startswith("__")} - {"plot"}
    assert sorted(listed) == sorted(public | {f"plot.{name}" for name in blmm.plot.__all__})


def test_every_format_has_an_example():
    text = (DOCS / "guide" / "formats.md").read_text()
    for reader in READERS.values():
        assert f"`{reader.python}` · `bulklmm import " in text, reader.python


def test_every_page_is_reached():
    """Each page stands in the table of contents of the index of its folder."""
    for path in PAGES:
        if path.name != "index.md":
            assert re.search(rf"^{path.stem}$", (path.parent / "index.md").read_text(), re.M), path


def test_architecture_says_what_each_room_may_import():
    text = (DOCS / "development" / "architecture.md").read_text()
    table = text.split("| room | rooms | libraries |\n|---|---|---|\n")[1].split("\n\n")[0]
    rows = sorted(
        f"| `{room}` | {_named(BELOW[room])} | {_named(LIBRARIES[room])} |" for room in BELOW
    )
    assert sorted(table.splitlines()) == rows, "\n".join(["the table should be", *rows])


def _named(names) -> str:
    return ", ".join(sorted(names)) or "none"
