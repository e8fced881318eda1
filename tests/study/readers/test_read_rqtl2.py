"""read_rqtl2: control files in full, calls, maps and covariates, and what goes wrong."""

import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.study.readers.rqtl2 import read_rqtl2

FILES = {
    "geno.csv": "id,m1,m2,m3\na,L,C,L\nb,C,C,NA\nc,L,L,C\n",
    "pheno.csv": "id,t1,t2\na,1.5,NA\nb,2,-3\nc,0.25,1e2\n",
    "gmap.csv": "marker,chr,pos\nm1,1,0\nm2,1,10.5\nm3,X,3\n",
}
CONTROL = {
    "crosstype": "riself",
    "geno": "geno.csv",
    "pheno": "pheno.csv",
    "gmap": "gmap.csv",
    "genotypes": {"L": 1, "C": 2},
    "alleles": ["L", "C"],
}
DOSAGES = [[0, 1, 0], [1, 1, np.nan], [0, 0, 1]]  # samples a, b, c


def write(folder, files=(), **control):
    for name, content in (FILES | dict(files)).items():
        (folder / name).write_text(content)
    path = folder / "study.json"
    path.write_text(json.dumps({k: v for k, v in (CONTROL | control).items() if v is not None}))
    return path


def read(path):
    """Read, and give the study with all that was said."""
    with pytest.warns(StudyWarning) as said:
        ds = read_rqtl2(path)
    return ds, " | ".join(str(one.message) for one in said)


def test_bxd(reference):
    check_bxd(reference, n_traits=586)


@pytest.mark.slow
@pytest.mark.reference
def test_all_of_bxd(whole_reference):
    check_bxd(whole_reference, n_traits=5806)


def check_bxd(reference, n_traits):
    ds, said = read(reference / "bxd" / "bxd.zip")
    assert dict(ds.sizes) | {"alleles": 2} == {
        "samples": 198,
        "variants": 7320,
        "traits": n_traits,
        "contigs": 20,
        "alleles": 2,
        "cross_numbers": 1,
    }
    assert "117,497 calls 'H'" in said
    assert "dosage 0.5" in said
    values, counts = np.unique(ds["call_dosage"], return_counts=True)
    assert dict(zip(values, counts, strict=True)) == {0: 681134, 0.5: 117497, 1: 650729}
    assert ds["call_dosage"].attrs["maximum"] == 1
    assert ds["sample_trait"].sel(samples="BXD1", traits="10001").item() == 61.400002
    assert (
        "behavior: Amphetamine response (5 mg" in ds["trait_description"].sel(traits="10011").item()
    )
    first = ds.sel(variants="rs31443144")
    assert first["variant_position"] == pytest.approx(3.010274)
    assert ds["variant_position"].attrs["units"] == "Mb"
    assert first["variant_genetic_position"] == pytest.approx(1.499)
    assert list(first["variant_allele"].values) == ["B", "D"]
    assert list(ds["contig_id"].values) == [*map(str, range(1, 20)), "X"]
    assert ds.attrs["x_chr"] == "X"
    assert ds.attrs["crosstype"] == "risib"
    assert set(ds["sample_cross_info"].values) == {"BxD"}


def test_plain_study_from_control_file_folder_and_zip(tmp_path):
    control = write(tmp_path)
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as packed:
        for name in (*FILES, "study.json"):
            packed.write(tmp_path / name, f"study/{name}")
        packed.writestr("__MACOSX/study/._study.json", "junk")
    for source in (control, str(tmp_path), tmp_path / "study.zip"):
        ds, said = read(source)
        np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
        np.testing.assert_array_equal(ds["sample_trait"], [[1.5, np.nan], [2, -3], [0.25, 100]])
        assert ds["variant_position"].attrs["units"] == "cM"
        assert "variant_genetic_position" not in ds
        assert "1 of 9 genotypes" in said


