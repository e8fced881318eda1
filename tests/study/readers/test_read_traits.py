"""Tables of traits in every layout, with every format of genotypes, and the places of traits."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from bed_reader import to_bed
from studies import told

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError

SAMPLES = ["a", "b", "c", "d"]
TRAITS = {"g1": [1, 2, 4, 3], "g2": [9, 8, np.nan, 6], "g3": [0.5, 2.5, 1, 4]}
VALUES = np.array(list(TRAITS.values())).T
PLACES = [("chr1", 999_999, 1_000_000), ("2", 5_000_000, 5_000_001), ("chrX", 5, 6)]
GENOTYPES = "id,m1,m2,m3\na,0,1,2\nb,2,1,0\nc,1,0,2\nd,0,2,1\n"
PLACE = "trait,contig,bp\ng1,chr1,1000000\ng2,1,30000000\n"
MAP = "marker,chr,Mb\nm1,1,1\nm2,1,20\nm3,2,5\n"


def cell(value) -> str:
    return "NA" if np.isnan(value) else f"{value:g}"


def upright(sep=",") -> str:
    rows = (sep.join([s, *map(cell, row)]) for s, row in zip(SAMPLES, VALUES, strict=True))
    return "\n".join([sep.join(["id", *TRAITS]), *rows]) + "\n"


def across(sep=",", corner="gene") -> str:
    rows = (sep.join([name, *map(cell, row)]) for name, row in TRAITS.items())
    return "\n".join([sep.join([corner, *SAMPLES]), *rows]) + "\n"


def bed(header="#chr start end phenotype_id", beside=(), sep="\t") -> str:
    rows = (
        sep.join([*map(str, place), name, *beside, *map(cell, row)])
        for place, (name, row) in zip(PLACES, TRAITS.items(), strict=True)
    )
    return "\n".join([sep.join([*header.split(), *SAMPLES]), *rows]) + "\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files into an empty folder, in which the test then works."""
    monkeypatch.chdir(tmp_path)

    def to_files(**contents):
        for name, content in {"geno": GENOTYPES, "map": MAP, **contents}.items():
            (tmp_path / f"{name}.csv").write_text(content)

    return to_files


def read(traits, **options):
    return told(blmm.read_csv, traits, "geno.csv", variant_map="map.csv", **options)


LAYOUTS = {
    "upright": upright(),
    "across": across(),
    "across, tabs": across("\t"),
    "across, no corner": across(corner=""),
    "across, as R writes it": across().replace("gene,", "", 1),
    "across, beside other columns": across().replace("gene,", "gene,length,", 1)
    .replace("g1,", "g1,500,").replace("g2,", "g2,x,").replace("g3,", "g3,7,"),
    "bed": bed(),
    "bed of FastQTL": bed("#Chr start end ID"),
    "bed of QTLtools": bed("#chr start end pid gid strand", ("x", "+")),
    "bed without its sign": bed("chr start end gene_id"),
    "bed between blanks": bed(sep=" "),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_study_from_every_layout(write, layout):
    write(traits=LAYOUTS[layout])
    ds, said = read("traits.csv")
    assert list(ds["sample_id"].values) == SAMPLES
    assert list(ds["trait_id"].values) == list(TRAITS)
    np.testing.assert_array_equal(ds["sample_trait"], VALUES)
    assert ("read as traits x samples" in said) == layout.startswith("across")
    assert ("1 column of 5 named no sample" in said) == ("beside" in layout)


def test_a_packed_expression_table_gives_the_places_of_its_traits(write, tmp_path):
    write()
    (tmp_path / "e.bed.gz").write_bytes(gzip.compress(bed().encode()))
    ds, said = read("e.bed.gz")
    np.testing.assert_array_equal(ds["trait_contig"], [0, 1, -1])
    np.testing.assert_allclose(ds["trait_position"], [1.0, 5.000001, np.nan])
    assert ds["trait_position"].attrs["units"] == "Mb"
    assert "e.bed.gz puts 1 trait on contigs without markers: 'chrX'" in said
    with pytest.warns(blmm.StudyWarning, match="fewer than 5 samples more"):
        result = blmm.scan(ds, kinship=None)
    found = blmm.find_hits(result, threshold=0)
    nearby = {("g1", "m1"), ("g2", "m3")}
    for trait, variant, cis in found[["trait", "variant", "cis"]].itertuples(index=False):
        if trait == "g3":
            assert pd.isna(cis)
        else:
            assert cis == ((trait, variant) in nearby)


@pytest.mark.parametrize(
    "table",
    [
        "trait,contig,position\ng1,1,1\ng2,2,5.000001\n",
        "gene_id\tchrom\tbp\ng2\tchr2\t5000001\ng1\tchr1\t1000000\n",
        "chr;start;gene\n1;1000000;g1\n2;5000001;g2\n",
        "Gene,Chr,Mb\ng1,Chr1,1\ng2,02,5.000001\ng9,1,7\n",
        bed().rsplit("\n", 2)[0] + "\n",
    ],
)
def test_places_of_traits_from_a_table(write, table):
    write(traits=upright(), places=table)
    ds, said = read("traits.csv", trait_positions="places.csv")
    np.testing.assert_array_equal(ds["trait_contig"], [0, 1, -1])
    np.testing.assert_allclose(ds["trait_position"], [1.0, 5.000001, np.nan])
    assert "no position of 1 of 3 traits: 'g3'" in said
    frame = pd.DataFrame({"contig": ["1", "2"], "position": [1, 5.000001]}, index=["g1", "g2"])
    same, _ = read("traits.csv", trait_positions=frame)
    assert same.identical(ds)
    named, _ = read("traits.csv", trait_positions=frame.rename_axis("trait").reset_index())
    assert named.identical(ds)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("trait,contig,position\nx,1,1\n", r"places\.csv has the position of no trait .* like 'x'"),
        ("trait,position\ng1,1\n", "a map needs a trait, a chromosome"),
        ("trait,contig,position\ng1,1,far\n", "trait 'g1': the position 'far' in line 2"),
        ("trait,contig,position\ng1,1,1\ng1,1,2\n", "the traits of places.csv must be unique"),
        (bed().replace("999999", "x"), r"places.csv, line 2 \('g1'\), column 'start': 'x' is not"),
        (bed().replace("g1", "g2"), "the traits of places.csv must be unique"),
        (bed().replace("g1", ""), "places.csv, line 2: the trait has no name"),
    ],
)
def test_bad_places(write, table, message):
    write(traits=upright(), places=table)
    with pytest.raises(InputError, match=message):
        blmm.read_csv("traits.csv", "geno.csv", variant_map="map.csv", trait_positions="places.csv")


