"""The table of statistics agrees with what scanners, heritabilities and permutations give."""

from __future__ import annotations

import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.lmm.chunk import fit_traits, scan_block
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.lmm.statistics import (
    OF_COMPONENTS,
    OF_HERITABILITIES,
    OF_PAIRS,
    OF_PERMUTATIONS,
    OF_TRAITS,
    STATISTICS,
    TABLE,
    statistics,
    trait_statistics,
)

WANTED = ("beta", "se", "neg_log10_p", "explained")
MODELS = {
    "null": ModelOptions(wanted=WANTED),
    "alternative": ModelOptions(alternative=True, wanted=WANTED),
    "alternative grid": ModelOptions(alternative=True, grid=(0.0, 0.5), wanted=("explained",)),
    "genotypes": ModelOptions(genotypes=3, wanted=WANTED),
    "interaction": ModelOptions(interactions=1, wanted=(*WANTED, "lod_interaction")),
}


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_block_gives_what_the_table_says(name, single):
    options = MODELS[name]
    ds = studies.study(n=30, p=9, m=5, covariates=1)
    covariates = np.column_stack([np.ones(30), ds.sample_covariate.values])
    genotypes = ds.call_dosage.values.astype(float)
    if options.genotypes:
        genotypes = np.random.default_rng(0).dirichlet(np.ones(3), size=(9, 30))
    samples = Samples(covariates, ds.kinship.values, None, (1,) * options.interactions)
    fitted = fit_traits(ds.sample_trait.values, samples, options)
    found = scan_block(genotypes, fitted, options, single=single)
    kinds = statistics(options, single=single)
    assert list(found) == list(kinds)
    for statistic, kind in kinds.items():
        assert found[statistic].dtype == kind.dtype
        assert found[statistic].shape == (9, 5, *kind.shape)
        assert len(kind.dims) == len(kind.shape)


def test_results_have_the_variables_of_the_table():
    ds = studies.study(n=30, p=9, m=5)
    found = blmm.heritability(ds)
    assert {row.name for row in OF_TRAITS + OF_HERITABILITIES} == set(found.variables) - {
        "trait_id",
        "traits",
    }
    several = blmm.heritability(ds, kinship={"additive": "kinship"})
    assert {row.name for row in OF_COMPONENTS} == {
        name for name in several.data_vars if "components" in several[name].dims
    }
    for row in OF_TRAITS + OF_HERITABILITIES:
        dtype = found[row.name].dtype
        assert dtype == row.dtype(ModelOptions(), False) or row.name == "trait_status"
    maxima = blmm.permute(ds, n_permutations=2)
    for row in OF_PERMUTATIONS:
        assert maxima[row.name].dtype == row.dtype(ModelOptions(), False)
    assert (
        trait_statistics(None).keys() == trait_statistics(2).keys() <= set(blmm.scan(ds).variables)
    )
    assert trait_statistics(2)["h2"].shape == (2,)
    assert trait_statistics(2)["n_samples"].shape == ()


def test_rows_are_for_people_too():
    for rows in (OF_PAIRS, OF_TRAITS + OF_HERITABILITIES, OF_PERMUTATIONS):
        names = [row.name for row in rows]
        assert len(set(names)) == len(names)
    for row in TABLE:
        assert row.label
        assert row.attrs()["long_name"] == row.meaning
        assert row.attrs().get("units", "") == row.unit
    assert all(row.asked for row in OF_PAIRS if row.follows)
    wanted = ["beta", "se", "neg_log10_p", "explained", "perfect_fit", "lod_interaction"]
    assert list(STATISTICS) == wanted
