"""Commands, each on one mutated input; what else it needs is untouched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

import bulklmm_dask as blmm
from bulklmm_dask.cli import main
from bulklmm_dask.errors import InputError
from fuzzing.kept import copy_of, kept, peaks, study
from fuzzing.readers import kinship_table, rqtl2, tables, write_files
from fuzzing.subject import Subject

_PICTURE = ("--out", "{here}/x.png", "--dpi", "36")


def _command(*words: str, needs: Callable[[Path], None]) -> Subject:
    """A command on the files that `needs` writes, {here}, and on untouched stores, {kept}."""

    def use(folder: Path) -> None:
        run([word.format(here=folder, kept=kept()) for word in words])

    return Subject(needs, use)


def run(words: list[str]) -> None:
    """Run a command: exit 0, or one line of error and 1 or 2."""
    found = CliRunner().invoke(main, words)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    if found.exit_code == 1:
        last = found.stderr.strip().splitlines()[-1]
        assert last.startswith("error: "), last
        raise InputError(last)
    assert found.exit_code in (0, 2), found.output
    assert "\x1b" not in found.output, found.output


_SAMPLES = [f"sample{i + 1}" for i in range(20)]


def _peaks(folder: Path) -> None:
    rows = "trait,variant,contig,position,lod,ci_low,ci_high\n"
    rows += "trait1,variant1,1,0.0,3.5,0,1\ntrait2,variant3,1,2.0,4.5,1,3\n"
    write_files(folder, p_csv=rows)


def _found(folder: Path) -> None:
    peaks().to_csv(folder / "p.csv", index=False)


def _counts(folder: Path) -> None:
    blmm.hotspots(peaks(), study(), window=2).to_csv(folder / "p.csv", index=False)


def _hits_as_parquet(folder: Path) -> None:
    peaks().to_parquet(folder / "p.parquet")


def _positions(folder: Path) -> None:
    text = "trait,contig,position\ntrait1,1,1.5\ntrait2,2,2\ntrait3,2,1\n"
    write_files(folder, p_csv=text)


def _vector(folder: Path) -> None:
    write_files(
        folder, w_csv="sample,w\n" + "".join(f"{n},{i + 1}\n" for i, n in enumerate(_SAMPLES))
    )


def _condition(folder: Path) -> None:
    write_files(folder, c_csv="trait,variant\ntrait1,variant1\ntrait2,variant4\n")


def _stores(*names: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            copy_of(name)(folder)

    return write


_scan, _perm, _study = _stores("scan.zarr"), _stores("perm.zarr"), _stores("study.zarr")

COMMANDS: dict[str, Subject] = {
    "command info": _command("info", "{here}", needs=rqtl2),
    "command import": _command(
        *("import", "{here}/t.csv", "{here}/new.zarr", "--genotypes", "{here}/g.csv"),
        *("--map", "{here}/m.csv", "--covariates", "{here}/c.csv", "--strains", "{here}/s.csv"),
        needs=tables,
    ),
    "command verify": _command("verify", "{here}/perm.zarr", needs=_perm),
    "command kinship": _command(
        *("kinship", "{here}/study.zarr", "--method", "rqtl2", "--overwrite"), needs=_study
    ),
    "command scan": _command(
        *("scan", "{kept}/study.zarr", "{here}/r.zarr", "--condition", "{here}/c.csv"),
        needs=_condition,
    ),
    "command permute": _command(
        *("permute", "{here}/study.zarr", "{here}/p.zarr", "--permutations", "3", "--loco"),
        needs=_study,
    ),
    "command maxima": _command(
        *("maxima", "{here}/scan.zarr", "--perm", "{here}/perm.zarr"),
        needs=_stores("scan.zarr", "perm.zarr"),
    ),
    "command hits": _command("hits", "{here}/scan.zarr", "--fdr", "0.5", needs=_scan),
    "command peaks": _command(
        *("peaks", "{kept}/scan.zarr", "--threshold", "1", "--trait-positions", "{here}/p.csv"),
        needs=_positions,
    ),
    "command hotspots": _command("hotspots", "{here}/p.csv", "--window", "2", needs=_peaks),
    "command hotspots of parquet": _command(
        *("hotspots", "{here}/p.parquet", "--window", "2", "--study", "{kept}/study.zarr"),
        needs=_hits_as_parquet,
    ),
    "command thresholds": _command("thresholds", "{here}/perm.zarr", needs=_perm),
    "command heritability": _command(
        "heritability", "{kept}/study.zarr", "--weights", "{here}/w.csv", needs=_vector
    ),
    "command replicates": _command(
        "heritability", "{kept}/study.zarr", "--replicates", "{here}/w.csv", needs=_vector
    ),
    "command profile": _command(
        *("profile", "{kept}/study.zarr", "trait1", "--kinship", "{here}/k.csv"),
        needs=kinship_table(_SAMPLES),
    ),
    "command report": _command(
        *("report", "{here}/scan.zarr", "--out", "{here}/r.html", "--threshold", "1"),
        *("--study", "{here}/study.zarr", "--perm", "{here}/perm.zarr"),
        needs=_stores("scan.zarr", "study.zarr", "perm.zarr"),
    ),
    "command plot lod": _command(
        *("plot", "lod", "{kept}/scan.zarr", "trait1", "--intervals", "{here}/p.csv"),
        *_PICTURE,
        needs=_found,
    ),
    "command plot eqtl": _command(
        *("plot", "eqtl", "{here}/p.csv", "{kept}/study.zarr", *_PICTURE), needs=_peaks
    ),
    "command plot hotspots": _command(
        *("plot", "hotspots", "{here}/p.csv", "{kept}/study.zarr", *_PICTURE),
        needs=_counts,
    ),
    "command plot heatmap": _command("plot", "heatmap", "{here}/scan.zarr", *_PICTURE, needs=_scan),
    "command plot manhattan": _command(
        "plot", "manhattan", "{here}/scan.zarr", "trait1", *_PICTURE, needs=_scan
    ),
    "command plot qq": _command("plot", "qq", "{here}/scan.zarr", *_PICTURE, needs=_scan),
    "command plot kinship": _command(
        "plot", "kinship", "{here}/study.zarr", *_PICTURE, needs=_study
    ),
    "command plot effects": _command(
        *("plot", "effects", "{here}/study.zarr", "trait1", "variant1", *_PICTURE), needs=_study
    ),
    "command plot permutations": _command(
        "plot", "permutations", "{here}/perm.zarr", "trait1", *_PICTURE, needs=_perm
    ),
}
