"""Examples of docstrings run as tests; they start from the names on the page of the API."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # pictures are drawn, not shown


@pytest.fixture(scope="session")
def example_names():
    """The names that the Python block of docs/reference/api.md defines, `ds` among them."""
    from doc_pages import blocks  # of the folder tests

    page = Path(__file__).parent / "docs" / "reference" / "api.md"
    (code,) = blocks(page.read_text(), "python")
    names = {}
    exec(compile(code, str(page), "exec"), names)
    return names


@pytest.fixture(autouse=True)
def _example(request):
    """Each docstring has its own copy of the study and an empty folder to work in."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    names = request.getfixturevalue("example_names")
    study = names["ds"].copy(deep=True)
    request.getfixturevalue("doctest_namespace").update(names | {"ds": study})
    request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
