"""read_rqtl2 keeps what `genotype_probabilities` needs: calls, founders, cross_info and sex."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")

FILES = {
    "geno.csv": "id,m1,m2,m3,m4\na,A,H,-,B\nb,B,D,C,A\nc,A,A,H,x\n",
    "pheno.csv": "id,t1\nc,0.25\na,1.5\n",
    "gmap.csv": "marker,chr,pos\nm2,1,10.5\nm1,1,0\nm3,X,3\nm4,X,5\n",
    "covar.csv": "id,sex,ngen\na,M,4\nb,F,7\nc,F,?\n",
    "founders.csv": "marker,U,V,W\nm3,A,B,B\nm1,A,H,B\nm2,-,B,A\n",
}
CONTROL = {
    "crosstype": "ail3",
    "geno": "geno.csv",
    "pheno": "pheno.csv",
    "gmap": "gmap.csv",
    "covar": "covar.csv",
    "founder_geno": "founders.csv",
    "founder_geno_transposed": True,
    "sex": {"covar": "sex", "M": "male", "F": "female"},
    "cross_info": {"covar": "ngen"},
    "x_chr": "X",
    "na.strings": ["-", "NA"],
}


def write(folder, files=(), **control):
    for name, content in (FILES | dict(files)).items():
        (folder / name).write_text(content)
    path = folder / "cross.json"
    path.write_text(json.dumps({k: v for k, v in (CONTROL | control).items() if v is not None}))
    return path


def test_calls_are_kept_as_codes_beside_the_dosages(tmp_path):
    ds = blmm.read_rqtl2(write(tmp_path))
    codes = ds.call_code.sel(variants=["m1", "m2", "m3", "m4"], samples=["a", "c"])
    assert codes.values.tolist() == [[1, 1], [2, 1], [0, 2], [3, 0]]
    traits = {"pheno.csv": "id,t1\nb,1\nc,2\n"}
    ds = blmm.read_rqtl2(write(tmp_path, traits))
    assert ds.call_code.sel(variants=["m2", "m3"], samples="b").values.tolist() == [4, 5]
    assert np.isnan(ds.call_dosage.sel(variants="m2", samples="b"))


def test_alleles_of_founders_are_kept_and_known_or_not(tmp_path):
    ds = blmm.read_rqtl2(write(tmp_path))
    assert ds.founders.values.tolist() == ["A", "B", "C"]
    codes = ds.founder_code.sel(variants=["m1", "m2", "m3", "m4"]).values.tolist()
    assert codes == [[1, 0, 3], [0, 3, 1], [1, 3, 3], [0, 0, 0]]


def test_lines_whose_control_file_lists_no_heterozygote(tmp_path):
    ds = blmm.read_rqtl2(write(tmp_path, genotypes={"A": 1, "B": 3}, crosstype="ail3"))
    assert ds.call_code.sel(variants="m1", samples=["a", "c"]).values.tolist() == [1, 1]
    assert ds.call_code.sel(variants="m2", samples="a").item() == 2  # H can only be that


def test_founders_in_rows(tmp_path):
    files = {"founders.csv": "id,m1,m2\nU,A,-\nV,H,B\nW,B,A\n"}
    ds = blmm.read_rqtl2(write(tmp_path, files, founder_geno_transposed=None))
    assert ds.founder_code.sel(variants=["m1", "m2"]).values.tolist() == [[1, 0, 3], [0, 3, 1]]


def test_cross_info_of_a_covariate_and_sex(tmp_path):
    ds = blmm.read_rqtl2(write(tmp_path))
    assert ds.sample_cross_number.sel(samples=["a", "c"]).values.tolist() == [[4], [-1]]
    assert ds.sample_sex.sel(samples=["a", "c"]).values.tolist() == ["male", "female"]


def test_cross_info_of_a_file_of_its_own_with_codes(tmp_path):
    files = {"info.csv": "id,one,two\nc,x,1\na,5,y\n"}
    info = {"file": "info.csv", "x": 3, "y": 0}
    ds = blmm.read_rqtl2(write(tmp_path, files, cross_info=info))
    assert ds.sample_cross_number.sel(samples=["a", "c"]).values.tolist() == [[5, 0], [3, 1]]


def test_a_saved_study_has_them_too(tmp_path):
    ds = blmm.read_rqtl2(write(tmp_path))
    blmm.save(ds, tmp_path / "study.zarr")
    opened = blmm.open_dataset(tmp_path / "study.zarr")
    for name in ("call_code", "founder_code", "sample_cross_number", "founder_id"):
        np.testing.assert_array_equal(opened[name].values, ds[name].values)
        assert opened[name].dims == ds[name].dims
    assert opened.attrs["crosstype"] == "ail3"


@pytest.mark.parametrize(
    ("files", "control", "message"),
    [
        (
            {"founders.csv": "marker,U,V\nm1,A,B\n"},
            {},
            r"2 founders \('U', 'V'\), but a ail3 has 3",
        ),
        ({"founders.csv": "marker,U,V,W\nm1,A,B,B\nm1,A,B,B\n"}, {}, "must be unique"),
        ({}, {"founder_geno": None}, "lists no founder_geno"),
        ({}, {"alleles": ["A", "B"]}, "alleles names 2 founders, but a ail3 has 3"),
    ],
)
def test_what_cannot_be_a_cross_is_refused(tmp_path, files, control, message):
    with pytest.raises(InputError, match=message):
        blmm.read_rqtl2(write(tmp_path, files, **control))
