"""read_csv: genotypes either way round, pairs of probabilities, maps, strains, covariates."""

import gzip

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from references import find

from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.study.readers.csv import read_csv

TRAITS = "sample,t1,t2\na,1.5,NA\nb,2,-3\nc,0.25,1e2\n"
GENO = "id,m1,m2\na,0,2\nb,1,0.5\nc,,1\n"
TURNED = "marker,b,a,c\nm1,1,0,\nm2,0.5,2,1\n"
MAP = "Marker,Chr,cM,Mb\nm2,X,3,30\nm1,1,2,20\n"
DOSAGES = [[0, 2], [1, 0.5], [np.nan, 1]]  # samples a, b, c; markers m1, m2

# As R and BulkLMM write it: no sample names, every marker twice.
PAIRS = '"m1_B","m1_D","m2_B","m2_D"\n0.1,0.9,1,0\n0.25,0.75,0,1\n1,0,0.998,0.002\n'
FIRST = [[0.1, 1], [0.25, 0], [1, 0.998]]


@pytest.fixture
def write(tmp_path):
    def put(**tables):
        paths = {}
        for name, content in ({"traits": TRAITS, "genotypes": GENO} | tables).items():
            paths[name] = tmp_path / f"{name}.csv"
            paths[name].write_text(content)
        return paths

    return put


def read(*args, **options):
    """Read, and give the study with all that was said."""
    with pytest.warns(StudyWarning) as said:
        ds = read_csv(*args, **options)
    return ds, " | ".join(str(one.message) for one in said)


def test_the_reference_study(reference):
    folder = reference / "bxd_longevity"
    ds = read_csv(
        folder / "samples.csv",
        folder / "strain_genotypes.csv.gz",
        variant_map=find(folder / "map.csv"),
        sample_strain="strain",
    )
    assert ds.sizes["samples"] == 248
    assert ds.sizes["variants"] == 7321
    assert list(ds["trait_id"].values) == ["peptide_29437"]
    assert len(set(ds["sample_strain"].values)) == 50
    assert ds["call_dosage"].attrs["maximum"] == 1
    strains = pd.read_csv(folder / "strain_genotypes.csv.gz", index_col=0)
    strains = strains.loc[ds["variant_id"].values, ds["sample_strain"].values]
    np.testing.assert_array_equal(ds["call_dosage"], strains)
    place = ds[["variant_position", "variant_genetic_position"]].sel(variants="rs6269442")
    assert place["variant_position"] == 3.492195
    assert place["variant_genetic_position"] == 1.5
    assert ds["variant_position"].attrs["units"] == "Mb"


@pytest.mark.parametrize(
    "genotypes", [GENO, TURNED, GENO.replace(",", "\t"), '"m1","m2"\na,0,2\nb,1,0.5\nc,NA,1\n']
)
def test_genotypes_either_way_round(write, genotypes):
    ds, said = read(**write(genotypes=genotypes))
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
    np.testing.assert_array_equal(ds["sample_trait"], [[1.5, np.nan], [2, -3], [0.25, 100]])
    assert ds["call_dosage"].attrs["maximum"] == 2
    assert "1 of 6 genotypes" in said


def test_gzipped_tables(tmp_path):
    (tmp_path / "traits.csv.gz").write_bytes(gzip.compress(TRAITS.encode()))
    (tmp_path / "geno.tsv.gz").write_bytes(gzip.compress(TURNED.replace(",", "\t").encode()))
    ds, _ = read(tmp_path / "traits.csv.gz", str(tmp_path / "geno.tsv.gz"))
    np.testing.assert_array_equal(ds["call_dosage"].T, DOSAGES)
    whole = (tmp_path / "traits.csv.gz").read_bytes()
    (tmp_path / "traits.csv.gz").write_bytes(whole[:-12])
    with pytest.raises(InputError, match=r"traits.csv.gz is damaged or cut short"):
        read_csv(tmp_path / "traits.csv.gz", tmp_path / "geno.tsv.gz")


