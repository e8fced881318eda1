"""read_plink: bed/bim/fam with phenotypes and covariates beside or given; lazy, checked, said."""

import re
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from bed_reader import to_bed
from studies import told

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.study.metadata import metadata_names
from bulklmm_dask.study.readers import plink

CODES = {0: 0b11, 1: 0b10, 2: 0b00, -1: 0b01}  # PLINK's bits for the number of copies of A1
CALLS = np.array([[0, 1, 2, -1, 2], [2, 2, 1, 0, 0], [1, -1, 0, 0, 1]])  # variants, samples
FAM = "f1 a 0 0 1 1.5\nf1 b 0 0 2 -9\nf2 c 0 0 1 0.25\nf2 d 0 0 0 NA\nf3 e 0 0 2 1e1\n"
BIM = "1 rs1 0.5 100 G A\n1 . 0.6 200 C T\nX rs3 0 50 A AT\n"
DOSAGES = np.where(CALLS < 0, np.nan, CALLS)


def pack(calls):
    """The bytes of a .bed file, packed by the book: four samples a byte, the first lowest."""
    out = bytearray(b"\x6c\x1b\x01")
    for row in calls:
        for four in (row[i : i + 4] for i in range(0, len(row), 4)):
            out.append(sum(CODES[int(call)] << 2 * place for place, call in enumerate(four)))
    return bytes(out)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "x.bed").write_bytes(pack(CALLS))
    (tmp_path / "x.bim").write_text(BIM)
    (tmp_path / "x.fam").write_text(FAM)
    return tmp_path


