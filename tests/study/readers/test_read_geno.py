"""read_geno: GeneNetwork's .geno files with a table of traits."""

import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning

GENO = """\
# a comment
@name:BXD
@type:riset
@mat:B
@pat:D
@het:H
@unk:U
Chr\tLocus\tcM\tMb\tBXD1\tBXD2\tBXD5
1\trs1\t1.5\t3.0\tB\tD\tH
1\trs2\t1.0\t2.5\tU\tB\tD
X\trs3\t0\t\tD\tD\tB
X\trs4\t7\t9\tD\tD\tB
"""
DOSAGES = [[np.nan, 0, 1], [0, 1, 0.5], [1, 1, 0]]  # rs2, rs1, rs4: as the positions go
TRAITS = pd.DataFrame({"t": [1.0, 2, 3]}, index=["BXD1", "BXD2", "BXD5"])
SAID = ("1 of 12 genotypes at 1 variants", "1 of 4 markers have genotypes but no position")


def write(tmp_path, geno=GENO):
    (tmp_path / "x.geno").write_text(geno)
    return tmp_path / "x.geno"


def read(*args, said=SAID, **options):
    """Read; each text must have been said, and nothing else."""
    with pytest.warns(StudyWarning) as found:
        ds = blmm.read_geno(*args, **options)
    for text, warning in zip(said, found, strict=True):
        assert text in str(warning.message)
    return ds


@pytest.mark.parametrize("packed", [False, True])
def test_a_file(tmp_path, packed):
    path = write(tmp_path, GENO.replace("\n", "\r\n") if packed else GENO)
    if packed:
        path = tmp_path / "x.geno.gz"
        path.write_bytes(gzip.compress((tmp_path / "x.geno").read_bytes()))
    ds = read(path, TRAITS)
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    assert ds["call_dosage"].attrs["maximum"] == 1
    assert list(ds["variant_id"].values) == ["rs2", "rs1", "rs4"]
    assert ds["variant_position"].values.tolist() == [2.5, 3, 9]
    assert ds["variant_position"].attrs["units"] == "Mb"
    assert ds["variant_genetic_position"].values.tolist() == [1, 1.5, 7]
    assert ds["variant_allele"].values[0].tolist() == ["B", "D"]
    assert ds.attrs["description"] == "BXD"


def test_without_mb_positions_are_genetic(tmp_path):
    lines = [line.split("\t") for line in GENO.splitlines()]
    kept = ["\t".join(line[:3] + line[4:]) for line in lines]
    ds = read(write(tmp_path, "\n".join(kept)), TRAITS, said=SAID[:1])
    assert ds["variant_position"].attrs["units"] == "cM"
    assert ds["variant_position"].values.tolist() == [1, 1.5, 0, 7]
    assert "variant_genetic_position" not in ds


def test_samples_of_lines(tmp_path):
    (tmp_path / "t.csv").write_text(
        "mouse,weight,line,sex\nm1,20,BXD2,F\nm2,21,BXD2,M\nm3,22,BXD1,M\nm4,23,BXD9,F\n"
    )
    said = (
        *SAID,
        "covariate 'sex' is text: 'F' becomes 0",
        "1 of 4 samples with traits have no genotypes and are dropped: 'm4'",
        "1 of 3 strains with genotypes have no traits and are dropped: 'BXD5'",
    )
    ds = read(
        write(tmp_path), tmp_path / "t.csv", sample_strain="line", covariates=["sex"], said=said
    )
    np.testing.assert_array_equal(ds["call_dosage"], np.array(DOSAGES)[:, [1, 1, 0]])
    assert ds["sample_covariate"].values[:, 0].tolist() == [0, 1, 1]


