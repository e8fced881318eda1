"""The command line: every command end to end, its options, its errors and its exit codes."""

import io
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from bed_reader import to_bed
from commands import SMALL, run
from faults.machines import MAIN

import bulklmm_dask as blmm
from bulklmm_dask.analyses.profile import profile
from bulklmm_dask.cli import main
from bulklmm_dask.storage.results.soundness import finished
from bulklmm_dask.study.io import open_dataset, save

mpl.use("Agg")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "study.zarr"
    run("simulate", path, *SMALL, "--covariates", "2", "--seed", "3")
    run("kinship", path)
    return path


@pytest.fixture(scope="module")
def result(study):
    path = study.with_name("lod.zarr")
    run("scan", study, path)
    return path


def test_commands_are_listed_in_the_order_of_use():
    out = run("--help").stdout
    listed = ["import", "kinship", "scan", "maxima", "profile", "report", "simulate", "info"]
    places = [out.index(f"\n  {name} ") for name in listed]
    assert places == sorted(places)


@pytest.mark.parametrize("name", list(main.commands))
def test_the_help_tells_the_first_sentence_of_each_command(name):
    command = main.commands[name]
    assert command.name == name
    assert main.lines[name] == command.get_short_help_str(limit=200)


@pytest.mark.parametrize("name", list(main.commands))
def test_every_help_has_an_example(name):
    out = run(name, "--help").stdout
    assert f"Examples:\n    bulklmm {name}" in out


def test_both_entry_points_lead_here():
    for group, name in (("console_scripts", "bulklmm"), ("dask_cli", "bulklmm")):
        (point,) = entry_points(group=group, name=name)
        assert point.load() is main
    assert main.name == "bulklmm"  # dask lists a command under its own name


def test_scan_gives_what_the_library_gives(study, result):
    expected = blmm.scan(open_dataset(study)).compute()
    xr.testing.assert_identical(blmm.open_result(result).compute().lod, expected.lod)


def test_scan_of_a_finished_store_does_nothing(study, result):
    before = {file: file.stat().st_mtime_ns for file in result.rglob("c/*/*")}
    out = run("scan", study, result)
    assert "done in 0:00" in out.stderr
    assert {file: file.stat().st_mtime_ns for file in result.rglob("c/*/*")} == before


def test_scan_passes_its_options_on(study, tmp_path):
    path = tmp_path / "out.zarr"
    options = "--method null-grid --h2-grid 0:0.25:0.75 --reml --precision single --chunks 40,5"
    run("scan", study, path, *options.split(), "--covariates", "covariate2", "--threads", "1")
    found = blmm.open_result(path)
    attrs = found.attrs
    assert attrs["method"] == "null-grid"
    assert attrs["h2_grid"] == [0, 0.25, 0.5, 0.75]
    assert attrs["reml"] == 1
    assert attrs["precision"] == "single"
    assert attrs["covariates"] == "covariate2"
    assert found.lod.data.chunksize == (40, 5)


def test_scan_without_covariates_and_kinship(study, tmp_path):
    run("scan", study, tmp_path / "out.zarr", "--covariates", "none", "--kinship", "none")
    expected = blmm.scan(open_dataset(study), covariates=False, kinship=None)
    found = blmm.open_result(tmp_path / "out.zarr")
    np.testing.assert_array_equal(found.lod.values, expected.lod.values)


def test_a_kinship_table_serves_as_the_variable_does(study, result, tmp_path):
    table = tmp_path / "k.csv"
    run("kinship", study, "--out", table)
    run("scan", study, tmp_path / "out.zarr", "--kinship", table)
    found = blmm.open_result(tmp_path / "out.zarr").lod.values
    np.testing.assert_allclose(found, blmm.open_result(result).lod.values, atol=1e-5)


def test_a_kinship_can_be_computed_on_the_spot(study, tmp_path):
    run("scan", study, tmp_path / "out.zarr", "--kinship", "rqtl2")
    ds = open_dataset(study)
    expected = blmm.scan(ds, kinship=blmm.kinship(ds, method="rqtl2"))
    found = blmm.open_result(tmp_path / "out.zarr")
    np.testing.assert_allclose(found.h2.values, expected.h2.values, atol=1e-6)


