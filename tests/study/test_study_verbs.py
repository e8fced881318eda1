"""What xarray makes of a study is taken by every function, and gives the same answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from verbs import CHOOSE, KEEP, cases, drawn, parted

import bulklmm_dask as blmm

pytestmark = pytest.mark.filterwarnings("ignore:covariate 'sex' is text")


@pytest.fixture(scope="module")
def ds():
    study = blmm.simulate_study(
        n_samples=40, n_strains=20, n_variants=24, n_traits=7, n_contigs=3, n_covariates=1, seed=4
    )
    study.coords["sample_sex"] = ("samples", np.array(["f", "m"] * 20, dtype=object))
    study["kinship"] = blmm.kinship(study).compute()
    study["kinship_loco"] = blmm.kinship(study, loco=True).compute()
    return study


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def scanned(ds, **options):
    return blmm.max_lod(blmm.scan(ds, **options)).iloc[:, :-1]


def saved(ds, folder):
    blmm.save(ds, folder / "s.zarr", overwrite=True)
    return scanned(blmm.open_dataset(folder / "s.zarr"), kinship="kinship", loco=True)


# Every public function that takes a study, and a folder for files.
TRAIT, MARKER = "trait3", "1:63126087"
FUNCTIONS = {
    "scan": lambda ds, folder: scanned(ds, covariates=["covariate1", "sex"], loco=True),
    "scan by two": lambda ds, folder: scanned(ds, interaction="covariate1", loco=True),
    "kinship": lambda ds, folder: blmm.kinship(ds, method="rqtl2").values,
    "heritability": lambda ds, folder: blmm.heritability(ds).h2_se.values,
    "profile": lambda ds, folder: blmm.profile(ds, TRAIT, variant=_marker(ds)).alternative.values,
    "permute": lambda ds, folder: (
        blmm.permute(ds, n_permutations=5, loco=True, strata="sample_sex").max_lod.values
    ),
    "hotspots": lambda ds, folder: blmm.hotspots(scanned(ds, loco=True), ds, window=50),
    "hotspot_baseline": lambda ds, folder: blmm.hotspot_baseline(
        ds, n_permutations=2, window=50, threshold=1.5, loco=True
    ),
    "save": saved,
    "plot.effects": lambda ds, folder: drawn(blmm.plot.effects(ds, TRAIT, _marker(ds))),
    "plot.kinship": lambda ds, folder: drawn(blmm.plot.kinship(ds)),
    "plot.eqtl": lambda ds, folder: drawn(blmm.plot.eqtl(_findings(ds), ds, threshold=1)),
}


def _marker(ds):
    return str(ds.variant_id.values[2])


def _findings(ds):
    contig = [str(name) for name in ds.variant_contig_name.values[:2]]
    table = {"trait": TRAIT, "contig": contig, "position": ds.variant_position.values[:2]}
    return pd.DataFrame(table).assign(lod=[3.0, 4.0])


@pytest.fixture(scope="module")
def answers(ds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    return {name: find(ds, folder) for name, find in FUNCTIONS.items()}


def compare(found, expected, name):
    if isinstance(found, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, obj=name, check_dtype=False)
    elif isinstance(found, np.ndarray):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8, err_msg=name)
    else:
        for one, other in zip(found, expected, strict=True):
            compare(one, other, name) if isinstance(one, np.ndarray) else _same(one, other, name)


def _same(one, other, name):
    assert one == other, name


def reopened(version):
    def verb(ds, folder):
        ds.to_zarr(folder / "own.zarr", zarr_format=version, consolidated=version == 2)
        return blmm.open_dataset(folder / "own.zarr")

    return verb


# The sex of the samples is objects here, which xarray does not write lazily.
OTHERS = ("drop_vars of names", "chunk, then to_zarr")
WHOLE = {name: verb for name, verb in KEEP.items() if name not in OTHERS} | {
    "concat of traits": parted("traits", data_vars="minimal"),
    "concat of variants": parted("variants", data_vars="minimal"),
    "open_dataset of to_zarr": reopened(3),
    "open_dataset of to_zarr, format 2": reopened(2),
}


@pytest.mark.parametrize("verb", cases(WHOLE, "to_zarr"))
def test_the_same_answers(ds, answers, verb, tmp_path):
    changed = verb(ds, tmp_path)
    for name, find in FUNCTIONS.items():
        compare(find(changed, tmp_path), answers[name], name)


@pytest.mark.parametrize("verb", cases(CHOOSE, "names"))
def test_the_answers_of_these_traits(ds, verb, tmp_path):
    changed = verb(ds, tmp_path)
    names = np.ravel(changed.traits.values).tolist()
    whole = scanned(ds, loco=True)
    expected = pd.concat([whole[whole["trait"] == name] for name in names], ignore_index=True)
    pd.testing.assert_frame_equal(scanned(changed, loco=True), expected)
    blmm.save(changed, tmp_path / "s.zarr")
    again = scanned(blmm.open_dataset(tmp_path / "s.zarr"), loco=True)
    pd.testing.assert_frame_equal(again, expected)


def test_samples_are_grouped_by_what_is_known_of_them(ds):
    means = ds.sample_trait.groupby("sample_sex").mean()
    by_hand = ds.sample_trait.values[::2].mean(axis=0)
    np.testing.assert_allclose(means.sel(sample_sex="f"), by_hand)


LOST = {
    "one trait": (lambda ds: ds.sel(traits=TRAIT), r"lost its dimension 'traits'.*\['trait3'\]"),
    "one sample": (lambda ds: ds.isel(samples=0), r"lost its dimension 'samples'"),
    "where": (
        lambda ds: ds.where(ds.variant_position > 5),
        r"sample_trait has dimensions .*'variants'.*select with isel or sel",
    ),
    "concat of all": (
        lambda ds: xr.concat([ds.isel(traits=[0]), ds.isel(traits=[1])], "traits", data_vars="all"),
        r"call_dosage has dimensions .*'traits'.*data_vars='minimal'",
    ),
    "contigs": (
        lambda ds: ds.isel(contigs=[1, 2]),
        r"contig.*select (their markers|markers of a contig)",
    ),
}


@pytest.mark.parametrize(("verb", "message"), LOST.values(), ids=LOST)
def test_what_is_lost_is_said(ds, verb, message, tmp_path):
    changed = verb(ds)
    for name in ("scan", "kinship", "heritability", "profile", "permute", "save"):
        with pytest.raises(blmm.InputError, match=message):
            FUNCTIONS[name](changed, tmp_path)


def test_everything_says_what_it_is(ds, tmp_path):
    blmm.save(ds, tmp_path / "s.zarr")
    result = blmm.scan(ds, method="alt-exact", statistics=["beta", "se", "explained"])
    named = [
        ds,
        blmm.open_dataset(tmp_path / "s.zarr"),
        result,
        blmm.open_result(_stored(result, tmp_path)),
        blmm.permute(ds, n_permutations=3),
        blmm.permute(ds, n_permutations=20, method="shared"),
        blmm.heritability(ds),
        blmm.profile(ds, TRAIT, variant=_marker(ds)),
        blmm.thresholds(blmm.permute(ds, n_permutations=20), 0.1),
    ]
    for each in named:
        unnamed = [name for name, one in each.variables.items() if "long_name" not in one.attrs]
        assert set(unnamed) <= {"sample_sex"}, unnamed  # which the test has added
    every = {**ds.variables, **result.variables}
    units = {name: one.attrs.get("units") for name, one in every.items()}
    expected = {
        "call_dosage": "share of copies",
        "variant_position": "Mb",
        "trait_position": "Mb",
        "sample_trait": "trait unit",
        "sample_covariate": "covariate unit",
        "sigma2": "trait unit squared",
        "n_samples": "samples",
        "n_refined": "markers",
        "kinship": None,
    }
    assert {name: units[name] for name in expected} == expected


def _stored(result, folder):
    blmm.save(result, folder / "r.zarr")
    return folder / "r.zarr"
