"""genotype_probabilities: against R/qtl2's own, laws, and what it refuses."""

from __future__ import annotations

import json
import zipfile

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning

quiet = pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")


def genotyped(path, table):
    """A trait for every individual of a table with markers in rows: R/qtl2 needs none."""
    with zipfile.ZipFile(path) as files, files.open(table) as stream:
        header = next(line for line in stream.read().decode().splitlines() if line[0] != "#")
    names = header.split(",")[1:]
    return pd.DataFrame({"none": np.arange(len(names), dtype=float)}, index=names)


CROSSES = pytest.mark.parametrize(
    ("folder", "file", "step"),
    [("iron", "iron", 1), ("doex", "DOex", 0), ("arabmagic", "arabmagic_tair9", 0)],
)


def probabilities(base, file, step):
    """Genotype probabilities of a reference cross, made as R/qtl2's are."""
    path = base / f"{file}.zip"
    traits = genotyped(path, "arabmagic_geno.csv") if base.name == "arabmagic" else None
    return blmm.genotype_probabilities(
        blmm.read_rqtl2(path, traits=traits), step=step, error_prob=0.002
    )


@quiet
@pytest.mark.reference
@CROSSES
def test_as_in_r_qtl2(whole_reference, folder, file, step):
    base = whole_reference / "crosses" / folder
    ds = probabilities(base, file, step)
    places = pd.read_csv(base / "map.csv.gz", dtype={"chr": str})
    assert ds.variant_id.values.tolist() == places["position"].tolist()
    assert ds.variant_contig_name.values.tolist() == places["chr"].tolist()
    np.testing.assert_allclose(ds.variant_genetic_position, places["cM"], atol=1e-9)
    listed = pd.read_csv(
        base / "genoprobs.csv.gz",
        dtype={"id": str, "genotype": str},
        keep_default_na=False,
    )
    found = ds.call_genotype_probability.values
    where = [
        listed[column].map({name: at for at, name in enumerate(ds[dim].values)})
        for column, dim in (("position", "variants"), ("id", "samples"), ("genotype", "genotypes"))
    ]
    np.testing.assert_allclose(found[tuple(where)], listed["probability"], atol=1e-6, rtol=0)
    # What is not listed of these calls is below 1e-6.
    rows, columns = (np.unique(np.stack(where[:2], 1), axis=0)).T
    sums = np.zeros(found.shape[:2])
    np.add.at(sums, tuple(where[:2]), listed["probability"].to_numpy())
    np.testing.assert_allclose(sums[rows, columns], 1, atol=4e-5)


@pytest.mark.slow
@quiet
@pytest.mark.reference
def test_lods_as_in_r_qtl2_where_genotypes_are_rare(whole_reference):
    """Of 19 founders some are expected in 0.0002 of all lines: R/qtl2 tests these too."""
    base = whole_reference / "crosses" / "arabmagic"
    cross = blmm.read_rqtl2(base / "arabmagic_tair9.zip")
    ds = blmm.genotype_probabilities(cross, error_prob=0.002).compute()
    assert ds.call_genotype_probability.sum("samples").min() < 1e-3
    expected = pd.read_csv(base / "scan1_hk.csv.gz", index_col=0)
    traits = [name for name in expected.columns if name in ds.traits.values]
    assert len(traits) == 4
    found = blmm.scan(ds, kinship=None).lod.sel(traits=traits)
    np.testing.assert_allclose(found, expected.loc[ds.variants.values, traits], atol=1e-5)


@quiet
@pytest.mark.reference
@CROSSES
def test_alleles_as_in_r_qtl2(whole_reference, folder, file, step):
    base = whole_reference / "crosses" / folder
    ds = probabilities(base, file, step)
    alleles = blmm.allele_probabilities(ds).call_genotype_probability
    listed = pd.read_csv(base / "alleleprobs.csv.gz", dtype={"chr": str, "id": str})
    places = [xr.DataArray(listed[column], dims="cells") for column in ("position", "id")]
    found = alleles.sel(variants=places[0], samples=places[1]).transpose("cells", "genotypes")
    assert found.genotypes.values.tolist() == listed.columns[3:].tolist()
    np.testing.assert_allclose(found, listed.iloc[:, 3:], atol=1e-6, rtol=0)


