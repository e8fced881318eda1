"""Missing calls of lazy genotypes are counted once: when saved, or at the first kinship."""

import warnings

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.errors import StudyWarning

N, P = 20, 60
NAMES = [f"v{i}" for i in range(P)]
RNG = np.random.default_rng(3)
CALLS = RNG.integers(0, 3, (P, N)).astype(np.float64)
CALLS[RNG.random((P, N)) < 0.3] = np.nan
CALLS[:, 0] = 1
CALLS[7] = np.nan
GAPS, AT = int(np.isnan(np.delete(CALLS, 7, 0)).sum()), int(np.isnan(CALLS).any(1).sum()) - 1
SAID = [
    f"1 of {P} variants have no call in any sample, and get the LOD 0: 'v7'",
    f"{GAPS} of {(P - 1) * N} genotypes at {AT} variants are missing; each is filled with its",
]
TRAITS = pd.DataFrame({"t": RNG.standard_normal(N)}, index=[f"s{i}" for i in range(N)])


def plink(folder, calls):
    from bed_reader import to_bed

    at = {"chromosome": ["1"] * 30 + ["2"] * 30, "bp_position": list(range(1, P + 1))}
    names = {"iid": list(TRAITS.index), "sid": NAMES, **at}
    to_bed(folder / "x.bed", calls.T, properties=names)
    return blmm.read_plink(folder / "x", phenotypes=TRAITS)


def vcf(folder, calls):
    group = zarr.open_group(folder / "x.vcz", mode="w", zarr_format=3)
    alleles = np.where(np.isnan(calls), -1, calls)[:, :, None]
    pairs = np.concatenate([np.where(alleles < 0, -1, alleles > 1), np.sign(alleles)], axis=2)
    for name, values in {
        "call_genotype": pairs.astype(np.int8), "sample_id": np.array(list(TRAITS.index), "T"),
        "contig_id": np.array(["1", "2"], "T"), "variant_contig": np.repeat([0, 1], 30),
        "variant_position": np.arange(1, P + 1), "variant_id": np.array(NAMES, "T"),
        "variant_allele": np.array([["A", "C"]] * P, "T"),
    }.items():  # fmt: skip
        array = group.create_array(name, shape=values.shape, dtype=values.dtype,
                                   chunks=(min(7, len(values)), *values.shape[1:]))  # fmt: skip
        array[...] = values
    return blmm.open_vcf_zarr(folder / "x.vcz", traits=TRAITS)


def arrays(folder, calls):
    return blmm.create_dataset(
        da.from_array(calls.T, chunks=(N, 7)), TRAITS, maximum=2, sample_ids=list(TRAITS.index),
        variant_ids=NAMES, contigs=["1"] * 30 + ["2"] * 30,
        positions=list(range(P)),
    )  # fmt: skip


@pytest.fixture(params=[plink, vcf, arrays])
def make(request, tmp_path):
    return lambda calls=CALLS: request.param(tmp_path, calls)


def said(call, *args, **options):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call(*args, **options)
    every = [str(one.message) for one in found if one.category is StudyWarning]
    return [one for one in every if "the kinship is of the whole genome" not in one]


def is_said(found):
    return len(found) == len(SAID) and all(a in b for a, b in zip(SAID, found, strict=True))


def test_the_pass_that_saves_counts_them(make, tmp_path):
    ds = make()
    np.testing.assert_array_equal(ds["call_dosage"], CALLS)
    assert is_said(said(blmm.save, ds, tmp_path / "s.zarr"))
    back = blmm.open_dataset(tmp_path / "s.zarr")
    assert set(back.variables) == set(ds.variables)
    assert back["call_dosage"].attrs["maximum"] == 2
    assert "gaps" not in back["call_dosage"].attrs
    np.testing.assert_array_equal(back["call_dosage"], CALLS)
    assert "variant_gaps" not in zarr.open_group(tmp_path / "s.zarr")
    assert said(blmm.save, back, tmp_path / "t.zarr") == []
    assert said(blmm.kinship(back).compute) == []
    assert said(blmm.scan, back, kinship=None) == []


@pytest.mark.parametrize("loco", [False, True])
def test_the_first_kinship_counts_them(make, loco):
    ds = make()
    matrix = blmm.kinship(ds, loco=loco)
    assert is_said(said(matrix.compute))
    ds["kinship_loco" if loco else "kinship"] = matrix
    with dask.config.set(scheduler="synchronous"):
        assert is_said(said(lambda: blmm.scan(ds, loco=loco).lod.compute()))
    assert is_said(said(ds["kinship_loco" if loco else "kinship"].load))
    assert said(lambda: blmm.scan(ds, loco=loco).lod.compute()) == []


def test_a_scan_without_a_kinship_of_the_markers_says_that_nobody_counted(make):
    ds = make()
    for kinship in (None, np.eye(N)):
        found = said(blmm.scan, ds, kinship=kinship)
        assert len(found) == 1
        assert "how many calls are missing is not known" in found[0]


def test_nothing_is_said_where_nothing_is_missing(make, tmp_path):
    whole = np.where(np.isnan(CALLS), 2, CALLS)
    ds = make(whole)
    assert said(blmm.kinship(ds).compute) == []
    assert said(blmm.save, ds, tmp_path / "s.zarr") == []


def test_only_samples_of_the_study_count(make, tmp_path):
    ds = make().isel(samples=slice(0, 5), variants=slice(10, 20))
    part = CALLS[10:20, :5]
    found = said(blmm.save, ds, tmp_path / "s.zarr")
    assert found[0].startswith(f"{np.isnan(part).sum()} of 50 genotypes")


def test_missing_probabilities_are_counted_by_sample(tmp_path):
    chance = np.repeat(CALLS.T[:, :, None] / 2, 2, axis=2)
    chance[:, :, 0] = 1 - chance[:, :, 1]
    ds = blmm.create_dataset(da.from_array(chance, chunks=(N, 7, 2)), TRAITS,
                             variant_ids=NAMES)  # fmt: skip
    assert is_said(said(blmm.save, ds, tmp_path / "s.zarr"))
    del ds["call_dosage"]
    assert is_said(said(blmm.kinship(ds).compute))


@pytest.mark.slow
def test_a_warning_of_a_worker_reaches_the_user(make, cluster):
    import time

    matrix = blmm.kinship(make())
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        cluster.compute(matrix.data).result()
        end = time.monotonic() + 30
        while len(found) < 2 and time.monotonic() < end:
            time.sleep(0.05)
    assert is_said([str(one.message) for one in found if one.category is StudyWarning])