def test_yaml_separators_comments_missing_codes_and_transposed_tables(tmp_path):
    (tmp_path / "study.yaml").write_text(
        "# a comment\ncrosstype: riself\nsep: '\\t'\nna.strings: ['-', N]\ncomment.char: '%'\n"
        "genotypes: {Y: 1, n: 2}\nalleles: [Y, n]\n"
        "geno: geno.tsv\ngeno_transposed: true\npheno: pheno.tsv\npheno_transposed: yes\n"
        "gmap: gmap.tsv\ngmap_transposed: true\n"
    )
    (tmp_path / "geno.tsv").write_text(
        "% nrow 3\n%ncol 4\nmarker\ta\tb\tc\nm1\tY\tn\tY\n% between\nm2\tn\tn\tY\nm3\tY\t-\tn\n"
    )
    (tmp_path / "pheno.tsv").write_text('trait\ta\tb\tc\n"t 1"\t1\tN\t"3"\n')
    (tmp_path / "gmap.tsv").write_text("what\tm1\tm2\tm3\nchr\t1\t1\t2\npos\t1\t2\t3\n")
    ds, _ = read(tmp_path)
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
    np.testing.assert_array_equal(ds["sample_trait"].sel(traits="t 1"), [1, np.nan, 3])
    assert list(ds["variant_allele"].values[0]) == ["Y", "n"]


def test_lists_of_files_are_bound_by_name(tmp_path):
    control = write(
        tmp_path,
        {
            "geno1.csv": "id,m1,m2\na,L,C\nb,C,C\nc,L,L\n",
            "geno2.csv": "id,m3\nc,C\na,L\n",
            "pheno1.csv": "id,t1\na,1.5\nb,2\nc,0.25\n",
            "pheno2.csv": "id,t2\nb,-3\nc,1e2\n",
            "gmap1.csv": "marker,chr,pos\nm1,1,0\nm2,1,10.5\n",
            "gmap2.csv": "marker,chr,pos\nm3,X,3\n",
        },
        geno=["geno1.csv", "geno2.csv"],
        pheno=["pheno1.csv", "pheno2.csv"],
        gmap=["gmap1.csv", "gmap2.csv"],
    )
    ds, _ = read(control)
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
    np.testing.assert_array_equal(ds["sample_trait"], [[1.5, np.nan], [2, -3], [0.25, 100]])


def test_intercross_with_default_codes(tmp_path):
    geno = "id,m1,m2,m3\na,A,H,B\nb,H,D,C\nc,B,A,-\n"
    control = write(
        tmp_path, {"geno.csv": geno}, crosstype="f2", genotypes=None, **{"na.strings": ["-", "NA"]}
    )
    ds, said = read(control)
    np.testing.assert_array_equal(
        ds["call_dosage"].T, [[0, 0.5, 1], [0.5, np.nan, np.nan], [1, 0, np.nan]]
    )
    assert "1 call 'D', which tells the genotype only in part" in said
    assert "1 call 'C', which tells the genotype only in part" in said


@pytest.mark.parametrize(
    ("call", "control", "dosage"),
    [
        ("H", {}, 0.5),
        ("LC", {}, 0.5),
        ("C/L", {}, 0.5),
        ("Q", {}, np.nan),
        ("H", {"alleles": ["H", "C"]}, np.nan),
        ("H", {"genotypes": {"L": 1}}, np.nan),
        ("H", {"crosstype": "bc"}, np.nan),
        ("H", {"crosstype": "f2", "genotypes": {"L": 1, "C": 3}}, 0.5),
        ("H", {"crosstype": "f2", "genotypes": {"L": 1, "U": 2, "C": 3}}, np.nan),
    ],
)
def test_calls_that_are_not_listed(tmp_path, call, control, dosage):
    geno = FILES["geno.csv"].replace("a,L,C,L", f"a,L,{call},L")
    ds, said = read(write(tmp_path, {"geno.csv": geno}, **control))
    np.testing.assert_equal(ds["call_dosage"].sel(samples="a", variants="m2").item(), dosage)
    ending = "heterozygous" if dosage == 0.5 else "taken as missing"
    assert any(f"1 call {call!r}" in one and ending in one for one in said.split(" | "))


