"""Readers of studies: a small valid input for every format of the registry."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from bed_reader import to_bed

from bulklmm_dask.study.kinships import read_kinship
from bulklmm_dask.study.readers.registry import READERS
from fuzzing.kept import study
from fuzzing.subject import Subject

NAMES = ("a", "b", "c", "d", "e", "f")
DOSAGES = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 2, 0], [1, 1, 1]])
MARKERS = ("m1", "m2", "m3")
TRAITS = "id,t1,t2\na,1,9\nb,2,8\nc,4,7\nd,3,6\ne,2.5,NA\nf,0.5,4\n"
COVARIATES = "id,age,sex\na,61,F\nb,70,M\nc,63,F\nd,66,M\ne,64,F\nf,65,M\n"
STRAINS = "sample,strain\na,a\nb,b\nc,c\nd,d\ne,e\nf,f\n"
MAP = "marker,chr,Mb\nm1,1,3.5\nm2,1,20\nm3,X,4\n"


def csv_table(columns: Any, rows: Any, corner: str = "id") -> str:
    lines = [",".join((corner, *columns))]
    lines += [",".join((name, *map(str, row))) for name, row in rows]
    return "\n".join(lines) + "\n"


def write_files(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


# Readers: how each writes its files, and the source and arguments of its call.


def rqtl2(folder: Path) -> None:
    letters = [[("A", "H", "B")[value] for value in row] for row in DOSAGES]
    sex = [(name, ("f", "m")[i % 2]) for i, name in enumerate(NAMES)]
    write_files(
        folder,
        cross_yaml="crosstype: f2\ngeno: geno.csv\npheno: pheno.csv\npmap: pmap.csv\n"
        "covar: covar.csv\nsex:\n  covar: sex\n  f: female\n  m: male\nx_chr: X\n"
        "genotypes:\n  A: 1\n  H: 2\n  B: 3\nalleles: [A, B]\nna.strings: ['-', NA]\n",
        geno_csv=csv_table(MARKERS, zip(NAMES, letters, strict=True)),
        pheno_csv=TRAITS,
        pmap_csv=MAP,
        covar_csv=csv_table(("sex",), sex),
    )


def _rqtl2_zip(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as beside:
        rqtl2(Path(beside))
        with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(beside).iterdir()):
                archive.write(file, file.name)


def tables(folder: Path) -> None:
    write_files(
        folder,
        t_csv=TRAITS,
        g_csv=csv_table(MARKERS, zip(NAMES, DOSAGES, strict=True)),
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
    write_files(
        folder,
        x_pheno="FID IID t1 t2\n" + "".join(f"0 {n} {i} {9 - i}\n" for i, n in enumerate(NAMES)),
        x_covar="FID IID age\n" + "".join(f"0 {n} {i * i}\n" for i, n in enumerate(NAMES)),
    )


def _bimbam(folder: Path) -> None:
    rows = zip(MARKERS, DOSAGES.T.tolist(), strict=True)
    write_files(
        folder,
        g_txt="".join(f"{m}, A, T, {', '.join(map(str, row))}\n" for m, row in rows),
        p_txt="1 9\n2 8\n4 7\n3 6\n2.5 NA\n0.5 4\n",
        a_txt="m1, 3500000, 1\nm2, 20000000, 1\nm3, 400, X\n",
        c_txt="1 61\n1 70\n1 63\n1 66\n1 64\n1 65\n",
    )


def _vcf_zarr(form: int) -> Callable[[Path], None]:
    """A store in Zarr format 2 or 3, its genotypes in two chunks."""
    arrays = {
        "call_genotype": np.stack([DOSAGES.T > 0, DOSAGES.T > 1], axis=2).astype(np.int8),
        "sample_id": np.array(NAMES, dtype="T"),
        "contig_id": np.array(["1", "X"], dtype="T"),
        "variant_contig": np.array([0, 0, 1], np.int8),
        "variant_position": np.array([35, 200, 40], np.int32),
        "variant_id": np.array(MARKERS, dtype="T"),
        "variant_allele": np.array([["A", "G"], ["C", "T"], ["A", "T"]], dtype="T"),
    }

    def write(folder: Path) -> None:
        group = zarr.open_group(folder / "x.vcz", mode="w", zarr_format=form)
        for name, values in arrays.items():
            size = 2 if name == "call_genotype" else len(values)
            array = group.create_array(
                name,
                shape=values.shape,
                dtype=values.dtype,
                chunks=(size, *values.shape[1:]),
                fill_value=None,
            )
            array[...] = values
        write_files(folder, t_csv=TRAITS)

    return write


def _probabilities(folder: Path) -> None:
    columns = [f"{name}:{genotype}" for name in NAMES for genotype in ("AA", "AB", "BB")]
    rows = [np.eye(3)[DOSAGES[:, j]].ravel() for j in range(len(MARKERS))]
    write_files(
        folder, p_csv=csv_table(columns, zip(MARKERS, rows, strict=True)), t_csv=TRAITS, m_csv=MAP
    )


def _geno(folder: Path) -> None:
    lines = ["@name:X", "@type:intercross", "@mat:B", "@pat:D", "@het:H", "@unk:U"]
    lines.append("\t".join(("Chr", "Locus", "cM", "Mb", *NAMES)))
    for j, marker in enumerate(MARKERS):
        calls = ["BHD"[value] for value in DOSAGES[:, j]]
        lines.append("\t".join(("1", marker, str(j), str(j), *calls)))
    write_files(folder, x_geno="\n".join(lines) + "\n", t_csv=TRAITS)


def _rqtl(folder: Path) -> None:
    lines = ["t1,t2,sex," + ",".join(MARKERS), ",,,1,1,X", ",,,0,10,5"]
    for row in DOSAGES:
        calls = [("A", "H", "B")[value] for value in row[:2]] + ["AH"[int(row[2] > 0)]]
        lines.append(",".join((str(row.sum() + 0.5), str(row[0]), "0", *calls)))
    write_files(folder, x_csv="\n".join(lines) + "\n")


def _rqtl_turned(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as beside:
        _rqtl(Path(beside))
        rows = [line.split(",") for line in (Path(beside) / "x.csv").read_text().splitlines()]
    turned = zip(*rows, strict=True)
    (folder / "x.csv").write_text("".join(",".join(row) + "\n" for row in turned))


def _rqtl_apart(folder: Path) -> None:
    calls = [["AHB"[value] for value in row[:2]] + ["AH"[int(row[2] > 0)]] for row in DOSAGES]
    genotypes = csv_table(MARKERS, zip(NAMES, calls, strict=True)).splitlines()
    genotypes[1:1] = [",1,1,X", ",0,10,5"]
    write_files(folder, g_csv="\n".join(genotypes) + "\n", p_csv=TRAITS)


def _tables_turned(folder: Path) -> None:
    """Genotypes and traits in the other direction, other separators, places of traits."""
    write_files(
        folder,
        e_bed="#chr\tstart\tend\tgene\t" + "\t".join(NAMES) + "\n"
        "1\t100\t200\tg1\t1\t2\t4\t3\t2.5\t0.5\nX\t50\t90\tg2\t9\t8\t7\t6\tNA\t4\n",
        g_tsv=csv_table(NAMES, zip(MARKERS, DOSAGES.T, strict=True)).replace(",", "\t"),
        m_csv=MAP.replace(",", ";"),
        p_csv="gene,chr,pos\ng1,1,100\ng2,X,51\n",
    )


# Format of the registry -> inputs under a name: writer, source, arguments by flag.
EXAMPLES: dict[str, dict[str, tuple[Callable[[Path], None], str, dict[str, str]]]] = {
    "rqtl2": {"folder": (rqtl2, "", {}), "zip": (_rqtl2_zip, "x.zip", {})},
    "csv": {
        "tables": (
            tables,
            "t.csv",
            {
                "--genotypes": "g.csv",
                "--map": "m.csv",
                "--covariates": "c.csv",
                "--strains": "s.csv",
            },
        ),
        "expression": (
            _tables_turned,
            "e.bed",
            {"--genotypes": "g.tsv", "--map": "m.csv", "--trait-positions": "p.csv"},
        ),
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
        "v2": (_vcf_zarr(2), "x.vcz", {"--traits": "t.csv"}),
        "v3": (_vcf_zarr(3), "x.vcz", {"--traits": "t.csv"}),
    },
    "probabilities": {"table": (_probabilities, "p.csv", {"--traits": "t.csv", "--map": "m.csv"})},
    "rqtl": {
        "csv": (_rqtl, "x.csv", {}),
        "csvr": (_rqtl_turned, "x.csv", {}),
        "csvs": (_rqtl_apart, "g.csv", {"--traits": "p.csv"}),
    },
    "geno": {"file": (_geno, "x.geno", {"--traits": "t.csv"})},
}


def _reading(name: str, source: str, given: dict[str, str]) -> Callable[[Path], object]:
    """Read a study, and everything lazy in it."""
    reader = READERS[name]

    def use(folder: Path) -> None:
        values = {reader.options[flag]: folder / file for flag, file in given.items()}
        reader.read(folder / source, **values).load()

    return use


def kinship_table(names: Sequence[str], corner: str | None = "id") -> Callable[[Path], None]:
    """A kinship with names at both sides, or bare, as GEMMA writes it."""
    values = np.full((len(names), len(names)), 0.25) + 0.75 * np.eye(len(names))

    def write(folder: Path) -> None:
        text = "".join("\t".join(map(str, row)) + "\n" for row in values)
        if corner is not None:
            text = csv_table(names, zip(names, values, strict=True), corner)
        write_files(folder, k_csv=text)

    return write


def _read_bare(folder: Path) -> None:
    read_kinship(folder / "k.csv", study().isel(samples=range(len(NAMES))))


READING: dict[str, Subject] = {
    f"{name} {kind}": Subject(write, _reading(name, source, given))
    for name, examples in EXAMPLES.items()
    for kind, (write, source, given) in examples.items()
} | {
    "kinship table": Subject(kinship_table(NAMES), lambda folder: read_kinship(folder / "k.csv")),
    "kinship bare": Subject(kinship_table(NAMES, None), _read_bare),
}
