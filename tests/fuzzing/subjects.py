"""What is fuzzed: readers, tables, stores and commands, each with a small valid input.

Readers come from the registry of formats: one that has no example here fails the tests.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from bed_reader import to_bed
from click.testing import CliRunner

import bulklmm_dask as blmm
from bulklmm_dask.cli import main
from bulklmm_dask.describe import describe
from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.study.kinships import read_kinship
from bulklmm_dask.study.readers.registry import READERS

NAMES = ("a", "b", "c", "d", "e", "f")
DOSAGES = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 2, 0], [1, 1, 1]])
MARKERS = ("m1", "m2", "m3")
TRAITS = "id,t1,t2\na,1,9\nb,2,8\nc,4,7\nd,3,6\ne,2.5,NA\nf,0.5,4\n"
COVARIATES = "id,age,sex\na,61,F\nb,70,M\nc,63,F\nd,66,M\ne,64,F\nf,65,M\n"
STRAINS = "sample,strain\na,a\nb,b\nc,c\nd,d\ne,e\nf,f\n"
MAP = "marker,chr,Mb\nm1,1,3.5\nm2,1,20\nm3,X,4\n"


@dataclass(frozen=True)
class Subject:
    """A small valid input, and the call that is tried on what mutation makes of it.

    Attributes
    ----------
    write : callable
        Writes the input into a folder.
    use : callable
        Takes the folder; may only raise InputError or StoreError.
    """

    write: Callable[[Path], None]
    use: Callable[[Path], object]


def _csv(columns: Any, rows: Any, corner: str = "id") -> str:
    lines = [",".join((corner, *columns))]
    lines += [",".join((name, *map(str, row))) for name, row in rows]
    return "\n".join(lines) + "\n"


def _write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


# Readers: how each writes its files, and the source and arguments of its call.


def _rqtl2(folder: Path) -> None:
    letters = [[("A", "H", "B")[value] for value in row] for row in DOSAGES]
    sex = [(name, ("f", "m")[i % 2]) for i, name in enumerate(NAMES)]
    _write(
        folder,
        cross_yaml="crosstype: f2\ngeno: geno.csv\npheno: pheno.csv\npmap: pmap.csv\n"
        "covar: covar.csv\nsex:\n  covar: sex\n  f: female\n  m: male\nx_chr: X\n"
        "genotypes:\n  A: 1\n  H: 2\n  B: 3\nalleles: [A, B]\nna.strings: ['-', NA]\n",
        geno_csv=_csv(MARKERS, zip(NAMES, letters, strict=True)),
        pheno_csv=TRAITS,
        pmap_csv=MAP,
        covar_csv=_csv(("sex",), sex),
    )


def _rqtl2_zip(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as beside:
        _rqtl2(Path(beside))
        with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(beside).iterdir()):
                archive.write(file, file.name)


def _tables(folder: Path) -> None:
    _write(
        folder,
        t_csv=TRAITS,
        g_csv=_csv(MARKERS, zip(NAMES, DOSAGES, strict=True)),
        m_csv=MAP,
        c_csv=COVARIATES,
        s_csv=STRAINS,
    )


def _plink(folder: Path) -> None:
    calls = np.array(DOSAGES, np.float32)
    properties = {
        "iid": NAMES,
        "sid": MARKERS,
        "pheno": list("123456"),
        "chromosome": ["1", "1", "X"],
    }
    to_bed(folder / "x.bed", calls, properties=properties)
    _write(
        folder,
        x_pheno="FID IID t1 t2\n" + "".join(f"0 {n} {i} {9 - i}\n" for i, n in enumerate(NAMES)),
        x_covar="FID IID age\n" + "".join(f"0 {n} {i * i}\n" for i, n in enumerate(NAMES)),
    )


def _bimbam(folder: Path) -> None:
    rows = zip(MARKERS, DOSAGES.T.tolist(), strict=True)
    _write(
        folder,
        g_txt="".join(f"{m}, A, T, {', '.join(map(str, row))}\n" for m, row in rows),
        p_txt="1 9\n2 8\n4 7\n3 6\n2.5 NA\n0.5 4\n",
        a_txt="m1, 3500000, 1\nm2, 20000000, 1\nm3, 400, X\n",
        c_txt="1 61\n1 70\n1 63\n1 66\n1 64\n1 65\n",
    )


def _vcf_zarr(folder: Path) -> None:
    for form in (2, 3):
        group = zarr.open_group(folder / f"v{form}.vcz", mode="w", zarr_format=form)
        arrays = {
            "call_genotype": np.stack([DOSAGES.T > 0, DOSAGES.T > 1], axis=2).astype(np.int8),
            "sample_id": np.array(NAMES, dtype="T"),
            "contig_id": np.array(["1", "X"], dtype="T"),
            "variant_contig": np.array([0, 0, 1], np.int8),
            "variant_position": np.array([35, 200, 40], np.int32),
            "variant_id": np.array(MARKERS, dtype="T"),
            "variant_allele": np.array([["A", "G"], ["C", "T"], ["A", "T"]], dtype="T"),
        }
        for name, values in arrays.items():
            chunks = (2, *values.shape[1:])
            array = group.create_array(
                name, shape=values.shape, dtype=values.dtype, chunks=chunks, fill_value=None
            )
            array[...] = values
    _write(folder, t_csv=TRAITS)


def _probabilities(folder: Path) -> None:
    columns = [f"{name}:{genotype}" for name in NAMES for genotype in ("AA", "AB", "BB")]
    rows = [np.eye(3)[DOSAGES[:, j]].ravel() for j in range(len(MARKERS))]
    _write(folder, p_csv=_csv(columns, zip(MARKERS, rows, strict=True)), t_csv=TRAITS, m_csv=MAP)


def _geno(folder: Path) -> None:
    lines = ["@name:X", "@type:intercross", "@mat:B", "@pat:D", "@het:H", "@unk:U"]
    lines.append("\t".join(("Chr", "Locus", "cM", "Mb", *NAMES)))
    for j, marker in enumerate(MARKERS):
        calls = ["BHD"[value] for value in DOSAGES[:, j]]
        lines.append("\t".join(("1", marker, str(j), str(j), *calls)))
    _write(folder, x_geno="\n".join(lines) + "\n", t_csv=TRAITS)


def _rqtl(folder: Path) -> None:
    lines = ["t1,t2,sex," + ",".join(MARKERS), ",,,1,1,X", ",,,0,10,5"]
    for row in DOSAGES:
        calls = [("A", "H", "B")[value] for value in row[:2]] + ["AH"[int(row[2] > 0)]]
        lines.append(",".join((str(row.sum() + 0.5), str(row[0]), "0", *calls)))
    _write(folder, x_csv="\n".join(lines) + "\n")


# Format of the registry -> inputs under a name: writer, source, arguments by flag.
EXAMPLES: dict[str, dict[str, tuple[Callable[[Path], None], str, dict[str, str]]]] = {
    "rqtl2": {"folder": (_rqtl2, "", {}), "zip": (_rqtl2_zip, "x.zip", {})},
    "csv": {
        "tables": (
            _tables,
            "t.csv",
            {
                "--genotypes": "g.csv",
                "--map": "m.csv",
                "--covariates": "c.csv",
                "--strains": "s.csv",
            },
        )
    },
    "plink": {"set": (_plink, "x.bed", {})},
    "bimbam": {
        "texts": (
            _bimbam,
            "g.txt",
            {"--traits": "p.txt", "--annotation": "a.txt", "--covariates": "c.txt"},
        )
    },
    "vcf-zarr": {
        "v2": (_vcf_zarr, "v2.vcz", {"--traits": "t.csv"}),
        "v3": (_vcf_zarr, "v3.vcz", {"--traits": "t.csv"}),
    },
    "probabilities": {"table": (_probabilities, "p.csv", {"--traits": "t.csv", "--map": "m.csv"})},
    "rqtl": {"csv": (_rqtl, "x.csv", {})},
    "geno": {"file": (_geno, "x.geno", {"--traits": "t.csv"})},
}


def _reading(name: str, source: str, given: dict[str, str]) -> Callable[[Path], object]:
    """Read a study, and everything lazy in it."""
    reader = READERS[name]

    def use(folder: Path) -> None:
        values = {reader.options[flag]: folder / file for flag, file in given.items()}
        reader.read(folder / source, **values).load()

    return use


# Tables besides studies.


def _kinship_table(folder: Path) -> None:
    _write_kinship(folder, NAMES)


def _kept_kinship(folder: Path) -> None:
    _write_kinship(folder, [f"sample{i + 1}" for i in range(20)])


def _write_kinship(folder: Path, names: Sequence[str]) -> None:
    values = np.full((len(names), len(names)), 0.25) + 0.75 * np.eye(len(names))
    _write(folder, k_csv=_csv(names, zip(names, values, strict=True)))


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


def _peaks(folder: Path) -> None:
    rows = "trait,variant,contig,position,lod,ci_low,ci_high\n"
    rows += "trait1,variant1,1,0.0,3.5,0,1\ntrait2,variant3,1,2.0,4.5,1,3\n"
    _write(folder, p_csv=rows)


def _positions(folder: Path) -> None:
    _write(folder, p_csv="trait,contig,position\ntrait1,1,1.5\ntrait2,2,2\ntrait3,2,1\n")


def _vector(folder: Path) -> None:
    _write(folder, w_csv="sample,w\n" + "".join(f"sample{i + 1},{i + 1}\n" for i in range(20)))


def _condition(folder: Path) -> None:
    _write(folder, c_csv="trait,variant\ntrait1,variant1\ntrait2,variant4\n")


# Stores.


@cache
def kept() -> Path:
    """A folder of stores, made once: study, scan, alt, perm, shared, counts."""
    folder = Path(tempfile.mkdtemp(prefix="bulklmm-fuzz-"))
    rng = np.random.default_rng(1)
    dosage = rng.binomial(2, 0.4, (20, 10)).astype(float)
    ds = blmm.create_dataset(
        dosage,
        dosage[:, :4] + rng.standard_normal((20, 4)),
        covariates=rng.standard_normal((20, 1)),
        contigs=["1"] * 5 + ["2"] * 5,
        positions=np.tile(np.arange(5.0), 2),
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    blmm.save(ds, folder / "study.zarr")
    blmm.scan(ds, store=folder / "scan.zarr", statistics=("lod", "beta", "neg_log10_p"))
    blmm.scan(ds, store=folder / "alt.zarr", method="alt-exact")
    blmm.permute(ds, n_permutations=20, store=folder / "perm.zarr")
    blmm.permute(ds, n_permutations=20, method="shared", store=folder / "shared.zarr")
    blmm.hotspot_baseline(ds, window=2, threshold=1, n_permutations=3, store=folder / "counts.zarr")
    return folder


def _copy_of(name: str) -> Callable[[Path], None]:
    return lambda folder: shutil.copytree(kept() / name, folder / name) and None


def _use_study(folder: Path) -> None:
    path = folder / "study.zarr"
    first = _tried(lambda: describe(path))
    ds = blmm.open_dataset(path)
    blmm.scan(ds, kinship=None).lod.load()
    blmm.scan(ds.load()).lod.load()
    if first is not None:
        raise first


def _use_result(name: str, search: Callable[[xr.Dataset, Path], object]) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        path = folder / name
        first = _tried(lambda: describe(path))
        search(blmm.open_result(path), folder)
        if first is not None:
            raise first

    return use


def _tried(call: Callable[[], object]) -> Exception | None:
    """Errors of our own do not stop what follows."""
    try:
        call()
    except (InputError, StoreError) as error:
        return error
    return None


def _search(result: xr.Dataset, folder: Path) -> None:
    errors = [
        _tried(lambda: blmm.max_lod(result)),
        _tried(lambda: blmm.find_hits(result, threshold=1)),
        _tried(lambda: blmm.find_peaks(result, threshold=1)),
    ]
    for error in filter(None, errors):
        raise error
    result.load()


def _level(perm: xr.Dataset, folder: Path) -> None:
    blmm.thresholds(perm, 0.2)
    maxima = pd.DataFrame({"trait": ["trait1", "trait2"], "lod": [2.0, 3.0]})
    blmm.adjusted_p(perm, maxima)
    blmm.trait_fdr(perm, maxima)


def _resume(name: str, again: Callable[[xr.Dataset, Path], object]) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        again(blmm.open_dataset(kept() / "study.zarr"), folder / name)

    return use


def _scan_again(ds: xr.Dataset, store: Path) -> None:
    blmm.scan(ds, store=store, statistics=("lod", "beta", "neg_log10_p")).load()


def _permute_again(ds: xr.Dataset, store: Path) -> None:
    blmm.permute(ds, n_permutations=20, store=store).load()


def _count_again(ds: xr.Dataset, store: Path) -> None:
    blmm.hotspot_baseline(ds, window=2, threshold=1, n_permutations=3, store=store)


def _report(folder: Path) -> None:
    run(["report", f"{folder}/scan.zarr", "--out", f"{folder}/r.html", "--threshold", "1"])


SUBJECTS: dict[str, Subject] = {
    f"{name} {kind}": Subject(write, _reading(name, source, given))
    for name, examples in EXAMPLES.items()
    for kind, (write, source, given) in examples.items()
} | {
    "kinship table": Subject(_kinship_table, lambda folder: read_kinship(folder / "k.csv")),
    "store study": Subject(_copy_of("study.zarr"), _use_study),
    "store scan": Subject(_copy_of("scan.zarr"), _use_result("scan.zarr", _search)),
    "store alt": Subject(_copy_of("alt.zarr"), _use_result("alt.zarr", _search)),
    "store perm": Subject(_copy_of("perm.zarr"), _use_result("perm.zarr", _level)),
    "store shared": Subject(_copy_of("shared.zarr"), _use_result("shared.zarr", _level)),
    "resume scan": Subject(_copy_of("scan.zarr"), _resume("scan.zarr", _scan_again)),
    "resume permute": Subject(_copy_of("perm.zarr"), _resume("perm.zarr", _permute_again)),
    "resume hotspots": Subject(_copy_of("counts.zarr"), _resume("counts.zarr", _count_again)),
    "command report": Subject(_copy_of("scan.zarr"), _report),
    "command info": _command("info", "{here}", needs=_rqtl2),
    "command import": _command(
        *("import", "{here}/t.csv", "{here}/new.zarr", "--genotypes", "{here}/g.csv"),
        *("--map", "{here}/m.csv", "--covariates", "{here}/c.csv", "--strains", "{here}/s.csv"),
        needs=_tables,
    ),
    "command maxima": _command("maxima", "{here}/scan.zarr", needs=_copy_of("scan.zarr")),
    "command peaks": _command(
        *("peaks", "{kept}/scan.zarr", "--threshold", "1", "--trait-positions", "{here}/p.csv"),
        needs=_positions,
    ),
    "command hotspots": _command("hotspots", "{here}/p.csv", "--window", "2", needs=_peaks),
    "command plot eqtl": _command(
        *("plot", "eqtl", "{here}/p.csv", "{kept}/study.zarr", "--out", "{here}/x.png"),
        *("--dpi", "36"),
        needs=_peaks,
    ),
    "command heritability": _command(
        "heritability", "{kept}/study.zarr", "--weights", "{here}/w.csv", needs=_vector
    ),
    "command profile": _command(
        *("profile", "{kept}/study.zarr", "trait1", "--kinship", "{here}/k.csv"),
        needs=_kept_kinship,
    ),
    "command scan": _command(
        *("scan", "{kept}/study.zarr", "{here}/r.zarr", "--condition", "{here}/c.csv"),
        needs=_condition,
    ),
}