def test_maps_order_and_drop_markers(tmp_path):
    control = write(
        tmp_path,
        {
            "pmap.csv": "marker,chr,pos\nm3,2,5\nm1,2,4.5\nm9,1,1\nm2,1,NA\n",
            "gmap.csv": "marker,chr,pos\nm1,2,0\nm2,1,10.5\n",
        },
        pmap="pmap.csv",
    )
    ds, said = read(control)
    assert list(ds["variant_id"].values) == ["m1", "m3"]
    np.testing.assert_array_equal(ds["variant_position"], [4.5, 5])
    np.testing.assert_array_equal(ds["variant_genetic_position"], [0, np.nan])
    assert "1 of 3 markers have genotypes but no position on the map and are dropped: 'm2'" in said
    assert "have no genotypes and are left out: 'm9'" in said


def test_columns_of_covar_are_metadata_and_so_are_sex_and_cross_info(tmp_path):
    control = write(
        tmp_path,
        {
            "covar.csv": "id,sex,age,batch,site\na,F,3,x1,s\nb,M,NA,x2,s\nc,F,5,x3,s\n",
            "cross.csv": "id,direction\na,0\nb,1\nc,1\n",
            "phenocovar.csv": "pheno,gene,chr,Mean value\nt2,Abc,X,2.5\nt1,Def,1,1\nt7,G,2,3\n",
        },
        covar="covar.csv",
        sex={"covar": "sex", "F": "Female", "M": "male"},
        cross_info="cross.csv",
        phenocovar="phenocovar.csv",
        x_chr=["X"],
        typo=1,
    )
    ds, said = read(control)
    assert "covariate_id" not in ds
    assert "covar.csv: the samples have 'sex', 'age', 'batch', 'site' (covariates of a" in said
    assert "covariates=['sex'])" in said
    np.testing.assert_array_equal(ds["sample_age"], [3, np.nan, 5])
    assert "left aside: 'typo'" in said
    assert list(ds["sample_sex"].values) == ["female", "male", "female"]
    assert list(ds["sample_cross_info"].values) == [0, 1, 1]
    assert list(ds["sample_batch"].values) == ["x1", "x2", "x3"]
    assert list(ds["trait_gene"].values) == ["Def", "Abc"]
    assert list(ds["trait_chr"].values) == ["1", "X"]
    assert list(ds["trait_Mean_value"].values) == [1, 2.5]
    assert "1 of 3 rows of" in said
    assert ds.attrs["x_chr"] == "X"


def test_sex_from_a_file_and_cross_info_from_a_covariate(tmp_path):
    control = write(
        tmp_path,
        {"sex.csv": "id,sex\nc,1\na,0\nb,0\n", "covar.csv": "id,gen\na,6\nb,7\nc,8\n"},
        sex={"file": "sex.csv"},
        covar="covar.csv",
        cross_info={"covar": "gen"},
    )
    ds, _ = read(control)
    assert list(ds["sample_sex"].values) == ["female", "female", "male"]
    assert list(ds["sample_cross_info"].values) == [6, 7, 8]


@pytest.mark.parametrize("column", ["id", "strain", "covariate", "trait"])
def test_a_name_that_the_schema_uses_gets_a_suffix_which_is_said(tmp_path, column):
    control = write(tmp_path, {"covar.csv": f"who,{column}\na,3\nb,1\nc,2\n"}, covar="covar.csv")
    ds, said = read(control)
    assert list(ds[f"sample_{column}_"].values) == [3, 1, 2]
    assert f"column {column!r} is kept as sample_{column}_, since sample_{column}" in said


@pytest.mark.parametrize("table", ["id,age\nx,1\ny,2\n", "id,b,c,a\nage,1,2,3\n"])
def test_covar_of_nobody_is_refused(tmp_path, table):
    control = write(tmp_path, {"covar.csv": table}, covar="covar.csv")
    with (
        pytest.warns(StudyWarning, match=r"covar.csv: the samples have"),
        pytest.raises(InputError, match=r"covariates of nobody .*'a', 'b'.* covar_transposed"),
    ):
        read_rqtl2(control)


def test_covar_may_be_transposed(tmp_path):
    files = {"covar.csv": "id,b,c,a\nage,1,2,3\n"}
    ds, _ = read(write(tmp_path, files, covar="covar.csv", covar_transposed=True))
    assert list(ds["sample_age"].values) == [3, 1, 2]


