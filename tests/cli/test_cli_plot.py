"""The commands that draw: each makes its picture, whole or not at all."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from commands import run

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bulklmm_dask as blmm
from bulklmm_dask import plot
from bulklmm_dask.cli import main
from bulklmm_dask.cli.plot import plot_group

pytestmark = pytest.mark.slow  # whole commands

STARTS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml", ".html": b"<!DOCTYPE html>"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A study, its result, permutations and tables, by name."""
    folder = tmp_path_factory.mktemp("plot")
    names = ("study.zarr", "lod.zarr", "perm.zarr", "peaks.csv", "maxima.csv", "hotspots.csv")
    study, result, perm, peaks, maxima, counts = (folder / name for name in names)
    shares = folder / "shares.csv"
    size = ["--traits", "12", "--samples", "40", "--strains", "20", "--variants", "90"]
    run("simulate", study, *size, "--seed", "3")
    run("kinship", study)
    run("scan", study, result)
    run("permute", study, perm, "--permutations", "60")
    run("peaks", result, "--threshold", "1", "--out", peaks)
    run("maxima", result, "--out", maxima)
    run("hotspots", peaks, "--window", "10", "--out", counts)
    kernels = ["--kernel", "additive=kinship", "--kernel", "strain=@strain"]
    run("heritability", study, *kernels, "--out", shares)
    return {path.name: path for path in (study, result, perm, peaks, maxima, counts, shares)}


def draw(files, kind, *arguments, out="p.png", code=0):
    """Run a command of pictures; names of files stand for their paths."""
    out = files["study.zarr"].with_name(out)
    out.unlink(missing_ok=True)
    given = [files.get(argument, argument) for argument in arguments]
    result = run("plot", kind, *given, "--out", out, code=code)
    assert not plt.get_fignums()
    assert out.exists() == (code == 0)
    assert not list(out.parent.glob(".*"))
    if code == 0:
        assert out.read_bytes().startswith(STARTS[out.suffix])
        assert f"picture written to {out}" in result.stderr
    return result


CASES = {
    "lod": ["lod.zarr", "trait01", "trait02", "--threshold", "3,3.5", "--intervals", "peaks.csv"],
    "lod of permutations": ["lod.zarr", "trait01", "--perm", "perm.zarr", "--contig", "2"],
    "eqtl": ["maxima.csv", "study.zarr", "--threshold", "2", "--cis-window", "20"],
    "heatmap": ["lod.zarr", "--traits", "trait01,trait03", "--order", "traits", "--threads", "1"],
    "manhattan": ["lod.zarr", "trait04", "--threshold", "4"],
    "manhattan of permutations": ["lod.zarr", "trait04", "--perm", "perm.zarr"],
    "miami": ["lod.zarr", "lod.zarr", "trait01", "--lower-trait", "trait02", "--perm", "perm.zarr"],
    "miami of one trait": ["lod.zarr", "lod.zarr", "trait01", "--labels", "a,b", "--contig", "2"],
    "qq": ["lod.zarr"],
    "hotspots": ["hotspots.csv", "study.zarr", "--threshold", "3.5"],
    "kinship": ["study.zarr", "--in-order"],
    "kinship by a method": ["study.zarr", "--kinship", "centered"],
    "profile": ["study.zarr", "trait01"],
    "permutations": ["perm.zarr", "trait01", "--result", "lod.zarr", "--alpha", "0.1"],
    "shares": ["shares.csv", "--order", "strain"],
    "share-pairs": ["shares.csv", "--x", "strain", "--y", "residual"],
    "permutations observed": ["perm.zarr", "trait01", "--observed", "4.5"],
}


@pytest.mark.parametrize("case", CASES)
def test_every_kind_makes_a_picture(files, case):
    draw(files, case.split()[0], *CASES[case])


def test_effects_make_a_picture(files):
    marker = str(blmm.open_dataset(files["study.zarr"]).variants.values[7])
    draw(files, "effects", "study.zarr", "trait05", marker)


@pytest.mark.parametrize("suffix", STARTS)
def test_the_name_tells_the_format(files, suffix):
    draw(files, "lod", "lod.zarr", "trait01", out=f"p{suffix}")


def test_dots_an_inch_are_as_asked(files):
    out = files["study.zarr"].with_name("p.png")
    for dpi in (50, 100):
        draw(files, "manhattan", "lod.zarr", "trait01", "--dpi", dpi)
        assert plt.imread(out).shape[:2] == (2.5 * dpi, 7.2 * dpi)