@pytest.fixture
def cross(tmp_path):
    """Writes and reads an intercross with an X; keywords change the control file."""

    def make(geno=None, **control):
        (tmp_path / "geno.csv").write_text(
            geno or "id,m1,m2,m3,x1,x2\na,SS,-,BB,SS,-\nb,SB,BB,SB,SB,BB\nc,BB,SS,SS,BB,SS\n"
        )
        (tmp_path / "pheno.csv").write_text("id,t1,t2\na,1,5\nb,2,-\nc,3,1\n")
        (tmp_path / "gmap.csv").write_text(
            "marker,chr,pos\nm1,1,0\nm2,1,4\nm3,1,31\nx1,X,5\nx2,X,25\n"
        )
        (tmp_path / "pmap.csv").write_text(
            "marker,chr,pos\nm1,1,10\nm2,1,12\nm3,1,39\nx1,X,1\nx2,X,2\n"
        )
        (tmp_path / "covar.csv").write_text("id,sex,dir\na,f,0\nb,f,1\nc,m,0\n")
        entries = {
            "crosstype": "f2",
            **{name: f"{name}.csv" for name in ("geno", "pheno", "gmap", "pmap", "covar")},
            "alleles": ["S", "B"],
            "genotypes": {"SS": 1, "SB": 2, "BB": 3},
            "sex": {"covar": "sex", "f": "female", "m": "male"},
            "cross_info": {"covar": "dir"},
            "x_chr": "X",
            "na.strings": ["-"],
        } | control
        path = tmp_path / "cross.json"
        path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))
        return blmm.read_rqtl2(path)

    return make


@quiet
def test_the_study_has_the_samples_and_traits_and_its_probabilities_are_lazy(cross):
    ds = cross()
    out = blmm.genotype_probabilities(ds, step=10)
    assert dask.is_dask_collection(out.call_genotype_probability.data)
    assert out.call_genotype_probability.dtype == np.float32
    assert out.genotypes.values.tolist() == ["SS", "SB", "BB", "BS", "SY", "BY"]
    assert out.variants.values.tolist() == [
        *("m1", "m2", "c1.loc10", "c1.loc20", "c1.loc30", "m3"),
        *("x1", "cX.loc15", "x2"),
    ]
    np.testing.assert_allclose(out.variant_position, [10, 12, 18, 28, 38, 39, 1, 1.5, 2])
    assert out.variant_position.attrs["units"] == "Mb"
    np.testing.assert_array_equal(out.sample_trait, ds.sample_trait)
    assert out.sample_sex.values.tolist() == ds.sample_sex.values.tolist()
    np.testing.assert_allclose(out.call_genotype_probability.sum("genotypes"), 1, atol=1e-6)


@quiet
def test_genotypes_of_the_x_are_those_of_sex_and_direction(cross):
    out = blmm.genotype_probabilities(cross())
    found = out.call_genotype_probability.values > 0
    possible = {"a": {"SS", "SB"}, "b": {"BS", "BB"}, "c": {"SY", "BY"}}
    for at, sample in enumerate("abc"):
        for variant in (3, 4):
            assert set(out.genotypes.values[found[variant, at]]) == possible[sample]
        assert set(out.genotypes.values[found[1, at]]) == {"SS", "SB", "BB"}


@quiet
def test_neither_chunks_nor_neighbours_matter(cross, tmp_path):
    ds = cross()
    whole = blmm.genotype_probabilities(ds, step=3).call_genotype_probability.values
    blmm.save(ds, tmp_path / "study.zarr")
    stored = blmm.open_dataset(tmp_path / "study.zarr")
    stored["call_code"] = stored["call_code"].chunk(variants=1, samples=2)
    again = blmm.genotype_probabilities(stored, step=3).call_genotype_probability
    np.testing.assert_array_equal(again.values, whole)
    alone = blmm.genotype_probabilities(ds.isel(samples=[2]), step=3)
    # Sums of products round in another order.
    np.testing.assert_allclose(alone.call_genotype_probability.values[:, 0], whole[:, 2], atol=1e-7)