def test_kinship_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "study.zarr"
    run("simulate", path, *SMALL)
    run("kinship", path)
    assert "--overwrite" in run("kinship", path, "--method", "centered", code=1).stderr
    assert open_dataset(path).kinship.attrs["method"] == "bulklmm"
    run("kinship", path, "--method", "centered", "--overwrite")
    ds = open_dataset(path)
    expected = blmm.kinship(ds, method="centered").values
    np.testing.assert_array_equal(ds.kinship.values, expected)


def test_a_study_without_kinship_says_how_to_make_one(tmp_path):
    run("simulate", tmp_path / "s.zarr", *SMALL)
    message = run("scan", tmp_path / "s.zarr", tmp_path / "r.zarr", code=1).stderr
    assert "bulklmm kinship" in message
    assert not (tmp_path / "r.zarr").exists()


def test_maxima_as_text_and_as_file(result, tmp_path):
    expected = blmm.max_lod(blmm.open_result(result))
    best = expected.sort_values("lod", ascending=False, kind="stable").head(3)
    lines = run("maxima", result, "--top", "3").stdout.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == list(best["trait"])
    run("maxima", result, "--by", "contig", "--out", tmp_path / "m.csv")
    table = pd.read_csv(tmp_path / "m.csv", dtype={"contig": str})
    by_contig = blmm.max_lod(blmm.open_result(result), by="contig")
    pd.testing.assert_frame_equal(table, by_contig, check_dtype=False, rtol=1e-6)


def test_profile_gives_what_the_library_gives(study, tmp_path):
    ds = open_dataset(study)
    trait, variant = ds.trait_id.values[3], ds.variant_id.values[40]
    options = ["--covariates", "covariate2", "--kinship", "rqtl2", "--reml"]
    table = tmp_path / "p.csv"
    out = run("profile", study, trait, "--variant", variant, *options, "--csv", table)
    relation = blmm.kinship(ds, method="rqtl2")
    model = {"kinship": relation, "covariates": ["covariate2"], "reml": True}
    expected = profile(ds, trait, variant=variant, **model)
    found = pd.read_csv(table, index_col="h2")
    assert list(found) == ["null", "alternative"]
    curves = expected[["null", "alternative"]].to_dataframe()
    pd.testing.assert_frame_equal(found, curves, rtol=1e-9)
    assert f"{len(curves)} rows written" in out.stderr
    lines = out.stdout.splitlines()
    assert lines[0] == f"{trait}: REML on 40 samples"
    assert lines[1].startswith(f"without a marker: h2 {float(expected.null_h2):.4g} (")
    assert lines[2].endswith(f"log-likelihood {float(expected.alternative.max()):.6g}")
    assert lines[3] == f"LOD: {float(expected.lod):.4g}"
    assert len(run("profile", study, trait).stdout.splitlines()) == 2
    counts = pd.Series(np.arange(40) % 5 + 1.0, index=ds.sample_id.values, name="n")
    counts.to_csv(tmp_path / "counts.csv")
    given = run("profile", study, trait, "--replicates", tmp_path / "counts.csv").stdout
    expected = profile(ds, trait, replicates=counts)
    assert f"h2 {float(expected.null_h2):.4g} (" in given


