"""Commands in scripts: what comes out where, formats of tables, exit codes, completion, help."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from commands import every_command, flags_of, run
from doc_pages import ROOT
from numcodecs.zstd import decompress
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.cli import _table_files, main
from bulklmm_dask.cli._base import FAILED, STOPPED, TERMINATED
from bulklmm_dask.cli._table_files import rounded
from bulklmm_dask.cli._tables import read_table
from bulklmm_dask.cli._topics import TOPICS
from bulklmm_dask.engine import allotted
from bulklmm_dask.storage.places.packing import PACKING

PAGE = (ROOT / "docs/guide/shell.md").read_text()
COMMANDS = {" ".join(names): command for names, command in every_command()}
# They read names or attributes, or make arrays with NumPy, and nothing on Dask; `plan` asks for the
# workers of the run to come.
WITHOUT_WORKERS = {"simulate", "info", "plan", "help", "completion"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study, its results, and a table of findings."""
    path = tmp_path_factory.mktemp("shell")
    blmm.save(study(24, 20, 3), path / "study.zarr")
    run("scan", path / "study.zarr", path / "scan.zarr", "--statistics", "beta,se,neg_log10_p")
    run("permute", path / "study.zarr", path / "perm.zarr", "--permutations", "20")
    run("peaks", path / "scan.zarr", "--threshold", "0.1", "--out", path / "peaks.csv")
    return path


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_options_of_all(name):
    flags = flags_of(COMMANDS[name])
    assert {"--quiet", "--json", "--version"} <= flags
    computing = {"--threads", "--workers", "--scheduler", "--memory"}
    if name.split()[0] not in WITHOUT_WORKERS | {"plot"}:
        assert computing <= flags
    elif name != "plan":
        assert computing <= flags or not computing & flags


def test_versions_name_this_program_also_below_dask():
    dask = click.Group("dask", commands={"bulklmm": main})
    expected = f"bulklmm, version {blmm.__version__}\n"
    for words in (["--version"], ["scan", "--version"], ["plot", "lod", "--version"]):
        assert run(*words).stdout == expected
        assert CliRunner().invoke(dask, ["bulklmm", *words]).stdout == expected
    told = CliRunner().invoke(dask, ["bulklmm", "help", "scan", "--json"])
    assert json.loads(told.stdout)["command"] == "help"
    assert "Scan every trait" in json.loads(told.stdout)["text"]


TABLES = {
    "maxima": "maxima scan.zarr",
    "maxima by": "maxima scan.zarr --by contig --perm perm.zarr",
    "maxima perm": "maxima scan.zarr --perm perm.zarr --top 2",
    "hits": "hits scan.zarr --threshold 0.5 --perm perm.zarr",
    "hits fdr": "hits scan.zarr --fdr 0.9",
    "hits study": "hits study.zarr --threshold 0.1 --method alt-exact "
    "--statistics se,explained,beta",
    "peaks": "peaks scan.zarr --threshold 0.1",
    "peaks perm": "peaks scan.zarr --threshold 0.1 --perm perm.zarr",
    "thresholds": "thresholds perm.zarr",
    "heritability": "heritability study.zarr",
    "heritability kernels": "heritability study.zarr --kernel additive=kinship",
    "profile": "profile study.zarr t1",
    "profile marker": "profile study.zarr t1 --variant m3",
    "hotspots": "hotspots peaks.csv --window 5",
    "hotspots study": "hotspots peaks.csv --window 5 --study study.zarr --permutations 3 "
    "--alpha 0.5 --threshold 0.1",
}


def words_of(name, folder):
    ds = blmm.open_dataset(folder / "study.zarr")
    names = {" t1": str(ds.trait_id.values[1]), " m3": str(ds.variant_id.values[3])}
    text = TABLES[name]
    for short, long in names.items():
        text = re.sub(rf"{short}\b", f" {long}", text)
    return text.split()


