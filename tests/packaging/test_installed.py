"""The source distribution and the wheel: complete, and used from outside of the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TYPED = Path(__file__).with_name("typed_project.py")
EXTENSIONS = (".so", ".pyd")
SETUPTOOLS = "77"  # the first that knows licences as pyproject.toml states them

pytestmark = pytest.mark.slow

BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""
USE = """
import json, sys, warnings
from importlib.metadata import entry_points, version
import matplotlib
matplotlib.use("Agg")
import bulklmm_dask as blmm
warnings.simplefilter("ignore")
ds = blmm.simulate_study(n_samples=40, n_strains=20, n_variants=60, n_traits=4, n_contigs=3)
ds["kinship"] = blmm.kinship(ds)
result = blmm.scan(ds, store="lod.zarr")
best = blmm.max_lod(result)
blmm.plot.save(blmm.plot.lod(result, "trait1"), "lod.html")
blmm.report(result, "report.html", study=ds)
print(json.dumps({
    "file": blmm.__file__,
    "version": [version("bulklmm-dask"), blmm.__version__],
    "commands": sorted(e.group for e in entry_points(name="bulklmm")),
    "traits": best.trait.tolist(),
}))
"""


def build(kind: str, tree: Path, out: Path) -> Path:
    """Build a distribution of a tree with the setuptools that is installed."""
    pytest.importorskip(
        "setuptools", minversion=SETUPTOOLS, reason=f"needs setuptools {SETUPTOOLS}: make lint"
    )
    words = [sys.executable, "-W", "ignore", "-c", BUILD, kind, str(out)]
    run = subprocess.run(words, cwd=tree, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return out / run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The source distribution, built from a copy: building leaves files in the tree."""
    folder = tmp_path_factory.mktemp("sdist")
    left_out = [line.strip("/ ") for line in (ROOT / ".gitignore").read_text().split("\n") if line]
    ignore = shutil.ignore_patterns(".git", *left_out)
    shutil.copytree(ROOT, folder / "tree", ignore=ignore, symlinks=True)
    return build("build_sdist", folder / "tree", folder)


@pytest.fixture(scope="module")
def unpacked(sdist) -> Path:
    """The folder that the source distribution unpacks to."""
    with tarfile.open(sdist) as file:
        file.extractall(sdist.parent, filter="data")
    return sdist.parent / sdist.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(unpacked, tmp_path_factory) -> Path:
    """The wheel that the source distribution gives."""
    return build("build_wheel", unpacked, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def outside(wheel, tmp_path_factory) -> Path:
    """Python of an environment with the wheel, and the libraries of the one that runs the tests."""
    folder = tmp_path_factory.mktemp("outside") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *install], check=True, cwd=folder, env=environment())
    (site,) = folder.glob("lib/python*/site-packages")
    site.joinpath("libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def environment() -> dict[str, str]:
    """Nothing in it leads to the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def call(words, folder: Path) -> str:
    run = subprocess.run(
        list(map(str, words)), cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_source_distribution_has_every_file_of_the_repository(unpacked):
    if not (ROOT / ".git").exists():
        pytest.skip("no git here to list the files of the repository")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    absent = [
        name
        for name in listed.stdout.splitlines()
        if (ROOT / name).is_file() and not (unpacked / name).is_file()
    ]
    assert absent == []


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    own = {path.relative_to(ROOT) for path in (ROOT / "bulklmm_dask").rglob("*.*")}
    own = {f"{path}" for path in own if path.suffix not in (".pyc", ".c", ".h", *EXTENSIONS)}
    # The compiled loops are in it where there is a compiler, and their source never.
    loops = {path.stem for path in (ROOT / "bulklmm_dask").glob("*/compiled/_*.c")}
    found = {Path(name).name.split(".")[0] for name in names if name.endswith(EXTENSIONS)}
    assert found == (loops if shutil.which("cc") else set())
    inside = {name for name in names if ".dist-info/" not in name}
    assert {name for name in inside if not name.endswith(EXTENSIONS)} == own
    assert {"bulklmm_dask/py.typed", "bulklmm_dask/plot/templates/picture.js"} <= own


def test_it_scans_draws_and_reports_outside(outside, tmp_path):
    said = json.loads(call([outside, "-c", USE], tmp_path).splitlines()[-1])
    assert Path(said["file"]).is_relative_to(outside.parents[1])
    assert said["version"][0] == said["version"][1]
    assert said["commands"] == ["console_scripts", "dask_cli"]
    assert said["traits"] == ["trait1", "trait2", "trait3", "trait4"]
    for name in ("lod.html", "report.html"):
        assert (tmp_path / name).read_text().startswith("<!DOCTYPE html>")
    script = outside.with_name("bulklmm")
    assert "scan" in call([script, "--help"], tmp_path)


def test_its_tests_pass_outside(outside, unpacked, tmp_path):
    """A part of them, in the source distribution without the package itself."""
    tree = tmp_path / "tree"
    shutil.copytree(unpacked, tree, ignore=lambda folder, names: {"bulklmm_dask"} & set(names))
    chosen = [
        "tests/lmm/test_lod.py",
        "tests/results/test_maxima.py",
        "tests/plot/test_plot_miami.py",
    ]
    words = [outside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *chosen]
    assert " passed" in call(words, tree)


def test_its_types_are_seen_outside(outside, tmp_path):
    """A small project in strict mode: right calls pass, wrong ones are found.

    The settings and, if it has run, the cache are those of `make lint`: what is the same is not
    checked again.
    """
    shutil.copy(TYPED, tmp_path / "project.py")
    cache = tmp_path / "cache"
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", cache)
    words = [sys.executable, "-m", "mypy", "--python-executable", outside, "--cache-dir", cache]
    run = subprocess.run(
        list(map(str, [*words, "--config-file", ROOT / "pyproject.toml", "project.py"])),
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    wanted = [
        number for number, line in enumerate(TYPED.read_text().splitlines(), 1) if "# wrong" in line
    ]
    found = [line for line in run.stdout.splitlines() if ": error:" in line]
    assert [int(line.split(":")[1]) for line in found] == wanted, run.stdout + run.stderr
    assert all(line.startswith("project.py:") for line in found)