def test_what_is_drawn_is_what_the_library_draws(files, monkeypatch):
    axes = []
    for kind in ("lod", "permutations"):
        kept = getattr(plot, kind)
        monkeypatch.setattr(plot, kind, lambda *a, f=kept, **k: axes.append(f(*a, **k)) or axes[-1])
    draw(files, "lod", "lod.zarr", "trait01", "--perm", "perm.zarr", "--alpha", "0.2")
    perm, result = blmm.open_result(files["perm.zarr"]), blmm.open_result(files["lod.zarr"])
    level = float(blmm.thresholds(perm, 0.2).threshold.sel(traits="trait01").squeeze())
    assert axes[0].lines[1].get_ydata()[0] == pytest.approx(level)
    draw(files, "permutations", "perm.zarr", "trait01", "--result", "lod.zarr")
    top = float(result.lod.sel(traits="trait01").max())
    assert axes[1].lines[-1].get_xdata()[0] == pytest.approx(top)


def test_traits_without_lods_do_not_hinder_a_map(files):
    table = pd.read_csv(files["maxima.csv"])
    table.loc[2, ["variant", "contig", "position", "lod"]] = None
    table.to_csv(files["maxima.csv"].with_name("gaps.csv"), index=False)
    gaps = {**files, "gaps.csv": files["maxima.csv"].with_name("gaps.csv")}
    draw(gaps, "eqtl", "gaps.csv", "study.zarr", "--threshold", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lod", "lod.zarr", "trait99"], "no trait 'trait99' here"),
        (["lod", "lod.zarr", "trait01", "--contig", "Z"], "contig 'Z' is not in the study"),
        (["lod", "study.zarr", "trait01"], "study.zarr"),
        (["lod", "lod.zarr", "trait01", "--intervals", "none.csv"], "there is no none.csv"),
        (["miami", "lod.zarr", "lod.zarr", "trait01", "--labels", "a"], "labels is ('a',)"),
        (["eqtl", "hotspots.csv", "study.zarr"], "hotspots.csv has no column 'trait'"),
        (["hotspots", "maxima.csv", "study.zarr"], "no column 'traits'"),
        (["heatmap", "lod.zarr", "--traits", "trait01,nobody"], "no trait 'nobody' here"),
        (["kinship", "study.zarr", "--kinship", "none"], "--kinship none cannot be drawn"),
        (["effects", "study.zarr", "trait01", "rs0"], "no variant 'rs0' here"),
        (["permutations", "perm.zarr", "trait99"], "no trait 'trait99' here"),
        (["permutations", "lod.zarr", "trait01"], "give a store of 'bulklmm permute'"),
    ],
)
def test_errors_are_said_and_leave_no_picture(files, arguments, message):
    assert message in draw(files, *arguments, code=1).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["lod", "lod.zarr"],
        ["lod", "lod.zarr", "trait01", "--threshold", "3", "--perm", "perm.zarr"],
        ["lod", "lod.zarr", "trait01", "--threshold", "high"],
        ["permutations", "perm.zarr", "trait01", "--observed", "3", "--result", "lod.zarr"],
        ["manhattan", "lod.zarr", "trait01", "--dpi", "1"],
    ],
)
def test_what_cannot_be_understood_ends_with_2(files, arguments):
    draw(files, *arguments, code=2)


def test_the_name_is_checked_before_any_work(files):
    said = draw(files, "qq", "nothing.zarr", out="p.doc", code=1).stderr
    assert "p.doc is not a picture; end its name with .png or .pdf or .svg or .html" in said
    folder = files["study.zarr"].parent / "nowhere"
    said = run("plot", "qq", "nothing.zarr", "--out", folder / "p.png", code=1).stderr
    assert f"there is no folder {folder}" in said


def test_a_failure_while_writing_leaves_the_older_picture(files, monkeypatch):
    draw(files, "lod", "lod.zarr", "trait01")
    out = files["study.zarr"].with_name("p.png")
    before = out.read_bytes()

    def full(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    said = run(
        "plot", "lod", files["lod.zarr"], "trait02", "--out", out, "--overwrite", code=1
    ).stderr
    assert "the disk is full" in said
    assert out.read_bytes() == before
    assert not list(out.parent.glob(".*"))


def test_every_kind_has_help_with_examples():
    listed = run("plot", "--help").stdout
    kinds = {name.replace("_", "-") for name in plot.__all__} - {"save"}
    assert kinds == set(plot_group.commands)
    for kind in kinds:
        assert f"\n  {kind} " in listed
        text = run("plot", kind, "--help").stdout
        assert "Examples:" in text
        assert "--out PICTURE" in text
    assert "plot" in main.commands


def test_pictures_are_axes(files):
    result = blmm.open_result(files["lod.zarr"])
    assert isinstance(plot.heatmap(result), Axes)
    plt.close("all")