def documented(command):
    """Columns of a command by the page: name -> whether it is always there."""
    (row,) = re.findall(rf"^\| `{command}` \| (trait.*|h2.*|contig.*|store.*) \|$", PAGE, re.M)
    return {name.strip("()"): not name.startswith("(") for name in row.split(", ")}


def is_ordered(found, known):
    return [name for name in known if name in found] == list(found)


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_those_of_the_page_in_their_order(here, name):
    words = words_of(name, here)
    flag = "--csv" if words[0] == "profile" else "--out"
    shown = run(*words, flag, "-")
    table = pd.read_csv(io.StringIO(shown.stdout))
    known = documented(words[0])
    assert is_ordered(list(table), known)
    assert {one for one, always in known.items() if always} <= set(table)
    assert len(table)


def test_columns_of_what_is_damaged(here, tmp_path):
    shutil.copytree("scan.zarr", tmp_path / "scan.zarr")
    (tmp_path / "scan.zarr/lod/c/0/0").unlink()
    shown = run("verify", tmp_path / "scan.zarr", code=1).stdout
    known = documented("verify")
    assert shown.splitlines()[0].split(",") == [one for one, always in known.items() if always]
    mended = run("verify", tmp_path / "scan.zarr", "--mend", "--threads", "1").stdout
    assert mended.splitlines()[0].split(",") == list(known)


WRITING = {
    "simulate": "simulate {0}/new.zarr --traits 2 --samples 20 --strains 0 --variants 30",
    "import": "import csv {0}/t.csv {0}/new.zarr --genotypes {0}/g.csv",
    "kinship": "kinship study.zarr --out {0}/K.zarr",
    "scan": "scan study.zarr {0}/lod.zarr",
    "permute": "permute study.zarr {0}/perm.zarr --permutations 5",
}


@pytest.mark.parametrize("name", [*TABLES, *WRITING])
def test_json_is_one_object(here, tmp_path, name):
    (tmp_path / "t.csv").write_text("id,t\na,1\nb,2\nc,4\n")
    (tmp_path / "g.csv").write_text("id,m\na,0\nb,1\nc,2\n")
    words = words_of(name, here) if name in TABLES else WRITING[name].format(tmp_path).split()
    told = json.loads(run(*words, "--json").stdout)
    assert told["command"] == words[0]
    assert told["seconds"] > 0
    assert isinstance(told["notes"], list)
    if name in WRITING:
        (file,) = told["files"]
        assert Path(file).is_dir()
    elif words[0] not in ("heritability", "profile"):
        assert told["files"] == []
        assert len(told["table"]) == told["rows"] > 0
        assert list(told["table"][0]) == told["columns"]
        shown = pd.read_csv(io.StringIO(run(*words).stdout))
        for column in shown.select_dtypes("float"):
            found = [np.nan if row[column] is None else row[column] for row in told["table"]]
            np.testing.assert_array_equal(np.array(found, float), shown[column])


def test_json_of_other_commands(here, tmp_path):
    told = json.loads(run("heritability", "study.zarr", "--json").stdout)
    assert (told["traits"], told["status"]) == (3, {"ok": 3})
    table = tmp_path / "h2.csv"
    told = json.loads(run("heritability", "study.zarr", "--out", table, "--json").stdout)
    assert told["files"] == [str(table)]
    assert told["rows"] == 3
    expected = blmm.profile(blmm.open_dataset("study.zarr"), words_of("profile", here)[2])
    told = json.loads(run(*words_of("profile marker", here), "--json").stdout)
    assert told["null"]["h2"] == pytest.approx(float(expected.null_h2), rel=1e-11)
    assert "lod" in told
    picture = str(tmp_path / "kinship.png")
    told = json.loads(run("plot", "kinship", "study.zarr", "--out", picture, "--json").stdout)
    assert (told["command"], told["files"]) == ("plot kinship", [picture])
    assert json.loads(run("verify", "scan.zarr", "--json").stdout)["findings"] == []
    assert json.loads(run("info", "study.zarr", "--json").stdout)["sizes"]["samples"] == 24
    assert json.loads(run("plan", "study.zarr", "--json").stdout)["command"] == "plan"


