"""read_bimbam: mean genotypes in any dress, what goes with them, and one pass over the file."""

import gc
import gzip
import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.study.readers import _scratch

GENO = "rs1, A, T, 0.02, 0.80, 1.50\nrs2, G, C, 2, NA, 1\nrs3, A, G, 0, 1, 0\n"
PHENO = "1.2 NA\nNA 2.7\n-3e-1 1\n"
ANNO = "rs3, 1200, 2\nrs1, 1000, 1\nrs2, 500, 1\n"
DOSAGES = [[0.02, 0.8, 1.5], [2, np.nan, 1], [0, 1, 0]]
MISSING = "1 of 9 genotypes at 1 variants are missing"


@pytest.fixture
def write(tmp_path):
    def put(**files):
        paths = []
        for name, content in ({"geno": GENO, "pheno": PHENO} | files).items():
            paths.append(tmp_path / f"{name}.txt")
            paths[-1].write_text(content)
        return paths

    return put


def read(*args, said=(MISSING,), **options):
    """Read; each text must have been said, and nothing else."""
    with pytest.warns(StudyWarning) as found:
        ds = blmm.read_bimbam(*args, **options)
    for text, warning in zip(said, found, strict=True):
        assert text in str(warning.message)
    return ds


@pytest.mark.parametrize(
    "dress", [GENO, GENO.replace(", ", ","), GENO.replace(", ", "\t"), GENO.replace(",", " ")]
)
def test_separators(write, dress):
    ds = read(*write(geno=dress))
    np.testing.assert_allclose(ds["call_dosage"], DOSAGES, rtol=1e-6)
    assert ds["call_dosage"].chunks is not None
    assert ds["variant_allele"].values.tolist() == [["T", "A"], ["C", "G"], ["G", "A"]]
    assert list(ds["trait_id"].values) == ["phenotype1", "phenotype2"]
    np.testing.assert_array_equal(ds["sample_trait"], [[1.2, np.nan], [np.nan, 2.7], [-0.3, 1]])
    assert list(ds["sample_id"].values) == ["sample1", "sample2", "sample3"]


def test_gzipped_with_annotation_and_covariates(write, tmp_path):
    (tmp_path / "g.txt.gz").write_bytes(gzip.compress(GENO.encode()))
    _, pheno, anno, covar = write(anno=ANNO, covar="1 30\n1 NA\n1 20\n")
    said = [MISSING, "1 column of ones, GEMMA's intercept, dropped", "1 of 3 samples lack"]
    ds = read(tmp_path / "g.txt.gz", pheno, annotation=anno, covariates=covar, said=said)
    assert list(ds["variant_id"].values) == ["rs3", "rs2", "rs1"]
    np.testing.assert_allclose(ds["call_dosage"], DOSAGES[::-1], rtol=1e-6)
    assert ds["variant_position"].values.tolist() == [1200, 500, 1000]
    assert ds["variant_position"].attrs["units"] == "bp"
    assert ds["variant_allele"].values[1].tolist() == ["C", "G"]
    assert list(ds["covariate_id"].values) == ["covariate2"]
    np.testing.assert_array_equal(ds["sample_covariate"][:, 0], [30, np.nan, 20])


def test_variants_without_place_or_call_are_dropped(write):
    geno = GENO + "rs4 A T NA NA NA\nrs5 A T 1 1 0\n"
    paths = write(geno=geno, anno=ANNO.replace("1000", "NA") + "rs5 7 X 0.5\nrs9 1 1\n")
    said = [
        "1 of 5 variants have no call in any sample and are dropped: 'rs4'",
        "1 of 12 genotypes at 1 variants",
        "1 of 4 markers have genotypes but no position on the map and are dropped: 'rs1'",
        "1 of 5 markers of the map have no genotypes and are left out: 'rs9'",
    ]
    ds = read(*paths[:2], annotation=paths[2], said=said)
    assert list(ds["variant_id"].values) == ["rs3", "rs2", "rs5"]
    np.testing.assert_array_equal(ds["call_dosage"][2], [1, 1, 0])
    np.testing.assert_array_equal(ds["variant_genetic_position"], [np.nan, np.nan, 0.5])


def test_a_frame_of_phenotypes_has_names(write):
    frame = pd.DataFrame({"x": [1.0, 2, 3]}, index=["a", "b", "c"])
    ds = read(write()[0], frame)
    assert list(ds["sample_id"].values) == ["a", "b", "c"]
    assert list(ds["trait_id"].values) == ["x"]


@pytest.mark.slow
def test_save_streams_and_the_scratch_file_goes(tmp_path, monkeypatch):
    n, p = 500, 8000  # 16 MB as float32
    calls = np.random.default_rng(0).integers(0, 3, (p, n), dtype=np.uint8)
    with gzip.open(tmp_path / "g.gz", "wt", compresslevel=1) as stream:
        for i, row in enumerate(calls):
            stream.write(f"v{i},A,C," + ",".join(map(str, row)) + "\n")
    (tmp_path / "p.txt").write_text("".join(f"{i}\n" for i in range(n)))
    monkeypatch.setattr("bulklmm_dask.study.ranges._CHUNK_BYTES", 2**20)
    monkeypatch.setattr("bulklmm_dask.study.io._CHUNK_BYTES", 2**20)
    monkeypatch.setattr(_scratch.tempfile, "tempdir", str(tmp_path))
    tracemalloc.start()
    ds = blmm.read_bimbam(tmp_path / "g.gz", tmp_path / "p.txt")
    blmm.save(ds, tmp_path / "s.zarr")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6
    np.testing.assert_array_equal(blmm.open_dataset(tmp_path / "s.zarr")["call_dosage"], calls)
    assert len(list(tmp_path.glob("*.f32"))) == 1
    del ds
    gc.collect()
    assert not list(tmp_path.glob("*.f32"))