def test_numbered_samples_and_markers_are_told_apart(write):
    traits = "sample,t\n1,1\n2,2\n3,3\n"
    tables = write(traits=traits, genotypes="marker,1,2,3\n1,0,1,1\n2,1,1,0\n")
    ds = read_csv(**tables)
    np.testing.assert_array_equal(ds["call_dosage"], [[0, 1, 1], [1, 1, 0]])
    square = write(traits=traits, genotypes="id,1,2,3\n1,0,1,1\n2,1,1,0\n3,0,0,1\n")
    with pytest.raises(InputError, match="cannot be told which side is the samples"):
        read_csv(**square)


def test_a_map_orders_places_and_drops_markers(write):
    tables = write(
        variant_map=MAP + "m3,2,1,1\n",
        genotypes=GENO.replace("m1", "m0,m1")
        .replace("a,", "a,1,")
        .replace("b,", "b,1,")
        .replace("c,", "c,0,"),
    )
    ds, said = read(**tables)
    assert list(ds["variant_id"].values) == ["m2", "m1"]
    assert list(ds["contig_id"].values) == ["X", "1"]
    np.testing.assert_array_equal(ds["variant_position"], [30, 20])
    np.testing.assert_array_equal(ds["variant_genetic_position"], [3, 2])
    np.testing.assert_array_equal(ds["call_dosage"].T, np.array(DOSAGES)[:, ::-1])
    assert "1 of 3 markers have genotypes but no position on the map and are dropped: 'm0'" in said
    assert "have no genotypes and are left out: 'm3'" in said


@pytest.mark.parametrize(
    ("header", "unit", "factor", "options"),
    [
        ("snp,chromosome,bp", "bp", 1e6, {}),
        ("Locus,CHR,cM", "cM", 1, {}),
        ("variant_id,chrom,position (Mb)", "Mb", 1, {}),
        ("marker,chr,pos", "cM", 1, {"position_unit": "cM"}),
    ],
)
def test_columns_of_a_map_are_found_by_name(write, header, unit, factor, options):
    rows = "".join(f"{name},1,{place * factor:.0f}\n" for name, place in (("m1", 5), ("m2", 7)))
    ds, said = read(**write(variant_map=f"{header}\n{rows}"), **options)
    assert ds["variant_position"].attrs["units"] == unit
    np.testing.assert_array_equal(ds["variant_position"], [5 * factor, 7 * factor])
    assert "unit" not in said


@pytest.mark.parametrize(("place", "unit"), [(70, "Mb"), (70_000_000, "bp")])
def test_an_unnamed_unit_is_guessed_aloud(write, place, unit):
    ds, said = read(**write(variant_map=f"marker,chr,pos\nm1,1,1\nm2,1,{place}\n"))
    assert ds["variant_position"].attrs["units"] == unit
    assert f"taken as {unit}" in said


def test_pairs_of_probabilities_without_sample_names(write):
    ds, said = read(**write(genotypes=PAIRS))
    np.testing.assert_array_equal(ds["call_dosage"].T, FIRST)
    assert list(ds["variant_id"].values) == ["m1", "m2"]
    assert list(ds["variant_allele"].values[0]) == ["D", "B"]
    assert ds["call_dosage"].attrs["maximum"] == 1
    assert "has no column of sample names" in said
    assert "2 pairs of complementary probabilities" in said


def test_names_with_underscores_are_no_genotypes(write):
    """Python reads 0_1 as the number one."""
    tables = write(genotypes="line,m1,m2\n0_1,0,2\n0_2,1,2\n0_0,2,1\n")
    with pytest.raises(InputError, match=r"genotypes\.csv.*'0_1', '0_2', '0_0'"):
        read_csv(**tables)


@pytest.mark.parametrize(
    "header",
    [
        "m1,m1,m2,m2",
        "m1A,m1B,m2A,m2B",
        "AA.m1,BB.m1,AA.m2,BB.m2",
        "X1.A.m1,X1.B.m1,X1.A.m2,X1.B.m2",
    ],
)
def test_names_of_pairs(write, header):
    body = "".join(f"{s},{row}\n" for s, row in zip("abc", PAIRS.split()[1:], strict=True))
    ds, said = read(**write(genotypes=f"id,{header}\n{body}", variant_map=MAP))
    assert list(ds["variant_id"].values) == ["m2", "m1"]
    np.testing.assert_array_equal(ds["call_dosage"].T, np.array(FIRST)[:, ::-1])
    assert "no column of sample names" not in said


