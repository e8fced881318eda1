import json
import shlex
import zipfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from commands import run

from bulklmm_dask.analyses.kinship import kinship
from bulklmm_dask.analyses.permute import permute
from bulklmm_dask.demo import run_demo
from bulklmm_dask.results.thresholds import trait_fdr
from bulklmm_dask.simulate import simulate_study
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.results.result import open_result
from bulklmm_dask.study.io import open_dataset, save

mpl.use("Agg")
from matplotlib import pyplot as plt

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """The demo with few traits: its folder, what it said, and its table."""
    out = tmp_path_factory.mktemp("demo") / "out"
    said: list[str] = []
    maxima = run_demo(out=out, n_traits=25, echo=said.append)
    return out, "\n".join(said), maxima


def test_it_scans_the_reference_shape_draws_and_reports(tour):
    out, said, maxima = tour
    assert "248 samples of 50 strains, 7,321 markers on 20 chromosomes, 25 traits" in said
    assert len(maxima) == 25
    assert (out / "lod.png").read_bytes().startswith(b"\x89PNG")
    for name in ("report.html", "eqtl.html"):
        page = (out / name).read_text()
        assert page.startswith("<!DOCTYPE html>")
        assert page.rstrip().endswith("</html>")
    assert dict(open_dataset(out / "simulated-25.zarr").sizes)["samples_0"] == 248


def test_it_sets_the_peaks_beside_the_truth(tour):
    _, said, maxima = tour
    truth = simulate_study(n_traits=25)
    best = maxima.loc[maxima.lod.idxmax()]
    line = next(line for line in said.splitlines() if line.split()[:1] == [best.trait])
    assert str(truth.trait_true_variant.sel(traits=best.trait).values) in line
    assert best.variant in line
    assert f"{best.lod:.2f}" in line
    assert f"{float(truth.trait_true_h2.sel(traits=best.trait)):.2f}" in line
    assert "have their peak within 5 Mb of the true locus" in said


def test_it_says_which_traits_chance_does_not_explain(tour):
    _, said, maxima = tour
    study = simulate_study(n_traits=25)
    study["kinship"] = kinship(study)
    perm = permute(study, method="shared", n_permutations=200)
    found = int((trait_fdr(perm, maxima).fdr <= 0.05).sum())
    assert found > 0
    assert f"{found} traits have a locus at a false discovery rate of 5%" in said


