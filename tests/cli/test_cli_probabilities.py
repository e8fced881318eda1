"""bulklmm probabilities: what the library gives, in a store."""

from __future__ import annotations

import numpy as np
import pytest
from commands import CROSS, run

import bulklmm_dask as blmm

pytestmark = pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")


@pytest.fixture
def folder(tmp_path):
    for name, content in CROSS.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_as_by_the_library(folder):
    options = ("--step", "5", "--error-prob", "0.01", "--map-function", "kosambi")
    run("probabilities", folder / "cross.yaml", folder / "out.zarr", *options)
    found = blmm.open_dataset(folder / "out.zarr")
    expected = blmm.genotype_probabilities(
        blmm.read_rqtl2(folder / "cross.yaml"), step=5, error_prob=0.01, map_function="kosambi"
    )
    np.testing.assert_array_equal(
        found.call_genotype_probability, expected.call_genotype_probability
    )
    assert found.variants.values.tolist() == expected.variants.values.tolist()


def test_alleles_of_an_imported_cross(folder):
    run("import", folder / "cross.yaml", folder / "study.zarr")
    run("probabilities", folder / "study.zarr", folder / "out.zarr", "--alleles")
    found = blmm.open_dataset(folder / "out.zarr")
    assert found.genotypes.values.tolist() == ["S", "B"]
    ds = blmm.genotype_probabilities(blmm.open_dataset(folder / "study.zarr"))
    expected = blmm.allele_probabilities(ds).call_genotype_probability
    np.testing.assert_array_equal(found.call_genotype_probability, expected)


def test_a_study_without_calls_is_refused_in_one_line(folder):
    run("simulate", folder / "s.zarr", "--traits", 2, "--samples", 20, "--strains", 0)
    said = run("probabilities", folder / "s.zarr", folder / "out.zarr", code=1).stderr
    assert "the study has no call_code" in said
    assert "'bulklmm import'" in said
    said = run("probabilities", folder / "cross.yaml", folder / "o.zarr", "--step=-1", code=2)
    assert "--step is -1" in said.stderr


def test_shares_in_half_precision(folder):
    run("probabilities", folder / "cross.yaml", folder / "h.zarr", "--alleles", "--dtype=float16")
    assert blmm.open_dataset(folder / "h.zarr").call_genotype_probability.dtype == np.float16
    said = run("probabilities", folder / "cross.yaml", folder / "o.zarr", "--dtype=float16", code=2)
    assert "give it with --alleles" in said.stderr