def test_pairs_on_rows(write):
    rows = "m1_A,0.1,0.25,1\nm1_B,0.9,0.75,0\nm2_A,1,0,0\nm2_B,0,1,1\n"
    ds, _ = read(**write(genotypes=f"marker,a,b,c\n{rows}"))
    np.testing.assert_array_equal(ds["call_dosage"], [[0.1, 0.25, 1], [1, 0, 0]])


def test_markers_that_only_happen_to_be_opposite_are_kept(write):
    opposite = "id,m1,m2\na,0,1\nb,1,0\nc,1,0\n"
    assert read_csv(**write(genotypes=opposite)).sizes["variants"] == 2
    ds, _ = read(**write(genotypes=opposite), complementary=True)
    assert list(ds["variant_id"].values) == ["m1"]
    with pytest.raises(InputError, match="columns from 'm1' on are not complementary"):
        read_csv(**write(), complementary=True)
    paired = "id,m_A,m_B\na,0,1\nb,1,0\nc,1,0\n"
    assert read_csv(**write(genotypes=paired), complementary=False).sizes["variants"] == 2


STRAINS = "marker,S1,S2,S3\nm1,0,1,1\nm2,1,1,0\n"


@pytest.mark.parametrize(
    "table", ["sample,strain\nc,S1\na,S2\nb,S1\n", "Strain,mouse\nS1,c\nS2,a\nS1,b\n"]
)
def test_strains_from_a_table(write, table):
    tables = write(genotypes=STRAINS, sample_strain=table)
    ds, said = read(**tables)
    assert list(ds["sample_strain"].values) == ["S2", "S1", "S1"]
    np.testing.assert_array_equal(ds["call_dosage"], [[1, 0, 0], [1, 1, 1]])
    assert "1 of 3 strains with genotypes have no traits and are dropped: 'S3'" in said
    frame = pd.read_csv(tables.pop("sample_strain"))
    again, _ = read(**tables, sample_strain=frame)
    assert again.identical(ds)


def test_strains_from_a_column_and_covariates_from_others(write):
    traits = "sample,strain,t,sex,age\na,S2,1,f,3\nb,S1,2,m,\nc,S3,3,f,5\n"
    ds, said = read(
        **write(traits=traits, genotypes=STRAINS), sample_strain="strain", covariates=["sex", "age"]
    )
    assert list(ds["trait_id"].values) == ["t"]
    np.testing.assert_array_equal(ds["sample_covariate"], [[0, 3], [1, np.nan], [0, 5]])
    assert "'f' becomes 0 and 'm' 1" in said
    ds, _ = read(
        **write(traits=traits.replace("age", "t2"), genotypes=STRAINS),
        sample_strain="strain",
        covariates="sex",
    )
    assert list(ds["trait_id"].values) == ["t", "t2"]


def test_covariates_from_a_table(write):
    covariates = "id,age,site\nc,5,x\nb,7,y\na,1,z\n"
    ds, said = read(**write(covariates=covariates))
    np.testing.assert_array_equal(ds["sample_covariate"], [[1], [7], [5]])
    assert list(ds["sample_site"].values) == ["z", "y", "x"]
    assert "column 'site' has 3 different texts" in said