def read(*args, said=(), **options):
    """Read; each text must have been said, and nothing else but which metadata there are."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        ds = blmm.read_plink(*args, **options)
    words = [str(one.message) for one in found]
    metadata = metadata_names(ds)
    if "family_id" in metadata or "sex" in metadata:
        assert "x.fam: the samples have " in words.pop()
    for text, heard in zip(said, words, strict=True):
        assert text in heard
    return ds


def test_sex_and_family_are_announced(files):
    with pytest.warns(StudyWarning, match="no id|the samples have") as found:
        blmm.read_plink(files / "x")
    assert str(found[-1].message) == (
        f"{files / 'x.fam'}: the samples have 'sex', 'family_id' (covariates of a scan once they "
        "are named: covariates=['sex'])"
    )
    alone = "".join(f"{name} {name} 0 0 0 1\n" for name in "abcde")
    (files / "x.fam").write_text(alone)
    with pytest.warns(StudyWarning) as found:
        blmm.read_plink(files / "x")
    assert [NAMED in str(one.message) for one in found] == [True]


NAMED = "1 of 3 variants have no id and are named by chromosome and position: '1:200'"


@pytest.mark.parametrize("name", ["x", "x.bed", "x.fam"])
def test_a_file_set(files, name):
    ds = read(files / name, said=[NAMED])
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    assert ds["call_dosage"].chunks is not None
    assert ds["call_dosage"].attrs["maximum"] == 2
    assert list(ds["variant_id"].values) == ["rs1", "1:200", "rs3"]
    assert ds["variant_allele"].values.tolist() == [["A", "G"], ["T", "C"], ["AT", "A"]]
    assert list(ds["sample_id"].values) == list("abcde")
    np.testing.assert_array_equal(ds["sample_trait"][:, 0], [1.5, np.nan, 0.25, np.nan, 10])
    assert ds["variant_position"].attrs["units"] == "bp"
    assert ds["variant_position"].values.tolist() == [100, 200, 50]
    assert ds["variant_genetic_position"].values.tolist() == [0.5, 0.6, 0]
    assert list(ds["contig_id"].values) == ["1", "X"]
    assert list(ds["sample_sex"].values) == ["male", "female", "male", "", "female"]
    assert list(ds["sample_family_id"].values) == ["f1", "f1", "f2", "f2", "f3"]


def test_it_counts_allele_1_as_bed_reader_does(files):
    to_bed(files / "x.bed", np.where(CALLS < 0, -127, CALLS).T.astype(np.int8))
    (files / "x.bim").write_text(BIM)
    (files / "x.fam").write_text(FAM)
    assert (files / "x.bed").read_bytes() == pack(CALLS)


def test_a_file_that_goes_by_sample(files):
    bim, fam = (files / "x.bim").read_text(), (files / "x.fam").read_text()
    to_bed(files / "x.bed", np.where(CALLS < 0, -127, CALLS).T.astype(np.int8), major="individual")
    (files / "x.bim").write_text(bim)
    (files / "x.fam").write_text(fam)
    assert (files / "x.bed").read_bytes()[2] == 0
    np.testing.assert_array_equal(read(files / "x", said=[NAMED])["call_dosage"], DOSAGES)


def test_phenotypes_and_covariates_beside(files):
    (files / "x.pheno").write_text(
        "FID IID height case\nf2 d 4 2\nf1 a -9 1\nf9 z 1 1\nf2 c 3 0\nf3 e NA -9\n"
    )
    (files / "x.covar").write_text("f1 a 30 lab1\nf2 c NA lab2\nf2 d 50 lab1\nf3 e 60 lab2\n")
    ds = read(
        files / "x",
        said=[
            NAMED,
            "1 phenotypes are coded 1 and 2 for control and case, so their 1 values 0",
            "covariate 'covariate2' is text: 'lab1' becomes 0 and 'lab2' 1",
            "1 of 5 samples with traits have no genotypes and are dropped: 'z'",
            "1 of 5 samples with genotypes have no traits and are dropped: 'b'",
            "1 of 4 samples lack a covariate",
        ],
    )
    assert list(ds["sample_id"].values) == list("acde")
    assert list(ds["trait_id"].values) == ["height", "case"]
    np.testing.assert_array_equal(
        ds["sample_trait"], [[np.nan, 1], [3, np.nan], [4, 2], [np.nan, np.nan]]
    )
    np.testing.assert_array_equal(ds["sample_covariate"], [[30, 0], [np.nan, 1], [50, 0], [60, 1]])
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES[:, [0, 2, 3, 4]])


@pytest.mark.parametrize(
    "table",
    ["f1 a 1 2\nf1 b 3 4\nf2 c 5 6\nf2 d 7 8\nf3 e 9 -9\n", "#IID x y\ne 9 NA\nb 3 4\na 1 2\n"],
)
def test_phenotypes_with_and_without_a_header(files, table):
    (files / "p.txt").write_text(table)
    some = [] if table[0] == "f" else ["2 of 5 samples with genotypes have no traits"]
    ds = read(files / "x", phenotypes=files / "p.txt", said=[NAMED, *some])
    assert list(ds["trait_id"].values) == (
        ["x", "y"] if table[0] == "#" else ["phenotype1", "phenotype2"]
    )
    found = ds["sample_trait"].sel(samples=["a", "b", "e"])
    np.testing.assert_array_equal(found, [[1, 2], [3, 4], [9, np.nan]])


@pytest.mark.parametrize(
    ("table", "turned"),
    [
        ("id\ta\tb\tc\td\te\nage\t1\t2\t3\t4\t5\nsex\tf\tm\tf\tm\tf\n", True),
        ("id,e,d,c,b,a\nage,5,4,3,2,1\nsex,f,m,f,m,f\n", True),
        ("id\tage\tsex\na\t1\tf\nb\t2\tm\nc\t3\tf\nd\t4\tm\ne\t5\tf\n", False),
    ],
)
def test_covariates_by_sample_name_either_way_round(files, table, turned):
    """Such as tensorQTL's, whatever they are called; not by family and sample id."""
    (files / "covariates.txt").write_text(table)
    said = [NAMED] + ["has the samples in its columns"] * turned + ["'sex' is text: 'f' becomes 0"]
    ds = read(files / "x", covariates=files / "covariates.txt", said=said)
    assert list(ds["covariate_id"].values) == ["age", "sex"]
    expected = [[1, 0], [2, 1], [3, 0], [4, 1], [5, 0]]
    np.testing.assert_array_equal(ds["sample_covariate"], expected)


