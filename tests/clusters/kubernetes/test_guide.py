"""The guide, word for word: its commands are typed one after the other."""

from __future__ import annotations

import re

import pytest
from doc_pages import ROOT, blocks

from clusters.kubernetes.results import same

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

GUIDE = (ROOT / "docs" / "guide" / "kubernetes.md").read_text()


def test_its_commands_run(kubectl, claim, local):
    said = {}
    for line in lines(GUIDE):
        said[line] = kubectl(line)
        if "autoscaler" in line:
            name = "kubectl get daskautoscaler bulklmm -o jsonpath={.spec.maximum}"
            assert kubectl(name) == "20"
    (log,) = (text for line, text in said.items() if " logs " in line)
    assert "100%" in log
    assert "is complete" in log
    (table,) = (text for line, text in said.items() if "maxima" in line)
    assert len(table.splitlines()) == 6
    same(claim / "lod.zarr", local())
    same(claim / "again.zarr", local())
    same(claim / "third.zarr", local())
    assert kubectl.pods() == []


def test_the_readme_has_the_same_commands():
    readme = (ROOT / "cluster_configs" / "README.md").read_text()
    short = [line for line in lines(readme) if line.startswith("kubectl ")]
    assert short
    verbs = {" ".join(line.split()[:2]) for line in lines(GUIDE)}
    assert {" ".join(line.split()[:2]) for line in short} <= verbs


def test_every_file_is_in_the_table():
    table = GUIDE.split("| you want |")[1].split("\n\n")[0]
    files = {path.name for path in (ROOT / "cluster_configs" / "kubernetes").glob("*.yaml")}
    assert set(re.findall(r"`([\w-]+\.yaml)`", table)) == files


def lines(text: str) -> list[str]:
    """Commands of the shell that a page tells to type, without those that are not run."""
    shell = "\n".join(blocks(text, "bash", to_run=True))
    return [line.strip() for line in shell.splitlines() if line.strip()]
