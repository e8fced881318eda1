"""read_rqtl: R/qtl's csv, csvr, csvs and csvsr, against R/qtl itself and in every variant."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import bulklmm_dask as blmm
from bulklmm_dask.cli import main
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.study.readers.guess import guess_format

CSV = """\
weight,sex,pgm,id,coat,m1,m2,m3
,,,,,1,1,X
,,,,,0,12.5,3
20.1,f,0,a,black,A,H,H
22.5,m,0,b,agouti,H,B,B
19.8,m,1,c,white,B,-,A
21,f,1,d,NA,A,A,B
"""
DOSAGES = [[0, 0.5, 0.5], [0.5, 1, 1], [1, np.nan, 0], [0, 0, 1]]  # individuals a, b, c, d
SAID = (
    "csv: no traits, but metadata are 'sex', 'pgm', 'coat' (covariates of a scan once they",
    "its calls on the autosomes ('A', 'H', 'B') are those of an intercross: read as cross='f2'",
    "1 of 12 genotypes at 1 variants are missing",
)


def turned(content, sep=","):
    rows = zip(*csv.reader(io.StringIO(content), delimiter=sep), strict=True)
    return "".join(sep.join(row) + "\n" for row in rows)


def write(folder, content=CSV, name="x.csv"):
    (folder / name).write_text(content)
    return folder / name


def read(*args, said=SAID, **options):
    """Read; each text must have been said, in this order, and nothing else."""
    with pytest.warns(StudyWarning) as found:
        ds = blmm.read_rqtl(*args, **options)
    for text, warning in zip(said, found, strict=True):
        assert text in str(warning.message)
    return ds


def words(*args, **options):
    """Read, and give the study and all that was said."""
    with pytest.warns(StudyWarning) as found:
        ds = blmm.read_rqtl(*args, **options)
    return ds, " | ".join(str(one.message) for one in found)


def check(ds):
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
    assert ds["call_dosage"].attrs["maximum"] == 1
    assert list(ds["sample_id"].values) == list("abcd")
    assert list(ds["trait_id"].values) == ["weight"]
    assert ds["sample_trait"].values[:, 0].tolist() == [20.1, 22.5, 19.8, 21]
    assert list(ds["variant_id"].values) == ["m1", "m2", "m3"]
    assert list(ds["contig_id"].values) == ["1", "X"]
    assert ds["variant_position"].values.tolist() == [0, 12.5, 3]
    assert ds["variant_position"].attrs["units"] == "cM"
    assert list(ds["sample_sex"].values) == ["female", "male", "male", "female"]
    assert list(ds["sample_pgm"].values) == [0, 0, 1, 1]
    assert list(ds["sample_coat"].values) == ["black", "agouti", "white", ""]
    assert ds["variant_allele"].values[0].tolist() == ["A", "B"]
    assert (ds.attrs["crosstype"], ds.attrs["x_chr"]) == ("f2", "X")


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("form", ["csv", "csvr"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ",\n", ",,\n"])
def test_individuals_in_rows_or_in_columns(tmp_path, sep, form, end):
    content = (CSV if form == "csv" else turned(CSV)).replace("\n", end).replace(",", sep)
    path = write(tmp_path, content)
    assert guess_format(path) == "rqtl"
    check(read(path))


@pytest.mark.parametrize(
    ("name", "allele"),
    [
        ("hyper.csv", "BA"), ("listeria.csv", "CB"), ("f2_gen.csv", "AB"), ("f2r_gen.csv", "AB"),
        ("fake_bc.csv", "AB"), ("bc_x.csv", "AB"), ("riself.csv", "AB"),
    ],
)  # fmt: skip
def test_against_rqtl(reference, name, allele):
    """Files that R/qtl wrote, and the dosages that it reads from them itself."""
    path = reference / "rqtl" / name
    assert guess_format(path) == "rqtl"
    with pytest.warns(StudyWarning):
        ds = blmm.read_rqtl(path)
    answer = name.replace("_gen", "").replace(".csv", "_dosage.csv")
    expected = pd.read_csv(reference / "rqtl" / answer, index_col=0)
    called = expected.dropna(how="all")  # without the markers that nobody was typed at
    assert list(ds["variant_id"].values) == list(called.index)
    assert list(ds["sample_id"].values) == list(called.columns)
    np.testing.assert_array_equal(ds["call_dosage"], called)
    assert "".join(ds["variant_allele"].values[0]) == allele
    assert ds.attrs["crosstype"] == {
        "hyper.csv": "bc", "fake_bc.csv": "bc", "bc_x.csv": "bc", "riself.csv": "riself"
    }.get(name, "f2")  # fmt: skip


PHE = "weight,sex,pgm,mouse,coat\n" + "".join(
    ",".join(line.split(",")[:5]) + "\n" for line in CSV.splitlines()[3:]
)
GEN = "".join(
    ",".join([start, *line.split(",")[5:]]) + "\n"
    for start, line in zip(["mouse", "", "", "d", "a", "b", "c"], [*CSV.splitlines()[:3],
        *(CSV.splitlines()[3 + i] for i in (3, 0, 1, 2))], strict=True)
)  # fmt: skip


@pytest.mark.parametrize("gen", [GEN, turned(GEN)])
@pytest.mark.parametrize("phe", [PHE, turned(PHE)])
@pytest.mark.parametrize("beside", [True, False])
def test_genotypes_and_phenotypes_in_two_files(tmp_path, gen, phe, beside):
    names = ("cross_gen.csv", "cross_phe.csv") if beside else ("g.csv", "p.csv")
    path, other = write(tmp_path, gen, names[0]), write(tmp_path, phe, names[1])
    assert guess_format(path) == "rqtl"
    check(read(path) if beside else read(path, traits=other))


def test_any_table_of_traits_beside_the_genotypes(tmp_path):
    path = write(tmp_path, GEN)
    frame = pd.DataFrame({"t": [1.0, 2, 3]}, index=["b", "a", "z"])
    said = (
        SAID[1],
        "1 of 3 samples with traits have no genotypes and are dropped: 'z'",
        "2 of 4 samples with genotypes have no traits and are dropped: 'd', 'c'",
    )
    ds = read(path, traits=frame, said=said)
    np.testing.assert_array_equal(ds["call_dosage"].T, [DOSAGES[1], DOSAGES[0]])
    (tmp_path / "t.csv").write_text("trait,a,b,c,d\nt,1,2,3,4\nu,5,6,7,8\n")
    ds, _ = words(path, traits=tmp_path / "t.csv")
    assert ds["sample_trait"].sel(samples="b").values.tolist() == [2, 6]
    _, said = words(write(tmp_path), traits=tmp_path / "t.csv")
    assert "its own traits ('weight') are left aside" in said


@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_genotypes_without_phenotypes(tmp_path):
    for content in (GEN.replace("mouse", "id"), CSV.replace("weight", "sex2").replace("20.1", "x")
                    .replace("22.5", "y").replace("19.8", "z").replace("21,", "w,")):  # fmt: skip
        with pytest.raises(InputError, match=r"x.csv holds no traits: .* with traits"):
            blmm.read_rqtl(write(tmp_path, content))


def test_individuals_without_names_are_numbered(tmp_path):
    lines = [line.split(",") for line in CSV.splitlines()]
    content = "\n".join(",".join(line[:3] + line[4:]) for line in lines)
    ds = read(write(tmp_path, content))
    assert list(ds["sample_id"].values) == ["1", "2", "3", "4"]
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)


def test_without_a_line_of_positions(tmp_path):
    lines = CSV.splitlines()
    ds = read(
        write(tmp_path, "\n".join([*lines[:2], *lines[3:]])),
        said=("x.csv has no line of positions: markers are placed 5 cM apart", *SAID),
    )
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
    assert ds["variant_position"].values.tolist() == [0, 5, 0]
    # an individual without phenotypes in the third line is no line of positions
    lines[3] = ",,,,,A,H,H"
    with pytest.raises(InputError, match="line 3, field 4: the individual has no id"):
        words(write(tmp_path, "\n".join([*lines[:2], *lines[3:]])))
    table = "w,m1,m2\n,1,1\n,A,B\n2,H,A\n"
    ds, said = words(write(tmp_path, table))
    assert "no line of positions" in said
    np.testing.assert_array_equal(ds["call_dosage"].T, [[0, 1], [0.5, 0]])


def test_without_a_line_of_chromosomes(tmp_path):
    lines = CSV.splitlines()
    content = "\n".join([lines[0], *lines[3:]])
    said = (
        "no line of chromosomes: the columns from 'm1' on, 3 columns of calls, are taken for mark"
    )
    ds = read(write(tmp_path, content), said=(said, *SAID))
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
    assert "variant_contig" not in ds
    with pytest.raises(InputError, match="its markers cannot be told"):
        blmm.read_rqtl(write(tmp_path, "a,b,c\n1,2,3\n4,5,6\n"))


def recoded(**calls):
    return "".join(
        ",".join(line[:5] + [calls.get(cell, cell) for cell in line[5:]]) + "\n"
        for line in (line.split(",") for line in CSV.splitlines())
    )


@pytest.mark.parametrize(
    ("calls", "alleles", "said"),
    [
        ({"A": "CC", "H": "CB", "B": "BB"}, "CB", "('CC', 'CB', 'BB')"),
        ({"A": "BB", "H": "BC", "B": "CC"}, "BC", "('BB', 'BC', 'CC')"),
        ({"A": "L/L", "H": "C/L", "B": "C/C"}, "CL", None),
        ({"A": "1", "H": "2", "B": "3"}, "AB", "numbers of the genotypes (1 AA, 2 AB, 3 BB)"),
        ({"A": "a", "H": "h", "B": "b"}, "AB", None),
    ],
)
def test_calls_are_told_by_themselves(tmp_path, calls, alleles, said):
    ds, found = words(write(tmp_path, recoded(**calls)))
    dosages = np.array(DOSAGES)
    np.testing.assert_array_equal(ds["call_dosage"].T, 1 - dosages if alleles == "CL" else dosages)
    assert "".join(ds["variant_allele"].values[0]) == alleles
    assert said is None or said in found


@pytest.mark.parametrize("given", [("u", "v", "w"), ["u", "v", "w", "not w", "not u"]])
def test_calls_are_named(tmp_path, given):
    path = write(tmp_path, recoded(A="u", H="v", B="w"))
    with pytest.raises(InputError, match=r"the calls 'u', 'w', 'v' are not A, H, B, D, C.*calls"):
        words(path)
    ds, said = words(path, calls=given)
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
    assert "('u', 'v', 'w') are those of an intercross" in said
    for wrong in ("u", ["u"], ["u", "u"], list("uvwxyz")):
        with pytest.raises(InputError, match="calls names 'u'"):
            words(path, calls=wrong)


def test_calls_that_are_not_known_or_known_in_part(tmp_path):
    many = CSV.splitlines() + [f"1,f,0,e{i},x,A,H,H" for i in range(20)]
    many[3] = many[3].replace("A,H,H", "A,Q,D")
    many[4] = many[4].replace("H,B,B", "C,B,B")
    ds, said = words(write(tmp_path, "\n".join(many)))
    np.testing.assert_array_equal(ds["call_dosage"].T[:2], [[0, np.nan, np.nan], [np.nan, 1, 1]])
    assert "1 call ('Q') not among 'A', 'H', 'B', 'D', 'C': taken as missing, as in R/qtl" in said
    assert "2 calls ('C', 'D') tell the genotype only in part" in said


@pytest.mark.parametrize(
    ("rows", "kind", "dosages"),
    [
        (["A,H,A", "H,H,B", "H,A,A", "A,A,H"], "bc", [[0, 1, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1]]),
        (["A,B,A", "B,B,B", "B,A,A", "A,A,B"], "riself", None),
        (["A,H,A", "H,H,B", "H,A,A", "B,A,B"], "f2", [[0, 0.5, 0], [0.5, 0.5, 1], [0.5, 0, 0],
                                                      [1, 0, 1]]),
        (["H,H,B", "H,H,B", "B,H,A", "B,B,B"], "f2", None),
    ],
)  # fmt: skip
def test_the_kind_of_cross_is_told_by_the_calls(tmp_path, rows, kind, dosages):
    lines = CSV.splitlines()
    cells = [line.rsplit(",", 3)[0] + "," + row for line, row in zip(lines[3:], rows, strict=True)]
    path = write(tmp_path, "\n".join([*lines[:3], *cells]))
    ds, said = words(path)
    assert ds.attrs["crosstype"] == kind
    assert f"read as cross={kind!r}" in said
    if dosages:
        np.testing.assert_array_equal(ds["call_dosage"].T, dosages)
    given, said = words(path, "f2" if kind == "bc" else kind)
    assert "read as" not in said
    if kind == "bc":  # half a dose for the heterozygotes, but not for the X of males
        halves = np.array(dosages) / 2
        halves[1, 2] = 1
        np.testing.assert_array_equal(given["call_dosage"].T, halves)
    else:
        np.testing.assert_array_equal(ds["call_dosage"], given["call_dosage"])


def test_what_a_sex_cannot_have_on_x(tmp_path):
    content = CSV.replace("H,B,B", "H,B,H")  # a heterozygous male
    ds, said = words(write(tmp_path, content))
    np.testing.assert_array_equal(ds["call_dosage"].T[1], [0.5, 1, np.nan])
    assert "1 call on the X of males is heterozygous, which no male of this cross can be" in said
    ds, _ = words(write(tmp_path, content.replace(",X", ",19")))
    np.testing.assert_array_equal(ds["call_dosage"].T[1], [0.5, 1, 0.5])
    ds, said = words(write(tmp_path, content.replace(",m,", ",2,").replace(",f,", ",1,")))
    assert "the sexes '2' are not 0, f or female, 1, m or male; they are left empty" in said


def test_covariates_are_phenotypes_or_a_table(tmp_path):
    lines = [line.replace("weight,", "weight,age,", 1) if "weight" in line else f",{line}"
             if line.startswith(",") else line.replace(",", f",{i},", 1)
             for i, line in enumerate(CSV.splitlines())]  # fmt: skip
    path = write(tmp_path, "\n".join(lines))
    ds, _ = words(path, covariates=["age"])
    assert list(ds["trait_id"].values) == ["weight"]
    assert ds["sample_covariate"].sel(covariates="age").values.tolist() == [3, 4, 5, 6]
    ds, _ = words(path, covariates=pd.DataFrame({"day": [1.0, 2, 3, 4]}, index=list("dcba")))
    assert list(ds["trait_id"].values) == ["weight", "age"]
    assert ds["sample_covariate"].sel(covariates="day").values.tolist() == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            (",,,,,1,1,X", ",,,,,1,,X"),
            r"line 2, field 7: chromosome is missing; .*'m2' comes after",
        ),
        ((",,,,,1,1,X", ",,,,,,,"), r"line 2, field 1: no marker has a chromosome"),
        (("m1,m2", "m1,"), r"line 1, field 7: name is missing"),
        (("12.5", "far"), r"line 3, field 7: the position of marker 'm2' is 'far'"),
        ((",,,,,0,12.5", ",,,,,0,"), r"line 3, field 7: the position of marker 'm2' is ''"),
        (
            ("22.5", "heavy"),
            r"line 5, field 1: phenotype 'weight' is 'heavy', which is not a number",
        ),
        (("m,1,c", "m,1,b"), r"individuals of .*x.csv must be unique.*'b'"),
        (("m,1,c", "m,1,"), r"line 6, field 4: the individual has no id"),
        (("weight,sex", "sex,sex"), r"phenotypes of .*x.csv must be unique.*'sex'"),
        (("weight,sex", ",sex"), r"line 1, field 1: a phenotype has no name"),
        (("m2,m3", "m2,m2"), r"markers of the map .*x.csv must be unique.*'m2'"),
        ((",A,A,B\n", ",A,A\n"), r"line 7: 7 fields, but other lines have 8"),
    ],
)
@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_malformed_files(tmp_path, change, message):
    path = write(tmp_path, CSV.replace(*change))
    assert path.read_text() != CSV
    with pytest.raises(InputError, match=message):
        blmm.read_rqtl(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "x.csv has 0 lines of 0 fields"),
        ("a,b\n", "x.csv has 1 line of 2 fields"),
        ("a,,1\n,,2\n", "both empty, so it cannot be told"),
        ("w,m1\n,1\n,0\n1,-\n2,NA\n", "has no call at any of its 1 markers"),
        ("w,m1\n,1\n,0\n", "has no individual below its 3 lines"),
        (
            "w,m1,m2\n,1,1\n1,1,14\n2,7,10\n",
            r"the calls '7', '14', '10' are those of a cross of four parents",
        ),
        (
            turned(CSV.replace("12.5", "far")),
            "line 7, field 3: the position of marker 'm2' is 'far'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_files_that_are_no_cross(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        blmm.read_rqtl(write(tmp_path, content))


@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_other_kinds_of_cross(tmp_path):
    for cross in ("4way", "do", "F2", ""):
        with pytest.raises(InputError, match=rf"cross is {cross!r}; .*\(bc, dh,.*calc_genoprob"):
            blmm.read_rqtl(write(tmp_path), cross)
    with pytest.raises(InputError, match=r"of the third genotype .* at marker 'm1', sample 'c'"):
        blmm.read_rqtl(write(tmp_path), "bc")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("id,t1,t2", ",5.5,3"), ("id,t1,t2", ",5,3"), ("id,t1,t2", "a,5,3"), ("id,,t2", "a,1,2"),
        ("w,m1,m2,m3", ",1,2,1"), ("id,chr,pos", "m1,1,3"),
    ],
)  # fmt: skip
def test_tables_that_are_not_taken_for_a_cross(tmp_path, first, second):
    for rest in ("b,2,8\nc,7,9\n", "b,0.2,0.8\n"):
        assert guess_format(write(tmp_path, f"{first}\n{second}\n{rest}")) is None


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, recoded(A="u", H="v", B="w"))
    call = ["import", "rqtl", "x.csv", "s.zarr", "--calls", "u,v,w", "--cross", "f2"]
    run = CliRunner().invoke(main, call)
    assert run.exit_code == 0, run.output
    np.testing.assert_array_equal(blmm.open_dataset("s.zarr")["call_dosage"].T, DOSAGES)
    write(tmp_path, GEN, "g.csv")
    write(tmp_path, PHE, "p.csv")
    run = CliRunner().invoke(main, ["import", "g.csv", "t.zarr", "--traits", "p.csv"])
    assert run.exit_code == 0, run.output
    assert "read as --cross f2" in run.output
    check(blmm.open_dataset("t.zarr"))
    run = CliRunner().invoke(main, ["import", "g.csv", "u.zarr"])
    assert run.exit_code != 0
    assert "give a table of them with --traits" in run.output


@pytest.mark.parametrize("name", [None, "rqtl"])
def test_semicolons_and_decimal_commas(tmp_path, name):
    """As R/qtl's sep=";" and dec="," read them."""
    lines = ["weight;D1M1;D1M2;DXM1", ";1;1;X", ";0;12,5;3"]
    lines += [f"2{i},5;{'AHB'[i % 3]};{'HBA'[i % 3]};A" for i in range(9)]
    path = write(tmp_path, "\n".join(lines) + "\n")
    command = ["import", *([name] if name else []), str(path), str(tmp_path / "s.zarr")]
    run = CliRunner().invoke(main, command)
    assert run.exit_code == 0, run.output
    assert "the commas in its numbers are taken for decimal signs" in run.output
    ds = blmm.open_dataset(tmp_path / "s.zarr")
    assert ds["variant_position"].values.tolist() == [0, 12.5, 3]
    np.testing.assert_array_equal(ds["sample_trait"][:, 0], 20.5 + np.arange(9))