@pytest.mark.parametrize("kind", ["csv", "frame"])
def test_phenotypes_by_sample_name(files, kind):
    frame = pd.DataFrame({"t": [1.0, 2, 3, 4, -9]}, index=list("abcde"))
    frame.to_csv(files / "t.csv")
    source = frame if kind == "frame" else files / "t.csv"
    ds = read(files / "x", phenotypes=source, covariates=source, said=[NAMED])
    assert ds["sample_trait"].values[:, 0].tolist() == [1, 2, 3, 4, -9]
    assert ds["sample_covariate"].values[:, 0].tolist() == [1, 2, 3, 4, -9]


def test_samples_of_families_with_the_same_ids(files):
    (files / "x.fam").write_text(FAM.replace(" c ", " a "))
    (files / "x.pheno").write_text("f2 a 1\nf1 a 2\nf1 b 3\nf2 d 4\nf3 e 5\n")
    ds = read(files / "x", said=[NAMED.replace(NAMED, "all are named by family and id"), NAMED])
    assert ds["sample_id"].values[:3].tolist() == ["f1_a", "f1_b", "f2_a"]
    assert ds["sample_trait"].values[:, 0].tolist() == [2, 3, 1, 4, 5]


FIVE = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
FAMILY = {"a": "f1", "b": "f1", "c": "f2", "d": "f2", "e": "f3"}


def table(rows, header="", sep=" "):
    return header + "".join(sep.join(map(str, row)) + "\n" for row in rows)


def own(families=FAMILY):
    return [(families[name], name, value) for name, value in FIVE.items()]


def test_a_table_of_several_families_is_matched_by_both_ids(files):
    others = [("f9", name, 100 * value) for name, value in FIVE.items()]
    (files / "x.pheno").write_text(table(others + own()))
    (files / "x.covar").write_text(table(own() + others, "FID IID age\n"))
    what = "5 rows of {} have the sample id of .*x.fam but another family, so they are other people"
    with pytest.warns(StudyWarning) as found:
        ds = blmm.read_plink(files / "x")
    said = [str(one.message) for one in found]
    for name in ("x.pheno", "x.covar"):
        assert sum(bool(re.search(what.format(f".*{name}"), one)) for one in said) == 1
    assert any("5 of 10 samples with traits have no genotypes" in one for one in said)
    assert ds["sample_trait"].values[:, 0].tolist() == list(FIVE.values())
    assert ds["sample_covariate"].values[:, 0].tolist() == list(FIVE.values())


@pytest.mark.parametrize("header", ["", "FID IID t\n", "#FID IID t\n", "fid iid t\n"])
def test_a_table_of_other_families_only_is_refused(files, header):
    (files / "x.pheno").write_text(table([("f9", name, 1) for name in FIVE], header))
    message = r"none of the 5 rows of .*x.pheno is of a sample in .*x.fam: .*'f9 a'.*'f1 a'.*#IID"
    with pytest.warns(StudyWarning, match="no id"), pytest.raises(InputError, match=message):
        blmm.read_plink(files / "x")
    (files / "x.pheno").unlink()
    (files / "x.covar").write_text(table([("f9", name, 1) for name in FIVE], header))
    message = message.replace("pheno", "covar")
    with pytest.warns(StudyWarning, match="no id"), pytest.raises(InputError, match=message):
        blmm.read_plink(files / "x")


@pytest.mark.parametrize("fam", ["0", "own"])
@pytest.mark.parametrize("given", ["0", "own"])
def test_no_family_is_0_or_the_own_id(files, fam, given):
    rows = [((name if fam == "own" else "0"), name, 0, 0, 0, -9) for name in FIVE]
    (files / "x.fam").write_text(table(rows))
    families = {name: name if given == "own" else "0" for name in FIVE}
    (files / "x.pheno").write_text(table(own(families)[::-1]))
    ds = read(files / "x", said=[NAMED])
    assert ds["sample_trait"].values[:, 0].tolist() == list(FIVE.values())