def test_json_of_an_error(here):
    failed = run("maxima", "none.zarr", "--json", code=1)
    told = json.loads(failed.stdout)
    assert "there is no" in told["error"]
    assert failed.stderr.splitlines()[-1] == f"error: {told['error']}"


@pytest.mark.parametrize("words", ["info", "info --follow", "plan"])
def test_json_of_an_error_where_the_object_is_the_command_s_own(here, words):
    failed = run(*words.split(), "none.zarr", "--json", code=1)
    told = json.loads(failed.stdout)
    assert told["command"] == words.split()[0]
    assert failed.stderr.splitlines()[-1] == f"error: {told['error']}"


SHELL = f"{sys.executable} -c 'from bulklmm_dask.cli import main; main()'"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "end"),
    [
        ("maxima scan.zarr >&-", 0, ""),
        ("scan study.zarr {}/r.zarr --statistics beta,se,neg_log10_p 2>&-", 0, ""),
        ("maxima scan.zarr --json >/dev/full", 1, "No space left on device"),
        ("maxima scan.zarr --out /dev/full", 1, "No space left on device: '/dev/full'"),
    ],
)
def test_streams_that_are_closed_or_full(here, tmp_path, words, code, end):
    line = f"{SHELL} {words.format(tmp_path)}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert end in done.stderr
    if "r.zarr" in words:
        made, expected = (blmm.open_result(path).lod for path in (tmp_path / "r.zarr", "scan.zarr"))
        np.testing.assert_array_equal(made, expected)


def test_notes_are_in_the_object(here, tmp_path):
    (tmp_path / "places.csv").write_text("trait,chr,Mb\nnobody,1,3\n")
    words = ["hits", "scan.zarr", "--threshold", "0.5", "--trait-positions"]
    told = json.loads(run(*words, tmp_path / "places.csv", "--json", "--quiet").stdout)
    assert any("places.csv has no trait of the result" in note for note in told["notes"])


@pytest.mark.parametrize("name", [*TABLES, *WRITING])
def test_quiet_says_nothing(here, tmp_path, name):
    (tmp_path / "t.csv").write_text("id,t\na,1\nb,2\nc,4\n")
    (tmp_path / "g.csv").write_text("id,m\na,0\nb,1\nc,2\n")
    words = words_of(name, here) if name in TABLES else WRITING[name].format(tmp_path).split()
    assert not run(*words, "--quiet").stderr


def test_quiet_names_errors(here):
    assert run("maxima", "none.zarr", "--quiet", code=1).stderr.startswith("error: there is no")


UNPACK = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": decompress,
}


@pytest.mark.parametrize("ending", ["", ".csv", ".txt", ".tsv", ".CSV"])
@pytest.mark.parametrize("packed", ["", *UNPACK])
def test_the_name_says_the_format(here, tmp_path, ending, packed):
    if not ending and packed not in ("", ".gz"):
        return
    out = tmp_path / f"table{ending}{packed}"
    run("peaks", "scan.zarr", "--threshold", "0.1", "--out", out)
    content = out.read_bytes()
    text = (UNPACK[packed](content) if packed else content).decode()
    separator = "\t" if ending == ".tsv" else ","
    expected = (here / "peaks.csv").read_text()
    assert text == expected.replace(",", separator)
    pd.testing.assert_frame_equal(read_table(out), read_table(here / "peaks.csv"))
    run("hotspots", out, "--window", "2")
    again = tmp_path / f"again{ending}{packed}"
    run("peaks", "scan.zarr", "--threshold", "0.1", "--out", again)
    assert again.read_bytes() == content


