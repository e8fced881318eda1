from pathlib import Path

import nbformat
import pytest
from doc_pages import commands, parse

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_its_outputs_and_no_path_of_a_machine(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    assert {output.output_type for output in outputs} <= {
        "display_data",
        "execute_result",
        "stream",
    }
    assert not any(output.get("name") == "stderr" for output in outputs)
    texts = [text for output in outputs for text in _texts(output)]
    assert texts
    assert not [text for text in texts for place in ("/tmp/", "/home/", "/Users/") if place in text]


def _texts(output):
    data = output.get("data", {})
    return [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]


def test_every_notebook_is_a_page_of_the_documentation():
    docs = Path(__file__).parents[1] / "docs" / "notebooks"
    assert {path.resolve() for path in docs.glob("*.ipynb")} == set(NOTEBOOKS)
    text = (docs / "index.md").read_text()
    for path in NOTEBOOKS:
        assert f" <{path.stem}>`" in text
        assert f"\n{path.stem}\n" in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_commands_of_a_notebook_parse(path):
    cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    for line in commands("\n\n".join(cells)):
        parse(line)