@pytest.mark.parametrize(
    ("files", "control", "message"),
    [
        (
            {"pheno.csv": "id,t1,t2\na,1,2\nb,low,3\n"},
            {},
            r"pheno.csv, line 3 \('b'\), column 't1': 'low'",
        ),
        ({"pheno.csv": "id,t1,t2\na,1,1_0\n"}, {}, "line 2 .*column 't2': '1_0' is not a number"),
        (
            {"geno.csv": "id,m1,m2\na,L,C\nb,C\n"},
            {},
            "geno.csv, line 3: 2 fields, but the header has 3",
        ),
        (
            {"geno.csv": "# nrow 3\nid,m1\na,L\n"},
            {},
            "geno.csv says nrow 3 in its comments but has 1",
        ),
        ({"geno.csv": ""}, {}, "geno.csv is empty"),
        ({"geno.csv": 'id,m1\na,"L\n' + "b,C\n" * 50000}, {}, "geno.csv cannot be read as a table"),
        (
            {"gmap.csv": "marker,chr,pos\nm1,1,x\n"},
            {},
            "gmap.csv, marker 'm1': the position 'x' in line 2 is not",
        ),
        ({"gmap.csv": "marker,chr\nm1,1\n"}, {}, "a map needs marker, chromosome and position"),
        ({"gmap.csv": "marker,chr,pos\nz,1,1\n"}, {}, "genotypes and map have no marker in common"),
        (
            {"gmap.csv": "marker,chr,pos\nm1,1,1\nm1,1,2\n"},
            {},
            "markers of .*gmap.csv must be unique",
        ),
        ({"geno.csv": "id,m1\na,L\na,C\n"}, {}, "row names of .*geno.csv must be unique.*'a'"),
        ({"geno.csv": "id,m1,m1\na,L,C\n"}, {}, "markers of .*geno.csv must be unique.*'m1'"),
        ({"pheno.csv": "id,t1\nx,1\ny,2\n"}, {}, "no sample in common"),
        ({"pheno.csv": "id,t1\n"}, {}, "pheno.csv has 0 samples and 1 trait;"),
        ({"pheno.csv": "id\nx\n"}, {}, "pheno.csv has 1 sample and 0 traits;"),
        (
            {"geno.csv": "id,m1\n,L\n"},
            {},
            "geno.csv: row 1 below the header has no name in its first column in line 2",
        ),
        (
            {"geno.csv": "id,m1\n" + "".join(f"s{i},{i}\n" for i in range(200))},
            {},
            r"geno.csv: the genotypes hold more than 100 different calls.*line 101",
        ),
        ({}, {"geno": "other.csv"}, "there is no file .*other.csv"),
        ({}, {"geno": None}, "lists no geno"),
        ({}, {"pheno": None}, "lists no pheno"),
        ({}, {"crosstype": None}, "has no crosstype"),
        ({}, {"crosstype": "do", "alleles": None}, "lists no founder_geno"),
        ({}, {"crosstype": "do"}, "alleles names 2 founders, but a do has 8"),
        ({}, {"crosstype": "4way"}, "works for bc, .* genrilK.*genotype probabilities"),
        ({}, {"alleles": ["A", "B", "C"]}, "genotype probabilities"),
        ({}, {"genotypes": {"L": 1, "C": 3}}, "'C' has code 3, but a riself has the codes 1, 2"),
        ({}, {"genotypes": ["L", "C"]}, "it should map each call to its code"),
        ({}, {"genotypes": {"L": "one"}}, "every code should be a whole number"),
        ({}, {"sep": "||"}, "sep is '||'"),
        ({}, {"geno_transposed": "maybe"}, "geno_transposed is 'maybe'"),
    ],
)
@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_bad_studies(tmp_path, files, control, message):
    with pytest.raises(InputError, match=message.replace("|", r"\|")):
        read_rqtl2(write(tmp_path, files, **control))