def test_parquet(here, tmp_path):
    pytest.importorskip("pyarrow")
    run("peaks", "scan.zarr", "--threshold", "0.1", "--out", tmp_path / "p.parquet")
    expected = blmm.find_peaks(blmm.open_result("scan.zarr"), threshold=0.1)
    found = pd.read_parquet(tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    run("hotspots", tmp_path / "p.parquet", "--window", "2")


@pytest.mark.parametrize("name", ["x.xlsx", "x.csv.zip", "x.json", "x.parquet.gz", "x.tsv.doc"])
def test_other_names_are_refused_before_any_work(here, tmp_path, name):
    told = run("maxima", "scan.zarr", "--out", tmp_path / name, code=1).stderr
    assert f"{name} is no name of a table: end it with .csv, .tsv" in told
    assert "computes on" not in told
    assert not list(tmp_path.iterdir())


def test_numbers_have_no_noise(here):
    assert rounded(np.array([0.1 + 0.2]))[0] == 0.3
    values = np.array([0.0, -0.1 - 0.2, 1e300, 1e-300, 5e-324, 123456789.0, np.nan, np.inf, -2.5])
    np.testing.assert_allclose(rounded(values), values, rtol=1e-11)
    assert repr(rounded(np.array([-0.1 - 0.2]))[0]) == "np.float64(-0.3)"
    single = np.array([0.7, 3.5118897, 1e-20, 16777216.0], np.float32)
    assert rounded(single).tolist() == [0.7, 3.5118897, 1e-20, 16777216.0]
    positions = np.array([16777217.0, 123456792.0, 248956422.0])
    assert rounded(positions).tolist() == positions.tolist()
    rng = np.random.default_rng(0)
    many = rng.normal(size=2000) * 10.0 ** rng.integers(-15, 15, 2000)
    assert rounded(many).tolist() == [float(f"{one:.12g}") for one in many]
    shown = run("hits", "scan.zarr", "--threshold", "0.5", "--out", "-").stdout
    assert max(map(len, re.findall(r"\d\.(\d+)", shown))) <= 12 + 5
    found = pd.read_csv(io.StringIO(shown))
    expected = blmm.find_hits(blmm.open_result("scan.zarr"), threshold=0.5)
    for column in ("lod", "h2", "beta", "frequency"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-7)


def test_a_table_on_standard_output_is_the_file(here, tmp_path):
    words = ["hits", "scan.zarr", "--threshold", "0.5", "--out"]
    run(*words, tmp_path / "hits.csv")
    assert run(*words, "-").stdout == (tmp_path / "hits.csv").read_text()
    for name in ("/dev/stdout", "/dev/fd/1"):
        assert run(*words, name).stdout == (tmp_path / "hits.csv").read_text()
    told = run(*words, "-", "--json", code=2).stderr
    assert "--out - and --json both write to standard output" in told
    assert "--out - is for tables" in run("report", "scan.zarr", "--out", "-", code=2).stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("module", ["bulklmm_dask", "bulklmm_dask.cli"])
def test_a_table_goes_into_a_pipe_and_a_module_is_the_program(here, tmp_path, module):
    words = f"{sys.executable} -m {module} peaks scan.zarr --threshold 0.1 --out"
    line = f"{words} >(gzip > {tmp_path}/p.csv.gz) && {words} /dev/null && {words} /dev/stdout"
    done = subprocess.run(["bash", "-c", f"{line}; wait"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = Path("peaks.csv").read_text()
    assert done.stdout == expected
    for _ in range(100):  # the shell does not wait for gzip
        if (tmp_path / "p.csv.gz").stat().st_size:
            break
        time.sleep(0.05)
    assert gzip.decompress((tmp_path / "p.csv.gz").read_bytes()).decode() == expected
    shown = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True)
    assert shown.stdout.decode() == f"bulklmm, version {blmm.__version__}\n"


def test_results_without_rows_keep_their_columns(here):
    empty = run("hits", "scan.zarr", "--threshold", "500", "--out", "-").stdout
    assert is_ordered(empty.strip().split(","), documented("hits"))
    told = json.loads(run("hits", "scan.zarr", "--threshold", "500", "--json").stdout)
    assert (told["rows"], told["table"]) == (0, [])


PROGRAM = "from bulklmm_dask.cli import main; main()"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_closed_pipe_is_quiet(here):
    words = ["hits", "scan.zarr", "--threshold", "0.0001", "--quiet", "--out", "-"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(timeout=60)


def test_exit_codes_are_those_of_the_page():
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.M)}
    assert codes == {0, FAILED, 2, STOPPED, TERMINATED}
    listed = {int(code) for code in re.findall(r"^ +(\d+) ", TOPICS["exit-codes"][1], re.M)}
    assert listed == codes


@pytest.mark.parametrize(
    "words",
    [
        "scan study.zarr {0}/out.zarr",
        "permute study.zarr {0}/out.zarr --permutations 5",
        "hotspots peaks.csv --window 5 --study study.zarr --permutations 3 --alpha 0.5 "
        "--threshold 0.1 --store {0}/out.zarr",
        "kinship study.zarr --method rqtl2 --out {0}/out.zarr",
        "kinship study.zarr",
    ],
)
def test_what_is_finished_says_so_and_is_done(here, tmp_path, words):
    words = words.format(tmp_path).split()
    run(*words)
    again = run(*words)
    assert re.search(
        r"(was complete|has its \w+ kinship) already: nothing is computed", again.stderr
    )
    if "--window" not in words:
        assert json.loads(run(*words, "--json").stdout)["computed"] is False


def test_a_proposed_command_takes_a_name_that_begins_with_a_dash(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "study.zarr", tmp_path / "-s.zarr")
    monkeypatch.chdir(tmp_path)
    told = run("scan", "--", "-s.zarr", "-r.zarr").stderr
    proposed = told.rsplit("bulklmm ", 1)[1].split()
    assert proposed == ["maxima", "./-r.zarr"]
    assert run(*proposed).stdout.startswith("trait,")


def test_other_options_are_not_the_finished_command(here, tmp_path):
    run("scan", "study.zarr", tmp_path / "out.zarr")
    told = run("scan", "study.zarr", tmp_path / "out.zarr", "--reml", code=1).stderr
    assert "was made from other inputs: options differ (reml is 0 there and 1 here);" in told
    told = run("kinship", "study.zarr", "--method", "centered", code=1).stderr
    assert "--overwrite replaces it" in told


@pytest.mark.parametrize(
    ("words", "both"),
    [
        ("hits scan.zarr --threshold 3 --fdr 0.1", ["--threshold 3", "--fdr 0.1"]),
        (
            "hits scan.zarr --threshold 3 --perm perm.zarr --alpha 0.2",
            ["--threshold 3", "--alpha 0.2"],
        ),
        ("peaks scan.zarr --drop 1 --prob 0.9", ["--drop 1", "--prob 0.9"]),
        (
            "scan study.zarr x.zarr --scheduler tcp://x:1 --threads 2",
            ["--scheduler tcp://x:1", "--threads 2"],
        ),
        (
            "scan study.zarr x.zarr --scheduler tcp://x:1 --workers 2 --memory 4GB",
            ["--scheduler tcp://x:1", "--workers 2", "--memory 4GB"],
        ),
        ("scan study.zarr x.zarr --memory 4GB", ["--memory 4GB", "--workers 0"]),
        ("kinship study.zarr --loco --out k.csv", ["--loco", "--out k.csv"]),
        (
            "scan study.zarr x.zarr --weights w --replicates n",
            ["--weights w", "--replicates n"],
        ),
        ("verify scan.zarr --threads 2", ["--threads 2", "--mend"]),
        (
            "scan study.zarr x.zarr --method null-exact --h2-grid 0,0.5",
            ["--method null-exact", "--h2-grid 0,0.5"],
        ),
        (
            "scan study.zarr x.zarr --method null-grid --refine-above 4",
            ["--method null-grid", "--refine-above 4"],
        ),
        ("scan study.zarr x.zarr --loco --kinship none", ["--loco", "--kinship none"]),
        (
            "scan study.zarr x.zarr --method alt-grid --kinship none",
            ["--method alt-grid", "--kinship none"],
        ),
        (
            "scan study.zarr x.zarr --method alt-grid --prior 1,10",
            ["--method alt-grid", "--prior 1,10"],
        ),
        ("scan study.zarr x.zarr --kinship none --prior 1,10", ["--prior 1,10", "--kinship none"]),
        (
            "scan study.zarr x.zarr --statistics lod_interaction",
            ["--statistics lod_interaction", "--interaction"],
        ),
        (
            "permute study.zarr x.zarr --method shared --digits 3",
            ["--method shared", "--digits 3"],
        ),
        (
            "scan study.zarr x.zarr --scheduler tcp://x:1 --dashboard=8787",
            ["--scheduler tcp://x:1", "--dashboard 8787"],
        ),
        ("peaks scan.zarr --peakdrop 1 --drop 2", ["--peakdrop 1", "--drop 2"]),
        (
            "plot lod scan.zarr t --threshold 3,4 --perm p.zarr --out x.png",
            ["--threshold 3,4", "--perm p.zarr"],
        ),
        (
            "plot permutations perm.zarr t --observed 3 --result scan.zarr --out x.png",
            ["--observed 3", "--result scan.zarr"],
        ),
        ("hits scan.zarr", ["--threshold", "--fdr", "--top"]),
        ("verify scan.zarr --from study.zarr", ["--from", "--mend"]),
        ("plan study.zarr --samples 5", ["--samples 5"]),
        ("plan study.zarr --by contig --method null-exact", ["--by contig", "--method"]),
        ("plan study.zarr --threshold 5 --keep lods", ["--threshold 5", "--keep"]),
        ("hits scan.zarr --threshold 3 --reml", ["--reml", "scan.zarr"]),
    ],
)
def test_a_conflict_names_both_options_with_their_values(here, words, both):
    last = run(*words.split(), code=2).stderr.strip().splitlines()[-1]
    for one in both:
        assert one in last, last
    assert not re.search(r"\w=\w|=True|None|\bmethod '", last)  # words of Python
    assert not Path("x.zarr").exists()


def complete(words, shell="bash"):
    """What a shell is offered at the end of `words`."""
    variables = {
        "_BULKLMM_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    return CliRunner().invoke(main, [], prog_name="bulklmm", env=variables).stdout


def test_shells_complete_commands_options_and_values():
    assert complete("bulklmm sc").splitlines() == ["plain,scan"]
    assert set(complete("bulklmm h").splitlines()) == {
        "plain,hits",
        "plain,hotspots",
        "plain,heritability",
        "plain,help",
    }
    assert "plain,--threads" in complete("bulklmm scan --th").splitlines()
    assert complete("bulklmm scan --method alt-").splitlines() == [
        "plain,alt-exact",
        "plain,alt-grid",
    ]
    assert complete("bulklmm scan stu").startswith("file,")
    assert "plain,manhattan" in complete("bulklmm plot m").splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, tmp_path):
    script = run("completion", shell).stdout
    assert f"_BULKLMM_COMPLETE={shell}_complete" in script
    assert json.loads(run("completion", shell, "--json").stdout)["script"] == script[:-1]
    assert f"bulklmm completion {shell} >" in PAGE
    file = tmp_path / "script"
    file.write_text(script)
    if program := shutil.which(shell):
        subprocess.run([program, "-n", file], check=True)
    if shell == "bash":
        (tmp_path / "bulklmm").write_text(
            f"#!/bin/sh\nexec {sys.executable} -c 'from bulklmm_dask.cli import main; "
            'main(prog_name="bulklmm")\' "$@"\n'
        )
        (tmp_path / "bulklmm").chmod(0o755)
        code = (
            f"source {file}; complete -p bulklmm >&2; COMP_WORDS=(bulklmm the); COMP_CWORD=1; "
            '_bulklmm_completion bulklmm; echo "${COMPREPLY[@]}"; COMP_WORDS=(bulklmm thr); '
            '_bulklmm_completion bulklmm; echo "${COMPREPLY[@]}"'
        )
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", code], env=os.environ | {"PATH": path}, capture_output=True, text=True
        )
        assert done.stdout.split() == ["thresholds"], done.stderr