@pytest.mark.parametrize(("ending", "sep"), [(".csv", ","), (".tsv", "\t"), (".csv", ";")])
def test_a_delimited_table_with_family_ids_goes_by_both(files, ending, sep):
    (files / "x.fam").write_text(FAM.replace(" c ", " a "))  # f1 a, f1 b, f2 a, ...
    rows = [("f2", "a", 3), ("f1", "a", 1), ("f1", "b", "-9"), ("f2", "d", 4), ("f3", "e", "")]
    (files / f"p{ending}").write_text(table(rows, sep.join(("FID", "IID", "t\n")), sep))
    ds = read(
        files / "x",
        phenotypes=files / f"p{ending}",
        said=["all are named by family and id", NAMED],
    )
    np.testing.assert_array_equal(ds["sample_trait"][:, 0], [1, np.nan, 3, 4, np.nan])


def test_a_sample_id_of_two_families_needs_the_family(files):
    (files / "x.fam").write_text(FAM.replace(" c ", " a "))
    (files / "x.pheno").write_text("#IID t\nb 1\na 2\n")
    with (
        pytest.warns(StudyWarning),
        pytest.raises(InputError, match=r"x.pheno, line 3: the sample id 'a' is of 2 families"),
    ):
        blmm.read_plink(files / "x")


def test_names_of_samples_are_unique_whatever_the_ids(files):
    pairs = [("f", "a_b"), ("f_a", "b"), ("g", "b"), ("0", "z"), ("z", "z")]
    (files / "x.fam").write_text(table([(*pair, 0, 0, 0, i) for i, pair in enumerate(pairs, 1)]))
    ds = read(files / "x", said=["all are named by family and id", NAMED])
    assert ds["sample_id"].values.tolist() == ["f:a_b", "f_a:b", "g:b", "0:z", "z:z"]
    (files / "x.pheno").write_text(table([(*p, i) for i, p in enumerate(pairs, 1)][::-1]))
    ds = read(files / "x", said=["all are named by family and id", NAMED])
    assert ds["sample_trait"].values[:, 0].tolist() == [1, 2, 3, 4, 5]


def test_a_fam_file_with_several_phenotypes(files):
    lines = [line + f" {i} NA -9" for i, line in enumerate(FAM.splitlines())]
    (files / "x.fam").write_text("\n".join(lines))
    said = [
        NAMED,
        "2 of 4 traits have no value at all",
    ]
    ds = read(files / "x", said=said)
    assert list(ds["trait_id"].values) == [f"phenotype{i}" for i in (1, 2, 3, 4)]
    np.testing.assert_array_equal(ds["sample_trait"][:, 0], [1.5, np.nan, 0.25, np.nan, 10])
    np.testing.assert_array_equal(ds["sample_trait"][:, 1], range(5))


def test_text_in_the_fam_file_does_not_matter_beside_a_table(files):
    (files / "x.fam").write_text(FAM.replace("1.5", "case").replace("1e1", "control x"))
    with pytest.raises(InputError, match=r"x.fam, line 5: 7 fields instead of 6"):
        blmm.read_plink(files / "x")
    (files / "x.fam").write_text(FAM.replace("1.5", "case").replace("1e1", "control"))
    with (
        pytest.warns(StudyWarning, match="no id"),
        pytest.raises(InputError, match=r"line 1: phenotype 1 is 'case', .* give phenotypes"),
    ):
        blmm.read_plink(files / "x")
    traits = pd.DataFrame({"t": FIVE})
    ds = read(files / "x", phenotypes=traits, said=[NAMED])
    assert ds["sample_trait"].values[:, 0].tolist() == list(FIVE.values())


