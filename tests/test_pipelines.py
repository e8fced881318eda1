"""The workflows of the documentation: Snakemake runs, is killed and runs again; commands parse."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bed_reader import to_bed
from commands import run
from doc_pages import ROOT, parse
from faults.machines import blocks_of, content, wait_for
from nextflow import Workflow, filled

import bulklmm_dask as blmm

PIPELINES = ROOT / "docs" / "pipelines"
SCAN = "--method alt-exact --chunks 40,50"  # 120 blocks


def commands_in(text: str) -> list[str]:
    """Commands of a workflow, with a word for each of its variables."""
    joined = re.sub(r'"\s*\n\s*"', "", text)
    found = re.findall(r'(bulklmm [a-z]+ [^"\n]*?)(?= && |"|\n)', joined)
    filled = [re.sub(r"--alpha \S+", "--alpha 0.05", line) for line in found]
    filled = [re.sub(r"--(threads|permutations) \S+", r"--\1 100", line) for line in filled]
    filled = [re.sub(r"plot eqtl \{input\}", "plot eqtl peaks.csv s.zarr", line) for line in filled]
    return [re.sub(r" \{SCAN\}| \$\{params\.scan\}|[${}\[\]]", "", line) for line in filled]


@pytest.mark.parametrize("name", ["Snakefile", "main.nf"])
def test_commands_of_a_workflow_parse(name):
    found = commands_in((PIPELINES / name).read_text())
    assert len(found) >= 8
    for line in found:
        parse(line)


def test_both_workflows_run_the_same_steps():
    steps = [
        {" ".join(line.split()[1:3]) if "plot" in line else line.split()[1] for line in lines}
        for lines in (
            commands_in((PIPELINES / name).read_text()) for name in ("Snakefile", "main.nf")
        )
    ]
    assert steps[0] == steps[1] >= {"import", "kinship", "scan", "permute", "hits", "report"}


@pytest.fixture
def plink(tmp_path) -> Path:
    """A folder with PLINK files and a table of expression."""
    ds = blmm.simulate_study(n_samples=80, n_strains=40, n_variants=1200, n_traits=200)
    copies = np.round(2 * ds.call_dosage.values.T).astype(np.int8)
    contig = ds.contig_id.values[ds.variant_contig.values]
    names = {"iid": ds.samples.values, "fid": ["0"] * 80, "sid": ds.variants.values}
    position = np.round(ds.variant_position.values * 1e6).astype(int)
    to_bed(
        tmp_path / "mice.bed",
        copies,
        properties={**names, "chromosome": contig, "bp_position": position,
                    "allele_1": ["D"] * 1200, "allele_2": ["B"] * 1200},
        count_A1=True,
    )  # fmt: skip
    ds.sample_trait.to_pandas().to_csv(tmp_path / "expression.csv", index_label="sample")
    shutil.copy(PIPELINES / "Snakefile", tmp_path)
    return tmp_path


def by_hand(plink: Path, folder: Path, *options: str) -> tuple[Path, Path]:
    """Result and hits of the plain commands, with 50 permutations."""
    folder.mkdir()
    study, lod, perm, hits = (folder / name for name in ("s.zarr", "l.zarr", "p.zarr", "h.csv"))
    run("import", "plink", plink / "mice.bed", study, "--traits", plink / "expression.csv")
    run("kinship", study)
    run("scan", study, lod, *options)
    run("permute", study, perm, "--permutations", "50")
    run("hits", lod, "--perm", perm, "--alpha", "0.05", "--out", hits)
    assert len(pd.read_csv(hits)) > 100
    return lod, hits


@pytest.mark.slow
def test_snakemake_goes_on_after_it_was_killed(plink, tmp_path):
    """From PLINK files to hits, killed while it scans: the answer is that of the plain commands."""
    pytest.importorskip("snakemake", reason="snakemake is not installed: pip install snakemake")
    words = [sys.executable, "-m", "snakemake", "--cores", "2", "--rerun-incomplete", "--config"]
    words += ["permutations=50", f"scan={SCAN}"]
    bin_ = str(Path(sys.executable).parent)
    env = os.environ | {"PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}", "MPLBACKEND": "Agg"}
    told = {"cwd": plink, "env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen([*words, "--", "scan.done"], start_new_session=True, **told)
    try:
        wait_for(lambda: blocks_of(plink / "lod.zarr") >= 2)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    half = blocks_of(plink / "lod.zarr")
    assert 2 <= half < 120
    written = {
        file: file.stat().st_mtime_ns
        for file in (plink / "lod.zarr" / "lod" / "c").rglob("*/*")
        if file.suffix != ".partial"
    }
    subprocess.run([*words[:5], "--unlock"], check=True, **told)
    wanted = [*words, "--", "hits.csv"]
    again = subprocess.run(wanted, cwd=plink, env=env, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    kept = sum(file.stat().st_mtime_ns == when for file, when in written.items())
    assert kept >= half - 8  # those that were being marked when it was killed are made again

    lod, hits = by_hand(plink, tmp_path / "by hand", *SCAN.split())
    assert (plink / "hits.csv").read_bytes() == hits.read_bytes()
    stores = [content(store) for store in (plink / "lod.zarr", lod)]
    assert {k: v for k, v in stores[0].items() if k.startswith("lod/")} == {
        k: v for k, v in stores[1].items() if k.startswith("lod/")
    }


def test_the_nextflow_workflow_fits_together():
    """Each process is called, with as many inputs as it declares, and knows all its variables."""
    flow = Workflow.read((PIPELINES / "main.nf").read_text())
    assert [name for _, name, _ in flow.calls] == list(flow.processes)
    made = {"Channel.of(files)", *(f"file(params.{name})" for name in flow.params)}
    for target, name, words in flow.calls:
        process = flow.processes[name]
        assert len(words) == len(process.inputs)
        assert set(words) <= made
        made.add(target)
        known = {name for wanted in process.inputs for _, name in wanted}
        known |= {"out", "task.cpus", *(f"params.{name}" for name in flow.params)}
        texts = [process.script, *(text for _, text in process.outputs)]
        filled(" ".join(texts), dict.fromkeys(known, ""))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="bash and links")
def test_the_tasks_of_the_nextflow_workflow(plink, tmp_path, monkeypatch):
    """Run as Nextflow runs them, which is not here: the hits are those of the plain commands.

    Repeated, as where Nextflow has not seen their end, the long steps find that they are complete.
    """
    folder = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    flow = Workflow.read((PIPELINES / "main.nf").read_text())
    flow.run(plink, permutations="50")
    _, hits = by_hand(plink, tmp_path / "by hand")
    out = plink / "results"
    assert (out / "hits.csv").read_bytes() == hits.read_bytes()
    made = {"study.zarr", "lod.zarr", "perm.zarr", "hits.csv", "peaks.csv", "map.html"}
    assert {path.name for path in out.iterdir()} == made | {"report.html"}
    said = "".join(flow.run(plink, again=("scan", "permute"), permutations="50"))
    assert said.count("was complete already: nothing is computed") == 2