def test_the_help_begins_with_what_most_people_need():
    shown = run("--help").stdout
    first = shown.split("First:\n")[1].split("\n\n")[0]
    assert re.findall(r"^  (\w+)", first, re.M) == ["import", "kinship", "scan"]
    for name, line in main.lines.items():
        assert re.search(rf"^  {name} +{re.escape(line.split()[0])}", shown, re.M)


def test_help_of_commands_and_topics():
    assert (
        "Usage: bulklmm scan [OPTIONS] STUDY RESULT"
        in CliRunner().invoke(main, ["help", "scan"], prog_name="bulklmm").stdout
    )
    assert "plot lod" in run("help", "plot", "lod").stdout
    listed = run("help").stdout
    for name, (title, text) in TOPICS.items():
        assert f"  {name}" in listed
        shown = run("help", name).stdout
        assert shown.startswith(title)
        assert text.strip() in shown
    told = run("help", "plot", "nothing", code=2).stderr
    assert "neither a command nor a topic 'plot nothing'; topics are exit-codes" in told


def test_the_suffixes_of_tables_are_those_of_the_page():
    for ending in (*_table_files.SEPARATORS, *PACKING, _table_files.PARQUET):
        assert f"`{ending}`" in PAGE or not ending
        assert ending in TOPICS["tables"][1]