@pytest.mark.parametrize(
    ("tables", "options", "message"),
    [
        (
            {"traits": "id,t\na,1\nb,hi\n"},
            {},
            r"traits.csv, line 3 \('b'\), column 't': 'hi' is not.*covariates",
        ),
        (
            {"genotypes": "id,m1\na,1\nb,B/B\n"},
            {},
            r"genotypes.csv, line 3 \('b'\), column 'm1': 'B/B'",
        ),
        ({"genotypes": "id,m1,m2\na,1\n"}, {}, "genotypes.csv, line 2: 2 fields, .* header has 3"),
        ({"traits": "id,t\n"}, {}, "traits.csv has 0 samples and 1 trait;"),
        ({"traits": "id\na\n"}, {}, "traits.csv has 1 sample and 0 traits;"),
        ({"traits": ""}, {}, "traits.csv is empty"),
        (
            {"traits": "id,t,t\na,1,2\nb,1,2\n"},
            {},
            "trait names .* must be unique.*'t'",
        ),
        ({"traits": "id,t\na,1\na,2\n"}, {}, "sample names of traits must be unique"),
        ({"traits": "id,t\na,1\nb,inf\nc,1\n"}, {}, "traits holds 1 infinite .* sample 'b'"),
        ({"genotypes": "id,m1\nx,1\ny,0\n"}, {}, "cannot be told which side is the samples"),
        ({"genotypes": "id,m1,m2\nx,1,0\ny,0,1\n", "variant_map": MAP}, {}, "no sample in common"),
        (
            {"genotypes": "id,m1\na,3\nb,0\nc,1\n"},
            {},
            r"outside 0\.\.2, the first 3.0 at variant 'm1'",
        ),
        ({"variant_map": "marker,place\nm1,1\n"}, {}, "a map needs a marker, a chromosome"),
        ({"variant_map": "marker,chr,Mb\nm1,1,far\n"}, {}, "marker 'm1': the position 'far'"),
        (
            {"variant_map": "marker,chr,Mb\nm7,1,1\n"},
            {},
            "genotypes and map have no marker in common",
        ),
        ({"sample_strain": "mouse,kind\na,S1\n"}, {}, "should have a column called strain"),
        ({}, {"covariates": ["sex"]}, "no column 'sex' for covariates; it has 't1', 't2'"),
        ({}, {"covariates": "sex"}, "there is no file sex"),
        ({}, {"maximum": 5}, "maximum is 5"),
        ({"traits": "id,t\na,1\n,2\n"}, {}, "traits.csv: row 2 below the header has no name"),
        ({"variant_map": MAP}, {"position_unit": "bp"}, "positions 'Mb', 'cM', not bp"),
        ({}, {"position_unit": "bp"}, "position_unit is 'bp', but there is no map"),
        ({}, {"sample_strain": "line"}, "'line', which is neither a file nor a column.*'t1', 't2'"),
    ],
)
@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_bad_tables(write, tables, options, message):
    with pytest.raises(InputError, match=message):
        read_csv(**write(**tables), **options)


def test_a_covariate_with_one_bad_cell_quotes_it(write):
    paths = write(covariates="id,age\na,3\nb,2O\nc,5\n")
    assert "all are numbers but 1, the first '2O' of 'b'" in read(**paths)[1]


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*none\.csv"):
        read_csv(tmp_path / "none.csv", tmp_path / "none.csv")


CODED = "id,m1,m2\na,1,2\nb,2,2\nc,2,1\n"


@pytest.mark.parametrize("genotypes", [CODED, "marker,a,b,c\nm1,1,2,2\nm2,2,2,1\n"])
def test_lines_coded_1_and_2(write, genotypes):
    ds, said = read(**write(genotypes=genotypes))
    np.testing.assert_array_equal(ds["call_dosage"], [[0, 1, 1], [1, 1, 0]])
    assert ds["call_dosage"].attrs["maximum"] == 1
    assert "genotypes.csv: the genotypes are 1, 2, taken as codes of two homozygotes" in said
    assert "say so with maximum=2" in said
    kept = read_csv(**write(genotypes=genotypes), maximum=2)
    np.testing.assert_array_equal(kept["call_dosage"], [[1, 2, 2], [2, 2, 1]])
    turned = read_csv(**write(genotypes=genotypes), codes={1: 2, 2: 0})
    np.testing.assert_array_equal(turned["call_dosage"], [[2, 0, 0], [0, 0, 2]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("traits", TRAITS),
        ("genotypes", GENO),
        ("genotypes", TURNED),
        ("variant_map", MAP),
        ("sample_strain", "sample,strain\na,a\nb,b\nc,c\n"),
        ("covariates", "id,age\na,1\nb,2\nc,3\n"),
        ("trait_positions", "trait,chr,Mb\nt1,1,2\nt2,X,3\n"),
    ],
)
def test_no_table_is_shifted_by_separators_at_the_end_of_its_lines(write, name, text):
    right, _ = read(**write(**{"variant_map": MAP, name: text}))
    first, *rows = text.splitlines()
    ended = "".join(f"{line}\n" for line in (first, *(f"{row}," for row in rows)))
    ds, said = read(**write(**{"variant_map": MAP, name: ended}))
    assert f"{name}.csv: every row ends in 1 empty field" in said
    assert ds.identical(right)