def test_bad_control_files(tmp_path):
    with pytest.raises(InputError, match="there is no file or folder"):
        read_rqtl2(tmp_path / "none.zip")
    with pytest.raises(InputError, match="holds no control file"):
        read_rqtl2(tmp_path)
    (tmp_path / "a.json").write_text('{"geno": ')
    with pytest.raises(InputError, match=r"a\.json is no valid control file"):
        read_rqtl2(tmp_path)
    (tmp_path / "b.json").write_text("[1]")
    with pytest.raises(InputError, match=r"holds 2 control files: 'a\.json', 'b\.json'"):
        read_rqtl2(tmp_path)
    with pytest.raises(InputError, match=r"b\.json is no control file"):
        read_rqtl2(tmp_path / "b.json")
    (tmp_path / "c.yaml").write_text("geno: [")
    with pytest.raises(InputError, match=r"c\.yaml is no valid control file"):
        read_rqtl2(tmp_path)
    (tmp_path / "d.txt").write_text("x")
    with pytest.raises(InputError, match="neither a zip file nor a control file"):
        read_rqtl2(tmp_path / "d.txt")


def test_damaged_zip_files(tmp_path):
    write(tmp_path)
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(tmp_path / "study.json", "study.json")
    with pytest.raises(InputError, match=r"has no file 'geno.csv', only 'study.json'"):
        read_rqtl2(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged or cut short"):
        read_rqtl2(path)
    with zipfile.ZipFile(path, "w") as packed:
        for name in (*FILES, "study.json"):
            packed.write(tmp_path / name, name)
    changed = path.read_bytes().replace(b"a,L,C,L", b"a,C,C,L")
    Path(path).write_bytes(changed)
    with pytest.raises(InputError, match=r"geno.csv in .* is damaged or cut short"):
        read_rqtl2(path)


def test_text_that_is_not_utf8(tmp_path):
    control = write(tmp_path)
    (tmp_path / "pheno.csv").write_bytes("id,größe\na,1\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"pheno.csv is not UTF-8 text"):
        read_rqtl2(control)


def write_x(folder, rows, sexes="FMFM", **control):
    """Write a cross with one autosomal marker m1 and the markers m2 and m3 on X."""
    covar = None
    files = {"geno.csv": "id,m1,m2,m3\n" + "".join(f"{n},{','.join(r)}\n" for n, r in rows.items())}
    files["pheno.csv"] = "id,t1\n" + "".join(f"{name},{i}\n" for i, name in enumerate(rows))
    files["gmap.csv"] = "marker,chr,pos\nm1,1,0\nm2,X,1\nm3,X,3\n"
    if sexes:
        files["covar.csv"] = "id,sex\n" + "".join(
            f"{name},{sex}\n" for name, sex in zip(rows, sexes, strict=True)
        )
        covar = {"covar": "covar.csv", "sex": {"covar": "sex", "F": "female", "M": "male"}}
    options = {"genotypes": None, "alleles": None, "x_chr": "X", "na.strings": ["-", "NA"]}
    return write(folder, files, **(options | (covar or {}) | control))


BACKCROSS = {"a": "AHA", "b": "HBA", "c": "HAH", "d": "AAB"}


@pytest.mark.parametrize("x_chr", ["X", None])
@pytest.mark.parametrize("sexes", ["FMFM", None])
@pytest.mark.parametrize("codes", [None, {"A": 1, "H": 2, "B": 3}])
def test_males_of_a_backcross_have_code_3_on_x(tmp_path, x_chr, sexes, codes):
    path = write_x(tmp_path, BACKCROSS, sexes, crosstype="bc", x_chr=x_chr, genotypes=codes)
    if sexes:
        ds, _ = read(path)
    else:
        ds = read_rqtl2(path)
    expected = [[0, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1]]
    np.testing.assert_array_equal(ds["call_dosage"].T, expected)


def test_codes_of_a_backcross_that_cannot_be(tmp_path):
    path = write_x(tmp_path, BACKCROSS | {"c": "HBH", "d": "AHB"}, crosstype="bc")
    ds, said = read(path)
    np.testing.assert_array_equal(ds["call_dosage"].T[2], [1, np.nan, 1])
    np.testing.assert_array_equal(ds["call_dosage"].T[3], [0, np.nan, 1])
    assert "geno.csv: 1 call on the X of females is hemizygous, which no female" in said
    assert "geno.csv: 1 call on the X of males is heterozygous, which no male" in said
    path = write_x(tmp_path, BACKCROSS | {"b": "BBA"}, crosstype="bc")
    message = r"geno.csv: 1 call of the third genotype .* at marker 'm1', sample 'b'"
    with pytest.warns(StudyWarning), pytest.raises(InputError, match=message):
        read_rqtl2(path)
    path = write_x(tmp_path, BACKCROSS, crosstype="bc", gmap=None)
    with pytest.warns(StudyWarning), pytest.raises(InputError, match="name the X chromosome"):
        read_rqtl2(path)


@pytest.mark.parametrize("crosstype", ["f2", "f2pk", "ail", "bcsft"])
def test_x_of_an_intercross_in_both_directions(tmp_path, crosstype):
    """Males A or B; daughters of A x B AA or AB, of B x A AB or BB."""
    rows = {"a": "AHA", "b": "HBA", "c": "HBH", "d": "BAB"}
    ds, said = read(write_x(tmp_path, rows, crosstype=crosstype))
    expected = [[0, 0.5, 0], [0.5, 1, 0], [0.5, 1, 0.5], [1, 0, 1]]
    np.testing.assert_array_equal(ds["call_dosage"].T, expected)
    assert "on the X" not in said
    ds, said = read(write_x(tmp_path, rows | {"d": "HHH"}, crosstype=crosstype))
    np.testing.assert_array_equal(ds["call_dosage"].T[3], [0.5, np.nan, np.nan])
    assert "2 calls on the X of males are heterozygous" in said


def test_a_code_0_means_no_call(tmp_path):
    control = write(tmp_path, {"geno.csv": FILES["geno.csv"].replace("NA", "?")},
                    genotypes={"L": 1, "C": 2, "?": 0})  # fmt: skip
    ds, said = read(control)
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
    assert "does not list" not in said


@pytest.mark.parametrize("name", ["geno", "pheno", "gmap", "covar", "phenocovar"])
@pytest.mark.parametrize("turned", [False, True])
def test_separators_at_the_end_of_lines_shift_no_table(tmp_path, name, turned):
    files = FILES | {
        "covar.csv": "id,sex,age\na,0,3\nb,1,4\nc,1,5\n",
        "phenocovar.csv": "trait,kind,weight\nt1,x,1\nt2,y,2\n",
    }
    control = {f"{key}_transposed": turned for key in ("geno", "pheno", "gmap", "covar")}
    control |= {"covar": "covar.csv", "phenocovar": "phenocovar.csv"}
    if turned:
        for key in ("geno", "pheno", "gmap", "covar"):
            rows = (line.split(",") for line in files[f"{key}.csv"].splitlines())
            files[f"{key}.csv"] = "".join(
                ",".join(cells) + "\n" for cells in zip(*rows, strict=True)
            )
    right, _ = read(write(tmp_path, files, **control))
    first, *rows = files[f"{name}.csv"].splitlines()
    files[f"{name}.csv"] = "\n".join([first, *(f"{row}," for row in rows)])
    ds, said = read(write(tmp_path, files, **control))
    assert f"{name}.csv: every row ends in 1 empty field" in said
    assert ds.identical(right)


def test_names_that_start_with_another_sign_than_that_of_comments(tmp_path):
    files = {key: text.replace("\nb,", "\n#b,") for key, text in FILES.items()}
    ds, _ = read(write(tmp_path, files, **{"comment.char": "%"}))
    assert list(ds["sample_id"].values) == ["a", "#b", "c"]


def test_time_grows_with_the_markers_not_their_square(tmp_path):
    def seconds(count: int) -> float:
        folder = tmp_path / str(count)
        folder.mkdir()
        names = [f"m{i}" for i in range(count)]
        geno = "".join(
            f"{name},{'L,C,L,C' if i % 2 else 'C,C,L,L'}\n" for i, name in enumerate(names)
        )
        gmap = "".join(f"{name},1,{i}\n" for i, name in enumerate(names))
        files = {
            "geno.csv": f"id,a,b,c,d\n{geno}",
            "gmap.csv": f"marker,chr,pos\n{gmap}",
            "pheno.csv": "id,t1\na,1.5\nb,2\nc,0.25\nd,3\n",
        }
        path = write(folder, files, geno_transposed=True)
        start = time.process_time()
        assert read_rqtl2(path).sizes["variants"] == count
        return time.process_time() - start

    seconds(10)
    # Ten times as many markers take up to ten times as long; a hundred times, if each looks at all.
    assert seconds(30_000) < 30 * max(seconds(3_000), 0.05)