def test_profile_draws_a_picture(study, tmp_path):
    picture = tmp_path / "p.png"
    run("profile", study, "trait01", "--out", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    message = run("profile", study, "trait01", "--out", tmp_path / "p.doc", code=1).stderr
    assert "p.doc is not a picture; end its name with .png or" in message
    assert "png" in message


def test_info_describes_study_and_results(study, result, tmp_path):
    out = run("info", study).stdout
    assert "40 samples of 20 strains, 90 markers on 20 chromosomes, 12 traits, 2 covariates" in out
    assert "kinship: bulklmm" in out
    out = run("info", result).stdout
    assert "reml: no\n" in out
    assert "result of a scan, finished" in out
    assert "90 markers x 12 traits = 1,080 tests" in out
    assert "method: null-exact" in out
    assert "traits: 12 ok" in out
    assert f"version: {blmm.open_result(result).attrs['version']}" in out


def interrupt_after(blocks):
    """A scan that is interrupted when so many blocks are finished."""

    def interrupted(ds, *, progress, **options):
        def stop(now):
            progress(now)
            if now.done >= blocks:
                raise KeyboardInterrupt

        return blmm.scan(ds, progress=stop, **options)

    return interrupted


def test_an_interrupted_scan_says_so_and_is_resumed(study, result, tmp_path, monkeypatch):
    path = tmp_path / "out.zarr"
    arguments = ["scan", study, path, "--chunks", "30,4", "--threads", "1"]
    with monkeypatch.context() as patch:
        patch.setattr("bulklmm_dask.cli.scan.scan", interrupt_after(4))
        message = run(*arguments, code=130).stderr
    assert "the same command goes on from there" in message
    assert finished(path) == (4, 9)
    assert "44% finished" in run("info", path).stdout
    assert "unfinished: 4 of 9" in run("maxima", path, code=1).stderr
    assert "4/9 blocks" in run(*arguments).stderr
    np.testing.assert_allclose(
        blmm.open_result(path).lod.values, blmm.open_result(result).lod.values, atol=1e-5
    )


# Of its 722 blocks the first 256 are noted together; a while is left to stop it.
SLOWLY = """
import time
from bulklmm_dask.storage.results.blocks import ResultStore
write = ResultStore.write_block
ResultStore.write_block = lambda *block: (time.sleep(0.01), write(*block))[1]
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_keeps_its_blocks_and_unlocks_its_store(tmp_path, number, exit_code):
    study, path = tmp_path / "study.zarr", tmp_path / "lod.zarr"
    run("simulate", study, "--traits", "600", "--variants", "1200", "--samples", "60")
    run("kinship", study)
    call = ["scan", study, path, "--chunks", "32,32", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY + MAIN, *call], stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (path.exists() and finished(path)[0]):
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code, stderr
    assert "Traceback" not in stderr
    done, total = finished(path)
    assert 0 < done < total
    assert not list(path.rglob("lock.json"))
    assert not list(path.rglob("*.partial"))


GENOTYPES = """marker,s1,s2,s3,s4,s5,s6
m1,0,1,0,1,0,1
m2,0,1,1,1,0,0
m3,1,1,0,0,NA,0
"""
TRAITS = """sample,age,height,weight
s1,3,1.5,2
s2,4,2.5,NA
s3,5,1.0,3
s4,6,2.0,4
s5,3,1.2,1
s6,4,2.1,2
"""
MAP = """marker,chr,position
m1,1,1.0
m2,1,2.5
m3,2,1.0
"""


@pytest.fixture
def tables(tmp_path):
    for name, content in (("g", GENOTYPES), ("t", TRAITS), ("m", MAP)):
        (tmp_path / f"{name}.csv").write_text(content)
    return tmp_path


def test_import_of_tables(tables):
    beside = ["--genotypes", tables / "g.csv", "--map", tables / "m.csv"]
    more = ["--position-unit", "cM", "--covariates", "age"]
    out = run("import", tables / "t.csv", tables / "s.zarr", *beside, *more)
    assert "6 samples, 3 markers on 2 chromosomes, 2 traits, 1 covariate;" in out.stderr
    ds = open_dataset(tables / "s.zarr")
    assert list(ds.trait_id.values) == ["height", "weight"]
    assert ds.variant_position.attrs["units"] == "cM"
    assert np.isnan(ds.sample_trait.sel(samples="s2", traits="weight"))
    np.testing.assert_array_equal(ds.sample_covariate.values[:, 0], [3, 4, 5, 6, 3, 4])


def test_import_with_a_codec(tables):
    beside = ["--genotypes", tables / "g.csv", "--map", tables / "m.csv", "--covariates", "age"]
    more = ["--position-unit", "cM", "--compression", "zstd"]
    run("import", tables / "t.csv", tables / "s.zarr", *beside, *more)
    (codec,) = {
        getattr(codec.cname, "value", codec.cname)  # a text from zarr 3.2 on
        for codec in zarr.open_array(tables / "s.zarr", path="call_dosage").compressors
        if hasattr(codec, "cname")
    }
    assert codec == "zstd"
    run("import", tables / "t.csv", tables / "u.zarr", *beside, *more[:2])
    assert open_dataset(tables / "s.zarr").equals(open_dataset(tables / "u.zarr"))


def test_import_of_codes_and_places_of_traits(tables):
    header, *rows = GENOTYPES.splitlines()
    coded = "\n".join([header, *(row.replace(",1", ",9").replace(",0", ",1") for row in rows)])
    (tables / "g.csv").write_text(coded)
    (tables / "p.csv").write_text("gene,chr,cM\nheight,1,2\nweight,chr1,3\n")
    beside = ["--genotypes", tables / "g.csv", "--map", tables / "m.csv", "--covariates", "age"]
    more = ["--position-unit", "cM", "--trait-positions", tables / "p.csv"]
    words = ["import", tables / "t.csv", tables / "s.zarr", *beside, *more]
    assert "--codes can say what each stands for" in run(*words, code=1).stderr
    run(*words, "--codes", "1=0,9=1")
    ds = open_dataset(tables / "s.zarr")
    expected = [[0, 1, 0, 1, 0, 1], [0, 1, 1, 1, 0, 0], [1, 1, 0, 0, np.nan, 0]]
    np.testing.assert_array_equal(ds.call_dosage, expected)
    assert ds.call_dosage.attrs["maximum"] == 1
    assert ds.trait_position.values.tolist() == [2, 3]
    run(*words, "--codes", "1=0,9=1", "--maximum", "2", "--overwrite")
    assert open_dataset(tables / "s.zarr").call_dosage.attrs["maximum"] == 2
    for codes in ("1", "1=0=2", "a=1", "1=x"):
        assert "is not codes and dosages" in run(*words, "--codes", codes, code=2).stderr


def test_import_says_what_it_reinterprets(tables):
    beside = ["--genotypes", tables / "g.csv", "--map", tables / "m.csv"]
    out = run("import", tables / "t.csv", tables / "s.zarr", *beside)
    assert "note: " in out.stderr
    assert "--position-unit" in out.stderr


def test_import_quotes_a_bad_cell(tables):
    (tables / "t.csv").write_text(TRAITS.replace("2.5", "tall"))
    out = run(
        "import", tables / "t.csv", tables / "s.zarr", "--genotypes", tables / "g.csv", code=1
    )
    for part in ("t.csv", "'s2'", "'height'", "'tall'"):
        assert part in out.stderr
    assert not (tables / "s.zarr").exists()


@pytest.fixture
def control_file(tables):
    """The tables as R/qtl2 files."""
    (tables / "g.csv").write_text(GENOTYPES.replace("NA", "-"))
    (tables / "cross.yaml").write_text(
        "crosstype: riself\ngeno: g.csv\ngeno_transposed: true\npheno: t.csv\npmap: m.csv\n"
        "genotypes:\n  0: 1\n  1: 2\nna.strings: ['-', 'NA']\nalleles: [A, B]\n"
    )
    (tables / "m.csv").write_text(MAP.replace("position", "pos"))
    return tables / "cross.yaml"


def test_import_of_rqtl2_files(control_file, tmp_path):
    run("import", control_file, tmp_path / "s.zarr")
    ds = open_dataset(tmp_path / "s.zarr")
    np.testing.assert_array_equal(ds.call_dosage.values[1], [0, 1, 1, 1, 0, 0])
    assert "R/qtl2 files" in run("info", control_file).stdout


def test_scan_of_rqtl2_files(control_file, tmp_path):
    run("scan", control_file, tmp_path / "r.zarr", "--kinship", "bulklmm")
    assert blmm.open_result(tmp_path / "r.zarr").lod.shape == (3, 3)


CALLS = np.array([[0, 1, 2, 0, 1, 2], [1, 1, 0, 2, 0, 2], [2, 0, 0, 1, 2, 1]])  # markers x samples


@pytest.fixture
def sources(tables):
    """The same calls of six samples in every format: its file, and the options it needs."""
    named = ["--traits", tables / "t.csv"]
    names = [f"s{i + 1}" for i in range(6)]
    to_bed(tables / "p.bed", CALLS.T, properties={"iid": names, "fid": names})
    (tables / "p.pheno").write_text("".join(f"{s} {s} {i} 1\n" for i, s in enumerate(names)))
    (tables / "y.txt").write_text("".join(f"{i} 1\n" for i in range(6)))
    (tables / "b.txt").write_text(
        "".join(f"m{i} A C {' '.join(map(str, row))}\n" for i, row in enumerate(CALLS))
    )
    probabilities = np.eye(3)[CALLS].reshape(3, -1)
    columns = [f"{sample}:{genotype}" for sample in names for genotype in ("AA", "AB", "BB")]
    pd.DataFrame(probabilities, index=["m1", "m2", "m3"], columns=columns).to_csv(tables / "q.csv")
    calls = np.array(["B", "H", "D"])[CALLS]
    rows = [f"1\tm{i}\t{i}\t{i}\t" + "\t".join(row) for i, row in enumerate(calls)]
    header = "\t".join(["Chr", "Locus", "cM", "Mb", *names])
    (tables / "x.geno").write_text("\n".join(["@mat:B", "@pat:D", header, *rows]) + "\n")
    group = zarr.open_group(tables / "v.vcz", mode="w", zarr_format=2)
    pairs = np.stack([CALLS > 0, CALLS > 1], axis=2).astype(np.int8)
    for name, values in {
        "call_genotype": pairs,
        "sample_id": np.array(names, dtype="T"),
        "contig_id": np.array(["1"], dtype="T"),
        "variant_contig": np.zeros(3, np.int8),
        "variant_position": np.array([1, 2, 3]),
        "variant_allele": np.array([["A", "C"]] * 3, dtype="T"),
    }.items():
        group.create_array(name, data=values)
    return {
        "plink": (tables / "p.bed", []),
        "bimbam": (tables / "b.txt", ["--traits", tables / "y.txt"]),
        "probabilities": (tables / "q.csv", [*named, "--map", tables / "m.csv"]),
        "geno": (tables / "x.geno", named),
        "vcf-zarr": (tables / "v.vcz", [*named, "--covariates", "age"]),
    }


@pytest.mark.parametrize("name", ["plink", "bimbam", "probabilities", "geno", "vcf-zarr"])
def test_import_of_every_format_named_and_guessed(sources, name, tmp_path):
    source, options = sources[name]
    run("import", name, source, tmp_path / "named.zarr", *options)
    out = run("import", source, tmp_path / "guessed.zarr", *options)
    assert "6 samples, 3 markers" in out.stderr
    ds = open_dataset(tmp_path / "guessed.zarr")
    assert ds.identical(open_dataset(tmp_path / "named.zarr"))
    if name == "probabilities":
        found = ds.call_genotype_probability.values @ [0, 1, 2]
    else:
        found = ds.call_dosage.values * (2 / ds.call_dosage.attrs["maximum"])
    np.testing.assert_array_equal(found, CALLS)
    assert ds.sizes["traits"] == (3 if name in ("probabilities", "geno") else 2)
    assert ("sample_covariate" in ds) == (name == "vcf-zarr")


def test_the_name_that_plink_files_share(sources, tmp_path):
    run("import", sources["plink"][0].with_suffix(""), tmp_path / "s.zarr")
    assert open_dataset(tmp_path / "s.zarr").sizes["variants"] == 3


def test_scan_of_plink_files(sources, tmp_path):
    run("scan", sources["plink"][0], tmp_path / "r.zarr", "--kinship", "none")
    assert blmm.open_result(tmp_path / "r.zarr").lod.shape == (3, 2)


@pytest.mark.parametrize("name", ["plink", "bimbam", "probabilities", "geno", "vcf-zarr"])
def test_nothing_half_written_of_a_damaged_file(sources, name, tmp_path):
    source, options = sources[name]
    damaged = source
    if name == "vcf-zarr":
        damaged = next((source / "call_genotype").glob("*.*.*"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    out = run("import", name, source, tmp_path / "out.zarr", *options, code=1)
    assert source.name in out.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("*out.zarr*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "{}/t.csv", "s.zarr"], "add --genotypes"),
        (["import", "{}/cross.yaml", "s.zarr", "--map", "{}/m.csv"], "--map goes with csv or prob"),
        (["import", "cvs", "{}/t.csv", "s.zarr"], "'cvs' is no format; choose one of rqtl2, csv,"),
        (["import", "{}/t.csv"], "Missing [FORMAT] SOURCE STUDY"),
        (["import", "csv", "a", "b", "c"], "4 words where there should be"),
        (
            ["import", "{}/t.csv", "s.zarr", "--traits", "x"],
            "the format of {}/t.csv cannot be told",
        ),
        (["import", "bimbam", "{}/t.csv", "s.zarr"], "add --traits with its table"),
        (["import", "geno", "{}/t.csv", "s.zarr", "--field", "call_DS"], "goes with vcf-zarr"),
        (["scan", "a", "b", "--h2-grid", "0:0:1"], "START:STEP:STOP"),
        (["scan", "a", "b", "--h2-grid", "0,half"], "'0,half'"),
        (["scan", "a", "b", "--method", "alt-exactly"], "alt-exactly"),
        (["scan", "a", "b", "--chunks", "100"], "2048,4096"),
        (["scan", "a"], "Missing argument"),
        (["scan", "a", "b", "--covariates", ""], "names no covariate"),
        (["conquer"], "No such command"),
    ],
)
def test_usage_errors(control_file, arguments, message):
    filled = [argument.format(control_file.parent) for argument in arguments]
    assert message.format(control_file.parent) in run(*filled, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", "{1}", "{0}/r.zarr", "--h2-grid", "0,0.5"], "null-grid"),
        (["scan", "{1}", "{0}/r.zarr", "--memory", "4GB"], "worker"),
        (
            ["scan", "{1}", "{0}/r.zarr", "--scheduler", "tcp://x:1", "--threads", "2"],
            "own workers",
        ),
        (["simulate", "{0}/s.zarr", "--seed", "-1"], "seed is -1"),
        (["scan", "{1}", "{0}/r.zarr", "--method", "null-grid", "--h2-grid", "0,1.5"], "1.5"),
        (["scan", "{1}", "{0}/r.zarr", "--workers", "1", "--memory", "much"], "much"),
    ],
)
def test_options_without_a_meaning_are_usage_errors(study, tmp_path, arguments, message):
    filled = [argument.format(tmp_path, study) for argument in arguments]
    assert message in run(*filled, code=2).stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "{0}/absent"], "there is no"),
        (["import", "{1}", "{0}/s.zarr"], "a Zarr store already"),
        (["kinship", "{1}", "--out", "{0}/none/k.csv"], "there is no folder {0}/none; make it"),
        (["kinship", "{1}", "--out", "{1}/zarr.json"], "zarr.json exists"),
        (["maxima", "{1}", "--out", "{0}/none/m.csv"], "there is no folder {0}/none; make it"),
        (["demo", "--out", "{1}/zarr.json"], "zarr.json is no folder"),
        (["import", "{0}/absent.zip", "{0}/s.zarr"], "there is no"),
        (["kinship", "{0}/absent.zarr"], "there is no"),
        (["info", "{0}"], "control file"),
        (["scan", "{0}/absent.zarr", "{0}/r.zarr"], "there is no store"),
        (["maxima", "{1}"], "not a result store"),
        (["scan", "{1}", "{0}/r.zarr", "--covariates", "shoe"], "no covariate 'shoe'"),
        (["scan", "{1}", "{0}/r.zarr", "--kinship", "cousins"], "'cousins'"),
        (["scan", "{1}", "{0}/r.zarr", "--scheduler", "nowhere"], "'nowhere'"),
        (["simulate", "{1}"], "exists"),
        (["profile", "{1}", "trait1"], "no trait 'trait1' in the study; similar are 'trait"),
        (["profile", "{1}", "trait01", "--variant", "rs1"], "no variant 'rs1'"),
        (["profile", "{1}", "trait01", "--kinship", "none"], "no heritability"),
        (["profile", "{1}", "trait1", "--out", "{0}/none/p.png"], "there is no folder {0}/none"),
        (["profile", "{1}", "trait1", "--csv", "{1}"], "cannot be written"),
        (["profile", "{1}", "trait1", "--out", "{0}/p.doc"], "p.doc is not a picture"),
        (["demo", "--study", "{0}", "--out", "{0}/demo"], "{0}"),
    ],
)
def test_errors_are_one_line_and_exit_1(study, tmp_path, arguments, message):
    filled = [argument.format(tmp_path, study) for argument in arguments]
    assert message.format(tmp_path) in run(*filled, code=1).stderr
    assert not list(tmp_path.iterdir())


def test_an_existing_study_is_replaced_when_asked(tmp_path):
    path = tmp_path / "study.zarr"
    save(blmm.simulate_study(n_traits=2, n_samples=20, n_strains=None, n_variants=30), path)
    run("simulate", path, *SMALL, "--overwrite")
    assert open_dataset(path).sizes["traits"] == 12


@pytest.mark.slow
def test_worker_processes_give_the_same_numbers(study, result, tmp_path):
    out = run("scan", study, tmp_path / "out.zarr", "--workers", "1", "--threads", "2")
    assert "1 worker process of 2 threads" in out.stderr
    found = blmm.open_result(tmp_path / "out.zarr").lod.values
    np.testing.assert_array_equal(found, blmm.open_result(result).lod.values)


def test_nothing_of_the_machine_is_in_the_messages(study, tmp_path):
    """The notes and titles name what the user named, as it was named."""
    here = Path.cwd()
    os.chdir(study.parent)
    try:
        assert run("info", study.name).stdout.startswith("study.zarr: study")
    finally:
        os.chdir(here)


@pytest.mark.slow
def test_a_kinship_without_names_and_traits_as_bed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    names = [f"s{i}" for i in range(12)]
    properties = {"iid": names, "chromosome": ["1"] * 6, "bp_position": np.arange(1, 7) * 1000}
    to_bed("x.bed", rng.integers(0, 3, (12, 6)).astype(np.float32), properties=properties)
    rows = ["\t".join(["#chr", "start", "end", "gene_id", *names])]
    for i in (1, 3):
        values = map(str, rng.normal(size=12))
        rows.append("\t".join(["chr1", f"{i}999", f"{i + 1}000", f"g{i}", *values]))
    Path("e.bed").write_text("\n".join(rows))
    run("import", "plink", "x.bed", "x.zarr", "--traits", "e.bed")
    run("kinship", "x.zarr", "--method", "centered", "--out", "k.csv")
    matrix = pd.read_csv("k.csv", index_col=0)
    matrix.to_csv("k.cXX.txt", sep="\t", header=False, index=False, float_format="%.10g")
    out = run("scan", "x.zarr", "r.zarr", "--kinship", "k.cXX.txt", "--reml")
    assert "note: k.cXX.txt names no samples: its rows are taken for those" in out.stderr
    run("scan", "x.zarr", "named.zarr", "--kinship", "k.csv", "--reml")
    found, named = (blmm.open_result(name).lod.values for name in ("r.zarr", "named.zarr"))
    np.testing.assert_allclose(found, named, atol=1e-6)
    hits = pd.read_csv(io.StringIO(run("hits", "r.zarr", "--threshold", "0").stdout))
    assert len(hits) == 12
    assert hits["cis"].all()
    again = run("hits", "r.zarr", "--threshold", "0", "--trait-positions", "e.bed").stdout
    assert len(again.splitlines()) == 13
