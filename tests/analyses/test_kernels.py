"""Kernels beside the additive one against their formulas written out, and how they are chosen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from commands import run
from hypothesis import given, settings
from hypothesis import strategies as st

import bulklmm_dask as blmm
from bulklmm_dask.lmm.dominance import deviations
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.study.kinship_store import OF_KINSHIPS


def f2(n: int = 24, p: int = 30, m: int = 3, seed: int = 0) -> xr.Dataset:
    """A study of three contigs with all genotypes, and metadata of its samples."""
    rng = np.random.default_rng(seed)
    dosage = rng.binomial(2, rng.uniform(0.2, 0.8, p), (n, p)).astype(float)
    ds = blmm.create_dataset(
        dosage,
        rng.standard_normal((n, m)),
        covariates=rng.standard_normal((n, 2)),
        contigs=np.repeat(["1", "2", "X"], p // 3),
        positions=np.tile(np.arange(p // 3) * 2.0, 3),
        maximum=2,
    )
    return ds.assign(sample_age=("samples", rng.uniform(1, 9, n)))


def own(found: xr.DataArray) -> dict[str, object]:
    """What a kernel was made of."""
    return {name: found.attrs[name] for name in OF_KINSHIPS if name in found.attrs}


def scaled(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.diag(matrix).mean()


def noia(row: np.ndarray) -> np.ndarray:
    """Deviations of one marker from genotype frequencies (Vitezica et al. 2017, equation 3)."""
    aa, ab, bb = ((row == d).mean() for d in (0, 1, 2))
    bottom = aa + bb - (aa - bb) ** 2
    code = {0: -2 * ab * bb, 1: 4 * aa * bb, 2: -2 * aa * ab}
    return np.array([code[int(d)] / bottom for d in row])


def dominance(dosage: np.ndarray) -> np.ndarray:
    total = np.zeros((dosage.shape[1],) * 2)
    for row in dosage:
        if len(np.unique(row)) > 1:
            total += np.outer(noia(row), noia(row))
    return scaled(total)


def centered(dosage: np.ndarray) -> np.ndarray:
    middle = dosage - dosage.mean(axis=1, keepdims=True)
    return middle.T @ middle / len(middle)


def gaussian(columns: np.ndarray, bandwidth: float | None = None) -> np.ndarray:
    """One pair at a time; columns (columns, samples)."""
    n = columns.shape[1]
    squares = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            squares[i, j] = np.mean((columns[:, i] - columns[:, j]) ** 2)
    if bandwidth is None:
        bandwidth = np.sqrt(np.median(squares[np.triu(squares > 1e-12, 1)]))
    return np.exp(-squares / bandwidth**2)


def standardized(columns: np.ndarray) -> np.ndarray:
    """Columns (samples, columns) of mean 0 and variance 1, as rows."""
    return ((columns - columns.mean(axis=0)) / columns.std(axis=0)).T


def test_dominance_is_the_code_of_genotype_frequencies():
    ds = f2()
    found = blmm.kinship(ds, method="dominance")
    np.testing.assert_allclose(found, dominance(ds.call_dosage.values), atol=1e-12)
    assert own(found) == {"method": "dominance", "n_variants": 30}
    halves = ds.assign(call_dosage=(ds.call_dosage / 2).assign_attrs(maximum=1))
    np.testing.assert_allclose(blmm.kinship(halves, method="dominance"), found, atol=1e-12)


def test_dominance_in_hardy_weinberg_proportions_is_that_of_vitezica_2013():
    row = np.repeat([0.0, 1.0, 2.0], [9, 42, 49])  # p = 0.7
    (w,) = deviations(row[None], (row == 1.0).astype(float)[None])
    np.testing.assert_allclose(w[[0, 20, 99]], [-2 * 0.49, 2 * 0.21, -2 * 0.09], atol=1e-12)
    np.testing.assert_allclose([w.sum(), w @ row], 0.0, atol=1e-12)


def test_markers_with_two_genotypes_have_no_dominance():
    ds = f2()
    dosage = ds.call_dosage.values.copy()
    expected = blmm.kinship(ds.isel(variants=slice(9, None)), method="dominance")
    dosage[:3] = np.minimum(dosage[:3], 1)  # a backcross
    dosage[3:6] = np.where(dosage[3:6] == 1, 0, dosage[3:6])  # inbred lines
    dosage[6:9] = 1
    two = ds.assign(call_dosage=ds.call_dosage.copy(data=dosage))
    np.testing.assert_allclose(blmm.kinship(two, method="dominance"), expected, atol=1e-12)
    with pytest.raises(blmm.InputError, match="both homozygotes and heterozygotes"):
        blmm.kinship(two.isel(variants=slice(0, 9)), method="dominance").compute()


def test_dominance_without_a_call_has_no_deviation():
    ds = f2()
    dosage = ds.call_dosage.values.astype(float)
    dosage[::2, 5] = np.nan
    dosage[7] = np.nan
    gaps = ds.assign(call_dosage=ds.call_dosage.copy(data=dosage))
    w = np.zeros((30, 24))
    for marker, row in enumerate(dosage):
        there = np.flatnonzero(~np.isnan(row))
        if len(there):
            w[marker, there] = noia(row[there])
    np.testing.assert_allclose(
        blmm.kinship(gaps.chunk(variants=8), method="dominance"), scaled(w.T @ w), atol=1e-12
    )


def test_dominance_of_genotype_probabilities():
    ds = f2()
    calls = np.eye(3)[ds.call_dosage.values.astype(int)]  # (variants, samples, genotypes)
    for names in (["AA", "AB", "BB"], ["SS", "SB", "BB"]):
        of = blmm.create_dataset(calls.transpose(1, 0, 2), ds.sample_trait.values)
        of = of.assign(genotype_id=("genotypes", np.array(names, dtype=object)))
        np.testing.assert_allclose(
            blmm.kinship(of, method="dominance"), dominance(ds.call_dosage.values), atol=1e-12
        )
    of = of.assign(genotype_id=("genotypes", np.array(["A", "B", "C"], dtype=object)))
    with pytest.raises(blmm.InputError, match=r"two alleles, but the genotypes .* are of 3"):
        blmm.kinship(of, method="dominance")
    with pytest.raises(blmm.InputError, match="'epistasis' needs dosages"):
        blmm.kinship(of, method="epistasis")


def test_epistasis_is_a_product_entry_by_entry():
    ds = f2()
    dosage = ds.call_dosage.values
    additive, of_dominance = centered(dosage), dominance(dosage)
    for method, other in (("epistasis", additive), ("epistasis-dominance", of_dominance)):
        found = blmm.kinship(ds, method=method)
        np.testing.assert_allclose(found, scaled(additive * other), atol=1e-12)
        assert found.attrs["method"] == method


def test_gaussian_of_markers():
    ds = f2()
    both = np.concatenate([ds.call_dosage.values / 2, 1 - ds.call_dosage.values / 2])
    # The mean over markers of two alleles is twice that over alleles.
    expected = gaussian(np.sqrt(2) * both)
    np.testing.assert_allclose(blmm.kinship(ds, method="gaussian"), expected, atol=1e-12)
    wide = blmm.kinship(ds, method="gaussian", bandwidth=1.5)
    np.testing.assert_allclose(wide, gaussian(np.sqrt(2) * both, 1.5), atol=1e-12)
    assert own(wide) == {"method": "gaussian", "n_variants": 30, "bandwidth": 1.5}


def test_gaussian_leaves_clones_out_of_the_median():
    ds = f2()
    twice = ds.isel(samples=np.repeat(np.arange(12), 2))
    twice["sample_id"] = ("samples", [f"s{i}" for i in range(24)])
    found = blmm.kinship(twice, method="gaussian").values
    once = blmm.kinship(ds.isel(samples=slice(0, 12)), method="gaussian").values
    np.testing.assert_allclose(found, np.kron(once, np.ones((2, 2))), atol=1e-12)
    with pytest.raises(blmm.InputError, match="no two samples differ"):
        blmm.kinship(ds.isel(samples=[0]), method="gaussian").compute()


@pytest.mark.parametrize("lazy", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_linear_and_gaussian_of_columns(lazy):
    ds = f2()
    columns = np.column_stack([ds.sample_covariate.values, ds.sample_age.values])
    names = [*map(str, ds.covariate_id.values), "age"]
    given = ds.chunk(traits=2, samples=7) if lazy else ds
    for arguments, used in (
        ({"covariates": names}, columns),
        ({"covariates": True}, columns[:, :2]),
        ({"covariates": "age"}, columns[:, 2:]),
        ({"traits": True}, ds.sample_trait.values),
        ({"traits": ["trait3", "trait1"]}, ds.sample_trait.values[:, [2, 0]]),
        ({"traits": ds.trait_id.values[1:2]}, ds.sample_trait.values[:, [1]]),
        ({"traits": "trait2", "covariates": False}, ds.sample_trait.values[:, [1]]),
        ({"traits": "trait2"}, ds.sample_trait.values[:, [1]]),
    ):
        z = standardized(used)
        linear = blmm.kinship(given, method="linear", **arguments)
        np.testing.assert_allclose(linear, z.T @ z / len(z), atol=1e-12)
        assert np.diag(linear).mean() == pytest.approx(1.0)
        found = blmm.kinship(given, method="gaussian", **arguments)
        np.testing.assert_allclose(found, gaussian(z), atol=1e-12)
        again = {name: found.attrs[name] for name in arguments if name in found.attrs}
        xr.testing.assert_identical(blmm.kinship(given, method="gaussian", **again), found)


def test_missing_values_of_columns_are_their_mean():
    ds = f2()
    ds.sample_trait.values[3:6, 1] = np.nan
    ds.sample_covariate.values[0, 0] = np.nan
    traits = impute(ds.sample_trait.values.T).T
    z = standardized(traits)
    np.testing.assert_allclose(
        blmm.kinship(ds, method="linear", traits=True), z.T @ z / 3, atol=1e-12
    )
    z = standardized(impute(ds.sample_covariate.values.T).T)
    with pytest.warns(blmm.StudyWarning, match="1 missing covariate of the kernel"):
        found = blmm.kinship(ds, method="linear", covariates=True)
    np.testing.assert_allclose(found, z.T @ z / 2, atol=1e-12)


def test_columns_of_any_size():
    ds = f2()
    expected = blmm.kinship(ds, method="linear", traits=True)
    for size in (1e-290, 1e307):
        other = ds.assign(sample_trait=ds.sample_trait * [size, 1.0, -size])
        found = blmm.kinship(other, method="linear", traits=True)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_columns_that_do_not_vary_do_not_count():
    ds = f2()
    ds["sample_flat"] = ("samples", np.full(24, 0.1))
    one = blmm.kinship(ds, method="linear", covariates="age")
    both = blmm.kinship(ds, method="linear", covariates=["flat", "age"])
    np.testing.assert_allclose(both, one, atol=1e-12)
    with pytest.raises(blmm.InputError, match="a column that varies"):
        blmm.kinship(ds, method="linear", covariates="flat").compute()


METHODS = ("dominance", "epistasis", "epistasis-dominance", "gaussian")


@pytest.mark.slow
@settings(max_examples=15)
@given(chunk=st.integers(1, 30), method=st.sampled_from(METHODS))
def test_any_chunks_give_the_same_kernel(chunk, method):
    ds = f2()
    expected = blmm.kinship(ds, method=method).values
    lazy = blmm.kinship(ds.chunk(variants=chunk, samples=9), method=method)
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy, expected, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_chromosome(method):
    ds = f2()
    found = blmm.kinship(ds, method=method, loco=True)
    for contig in ("1", "2", "X"):
        others = ds.isel(variants=np.flatnonzero(ds.variant_contig_name.values != contig))
        expected = blmm.kinship(others, method=method)
        np.testing.assert_allclose(found.sel(contigs=contig), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("variants", "rows"),
    [
        ("2", range(10, 20)),
        ("chr2", range(10, 20)),
        ("2:4-8", range(12, 15)),
        ("chr2:3.5-8.1", range(12, 15)),
        (["X", "1:0-2"], [0, 1, *range(20, 30)]),
        ("X, 1:0-2", [0, 1, *range(20, 30)]),
        (["variant5", "variant1", "variant5"], [0, 4]),
        (np.array(["variant5", "variant1"], dtype=object), [0, 4]),
        ("1:0-1e3", range(10)),
    ],
    ids=str,
)
def test_markers_of_regions(variants, rows):
    ds = f2()
    found = blmm.kinship(ds, method="centered", variants=variants)
    expected = blmm.kinship(ds.isel(variants=list(rows)), method="centered")
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.attrs["n_variants"] == len(rows)
    again = blmm.kinship(ds, method="centered", variants=found.attrs["variants"])
    xr.testing.assert_identical(again, found)
    lazy = blmm.kinship(ds.chunk(variants=4), method="centered", variants=variants)
    np.testing.assert_allclose(lazy, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"variants": "7"}, r"variants names '7', which is no marker .* are '1', '2', 'X'"),
        ({"variants": ["variant1", "rs"]}, "names 'rs', which is no marker and no contig"),
        ({"variants": []}, "variants names no marker"),
        ({"variants": "7:1-2"}, "contig '7' is not in the study"),
        ({"variants": "2:8-4"}, "'2:8-4' ends before it starts"),
        ({"variants": "2:3.1-3.9"}, "no marker lies in the window .* lie from 0 to 18"),
        ({"method": "linear"}, "say which, with covariates or traits"),
        ({"method": "linear", "covariates": "size"}, "no covariate 'size' in the study"),
        ({"method": "linear", "traits": ["t9"]}, "traits names 't9', which the study does not"),
        ({"method": "linear", "traits": True, "covariates": True}, "not of both"),
        (
            {"method": "linear", "traits": True, "variants": "1"},
            "variants is of kernels of markers",
        ),
        ({"method": "gaussian", "traits": True, "loco": True}, "loco is of kernels of markers"),
        ({"method": "dominance", "traits": True}, "traits is given, but method 'dominance'"),
        ({"method": "centered", "bandwidth": 2}, "bandwidth is given, but method 'centered'"),
        ({"method": "gaussian", "bandwidth": 0}, "bandwidth is 0; it should be a number"),
        ({"method": "gaussian", "bandwidth": "wide"}, "bandwidth is 'wide'"),
    ],
    ids=str,
)
def test_what_cannot_be_made_is_refused(arguments, words):
    with pytest.raises(blmm.InputError, match=words):
        blmm.kinship(f2(), **arguments)


def test_a_name_of_a_marker_and_a_contig_is_neither():
    ds = f2().assign_coords(variants=[f"m{i}" for i in range(29)] + ["2"])
    ds["variant_id"] = ("variants", ds.variants.values)
    with pytest.raises(blmm.InputError, match=r"'2' is a marker and a contig .* 2:START-END"):
        blmm.kinship(ds, variants="2")


def test_infinite_traits_of_a_kernel():
    ds = f2()
    ds.sample_trait.values[3, 1] = np.inf
    with pytest.raises(blmm.InputError, match="the first inf in sample 'sample4', column 'trait2'"):
        blmm.kinship(ds.chunk(traits=1), method="linear", traits=True).compute()


def test_kernels_by_the_name_of_their_method():
    ds = f2(n=60, p=60)
    ds["kinship"] = blmm.kinship(ds, method="centered")
    names = {"additive": "kinship", "dominance": "dominance", "e": "epistasis"}
    found = blmm.heritability(ds, kinship=names)
    made = {
        "additive": ds.kinship,
        "dominance": blmm.kinship(ds, method="dominance"),
        "e": blmm.kinship(ds, method="epistasis"),
    }
    expected = blmm.heritability(ds, kinship=made)
    xr.testing.assert_identical(found.drop_attrs(), expected.drop_attrs())
    assert found.attrs["kinship"] == "additive=kinship, dominance=dominance, e=epistasis"
    # A matrix of that name goes first; groups of that name are an error, unless they are asked for.
    own = ds.assign(dominance=made["e"].variable)
    same = blmm.heritability(own, kinship={"additive": "kinship", "e": "dominance"})
    np.testing.assert_allclose(
        same.h2, blmm.heritability(ds, kinship={"a": "kinship", "e": made["e"]}).h2, atol=1e-6
    )
    groups = ds.assign(sample_dominance=("samples", np.repeat(["x", "y", "z"], 20)))
    with pytest.raises(
        blmm.InputError,
        match=r"kernel 'd' is 'dominance', .* variable 'sample_dominance'; give '@dominance'",
    ):
        blmm.heritability(groups, kinship={"d": "dominance"})
    assert blmm.heritability(groups, kinship={"d": "@dominance"}).sizes["components"] == 2
    with pytest.raises(blmm.InputError, match="say which, with covariates or traits"):
        blmm.heritability(ds, kinship={"environment": "linear"})


def test_kernels_of_a_region():
    ds = f2(n=60, p=60)
    ds["kinship"] = blmm.kinship(ds, method="centered")
    names = {"rest": "kinship", "cis": "centered:2:4-8", "one": "rqtl2:variant3"}
    made = {
        "rest": ds.kinship,
        "cis": blmm.kinship(ds, method="centered", variants="2:4-8"),
        "one": blmm.kinship(ds, method="rqtl2", variants="variant3"),
    }
    found = blmm.heritability(ds, kinship=names)
    expected = blmm.heritability(ds, kinship=made)
    xr.testing.assert_identical(found.drop_attrs(), expected.drop_attrs())
    assert found.attrs["kinship"] == "rest=kinship, cis=centered:2:4-8, one=rqtl2:variant3"
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    del names["one"]
    loco = blmm.scan(ds, kinship=names, loco=True)
    number = loco.contigs.values.tolist().index("X")
    made = {"rest": ds.kinship_loco.values[number], "cis": made["cis"]}
    alone = blmm.scan(ds, kinship=made).h2
    np.testing.assert_allclose(loco.h2.values[number], alone, atol=1e-9)
    for wrong, words in (
        ("linear:2", r"'linear:2'; give a method of markers .* linear is a kernel of covariates"),
        ("centered:", "'centered:'; give a method of markers and a region"),
        ("centered:17", "variants names '17', which is no marker and no contig"),
        ("center:2", "the study has no matrix and no sample variable of that name"),
    ):
        with pytest.raises(blmm.InputError, match=words):
            blmm.heritability(ds, kinship={"cis": wrong})


@pytest.mark.slow
def test_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ds = f2(n=40, p=30)
    blmm.save(ds, "s.zarr")
    pd.DataFrame({"marker": ["variant3", "variant9"], "x": 1}).to_csv("set.csv", index=False)
    for arguments, options in (
        ({"method": "dominance"}, ["--method", "dominance"]),
        (
            {"method": "centered", "variants": "2:4-8, X"},
            ["--method", "centered", "--region", "2:4-8,X"],
        ),
        ({"variants": ["variant3", "variant9"]}, ["--region", "set.csv"]),
        (
            {"method": "linear", "covariates": ["age"]},
            ["--method", "linear", "--covariates", "age"],
        ),
        (
            {"method": "gaussian", "traits": True, "bandwidth": 2.0},
            ["--method", "gaussian", "--traits", "all", "--bandwidth", 2],
        ),
    ):
        expected = blmm.kinship(ds, **arguments)
        run("kinship", "s.zarr", *options, "--out", "K.zarr", "--overwrite")
        found = blmm.open_kinship("K.zarr")
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert own(found) == own(expected)
    again = run("kinship", "s.zarr", "--method", "dominance", "--out", "D.zarr")
    assert "nothing is computed" not in again.stderr
    again = run("kinship", "s.zarr", "--method", "dominance", "--out", "D.zarr")
    assert "nothing is computed" in again.stderr + again.stdout
    wrong = run(
        "kinship", "s.zarr", "--method", "dominance", "--region", "1", "--out", "D.zarr", code=1
    )
    assert "D.zarr" in wrong.stderr
    wrong = run("kinship", "s.zarr", "--method", "linear", "--out", "L.zarr", code=2)
    assert "--covariates or --traits" in wrong.stderr
    region = ["--kernel", "additive=centered", "--kernel", "cis=centered:2:4-8"]
    run("heritability", "s.zarr", *region, "--out", "h2.csv")
    kernels = {"additive": "centered", "cis": "centered:2:4-8"}
    shares = blmm.heritability(ds, kinship=kernels).h2.values.T.ravel()
    np.testing.assert_allclose(pd.read_csv("h2.csv").h2, shares, rtol=1e-5, atol=1e-9)
    wrong = run("heritability", "s.zarr", "--kernel", "centered:2", code=2).stderr
    assert "such as centered:7:20-40" in wrong
    wrong = run("kinship", "s.zarr", "--region", "9", "--out", "L.zarr", code=1)
    assert "--region names '9'" in wrong.stderr


@pytest.mark.slow
def test_kernels_of_methods_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ds = f2(n=60, p=60)
    blmm.save(ds, "s.zarr")
    run("kinship", "s.zarr", "--method", "dominance", "--out", "D.zarr")
    tables = []
    for kernel in ("dominance", "dominance=dominance", "dominance=D.zarr"):
        kernels = ["--kernel", "additive=centered", "--kernel", kernel]
        run("heritability", "s.zarr", *kernels, "--out", "h2.csv", "--overwrite")
        tables.append(pd.read_csv("h2.csv"))
    expected = blmm.heritability(ds, kinship={"additive": "centered", "dominance": "dominance"})
    for table in tables:
        assert list(table.component[:3]) == ["additive", "dominance", "residual"]
        np.testing.assert_allclose(table.h2, expected.h2.values.T.ravel(), rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_a_damaged_kernel_is_computed_again(tmp_path):
    ds = f2()
    store = tmp_path / "s.zarr"
    for arguments in (
        {"method": "epistasis", "variants": "2"},
        {"method": "linear", "traits": True},
    ):
        blmm.save(ds.assign(kinship=blmm.kinship(ds, **arguments)), store, overwrite=True)
        before = blmm.open_dataset(store).kinship.values
        file = next(
            path
            for path in (store / "kinship").rglob("*")
            if "zarr" not in path.name and path.is_file()
        )
        file.write_bytes(b"nothing" + file.read_bytes()[7:])
        assert list(blmm.verify(store, mend=True).mended) == [True]
        np.testing.assert_array_equal(blmm.open_dataset(store).kinship, before)


@pytest.mark.slow
def test_strains_and_what_is_left_of_them_without_averaging():
    """Of a balanced study the likelihood is one of means of strains times one within strains."""
    strains, replicates, traits = 40, 3, 6
    ds = blmm.simulate_study(
        n_samples=strains, n_strains=None, n_variants=150, n_traits=traits, heritability=(0.5, 0.6)
    )
    rng = np.random.default_rng(3)
    of = np.repeat(np.arange(strains), replicates)
    values = ds.sample_trait.values + 0.6 * rng.standard_normal((strains, traits))
    values = values[of] + rng.standard_normal((len(of), traits))
    animals = blmm.create_dataset(
        ds.call_dosage.values.T[of],
        values,
        strains=[f"strain{i:02}" for i in of],
        maximum=ds.call_dosage.attrs["maximum"],
    )
    animals["kinship"] = blmm.kinship(animals)
    found = blmm.heritability(animals, kinship={"additive": "kinship", "strain": "@strain"})
    means = values.reshape(strains, replicates, traits).mean(axis=1)
    within = ((values - means[of]) ** 2).sum(axis=0) / (len(of) - strains)
    between = blmm.heritability(
        blmm.create_dataset(
            ds.call_dosage.values.T, means, maximum=ds.call_dosage.attrs["maximum"]
        ),
        kinship=animals.kinship.values[::replicates, ::replicates],
    )
    inside = found.trait_status.values == "ok"
    assert inside.sum() >= 3
    variance = found.variance.values[:, inside]
    np.testing.assert_allclose(variance[2], within[inside], rtol=1e-4)
    additive = (between.h2 * between.sigma2).values[inside]
    np.testing.assert_allclose(variance[0], additive, rtol=1e-3)
    others = ((1 - between.h2) * between.sigma2).values[inside]
    np.testing.assert_allclose(variance[1], others - within[inside] / replicates, rtol=1e-3)
    # The kinship alone takes the strains for heritability.
    alone = blmm.heritability(animals)
    assert (alone.h2 > found.h2.sel(components="additive"))[inside].all()


def test_methods_in_a_scan_leave_each_chromosome_out():
    ds = f2(n=60, p=30)
    names = {"additive": "centered", "dominance": "dominance"}
    for loco in (False, True):
        made = {name: blmm.kinship(ds, method=one, loco=loco) for name, one in names.items()}
        found = blmm.scan(ds, kinship=names, loco=loco)
        expected = blmm.scan(ds, kinship=made, loco=loco)
        np.testing.assert_allclose(found.lod, expected.lod, rtol=1e-9)
        np.testing.assert_allclose(found.h2, expected.h2, rtol=1e-9)
        assert found.attrs["kinship"] == "additive=centered, dominance=dominance"