def test_one_name_at_several_places(files):
    bim = "1 rs1 0 100 G A\n2 rs1 0 200 G A\nX rs1 0 50 A AT\n"
    (files / "x.bim").write_text(bim)
    ds = read(files / "x", said=["3 of 3 variants share their name"])
    assert list(ds["variant_id"].values) == ["rs1:A:G:1:100", "rs1:A:G:2:200", "rs1:AT:A"]
    (files / "x.bim").write_text("1 m 0 100 G A\n1 m 0 100 G A\n1 . 0 7 G A\n")
    ds = read(files / "x", said=[NAMED.replace("200", "7"), "2 of 3 variants share their name"])
    assert list(ds["variant_id"].values) == ["m:A:G:1:100:1", "m:A:G:1:100:2", "1:7"]


def test_a_position_that_is_missing(files):
    (files / "x.bim").write_text(BIM.replace("200", "nan"))
    with (
        pytest.warns(StudyWarning, match=r"named by chromosome and position: '1:\?'"),
        pytest.raises(InputError, match=r"1 variants have no position: '1:\?'"),
    ):
        blmm.read_plink(files / "x")


def test_relative_paths_hold_wherever_the_program_goes(files, monkeypatch):
    monkeypatch.chdir(files)
    ds = read("x.bed", said=[NAMED])
    (files / "elsewhere").mkdir()
    monkeypatch.chdir(files / "elsewhere")
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    (files / "x.bed").write_bytes(pack(CALLS)[:-1])
    with pytest.raises(InputError, match=r"^x.bed, variants 1 to 3: "):
        ds["call_dosage"].load()


def test_variants_of_the_same_name_get_their_alleles(files):
    (files / "x.bim").write_text(BIM.replace(".", "rs1").replace("0rs1", "0."))
    ds = read(files / "x", said=["2 of 3 variants share their name"])
    assert list(ds["variant_id"].values) == ["rs1:A:G", "rs1:T:C", "rs3"]


