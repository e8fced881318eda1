"""The command that plans, and commands that need more memory than their workers have."""

import json

import pytest
from commands import SMALL, run

import bulklmm_dask as blmm

SIZES = ["--samples", "1000", "--markers", "10_000_000", "--traits", "1_000_000"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "study.zarr"
    run("simulate", path, *SMALL)
    return path


def test_sizes_are_planned():
    shown = run("plan", *SIZES, "--workers", "64", "--threads", "4", "--memory", "16GB").stdout
    assert "1,000,000 traits x 10,000,000 markers, 1,000 samples" in shown
    assert "1,196,335 of 2,048 variants x 4,096 traits" in shown
    assert "64 workers of 4 threads and 16 GB" in shown
    assert "note: all traits are taken as measured on the same samples; give --patterns" in shown


def test_several_kernels_are_planned(study):
    kernels = ["--kernel", "additive=kinship", "--kernel", "cis=centered:1"]
    shown = run("plan", study, *kernels).stdout
    assert "2 kernels, one trait after the other" in shown
    assert "the study has no kinship yet" in shown
    shown = run("plan", *SIZES, "--method", "per-trait", *kernels, "--permutations", 100).stdout
    assert "note: 2 kernels, permuted with all components" in shown
    wrong = run("plan", study, *kernels, "--kinship", "none", code=2).stderr
    assert "exclude each other" in wrong
    wrong = run("plan", study, "--kernel", "cage=@cage", code=1).stderr
    assert "'cage'" in wrong


def test_a_study_is_planned_as_the_library_does(study):
    options = ["--method", "alt-grid", "--statistics", "beta,se", "--chunks", "30,5", "--reml"]
    found = json.loads(run("plan", study, *options, "--json").stdout)["plan"]
    expected = blmm.plan(
        blmm.open_dataset(study),
        "alt-grid",
        statistics=["lod", "beta", "se"],
        chunks={"variants": 30, "traits": 5},
        reml=True,
    ).to_dict()
    measured = {"seconds", "total_seconds", "written_bytes"}
    assert found["notes"].pop(0).startswith("the study has no kinship yet")
    assert expected["notes"].pop(0).startswith("the study has no kinship yet")
    for name in set(expected) - measured - {"notes"}:
        assert found[name] == expected[name], name


def test_permutations_are_planned(study):
    given = ["--method", "per-trait", "--permutations", "50", "--kinship", "none"]
    found = json.loads(run("plan", study, *given, "--json").stdout)["plan"]
    assert found["chunks"] == {"permutations": 50, "traits": 2}
    assert found["n_bases"] == 0


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        ([*SIZES, "--loco"], "--loco needs the number of chromosomes; give --contigs", 2),
        ([*SIZES, "--memory", "230MB", "--threads", "1"], "give --memory", 1),
        ([*SIZES, "--memory", "much"], "--memory much is no amount of memory", 2),
    ],
    ids=str,
)
def test_what_cannot_be_planned_is_told(arguments, words, code):
    assert words in run("plan", *arguments, code=code).stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "neither a study nor its sizes; give one, or --samples, --variants, --traits"),
        ([*SIZES, "--covariates", "sex"], "give their number, --covariates"),
        ([*SIZES, "--keep", "hits"], "--threshold is the LOD of hits"),
        (
            [*SIZES, "--interaction", "sex", "--method", "alt-exact"],
            "--method alt-exact and --interaction sex exclude each other",
        ),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_told(arguments, words):
    assert words in run("plan", *arguments, code=2).stderr


def test_a_study_and_sizes_are_one_too_many(study):
    told = run("plan", study, *SIZES[4:], code=2).stderr
    assert f"--traits {int(SIZES[5])} is given beside a study" in told


@pytest.mark.slow
def test_too_little_memory_is_told_before_anything_runs(study, tmp_path):
    """Such workers crawled: they moved what they hold to their disks and back."""
    given = ["--kinship", "none", "--workers", "1", "--threads", "1", "--memory", "300MB"]
    wide = tmp_path / "wide.zarr"
    run("simulate", wide, "--samples", "400", "--variants", "3000", "--traits", "3000")
    for chunks in ([], ["--chunks", "2000,2000"]):
        said = run("scan", wide, tmp_path / "lod.zarr", *given, *chunks, code=1).stderr
        assert "a worker has 300 MB for 1 thread, of which dask lets it use 210 MB" in said
        assert "give --memory" in said
        assert not (tmp_path / "lod.zarr").exists()
    shown = json.loads(run("plan", wide, *given[:2], "--threads", "1", "--json").stdout)["plan"]
    assert shown["memory_bytes"] > 0.7 * 300e6
    given[-1] = "500MB"
    run("scan", wide, tmp_path / "lod.zarr", *given)
    block = blmm.open_result(tmp_path / "lod.zarr").lod.sizes
    assert dict(block) == {"variants": 3000, "traits": 3000}
