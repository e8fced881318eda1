"""The command line: nothing is replaced without --overwrite, nothing steers the terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from commands import every_command, run
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.cli import _tables
from bulklmm_dask.text import message, named, printable

RED = "\x1b[31mred\x1b[0m"


@pytest.mark.parametrize(
    ("names", "command"), [pytest.param(n, c, id=" ".join(n)) for n, c in every_command()]
)
def test_every_command_that_writes_a_file_has_overwrite(names, command):
    flags = {option.opts[0] for option in command.params}
    studies = ("import", "simulate", "kinship", "probabilities", "snps")
    writes = flags & {"--out", "--csv"} or names[0] in studies
    assert ("--overwrite" in flags) == bool(writes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study whose markers, traits, samples and contigs have names that steer a terminal."""
    path = tmp_path_factory.mktemp("odd")
    ds = study(20, 8, 3, covariates=1)
    genotypes = pd.DataFrame(
        ds["call_dosage"].values.T,
        index=[f"s{i}{RED}" for i in range(20)],
        columns=[f"m{j}\n{RED}" for j in range(8)],
    )
    traits = pd.DataFrame(
        ds["sample_trait"].values,
        index=genotypes.index,
        columns=[f"t{RED}", "t\x07bell", "t\u202eright"],
    )
    odd = blmm.create_dataset(
        genotypes, traits, contigs=["1"] * 4 + [f"2{RED}"] * 4, positions=np.arange(8.0)
    )
    odd = odd.assign_attrs(description=f"{RED} study\r")
    odd["kinship"] = blmm.kinship(odd).compute()
    blmm.save(odd, path / "study.zarr")
    run("scan", path / "study.zarr", path / "scan.zarr")
    run("permute", path / "study.zarr", path / "perm.zarr", "--permutations", "20")
    run("peaks", path / "scan.zarr", "--threshold", "0.5", "--out", path / "peaks.csv")
    return path


SHOWN = (
    "info {0}/study.zarr",
    "info {0}/scan.zarr",
    "maxima {0}/scan.zarr",
    "maxima {0}/scan.zarr --by contig",
    "hits {0}/scan.zarr --threshold 0.5",
    "peaks {0}/scan.zarr --threshold 0.5",
    "thresholds {0}/perm.zarr --alpha 0.1",
    "heritability {0}/study.zarr",
    "hotspots {0}/peaks.csv --window 2 --study {0}/study.zarr",
)


def is_harmless(text):
    return not set("\x1b\x07\u202e\r") & set(text)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("words", SHOWN)
def test_what_is_shown_steers_no_terminal(folder, words, terminal, monkeypatch):
    monkeypatch.setattr(_tables.sys.stdout.__class__, "isatty", lambda _: terminal, raising=False)
    found = run(*words.format(folder).split())
    assert is_harmless(found.output)
    if words.startswith(("maxima", "hits", "peaks", "thresholds")):
        assert r"t\x1b[31mred\x1b[0m" in found.stdout
        assert r"t\u202eright" in found.stdout


def test_files_keep_names_as_they_are(folder, tmp_path):
    run("maxima", folder / "scan.zarr", "--out", tmp_path / "m.csv")
    table = pd.read_csv(tmp_path / "m.csv")
    assert list(table["trait"]) == [f"t{RED}", "t\x07bell", "t\u202eright"]


def test_errors_and_notes_steer_no_terminal(folder, tmp_path):
    for words in (
        ("maxima", folder / f"{RED}.zarr"),
        ("profile", folder / "study.zarr", f"x{RED}"),
        ("plot", "lod", folder / "scan.zarr", RED, "--out", tmp_path / "x.png"),
        ("import", "csv", tmp_path / f"{RED}.csv", tmp_path / "x.zarr", "--genotypes", RED),
    ):
        found = run(*words, code=1)
        assert is_harmless(found.output)
        assert r"\x1b[31m" in found.stderr
    traits = tmp_path / "t.csv"
    traits.write_text(f"id,t\na{RED},1\nb,2\nc,4\n")
    (tmp_path / "g.csv").write_text("id,m\nx,0\nb,1\nc,2\n")
    found = run("import", traits, tmp_path / "s.zarr", "--genotypes", tmp_path / "g.csv")
    assert is_harmless(found.output)
    assert "\nnote: " in found.stderr