@pytest.mark.slow
def test_the_same_as_rqtl2_files(reference, tmp_path):
    """The real BXD genotypes, written as a .geno file, give the study that R/qtl2 files give."""
    with zipfile.ZipFile(reference / "bxd" / "bxd.zip") as archive:
        names = archive.namelist()
        geno, pmap, gmap = (
            pd.read_csv(
                archive.open(next(name for name in names if part in name)),
                comment="#",
                index_col=0,
                dtype=str,
                keep_default_na=False,
            )
            for part in ("geno", "pmap", "gmap")
        )
    with pytest.warns(StudyWarning):
        expected = blmm.read_rqtl2(reference / "bxd" / "bxd.zip")
    head = pd.DataFrame(
        {
            "Chr": pmap["chr"],
            "Locus": pmap.index,
            "cM": gmap["pos"].reindex(pmap.index),
            "Mb": pmap["pos"],
        }
    )
    table = pd.concat([head, geno.loc[pmap.index]], axis=1)
    path = tmp_path / "bxd.geno"
    path.write_text("@mat:B\n@pat:D\n@het:H\n@unk:-\n" + table.to_csv(sep="\t", index=False))
    traits = expected["sample_trait"][:, :3].to_pandas()
    ds = blmm.read_geno(path, traits)
    names = list(expected["variant_id"].values)
    assert list(ds["variant_id"].values) == names
    np.testing.assert_array_equal(ds["call_dosage"], expected["call_dosage"])
    np.testing.assert_array_equal(ds["variant_position"], expected["variant_position"])


@pytest.mark.parametrize(
    ("geno", "message"),
    [
        (GENO[:-5], r"x.geno, line 12: 5 fields, but the header has 7; the file may be cut"),
        (GENO.replace("BXD5", ""), r"line 9: 7 fields, but the header has 6"),
        (GENO.replace("BXD2", ""), r"line 8: the header has 3 lines, 1 of them without a name"),
        (GENO.replace("@mat:B", "@mat:D"), r"x.geno: @mat and @pat are both 'D'"),
        (
            GENO.replace("@mat:B", "@mat:C").replace("@pat:D", "@pat:B"),
            r"of its 12 calls, such as 'D', are",
        ),
        (GENO.replace("1.5", "one"), r"line 9, column 'cM': the position 'one' is not a number"),
        (GENO.replace("1.5", "1_5"), r"line 9, column 'cM': the position '1_5' is not a number"),
        (GENO.replace("@mat:B\n", ""), r"no @mat above the header"),
        (GENO.replace("Locus", "Place"), r"line 8: the header should be Chr, Locus"),
        (GENO.replace("BXD2", "BXD1"), r"lines of .*x.geno must be unique.*'BXD1'"),
        (GENO.replace("rs2", "rs1"), r"markers of .*x.geno must be unique"),
        (GENO[: GENO.index("1\trs1")], "x.geno has no variants"),
        ("", "x.geno has no variants"),
    ],
)
def test_malformed_files(tmp_path, geno, message):
    with pytest.raises(InputError, match=message):
        blmm.read_geno(write(tmp_path, geno), TRAITS)


def said_of(tmp_path, geno):
    """Read, and give the dosages with all that was said."""
    with pytest.warns(StudyWarning) as found:
        ds = blmm.read_geno(write(tmp_path, geno), TRAITS)
    return ds, " | ".join(str(one.message) for one in found)


@pytest.mark.parametrize(
    ("old", "new", "dosages", "said"),
    [
        ("@het:H", "@het:U", [[np.nan, 0, 1], [0, 1, 0.5], [1, 1, 0]], "@het and @unk are both"),
        ("@unk:U", "@unk:H", [[np.nan, 0, 1], [0, 1, np.nan], [1, 1, 0]], "taken as @unk"),
        ("@unk:U", "@unk:B", [[np.nan, np.nan, 1], [np.nan, 1, 0.5], [1, 1, np.nan]], "@mat and"),
        ("@het:H", "@het:D", [[np.nan, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0]], "@pat and @het"),
    ],
)
def test_a_letter_of_two_meanings(tmp_path, old, new, dosages, said):
    """The one that GeneNetwork takes: the unknown before the heterozygote before the parents."""
    ds, found = said_of(tmp_path, GENO.replace(old, new))
    np.testing.assert_array_equal(ds["call_dosage"], dosages)
    assert said in found