def test_a_scan_of_files_is_that_of_arrays(files):
    rng = np.random.default_rng(1)
    calls = rng.integers(0, 3, (50, 30))
    (files / "x.bed").write_bytes(pack(calls))
    (files / "x.bim").write_text("".join(f"1 v{i} 0 {i + 1} A C\n" for i in range(50)))
    trait = rng.standard_normal(30)
    (files / "x.fam").write_text(
        "".join(f"0 s{i} 0 0 0 {value}\n" for i, value in enumerate(trait))
    )
    ds = read(files / "x")
    expected = blmm.create_dataset(calls.T.astype(float), trait[:, None], maximum=2)
    assert "sample_sex" not in ds
    np.testing.assert_allclose(
        blmm.scan(ds, kinship=blmm.kinship(ds)).lod,
        blmm.scan(expected, kinship=blmm.kinship(expected)).lod,
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.slow
def test_save_streams(files, monkeypatch):
    """Reads are of one chunk each, and memory stays far below the whole."""
    n, p = 1000, 20_000  # 80 MB as float32
    calls = np.random.default_rng(0).integers(0, 256, (p, n // 4), dtype=np.uint8)
    (files / "x.bed").write_bytes(b"\x6c\x1b\x01" + calls.tobytes())
    (files / "x.bim").write_text("".join(f"1 v{i} 0 {i + 1} A C\n" for i in range(p)))
    (files / "x.fam").write_text("".join(f"0 s{i} 0 0 0 {i}\n" for i in range(n)))
    ds = read(files / "x")
    reads = []
    whole = plink.Bed.read
    monkeypatch.setattr(
        plink.Bed, "read", lambda self, a, b: reads.append(b - a) or whole(self, a, b)
    )
    tracemalloc.start()
    with pytest.warns(blmm.StudyWarning, match="genotypes at 20000 variants are missing"):
        blmm.save(ds, files / "s.zarr")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(reads) == p
    assert max(reads) * n * 4 <= 2**24
    assert peak < 64e6
    back = blmm.open_dataset(files / "s.zarr")
    some = slice(p - 100, p)
    np.testing.assert_array_equal(back["call_dosage"][some], ds["call_dosage"][some])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("bed", pack(CALLS)[:-1], r"x.bed has 8 bytes, .* need 9; it holds 2 variants in full"),
        ("bed", b"PK\x03" + pack(CALLS)[3:], r"starts with the bytes '50 4b 03'"),
        ("bed", b"", r"starts with the bytes ''"),
        ("bim", BIM[:-5], r"x.bim, line 3: 4 fields instead of 6 \(chromosome"),
        ("bim", BIM.replace("200", "2OO"), r"x.bim, line 2: position 2 is '2OO'"),
        ("bim", BIM[: BIM.index("X")], r"and 2 variants in .*x.bim need 7; it holds 3 variants"),
        ("bim", "", r"x.bim is empty"),
        ("fam", FAM[:-6], r"x.fam, line 5: 4 fields instead of 6"),
        ("fam", FAM.replace("1e1", "tall"), r"x.fam, line 5: phenotype 1 is 'tall'"),
        ("fam", FAM.replace("f3 e", "f1 a"), r"samples of .*x.fam must be unique"),
        ("pheno", "FID IID t\nf1 a 1\nf1 b\n", r"x.pheno, line 3: 2 fields instead of 3"),
        ("pheno", "FID IID t\nf1 a 1\nf1 b x\n", r"x.pheno, line 3: phenotype 1 is 'x'"),
        ("pheno", "FID IID\nf1 a\n", r"1 samples and 0 phenotypes"),
        ("pheno", "f1 a 1\nf1 a 2\n", r"samples of .*x.pheno must be unique.*'a'"),
        ("covar", "f1 a 1 2\nf1 b 1\n", r"x.covar, line 2: 3 fields instead of 4"),
    ],
)
@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_malformed_files(files, file, content, message):
    path = files / f"x.{file}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        blmm.read_plink(files / "x")


def test_files_that_are_absent_or_without_phenotypes(files):
    (files / "x.fam").write_text("0 a 0 0 0 -9\n0 b 0 0 0 0\n" * 1)
    (files / "x.bed").write_bytes(pack(CALLS[:, :2]))
    with (
        pytest.warns(StudyWarning, match="no id"),
        pytest.raises(InputError, match=r"no phenotypes .*no x.pheno beside it"),
    ):
        blmm.read_plink(files / "x")
    with pytest.raises(InputError, match=r"there is no file .*y.fam"):
        blmm.read_plink(files / "y")


def test_a_file_cut_while_it_is_used(files):
    """Whatever happens to the file later is said as well, and no store is left behind."""
    ds = read(files / "x", said=[NAMED])
    (files / "x.bed").write_bytes(pack(CALLS)[:-1])
    with pytest.raises(InputError, match=r"x.bed, variants 1 to 3: "):
        blmm.save(ds, files / "s.zarr")
    assert not list(files.glob("*s.zarr*"))


def test_messages_quote_a_name_with_blanks(files):
    (files / "x y.bed").write_bytes(pack(CALLS))
    (files / "x y.bim").write_text(BIM)
    (files / "x y.fam").write_text(FAM)
    (files / "x y.pheno").write_text("FID IID t\ng1 a 1\ng2 b 2\n")
    refused = pytest.raises(InputError, match=r"of '.*x y\.pheno' is of a sample in '.*x y\.fam':")
    with refused, pytest.warns(StudyWarning):
        blmm.read_plink(files / "x y.bed")


def test_a_lost_line_of_people_is_said(files):
    """The size of the .bed file is the same for five samples and for six."""
    six = np.concatenate([CALLS, CALLS[:, :1]], axis=1)
    (files / "x.bed").write_bytes(pack(six))
    (files / "x.fam").write_text(FAM + "f3 f 0 0 2 3\n")
    whole, words = told(blmm.read_plink, files / "x.bed")
    assert whole.sizes["samples"] == 6
    assert "beyond" not in words
    (files / "x.fam").write_text(FAM)
    _, words = told(blmm.read_plink, files / "x.bed")
    assert "variant 'rs1' holds genotypes beyond those of the 5 samples in" in words
