"""read_probabilities: R/qtl2's genotype probabilities in a table."""

import gzip
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from references import find

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.study.readers import _scratch

PROBS = (
    '"","a:AA","a:AB","a:BB","b:AA","b:AB","b:BB"\n'
    '"m1",0.25,0.5,0.25,1,0,0\n"m2",0,0.1,0.9,NA,NA,NA\n"m3",0,0,1,0,1,0\n'
)
VALUES = np.array(
    [
        [[0.25, 0.5, 0.25], [1, 0, 0]],
        [[0, 0.1, 0.9], [np.nan] * 3],
        [[0, 0, 1], [0, 1, 0]],
    ],
    dtype=np.float32,
)
TRAITS = pd.DataFrame({"t": [1.0, 2]}, index=["a", "b"])
MAP = "marker,chr,pos\nm1,1,10\nm2,1,5\nm3,2,1\n"


def write(tmp_path, probs=PROBS, name="p.csv"):
    (tmp_path / name).write_text(probs)
    (tmp_path / "map.csv").write_text(MAP)
    return tmp_path / name


def read(*args, said=("1 of 6 genotypes",), **options):
    """Read; each text must have been said, and nothing else."""
    with pytest.warns(StudyWarning) as found:
        ds = blmm.read_probabilities(*args, **options)
    for text, warning in zip(said, found, strict=True):
        assert text in str(warning.message)
    return ds


def test_three_genotypes(tmp_path):
    ds = read(write(tmp_path), TRAITS)
    np.testing.assert_array_equal(ds["call_genotype_probability"], VALUES)
    assert ds["call_genotype_probability"].dims == ("variants", "samples", "genotypes")
    assert ds["call_genotype_probability"].chunks is not None
    assert list(ds["genotype_id"].values) == ["AA", "AB", "BB"]
    assert ds["call_genotype_probability"].sel(genotypes="AB", variants="m1", samples="a") == 0.5
    assert "call_dosage" not in ds


def test_columns_in_any_order_and_samples_with_colons(tmp_path):
    frame = pd.read_csv(write(tmp_path), index_col=0)
    frame.columns = [column.replace("b:", "x:b:") for column in frame]
    frame.iloc[:, [4, 0, 3, 2, 5, 1]].to_csv(tmp_path / "q.csv.gz")
    ds = read(tmp_path / "q.csv.gz", TRAITS.rename(index={"b": "x:b"}))
    found = ds["call_genotype_probability"].sel(genotypes=["AA", "AB", "BB"])
    np.testing.assert_array_equal(found, VALUES)


def test_a_map_orders_the_markers(tmp_path):
    ds = read(write(tmp_path), TRAITS, variant_map=tmp_path / "map.csv", position_unit="cM")
    assert list(ds["variant_id"].values) == ["m2", "m1", "m3"]
    assert ds["variant_position"].attrs["units"] == "cM"
    np.testing.assert_array_equal(ds["call_genotype_probability"], VALUES[[1, 0, 2]])


@pytest.mark.parametrize(
    ("name", "genotypes"), [("grav2", ["LL", "CC"]), ("iron", ["SS", "SB", "BB"])]
)
def test_the_references(reference, name, genotypes, tmp_path):
    folder = reference / name
    covariates = folder / "covar.csv" if name == "iron" else None
    ds = blmm.read_probabilities(
        folder / "probs.csv.gz",
        find(folder / "pheno.csv"),
        variant_map=find(folder / "map.csv"),
        covariates=covariates,
        position_unit="cM",
    )
    table = pd.read_csv(folder / "probs.csv.gz", index_col=0)
    placed = pd.read_csv(find(folder / "map.csv"), index_col=0).loc[ds["variant_id"].values]
    assert list(ds["genotype_id"].values) == genotypes
    assert ds.sizes["variants"] == len(table)
    assert table.shape[1] == ds.sizes["samples"] * len(genotypes)
    for genotype in genotypes:
        columns = [f"{sample}:{genotype}" for sample in ds["sample_id"].values]
        expected = table.loc[ds["variant_id"].values, columns].to_numpy(np.float32)
        found = ds["call_genotype_probability"].sel(genotypes=genotype)
        np.testing.assert_array_equal(found, expected)
    if name == "grav2":
        found = ds["call_genotype_probability"].sel(genotypes="CC")
        np.testing.assert_array_equal(ds["call_dosage"], found)
        assert ds["variant_allele"].values[0].tolist() == genotypes
    else:
        sexes = pd.read_csv(folder / "covar.csv", index_col=0).loc[
            list(map(int, ds.samples.values))
        ]
        np.testing.assert_array_equal(ds["sample_covariate"], sexes)
    np.testing.assert_array_equal(ds["variant_position"], placed["pos"])
    contigs = ds["contig_id"].values[ds["variant_contig"].values]
    np.testing.assert_array_equal(contigs, placed["chr"].astype(str))
    pheno = pd.read_csv(find(folder / "pheno.csv"), index_col=0)
    np.testing.assert_array_equal(ds["sample_trait"], pheno)
    blmm.save(ds, tmp_path / "s.zarr")
    back = blmm.open_dataset(tmp_path / "s.zarr")
    assert back.compute().identical(ds.compute())