@pytest.mark.slow
def test_other_processes_read_the_scratch_file_and_leave_it(write):
    ds = read(*write())
    copy = pickle.loads(pickle.dumps(ds))
    np.testing.assert_array_equal(copy["call_dosage"], ds["call_dosage"])
    del copy
    gc.collect()
    assert ds["call_dosage"].values[0, 0] == np.float32(0.02)


def test_a_scratch_file_of_another_machine(write, tmp_path, monkeypatch):
    monkeypatch.setattr(_scratch.tempfile, "tempdir", str(tmp_path))
    ds = read(*write())
    for file in tmp_path.glob("*.f32"):
        file.unlink()
    with pytest.raises(InputError, match=r"scratch copy of .*geno.txt is not on this machine"):
        ds["call_dosage"].compute()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("geno", GENO[:-6], r"geno.txt, line 3: 1 genotype after .* have 3 samples"),
        ("geno", GENO.replace("0.80", "0.8O"), r"geno.txt, line 1: genotype 2 is '0.8O'"),
        (
            "geno",
            GENO.replace("1.50", "2.50"),
            r"geno.txt, line 1: 1 genotype outside .*2.5 at",
        ),
        ("geno", GENO.replace("rs2", "rs1"), r"geno.txt, line 2: variant 'rs1' stands .* twice"),
        ("geno", "", "geno.txt has no variants"),
        ("geno", "rs1 A T NA NA NA\n", "no call at any of its variants: 'rs1'"),
        ("pheno", PHENO + "3\n", r"pheno.txt, line 4: 1 field instead of 2"),
        ("pheno", PHENO + "3 4\n", r"geno.txt, line 1: 3 genotypes .* have 4 samples"),
        ("pheno", "height weight\n" + PHENO, r"pheno.txt, line 1: phenotype 1 is 'height'"),
        ("pheno", "", "pheno.txt is empty"),
        ("anno", "rs2,,1,20.25\n", r"anno.txt, line 1: field 2 is empty"),
        ("anno", "rs2, 500, , 20.25\n", r"anno.txt, line 1: field 3 is empty"),
        ("anno", "rs2 500 1 20.25 7\n", r"anno.txt, line 1: 5 fields instead of 4"),
        ("pheno", "1,,2\n2,1,2\n", r"pheno.txt, line 1: field 2 is empty .*NA"),
        ("geno", "rs1,A,,0,1,2\n", r"geno.txt, line 1: field 3 is empty"),
        ("anno", ANNO[:-3], r"anno.txt, line 3: 2 fields instead of 3"),
        ("anno", ANNO.replace("500", "far"), r"anno.txt, line 3: position 1 is 'far'"),
        (
            "anno",
            ANNO.replace("rs2", "rs1"),
            r"markers of the map .*anno.txt must be unique.*'rs1'",
        ),
        ("covar", "1 2\n1\n1 2\n", r"covar.txt, line 2: 1 field instead of 2"),
        (
            "covar",
            "1 2\n1 3\n",
            r"covar.* has covariates of 2 samples, but the phenotypes are of 3 samples",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_malformed_files(write, tmp_path, monkeypatch, file, content, message):
    monkeypatch.setattr(_scratch.tempfile, "tempdir", str(tmp_path))
    paths = {path.stem: path for path in write(**{file: content})}
    with pytest.raises(InputError, match=message):
        blmm.read_bimbam(
            paths["geno"],
            paths["pheno"],
            annotation=paths.get("anno"),
            covariates=paths.get("covar"),
        )
    gc.collect()
    assert not list(tmp_path.glob("*.f32"))


def test_a_gzipped_file_cut_short(write, tmp_path):
    packed = gzip.compress(GENO.encode())
    (tmp_path / "g.gz").write_bytes(packed[:-9])
    with pytest.raises(InputError, match=r"g.gz is damaged or cut short"):
        blmm.read_bimbam(tmp_path / "g.gz", write()[1])


def test_commas_at_the_end_of_lines(write):
    geno = "rs1, A, T, 0, 1, 2,\nrs2, G, C, 2, 0, 1,\n"
    paths = {path.stem: path for path in write(geno=geno, pheno="1,9,\n2,8,\n3,7,\n")}
    with pytest.warns(StudyWarning) as said:
        ds = blmm.read_bimbam(paths["geno"], paths["pheno"])
    assert [str(one.message).rpartition("/")[2][:20] for one in said] == [
        "pheno.txt: 3 lines e",
        "geno.txt: 2 lines en",
    ]
    np.testing.assert_array_equal(ds["sample_trait"], [[1, 9], [2, 8], [3, 7]])
    np.testing.assert_array_equal(ds["call_dosage"], [[0, 1, 2], [2, 0, 1]])


def test_codes_1_and_2_are_spoken_of(write):
    geno = "rs1 A T 1 2 2\nrs2 G C 2 1 1\n"
    paths = {path.stem: path for path in write(geno=geno, pheno="1\n2\n3\n")}
    with pytest.warns(StudyWarning, match=r"geno\.txt: no genotype is below 1"):
        ds = blmm.read_bimbam(paths["geno"], paths["pheno"])
    assert ds["call_dosage"].values[0].tolist() == [1, 2, 2]
