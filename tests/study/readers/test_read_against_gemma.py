"""GEMMA and the readers take the same files for the same numbers, and count the same allele."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from bed_reader import to_bed

import bulklmm_dask as blmm

N, P = 100, 40


@pytest.fixture
def calls(tmp_path):
    """Calls (samples, variants) as PLINK and as BIMBAM files of one study."""
    rng = np.random.default_rng(1)
    calls = rng.binomial(2, rng.uniform(0.15, 0.45, P), (N, P)).astype(np.int8)
    trait = [f"{value:.6f}" for value in calls[:, 5] + rng.standard_normal(N)]
    names = [f"s{i}" for i in range(N)]
    variants = [f"v{i}" for i in range(P)]
    properties = {
        "iid": names,
        "fid": names,
        "sid": variants,
        "chromosome": ["1"] * P,
        "bp_position": np.arange(P) + 1,
        "allele_1": ["A"] * P,
        "allele_2": ["C"] * P,
        "pheno": trait,
    }
    to_bed(tmp_path / "x.bed", calls, properties=properties)
    rows = (f"{name}, A, C, {', '.join(map(str, calls[:, i]))}" for i, name in enumerate(variants))
    (tmp_path / "g.txt").write_text("\n".join(rows) + "\n")
    (tmp_path / "p.txt").write_text("\n".join(trait) + "\n")
    places = (f"{name}, {i + 1}, 1" for i, name in enumerate(variants))
    (tmp_path / "a.txt").write_text("\n".join(places) + "\n")
    return calls


@pytest.mark.gemma
@pytest.mark.skipif(shutil.which("gemma") is None, reason="no program gemma on the PATH")
@pytest.mark.parametrize("kind", ["plink", "bimbam"])
def test_the_counted_allele(calls, tmp_path, kind):
    if kind == "plink":
        source = ["-bfile", "x"]
        ds = blmm.read_plink(tmp_path / "x")
    else:
        source = ["-g", "g.txt", "-p", "p.txt", "-a", "a.txt"]
        ds = blmm.read_bimbam(tmp_path / "g.txt", tmp_path / "p.txt", annotation=tmp_path / "a.txt")
    np.testing.assert_array_equal(ds["call_dosage"].values.T, calls)
    for step in (["-gk", "1", "-o", "k"], ["-k", "output/k.cXX.txt", "-lmm", "1", "-o", "r"]):
        subprocess.run(["gemma", *source, *step], cwd=tmp_path, capture_output=True, check=True)
    found = pd.read_csv(tmp_path / "output" / "r.assoc.txt", sep="\t", index_col="rs")
    kinship = np.loadtxt(tmp_path / "output" / "k.cXX.txt")
    np.testing.assert_allclose(blmm.kinship(ds, method="centered"), kinship, atol=1e-6)
    ours = ds.sel(variants=found.index)
    assert list(found["allele1"]) == list(ours["variant_allele"].values[:, 1])
    assert list(found["allele0"]) == list(ours["variant_allele"].values[:, 0])
    np.testing.assert_array_equal(found["ps"], ours["variant_position"])
    frequency = ours["call_dosage"].mean("samples") / 2
    np.testing.assert_allclose(found["af"], frequency, atol=1e-3)
    np.testing.assert_allclose(found.loc["v5", "beta"], 1, atol=0.5)