def test_all_of_the_machine_is_said_by_scans_alone(here, tmp_path, monkeypatch):
    every = allotted.Allotted(5, allotted.ALL)
    monkeypatch.setattr("bulklmm_dask.engine.local.allotted_threads", lambda: every)
    memory = allotted.Allotted(10**10, allotted.MACHINE)
    monkeypatch.setattr("bulklmm_dask.engine.local.allotted_memory", lambda: memory)
    assert not run("maxima", "scan.zarr").stderr
    told = run("scan", "study.zarr", tmp_path / "x.zarr").stderr
    assert "24 samples; 5 threads of this process (from all processors)\n" in told
    told = run("scan", "study.zarr", tmp_path / "y.zarr", "--threads", "1").stderr
    assert told.startswith("computes on 1 thread of this process (from --threads)\n3 traits")
    assert told.count("1 thread") == 1
    told = run("hits", "study.zarr", "--threshold", "2").stderr
    assert "24 samples; 5 threads of this process (from all processors); of the LODs" in told


def test_the_first_line_says_the_threads_and_their_source(here, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    line, *_ = run("maxima", "scan.zarr").stderr.splitlines()
    assert line.startswith("computes on 3 threads of this process (from SLURM_CPUS_PER_TASK)")
    line, *_ = run("maxima", "scan.zarr", "--threads", "1").stderr.splitlines()
    assert line.startswith("computes on 1 thread of this process (from --threads)")
    (line,) = run("heritability", "study.zarr", "--threads", "1").stderr.splitlines()
    assert "(from --threads)" in line
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "lots")
    told = run("maxima", "scan.zarr", code=1).stderr
    assert "SLURM_CPUS_PER_TASK='lots', which is no number of threads" in told