def test_the_python_that_it_shows_does_what_it_did(tour, tmp_path):
    out, said, maxima = tour
    shown = [line.split(">>> ")[1] for line in said.splitlines() if ">>> " in line]
    space: dict[str, object] = {}
    exec("\n".join(shown).replace(str(out), str(tmp_path)), space)
    plt.close("all")
    assert space["peaks"].equals(maxima)
    for name in ("lod.png", "eqtl.html", "maxima.csv"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_it_ends_with_what_to_look_at(tour):
    out, said, _ = tour
    last = said.split("What to look at")[1]
    for line in last.splitlines():
        if line.strip().startswith(str(out)):
            assert Path(line.strip()).exists(), line
    shown = {path.name for path in out.iterdir()} - {"simulated-25.zarr"}
    assert not [name for name in shown if f"{out / name}\n" not in last]


def shell_lines(said):
    """The commands that a tour shows, as words without the name of the program."""
    return [shlex.split(line.split("$ ")[1])[1:] for line in said if line.strip().startswith("$ ")]


@pytest.mark.filterwarnings("ignore:the calls of this riself are scanned as genotype prob")
@pytest.mark.parametrize("kind", ["a Zarr study", "R/qtl2 files"])
def test_the_shell_lines_that_it_shows_do_what_it_did(small, tmp_path, kind):
    """Run in an empty folder of another name, they give the same files."""
    if kind == "a Zarr study":
        source = tmp_path / "my study.zarr"  # its name needs quotation marks
        save(small, source)
    else:
        source = tmp_path / "cross.zip"
        with zipfile.ZipFile(source, "w") as file:
            for name, content in _rqtl2_files(small).items():
                file.writestr(name, content)
    out, again = tmp_path / "by demo", tmp_path / "by hand"
    said: list[str] = []
    run_demo(study=source, out=out, echo=said.append)
    again.mkdir()
    for words in shell_lines(said):
        run(*(word.replace(str(out), str(again)) for word in words))
    assert {path.name for path in again.iterdir()} == {path.name for path in out.iterdir()}
    for name in ("lod.png", "eqtl.html"):
        assert (again / name).read_bytes() == (out / name).read_bytes(), name
    tables = [pd.read_csv(folder / "maxima.csv") for folder in (out, again)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)
    stores = [next(folder.glob("*-scan.zarr")) for folder in (out, again)]
    assert open_result(stores[0]).lod.equals(open_result(stores[1]).lod)


def test_run_again_it_finds_what_is_done(tour, capsys):
    out, _, maxima = tour
    written = {path: path.stat().st_mtime_ns for path in out.glob("*-scan.zarr/**/c/**/*")}
    again = run_demo(out=out, n_traits=25, echo=lambda line: None)
    assert again.equals(maxima)
    assert written
    assert written == {path: path.stat().st_mtime_ns for path in written}


@pytest.fixture
def small():
    return simulate_study(n_samples=40, n_strains=20, n_variants=60, n_traits=12, n_contigs=3)


def test_a_study_of_ones_own_is_read_from_zarr(small, tmp_path):
    real = small.drop_vars([name for name in small.variables if str(name).startswith("trait_true")])
    real["trait_description"] = ("traits", text(f"weight of organ {i}" for i in range(12)))
    save(real, tmp_path / "mine.zarr")
    said: list[str] = []
    maxima = run_demo(study=tmp_path / "mine.zarr", out=tmp_path / "out", echo=said.append)
    assert len(maxima) == 12
    assert "weight of organ 7" in "\n".join(said)
    assert "true" not in "\n".join(said)
    assert (tmp_path / "out" / "mine-scan.zarr").is_dir()


@pytest.mark.filterwarnings("ignore:the calls of this riself are scanned as genotype prob")
def test_a_study_of_ones_own_is_read_from_an_rqtl2_zip(small, tmp_path):
    with zipfile.ZipFile(tmp_path / "cross.zip", "w") as file:
        for name, content in _rqtl2_files(small).items():
            file.writestr(name, content)
    maxima = run_demo(study=tmp_path / "cross.zip", out=tmp_path / "out", echo=lambda line: None)
    assert maxima.trait.tolist() == small.traits.values.tolist()
    assert (maxima.lod > 0).all()


def _rqtl2_files(ds):
    geno = np.where(ds.call_dosage.values.T > 0, "B", "A")
    control = {
        "crosstype": "riself", "geno": "geno.csv", "pheno": "pheno.csv",
        "pmap": "pmap.csv", "gmap": "gmap.csv",
        "genotypes": {"A": 1, "B": 2}, "alleles": ["A", "B"],
    }  # fmt: skip

    def table(corner, columns, rows, values):
        lines = [",".join([corner, *columns])]
        lines += [
            ",".join([row, *map(str, cells)]) for row, cells in zip(rows, values, strict=True)
        ]
        return "\n".join(lines) + "\n"

    contig, position = ds.contig_id.values[ds.variant_contig.values], ds.variant_position.values
    cm = position / 2
    return {
        "cross.json": json.dumps(control),
        "geno.csv": table("id", ds.variants.values, ds.samples.values, geno),
        "pheno.csv": table("id", ds.traits.values, ds.samples.values, ds.sample_trait.values),
        "pmap.csv": table(
            "marker", ["chr", "pos"], ds.variants.values, zip(contig, position, strict=True)
        ),
        "gmap.csv": table(
            "marker", ["chr", "pos"], ds.variants.values, zip(contig, cm, strict=True)
        ),
    }
