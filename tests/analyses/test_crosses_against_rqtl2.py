"""From calls to LODs: kinships and scans of three crosses are those of R/qtl2."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bulklmm_dask as blmm

pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning"),
]
CROSSES = {
    "iron": ("iron.zip", 1, False),
    "doex": ("DOex.zip", 0, True),
    "arabmagic": ("arabmagic_tair9.zip", 0, True),
}


@dataclass(frozen=True)
class Cross:
    """A cross as R/qtl2 scanned it."""

    base: Path
    genotypes: xr.Dataset
    alleles: xr.Dataset
    scanned: xr.Dataset

    def table(self, name):
        """A table of R/qtl2's answers by sample or position."""
        found = pd.read_csv(self.base / f"{name}.csv.gz", index_col=0)
        return found.set_axis(found.index.map(str))


@pytest.fixture(scope="module", params=list(CROSSES))
def cross(request, whole_reference):
    base = whole_reference / "crosses" / request.param
    file, step, of_founders = CROSSES[request.param]
    raw = blmm.read_rqtl2(base / file)
    genotypes = blmm.genotype_probabilities(raw, step=step, error_prob=0.002).compute()
    alleles = blmm.allele_probabilities(genotypes).compute()
    scanned = alleles if of_founders else genotypes
    # R/qtl2 doubles the kinship.
    kinships = {
        name: 2 * blmm.kinship(alleles, method="rqtl2", loco=loco).compute()
        for name, loco in (("kinship", False), ("kinship_loco", True))
    }
    scanned = scanned.assign(kinships)
    if (base / "addcovar.csv.gz").exists():
        female = pd.read_csv(base / "addcovar.csv.gz", index_col=0)["female"]
        female = female.set_axis(female.index.map(str)).reindex(scanned.samples.values)
        scanned = scanned.assign_coords(sample_female=("samples", female.to_numpy()))
    return Cross(base, genotypes, alleles, scanned)


def test_kinship_of_genotypes_and_of_alleles(cross):
    expected = cross.table("kinship")
    for ds in (cross.genotypes, cross.alleles):
        found = blmm.kinship(ds, method="rqtl2").to_pandas()
        # R/qtl2 keeps lines without traits, a study those with some.
        mine = expected.loc[found.index, found.columns]
        np.testing.assert_allclose(found, mine, atol=1e-6, rtol=0)


MODELS = ("hk", "overall_reml", "loco_reml", "loco_ml")


@pytest.mark.parametrize(
    ("cross", "model"),
    [*product(("iron", "doex"), MODELS), ("arabmagic", "loco_reml")],
    indirect=["cross"],
)
def test_lods_at_every_position_the_x_included(cross, model):
    expected = cross.table(f"scan1_{model}")
    if cross.base.name == "arabmagic":  # 1,300 positions, 18 columns each: one in eight is enough
        expected = expected[::8]
    how = {"loco": "loco" in model, "reml": "reml" in model}
    if model == "hk":
        how = {"kinship": None}
    ds = cross.scanned.sel(traits=expected.columns.to_numpy(), variants=expected.index.to_numpy())
    if "sample_female" in ds:
        how |= {"covariates": ["female"], "x_covariates": True}
    result = blmm.scan(ds, **how)
    found = result.lod.to_pandas().loc[expected.index, expected.columns]
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    if model != "hk":
        h2 = pd.read_csv(cross.base / f"scan1_{model}.hsq.csv", index_col=0)
        own = np.atleast_2d(result.h2.values)
        for contig, row in h2.iterrows():
            at = list(map(str, ds.contigs.values)).index(str(contig)) if len(own) > 1 else 0
            np.testing.assert_allclose(own[at], row, atol=2e-4)


def test_x_covariates_are_those_of_get_x_covar(cross):
    found = blmm.x_covariates(cross.genotypes).to_pandas()
    if not (cross.base / "xcovar.csv.gz").exists():
        assert not found.size
        return
    expected = cross.table("xcovar")
    assert found.columns.tolist() == expected.columns.tolist()
    np.testing.assert_array_equal(found.loc[expected.index], expected)