def test_a_parent_called_as_heterozygotes_often_are(tmp_path):
    """H and U mean heterozygous and unknown only where no line gives them another meaning."""
    lines = GENO.translate(str.maketrans("BD", "HU")).replace("HXU", "BXD").replace("MH", "Mb")
    lines = lines.replace("@het:H\n", "").replace("@unk:U\n", "").replace("\tU\tH\tU", "\t-\tH\tU")
    ds, _ = said_of(tmp_path, lines)
    np.testing.assert_array_equal(ds["call_dosage"], [[np.nan, 0, 1], [0, 1, 0], [1, 1, 0]])
    assert ds["variant_allele"].values[0].tolist() == ["H", "U"]


def test_small_letters_and_calls_of_other_letters(tmp_path):
    geno = GENO.replace("3.0\tB\tD\tH", "3.0\tb\td\th").replace("2.5\tU\tB", "2.5\tQ\tB")
    ds, said = said_of(tmp_path, geno)
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    assert "3 calls in another case ('b', 'd', 'h') taken as those of 'H', 'U', 'B', 'D'" in said
    assert "1 call ('Q') not among 'H', 'U', 'B', 'D': taken as unknown; correct" in said
    small = GENO.replace("@mat:B", "@mat:b").replace("@pat:D", "@pat:d")
    ds, said = said_of(tmp_path, small)
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    assert "10 calls in another case ('B', 'D')" in said


@pytest.mark.parametrize("rows", ["", "\t", "\t\t\t"])
@pytest.mark.parametrize("header", ["", "\t", "\t\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_empty_fields_at_the_end(tmp_path, rows, header, end):
    lines = [
        line + (header if line.startswith("Chr") else rows if "rs" in line else "")
        for line in GENO.replace("riset", "intercross").splitlines()
    ]
    (tmp_path / "x.geno").write_bytes((end.join(lines) + end).encode())
    np.testing.assert_array_equal(read(tmp_path / "x.geno", TRAITS)["call_dosage"], DOSAGES)


@pytest.mark.parametrize("word", ["x", "X", "?", "NA", "none", "n/a", "", "-"])
def test_positions_that_are_not_known(tmp_path, word):
    ds, said = said_of(tmp_path, GENO.replace("1.5", word))
    assert ds["variant_genetic_position"].values[[0, 2]].tolist() == [1, 7]
    assert np.isnan(ds["variant_genetic_position"].values[1])
    assert (f"column 'cM': 1 position ({word!r}) taken as unknown" in said) == (
        word not in ("NA", "", "-")
    )


def test_a_file_without_mb(tmp_path):
    """No column, or one that is empty: positions are in cM; those that are not known drop out."""
    lines = [line.split("\t") for line in GENO.replace("1.5", "x").splitlines()]
    for kept in (
        ["\t".join(line[:3] + line[4:]) for line in lines],
        ["\t".join([*line[:3], "" if line[1].startswith("rs") else line[3], *line[4:]])
         if len(line) > 1 else line[0] for line in lines],
    ):  # fmt: skip
        ds, said = said_of(tmp_path, "\n".join(kept))
        assert ds["variant_position"].attrs["units"] == "cM"
        assert list(ds["variant_id"].values) == ["rs2", "rs3", "rs4"]
        assert "column 'cM': 1 position ('x') taken as unknown" in said
        assert "1 of 4 markers have genotypes but no position on the map" in said


def test_alleles_named_ref_and_alt(tmp_path):
    ds = read(write(tmp_path, GENO.replace("@mat", "@ref").replace("@pat", "@alt")), TRAITS)
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    assert ds["variant_allele"].values[0].tolist() == ["B", "D"]
    ds = read(write(tmp_path, "@ref:X\n@alt:Y\n" + GENO), TRAITS)
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