@pytest.mark.parametrize(
    "tables",
    [
        {"genotypes": "id,m1\nx,1\na,0\na,1\n"},
        {"traits": "id,t,t\na,1,2\nb,2,3\n"},
        {"traits": "id,t\na,inf\nb,2\nc,3\n"},
    ],
)
def test_errors_name_the_files_of_genotypes_and_traits(write, tables):
    with pytest.raises(InputError, match=r"\(genotypes: .*genotypes.csv; traits: .*traits.csv\)"):
        read_csv(**write(**tables))


@pytest.mark.parametrize(
    "traits",
    [
        "a,900,2,3\nb,1,2,4\nc,2,5,6\n",  # an outlier
        "a,NA,NA\nb,1,2\nc,2,5\n",
        "a,x\nb,1\nc,2\n",
        "a;100000;9\nb;2;8\nc;4;7\n",
    ],
)
def test_a_first_line_of_a_sample_is_no_header(write, traits):
    paths = write(traits=traits)
    with pytest.raises(InputError, match=r"traits\.csv, line 1: this first line looks like data"):
        read_csv(**paths)


def test_covariates_without_a_header_are_refused(write):
    paths = write(covariates="a,M\nb,F\nc,F\n")
    with pytest.raises(
        InputError, match=r"covariates\.csv, line 1: .* begins with 'a', the name of"
    ):
        read_csv(**paths)


def test_commas_between_the_thousands_of_positions(write):
    traits = "sample,t1\na,1.5\nb,2\nc,0.25\n"
    rows = 'm1,1,"3,000,000"\nm2,1,"12,500,000.5"\n'
    paths = write(
        traits=traits,
        genotypes="id,m1,m2\na,0,2\nb,1,0.5\nc,2,1\n",
        variant_map="marker,chr,bp\n" + rows,
        trait_positions='trait,chr,bp\nt1,chr1,"1,234,567"\n',
    )
    ds = read_csv(**paths)
    assert list(ds["variant_position"].values) == [3e6, 12500000.5]
    assert list(ds["trait_position"].values) == [1234567]
    paths["variant_map"].write_text("marker,chr,bp\n" + rows.replace("3,000,000", "3,00,000"))
    with pytest.raises(InputError, match="the position '3,00,000' in line 2 is not a number"):
        read_csv(**paths)


def test_tables_of_pandas_in_place_of_files(write):
    files = write(covariates="id,age\na,61\nb,70\nc,63\n", strains="id,strain\na,a\nb,b\nc,c\n")
    frames = {name: pd.read_csv(file) for name, file in files.items()}
    traits, strains = frames["traits"].set_index("sample"), frames["strains"]
    covariates = frames["covariates"].set_index("id")
    expected, _ = read(
        files["traits"],
        files["genotypes"],
        covariates=files["covariates"],
        sample_strain=files["strains"],
    )
    tables = {"covariates": covariates, "sample_strain": strains}
    found, _ = read(traits, files["genotypes"], **tables)
    assert found.attrs["source"] == "genotypes.csv"
    xr.testing.assert_equal(found, expected)
    for odd, message in (
        ({"covariates": covariates.iloc[:, [0, 0]]}, "columns of the covariates must be unique"),
        ({"sample_strain": strains.iloc[:, [0, 0, 1]]}, "columns of sample_strain must be unique"),
        ({"sample_strain": strains.iloc[:, :0]}, "should have a column called strain"),
    ):
        with pytest.raises(InputError, match=message):
            read_csv(traits, files["genotypes"], **(tables | odd))
    held = covariates.astype(object)
    held.iat[0, 0] = np.zeros(2)  # a cell may hold anything
    with pytest.warns(StudyWarning):
        assert "covariate_id" not in read_csv(traits, files["genotypes"], covariates=held)


def test_covariates_that_are_no_names(tmp_path):
    (tmp_path / "g.csv").write_text("id,m1,m2\na,0,1\nb,2,1\nc,1,0\nd,0,2\n")
    (tmp_path / "t.csv").write_text("id,t1\na,1\nb,2\nc,4\nd,3\n")
    with pytest.raises(InputError, match="covariates is a int; give a list"):
        read_csv(tmp_path / "t.csv", tmp_path / "g.csv", covariates=5)