@quiet
def test_equal_calls_have_equal_keys_and_others_have_others(cross):
    ds = cross()
    names = [
        blmm.genotype_probabilities(study, **options).call_genotype_probability.data.name
        for study, options in (
            (ds, {}),
            (ds, {}),
            (ds, {"step": 2}),
            (ds, {"error_prob": 0.01}),
            (ds.assign(call_code=ds.call_code * 0), {}),
        )
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 4
    assert names[0].startswith("genotype-probabilities-")


@quiet
def test_wherever_the_tasks_run(cross, scheduler):
    lazy = blmm.genotype_probabilities(cross(), step=5).call_genotype_probability
    with dask.config.set(scheduler="synchronous"):
        expected = lazy.values
    with dask.config.set(scheduler=scheduler):
        np.testing.assert_array_equal(lazy.values, expected)


@quiet
def test_blocks_of_samples(cross, monkeypatch):
    ds = cross()
    whole = blmm.genotype_probabilities(ds, step=3).call_genotype_probability
    monkeypatch.setattr("bulklmm_dask.engine.crosses._FORWARD", 1)
    blocks = blmm.genotype_probabilities(ds, step=3).call_genotype_probability
    assert blocks.chunks[1] == (1, 1, 1)
    np.testing.assert_allclose(blocks.values, whole.values, atol=1e-7)


@quiet
def test_a_grid_in_between_changes_nothing_at_the_markers(cross):
    """One meiosis is a Markov chain: positions without data are passed through."""
    ds = cross()
    plain = blmm.genotype_probabilities(ds)
    dense = blmm.genotype_probabilities(ds, step=0.7)
    np.testing.assert_allclose(
        dense.call_genotype_probability.sel(variants=plain.variants.values),
        plain.call_genotype_probability,
        atol=1e-6,
    )


@quiet
def test_positions_of_ones_own(cross):
    out = blmm.genotype_probabilities(cross(), positions={"chr1": [2.25, 40, 4.001], "X": []})
    assert out.variants.values.tolist() == ["m1", "c1.loc2.2", "m2", "m3", "c1.loc40", "x1", "x2"]
    beyond = 39 + 9 * 29 / 31  # at the mean rate of the contig
    assert out.variant_position.sel(variants="c1.loc40").item() == pytest.approx(beyond)


@quiet
def test_markers_are_taken_in_the_order_of_the_genetic_map(cross):
    ds = cross()
    turned = ds.isel(variants=[2, 0, 1, 4, 3])
    one, other = (blmm.genotype_probabilities(study) for study in (ds, turned))
    assert one.variants.values.tolist() == other.variants.values.tolist()
    np.testing.assert_array_equal(one.call_genotype_probability, other.call_genotype_probability)


@quiet
def test_saved_and_opened_and_scanned(cross, tmp_path):
    out = blmm.genotype_probabilities(cross(), step=10)
    blmm.save(out, tmp_path / "probabilities.zarr")
    opened = blmm.open_dataset(tmp_path / "probabilities.zarr")
    np.testing.assert_array_equal(opened.call_genotype_probability, out.call_genotype_probability)
    assert opened.attrs["crosstype"] == "f2"


@quiet
def test_two_genotypes_are_dosages_too(cross):
    geno = "id,m1,m2,m3\na,SS,-,BB\nb,BB,BB,SS\nc,BB,SS,SS\n"
    lines = cross(geno, crosstype="riself", genotypes={"SS": 1, "BB": 2})
    out = blmm.genotype_probabilities(lines)
    assert out.genotypes.values.tolist() == ["SS", "BB"]
    np.testing.assert_array_equal(out.call_dosage, out.call_genotype_probability[:, :, 1])
    assert out.call_dosage.attrs["maximum"] == 1


def test_an_unknown_direction_is_said_and_taken_as_a_x_b(cross):
    with pytest.warns(StudyWarning):
        ds, known = cross(cross_info=None), cross()
    with pytest.warns(StudyWarning, match="direction of the cross.*0 is taken for all"):
        out = blmm.genotype_probabilities(ds)
    known["sample_cross_number"][:] = 0
    np.testing.assert_array_equal(
        out.call_genotype_probability,
        blmm.genotype_probabilities(known).call_genotype_probability,
    )


@quiet
def test_what_cannot_be_computed_is_refused(cross, tmp_path):
    ds = cross()
    wrong = ds.copy(deep=True)
    wrong["sample_cross_number"][1] = 5
    with pytest.raises(InputError, match="error_prob is 0; give more than 0"):
        blmm.genotype_probabilities(ds, error_prob=0)
    with pytest.raises(InputError, match="step is -1"):
        blmm.genotype_probabilities(ds, step=-1)
    for step in (0.005, np.inf):
        with pytest.raises(InputError, match=r"step is .*give more than 0.01, or 0"):
            blmm.genotype_probabilities(ds, step=step)
    with pytest.raises(InputError, match="the study has no samples"):
        blmm.genotype_probabilities(ds.isel(samples=[]))
    with pytest.raises(InputError, match=r"unknown map_function 'c-f'.*carter-falconer"):
        blmm.genotype_probabilities(ds, map_function="c-f")
    with pytest.raises(InputError, match="positions name the contig '7'"):
        blmm.genotype_probabilities(ds, positions={"7": [3]})
    with pytest.raises(InputError, match=r"no call_code.*read_rqtl2"):
        blmm.genotype_probabilities(ds.drop_vars("call_code"))
    with pytest.raises(InputError, match="none in cM"):
        blmm.genotype_probabilities(ds.drop_vars("variant_genetic_position"))
    with pytest.raises(InputError, match="unknown type of cross 'cc'"):
        blmm.genotype_probabilities(ds.assign_attrs(crosstype="cc"))
    with pytest.raises(InputError, match=r"sex of 3 samples is not known.*'a', 'b', 'c'"):
        blmm.genotype_probabilities(cross(sex=None))
    with pytest.raises(
        InputError, match=r"cross_info of 1 sample .*\[5\] of 'b' should be the dir"
    ):
        blmm.genotype_probabilities(wrong)
    with pytest.raises(InputError, match="no sample_cross_number, which has the number of gen"):
        blmm.genotype_probabilities(cross(crosstype="ail", cross_info=None))
    with pytest.raises(InputError, match="give several genotypes one name"):
        blmm.genotype_probabilities(cross(alleles=["S", "Y"]))


@quiet
def test_alleles_sum_to_one_and_are_halved_in_heterozygotes(cross):
    ds = blmm.genotype_probabilities(cross(), step=10)
    out = blmm.allele_probabilities(ds)
    assert dask.is_dask_collection(out.call_genotype_probability.data)
    p = ds.call_genotype_probability.to_series().unstack("genotypes")
    expected = p["SS"] + p["SY"] + (p["SB"] + p["BS"]) / 2
    found = out.call_genotype_probability.to_series().unstack("genotypes")
    np.testing.assert_allclose(found["S"], expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(out.call_dosage, out.call_genotype_probability[:, :, 1])


@quiet
def test_shares_in_half_precision_are_near_and_take_half_the_room(cross, tmp_path):
    ds = blmm.genotype_probabilities(cross(), step=1)
    whole = blmm.allele_probabilities(ds).call_genotype_probability
    blmm.save(blmm.allele_probabilities(ds, dtype="float16"), tmp_path / "half.zarr")
    found = blmm.open_dataset(tmp_path / "half.zarr")
    assert found.call_genotype_probability.dtype == np.float16
    assert found.call_genotype_probability.nbytes == whole.nbytes / 2
    np.testing.assert_allclose(found.call_genotype_probability, whole, atol=2.0**-12, rtol=0)
    again = blmm.allele_probabilities(blmm.allele_probabilities(ds), dtype="float16")
    np.testing.assert_array_equal(again.call_genotype_probability, found.call_genotype_probability)
    np.testing.assert_allclose(
        blmm.kinship(found, method="rqtl2"),
        blmm.kinship(blmm.allele_probabilities(ds), method="rqtl2"),
        atol=2.0**-11,
    )
    with pytest.raises(InputError, match="unknown dtype 'uint8'"):
        blmm.allele_probabilities(ds, dtype="uint8")


@quiet
def test_alleles_of_what_is_no_cross_are_refused(cross):
    with pytest.raises(InputError, match="no genotype probabilities of a cross"):
        blmm.allele_probabilities(cross())
    ds = blmm.genotype_probabilities(cross())
    with pytest.raises(InputError, match="genotypes of a bc of 'S', 'B' are not 'BB', 'BS'"):
        blmm.allele_probabilities(ds.assign_attrs(crosstype="bc"))


@quiet
def test_a_cross_of_r_qtl_reaches_the_same_engine(cross, tmp_path):
    (tmp_path / "rqtl.csv").write_text(
        "t1,id,sex,pgm,m1,m2,m3,x1,x2\n,,,,1,1,1,X,X\n,,,,0,4,31,5,25\n"
        "1,a,f,0,A,-,B,A,-\n2,b,f,1,H,B,H,H,B\n3,c,m,0,B,A,A,B,A\n"
    )
    one = blmm.genotype_probabilities(blmm.read_rqtl(tmp_path / "rqtl.csv", "f2"), step=3)
    other = blmm.genotype_probabilities(cross(), step=3)
    np.testing.assert_array_equal(one.call_genotype_probability, other.call_genotype_probability)
    assert one.variants.values.tolist() == other.variants.values.tolist()
