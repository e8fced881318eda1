"""The commands of the page on object stores, as they stand there."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
import pytest
from commands import run
from doc_pages import ROOT, blocks

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("endpoint", ["moto"], indirect=True)]

PAGE = ROOT / "docs" / "guide" / "objects.md"


def test_its_commands_run(make_bucket, endpoint, tmp_path, monkeypatch):
    """Those of the first block that has any, which is one road from tables to a report."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    bucket = make_bucket("lab-bucket")
    draw, names = np.random.default_rng(0), [f"s{i}" for i in range(40)]
    tables = {
        "traits": pd.DataFrame(draw.normal(size=(40, 3)), names, ["a", "b", "c"]),
        "geno": pd.DataFrame(draw.integers(0, 3, (30, 40)), [f"m{i}" for i in range(30)], names),
        "map": pd.DataFrame({"chr": "1", "pos_mb": range(30)}, [f"m{i}" for i in range(30)]),
    }
    tables["traits"]["a"] += 5 * tables["geno"].loc["m3"]
    for name, table in tables.items():
        table.to_csv(f"{name}.csv", index_label="id")
    road = blocks(PAGE.read_text(), "bash")[1]
    for line in road.splitlines():
        run(*shlex.split(line)[1:])
    made = {key.partition("/")[0] for key in bucket.list()}
    assert made == {
        *("study.zarr", "lod.zarr", "perm.zarr"),
        *("peaks.csv", "hits.parquet", "report.html"),
    }
