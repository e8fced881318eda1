"""Docstrings of the public names: an example that runs, every parameter, every source."""

import doctest
import importlib
import inspect
import re

import pytest
from doc_pages import ROOT

import bulklmm_dask as blmm

NAMES = [name for name in blmm.__all__ if name != "plot"]
PUBLIC = {name: getattr(blmm, name) for name in NAMES} | {
    f"plot.{name}": getattr(blmm.plot, name) for name in blmm.plot.__all__
}
every_name = pytest.mark.parametrize("thing", PUBLIC.values(), ids=PUBLIC)


def section(thing, title: str) -> str:
    """Text of a section of a docstring in NumPy style, or nothing."""
    parts = re.split(r"^(\w+)\n-+$", inspect.getdoc(thing), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title, "")


@every_name
def test_it_has_an_example_that_runs(thing):
    """Pytest runs what doctest finds in the module; `conftest.py` beside the package helps it."""
    assert doctest.DocTestParser().get_examples(section(thing, "Examples"))
    found = doctest.DocTestFinder().find(importlib.import_module(thing.__module__))
    (run,) = (test for test in found if test.name == f"{thing.__module__}.{thing.__name__}")
    assert not [each.source for each in run.examples if each.options.get(doctest.SKIP)]


def test_examples_are_among_the_tests(pytestconfig):
    assert pytestconfig.option.doctestmodules
    assert "bulklmm_dask" in pytestconfig.getini("testpaths")
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^\t\$\(PYTEST\) .*--nbmake .*\bbulklmm_dask tests\b", makefile, re.MULTILINE)


@every_name
def test_every_parameter_is_described(thing):
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return
    described = section(thing, "Parameters") + section(thing, "Attributes")
    named = re.findall(r"^(\*?\*?\w+(?:, \w+)*)(?: :|$)", described, flags=re.MULTILINE)
    names = {name.lstrip("*") for line in named for name in line.split(", ")}
    assert names >= set(inspect.signature(thing).parameters)


@every_name
def test_what_it_gives_and_refuses_is_described(thing):
    if inspect.isclass(thing):
        return
    assert section(thing, "Raises")
    gives = inspect.signature(thing).return_annotation
    assert bool(section(thing, "Returns") or section(thing, "Yields")) == (
        gives not in (None, "None")
    )


@every_name
def test_sources_stand_in_the_reference(thing):
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    text = re.sub(r" \((\d{4})\)", r" \1", " ".join(inspect.getdoc(thing).split()))
    for source in re.findall(r"[A-Z][a-z]+(?: and [A-Z][a-z]+| et al\.)? (?:19|20)\d\d", text):
        assert f"\n- {source}, " in page, source