def test_the_reference_scan_of_two_genotypes(reference):
    """R/qtl2's own probabilities give its own LOD scores."""
    folder = reference / "grav2"
    ds = blmm.read_probabilities(
        folder / "probs.csv.gz",
        find(folder / "pheno.csv"),
        variant_map=find(folder / "map.csv"),
        position_unit="cM",
    )
    kinship = pd.read_csv(find(folder / "kinship.csv"), index_col=0).to_numpy()
    expected = pd.read_csv(find(folder / "scan1_ml.csv"), index_col=0)
    lod = blmm.scan(ds, kinship=2 * kinship).lod.compute()
    np.testing.assert_allclose(lod, expected.loc[ds["variant_id"].values], atol=1e-4)


@pytest.mark.slow
def test_save_streams(tmp_path, monkeypatch):
    n, p = 120, 3000
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, (p, n))
    with gzip.open(tmp_path / "p.csv.gz", "wt", compresslevel=1) as stream:
        stream.write("," + ",".join(f"s{i}:{g}" for i in range(n) for g in "ABC") + "\n")
        for i, row in enumerate(first):
            cells = ",".join("1,0,0" if cell else "0,0,1" for cell in row)
            stream.write(f"m{i},{cells}\n")
    traits = pd.DataFrame({"t": np.arange(n)}, index=[f"s{i}" for i in range(n)])
    monkeypatch.setattr("bulklmm_dask.study.ranges._CHUNK_BYTES", 2**18)
    monkeypatch.setattr("bulklmm_dask.study.io._CHUNK_BYTES", 2**18)
    reads = []
    whole = _scratch.Scratch.read
    monkeypatch.setattr(
        _scratch.Scratch, "read", lambda self, a, b: reads.append(b - a) or whole(self, a, b)
    )
    blmm.save(blmm.read_probabilities(tmp_path / "p.csv.gz", traits), tmp_path / "s.zarr")
    reads.clear()
    tracemalloc.start()  # imports are done
    ds = blmm.read_probabilities(tmp_path / "p.csv.gz", traits)
    blmm.save(ds, tmp_path / "s.zarr", overwrite=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(reads) * n * 3 * 4 <= 2**18
    assert sum(reads) == p
    assert peak < 4e6  # of 4.3e6 that the probabilities have alone
    back = blmm.open_dataset(tmp_path / "s.zarr")["call_genotype_probability"]
    np.testing.assert_array_equal(back.sel(genotypes="A"), first)


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (PROBS[:-8], r"p.csv, line 4: \d fields, but the header has 7; the file may be cut short"),
        (PROBS.replace("0.25,1", "0.25,l"), r"line 2 \('m1'\), column 'b:AA': 'l' is not a number"),
        (PROBS.replace("0.9", "0.7"), r"line 3: .* do not sum to 1 in 1 call, the first to 0.8 at"),
        (PROBS.replace("0.1,0.9", "-0.1,1.1"), r"line 3: 2 genotypes outside 0..1, the first -0.1"),
        (PROBS.replace('"m3"', '"m1"'), r"markers of .*p.csv must be unique.*'m1'"),
        (PROBS.replace('"m3"', '""'), r"line 4: the marker has no name"),
        (PROBS.replace("b:BB", "b"), r"line 1: .* 1 of 6 are not: 'b'"),
        (PROBS.replace("b:BB", "b:BD"), r"these columns are absent: 'a:BD', 'b:BB'"),
        (PROBS.replace("b:BB", "b:AB"), r"columns of .*p.csv must be unique.*'b:AB'"),
        ("", r"p.csv is empty"),
        (PROBS[: PROBS.index("\n") + 1], r"p.csv has no variants"),
    ],
)
def test_malformed_tables(tmp_path, probs, message):
    with pytest.raises(InputError, match=message):
        blmm.read_probabilities(write(tmp_path, probs), TRAITS)


def test_a_gzipped_table_cut_short(tmp_path):
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(PROBS.encode())[:-9])
    with pytest.raises(InputError, match=r"p.csv.gz is damaged or cut short"):
        blmm.read_probabilities(tmp_path / "p.csv.gz", TRAITS)