def test_errors_of_the_library_are_printable():
    for kind in (blmm.InputError, blmm.StoreError):
        error = kind(f"no {RED}\n at \u202e")
        assert str(error) == "no \\x1b[31mred\\x1b[0m\n at \\u202e"
    long = str(blmm.InputError("file.csv: " + "9" * 10_000 + "; mark it as missing"))
    assert len(long) < 2000
    assert long.startswith("file.csv: 999")
    assert long.endswith("999; mark it as missing")


def test_texts_for_printing():
    plain = "Größe, 日本, µ 5 %"
    assert printable(plain) == plain == message(plain)
    assert printable("a\tb\nc") == "a\\tb\\nc"
    assert printable("a\tb\nc", lines=True) == "a\tb\nc"
    assert printable("\udc80\x00\x9b\u2028") == "\\udc80\\x00\\x9b\\u2028"
    assert printable(printable("\x1b")) == "\\x1b"
    assert [named(path) for path in ("x.csv", "a b.csv", "", "a\tb")] == [
        "x.csv",
        "'a b.csv'",
        "''",
        "a\\tb",
    ]


WRITING = {
    "maxima": "maxima {0}/scan.zarr --out {1}.csv",
    "hits": "hits {0}/scan.zarr --threshold 0.5 --out {1}.csv",
    "hits parquet": "hits {0}/scan.zarr --threshold 0.5 --out {1}.parquet",
    "peaks": "peaks {0}/scan.zarr --threshold 0.5 --out {1}.csv",
    "thresholds": "thresholds {0}/perm.zarr --alpha 0.1 --out {1}.csv",
    "heritability": "heritability {0}/study.zarr --out {1}.csv",
    "hotspots": "hotspots {0}/peaks.csv --window 2 --out {1}.csv",
    "kinship": "kinship {0}/study.zarr --out {1}.csv",
    "profile table": "profile {0}/study.zarr {2} --csv {1}.csv",
    "profile": "profile {0}/study.zarr {2} --out {1}.png",
    "plot heatmap": "plot heatmap {0}/scan.zarr --out {1}.png",
    "plot kinship": "plot kinship {0}/study.zarr --out {1}.pdf",
    "import": "import csv {0}/t.csv {1}.zarr --genotypes {0}/g.csv",
    "simulate": "simulate {1}.zarr --traits 3 --samples 20 --strains 0 --variants 40",
    "report": "report {0}/scan.zarr --out {1}.html --threshold 1",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain")
    blmm.save(study(20, 8, 3), path / "study.zarr")
    run("scan", path / "study.zarr", path / "scan.zarr")
    run("permute", path / "study.zarr", path / "perm.zarr", "--permutations", "20")
    run("peaks", path / "scan.zarr", "--threshold", "0.5", "--out", path / "peaks.csv")
    (path / "t.csv").write_text("id,t\na,1\nb,2\nc,4\n")
    (path / "g.csv").write_text("id,m\na,0\nb,1\nc,2\n")
    return path


PICTURES = {"plot heatmap", "plot kinship", "profile", "report"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in PICTURES else ()) for name in WRITING],
)
def test_nothing_is_replaced_without_overwrite(plain, tmp_path, name):
    trait = str(blmm.open_dataset(plain / "study.zarr")["trait_id"].values[0])
    words = WRITING[name].format(plain, tmp_path / "out", trait).split()
    run(*words)
    (out,) = tmp_path.iterdir()
    before = {file: file.stat().st_mtime_ns for file in [out, *out.rglob("*")]}
    found = run(*words, code=1)
    assert f"{out} exists; choose another name" in found.stderr
    assert "--overwrite" in found.stderr
    assert {file: file.stat().st_mtime_ns for file in [out, *out.rglob("*")]} == before
    assert list(tmp_path.iterdir()) == [out]
    run(*words, "--overwrite")
    assert out.stat().st_mtime_ns > before[out]