def test_places_need_a_map(write):
    write(traits=upright(), places="trait,contig,position\ng1,1,1\n")
    ds, said = told(blmm.read_csv, "traits.csv", "geno.csv", trait_positions="places.csv")
    assert "trait_position" not in ds
    assert "places.csv gives positions of traits, but the study has no marker map" in said


def test_covariates_and_strains_are_rows_of_a_turned_table(write):
    write(traits=across() + "sex,f,m,m,f\n")
    ds, _ = read("traits.csv", covariates=["sex"])
    assert list(ds["trait_id"].values) == list(TRAITS)
    np.testing.assert_array_equal(ds["sample_covariate"][:, 0], [0, 1, 1, 0])


def test_samples_of_strains_in_the_columns(write):
    lines = GENOTYPES.replace("\na,", "\nA,").replace("\nb,", "\nB,")
    write(traits=across(), strains="sample,strain\na,A\nb,B\nc,A\nd,B\n", geno=lines)
    ds, _ = read("traits.csv", sample_strain="strains.csv")
    assert list(ds["sample_strain"].values) == ["A", "B", "A", "B"]
    np.testing.assert_array_equal(ds["sample_trait"], VALUES)
    np.testing.assert_array_equal(ds["call_dosage"][:, 2], ds["call_dosage"][:, 0])


def test_samples_called_by_numbers_go_by_the_side_with_more_of_them(write):
    samples = {"a": "1", "b": "2", "c": "3", "d": "4"}
    numbered = across().replace("a,b,c,d", "1,2,3,4").replace("g1", "1").replace("g2", "x")
    genotypes = "".join(samples.get(letter, letter) for letter in GENOTYPES).replace("i4", "id")
    write(traits=numbered, geno=genotypes)
    ds, _ = read("traits.csv")
    assert list(ds["sample_id"].values) == ["1", "2", "3", "4"]
    assert list(ds["trait_id"].values) == ["1", "x", "g3"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (bed().replace("\ta\tb\tc\td", "\tw\tx\ty\tz"), "have no sample in common.* 'w', 'x'"),
        (bed().replace("\t1\t2\t4\t3", "\t1\t2\tx\t3"), r"line 2 \('g1'\), column 'c': 'x' is not"),
        (bed("#chr start end gene"), None),
        (across().replace("4", "x"), r"traits.csv, line 2 \('g1'\), column 'c': 'x' .* covariates"),
        (across().replace("g1", ""), "line 2: the row has no name"),
    ],
)
def test_bad_tables(write, table, message):
    write(traits=table)
    if message is None:
        assert read("traits.csv")[0].sizes["traits"] == 3
        return
    with pytest.raises(InputError, match=message):
        read("traits.csv")


def plink(path, **options):
    to_bed(path / "x.bed", DOSAGES, properties=PLINK)
    return blmm.read_plink(path / "x.bed", phenotypes=options.pop("traits"), **options)


def geno(path, **options):
    calls = "1\tm1\t1\tB\tD\tB\tD\n1\tm2\t20\tD\tD\tB\tB\n"
    header = "\t".join(["Chr", "Locus", "Mb", *SAMPLES])
    (path / "x.geno").write_text(f"@mat:B\n@pat:D\n{header}\n{calls}")
    return blmm.read_geno(path / "x.geno", **options)


def rqtl2(path, **options):
    (path / "x.yaml").write_text(
        "crosstype: riself\ngeno: calls.csv\npmap: map.csv\ngenotypes: {A: 1, B: 2}\n"
    )
    (path / "calls.csv").write_text("id,m1,m2\na,A,B\nb,B,B\nc,A,A\nd,B,A\n")
    return blmm.read_rqtl2(path / "x.yaml", **options)


def probabilities(path, **options):
    names = ",".join(f"{sample}:{letter}" for sample in SAMPLES for letter in "AB")
    (path / "p.csv").write_text(f"marker,{names}\nm1,1,0,0,1,1,0,0,1\n")
    return blmm.read_probabilities(path / "p.csv", variant_map=path / "map.csv", **options)


def vcf_zarr(path, **options):
    calls = xr.Dataset(
        {
            "call_dosage": (("variants", "samples"), DOSAGES.T.astype(np.float32)),
            "sample_id": ("samples", SAMPLES),
            "contig_id": ("contigs", ["1"]),
            "variant_contig": ("variants", [0, 0]),
            "variant_position": ("variants", [1_000_000, 20_000_000]),
            "variant_id": ("variants", ["m1", "m2"]),
            "variant_allele": (("variants", "alleles"), [["A", "G"], ["C", "T"]]),
        }
    )
    calls.to_zarr(path / "x.vcz", zarr_format=2)
    return blmm.open_vcf_zarr(path / "x.vcz", **options)


DOSAGES = np.array([[0.0, 1], [2, 1], [1, 0], [0, 2]])
PLINK = {
    "iid": SAMPLES,
    "sid": ["m1", "m2"],
    "chromosome": ["1", "1"],
    "bp_position": [1_000_000, 20_000_000],
    "allele_1": ["G", "T"],
    "allele_2": ["A", "C"],
}


@pytest.mark.parametrize("form", [plink, geno, rqtl2, probabilities, vcf_zarr])
@pytest.mark.parametrize("layout", ["upright", "across", "bed"])
def test_every_format_takes_traits_covariates_and_places(write, tmp_path, form, layout):
    write(traits=LAYOUTS[layout], covar="id,age\nd,4\nc,3\nb,2\na,1\n", place=PLACE)
    ds, said = told(
        form,
        tmp_path,
        traits=tmp_path / "traits.csv",
        covariates=tmp_path / "covar.csv",
        trait_positions=tmp_path / "place.csv",
    )
    order = [SAMPLES.index(name) for name in ds["sample_id"].values]
    np.testing.assert_array_equal(ds["sample_trait"], VALUES[order])
    np.testing.assert_array_equal(ds["sample_covariate"][:, 0], np.array([1, 2, 3, 4])[order])
    assert list(ds["trait_id"].values) == list(TRAITS)
    assert ds["trait_contig"].values.tolist() == [0, 0, -1]
    assert ("read as traits x samples" in said) == (layout == "across")


def test_an_expression_table_gives_places_with_every_format(write, tmp_path):
    write(traits=bed())
    for form in (plink, geno, rqtl2, probabilities, vcf_zarr):
        ds, _ = told(form, tmp_path, traits=tmp_path / "traits.csv")
        scale = {"bp": 1, "Mb": 1e6}[ds["variant_position"].attrs["units"]]
        np.testing.assert_allclose(ds["trait_position"] * scale, [1e6, np.nan, np.nan])


def test_bimbam_takes_places_of_its_traits(write, tmp_path):
    write(place=PLACE.replace("g1", "phenotype1"))
    (tmp_path / "x.txt").write_text("m1 G A 0 2 1 0\nm2 T C 1 1 0 2\n")
    (tmp_path / "y.txt").write_text("1 9\n2 8\n4 7\n3 6\n")
    (tmp_path / "anno.txt").write_text("m1 1000000 1\nm2 20000000 1\n")
    ds, said = told(
        blmm.read_bimbam, "x.txt", "y.txt", annotation="anno.txt", trait_positions="place.csv"
    )
    assert ds["trait_position"].values[0] == 1e6
    assert "no position of 1 of 2 traits: 'phenotype2'" in said


def test_traits_beside_a_control_file(write, tmp_path):
    write(traits=upright(), pheno="id,own\na,1\nb,2\nc,3\nd,4\n")
    with pytest.raises(InputError, match=r"x\.yaml lists no pheno.* give it with traits"):
        told(rqtl2, tmp_path)
    ds, said = told(rqtl2, tmp_path, traits="traits.csv")
    assert "left aside" not in said
    with (tmp_path / "x.yaml").open("a") as control:
        control.write("pheno: pheno.csv\n")
    assert list(told(blmm.read_rqtl2, "x.yaml")[0]["trait_id"].values) == ["own"]
    both, said = told(blmm.read_rqtl2, "x.yaml", traits="traits.csv")
    assert "x.yaml: its own traits ('pheno.csv') are left aside" in said
    assert both.identical(ds)


def test_a_frame_either_way_round(write, tmp_path):
    write()
    frame = pd.DataFrame(TRAITS, index=SAMPLES)
    ds, _ = told(probabilities, tmp_path, traits=frame)
    turned, said = told(probabilities, tmp_path, traits=frame.T)
    assert "the traits: the columns are named as the samples of the genotypes" in said
    assert turned.identical(ds)
