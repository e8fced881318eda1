"""`heritability` with several kernels: how they are said, other tools, and errors."""

from __future__ import annotations

import shutil
import subprocess

import brute
import dask
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from commands import run

import bulklmm_dask as blmm
import bulklmm_dask.engine.components as engine
from bulklmm_dask.analyses.prepare import ModelInputs
from bulklmm_dask.lmm.components.estimate import estimate_shares
from bulklmm_dask.lmm.components.kernels import KernelSamples

EACH = ("h2", "h2_se", "variance", "log_likelihood_0", "lr_statistic", "p_value", "neg_log10_p")
OF_TRAIT = ("sigma2", "log_likelihood")


def caged(n: int = 50, m: int = 8, missing: float = 0.0) -> xr.Dataset:
    """A study whose samples live in ten cages."""
    ds = studies.study(n=n, m=m, p=60, seed=5, covariates=1, missing=missing)
    cages = np.random.default_rng(1).integers(10, size=n)
    ds["sample_cage"] = ("samples", np.array([f"c{cage}" for cage in cages]))
    effects = np.random.default_rng(2).standard_normal((10, m))
    ds["sample_trait"] = ds.sample_trait + xr.DataArray(effects[cages], dims=("samples", "traits"))
    return ds


def cage_kernel(ds: xr.Dataset) -> np.ndarray:
    cages = ds.sample_cage.values
    return (cages[:, None] == cages).astype(float)


def same(found: xr.Dataset, expected: xr.Dataset, rtol: float = 1e-6) -> None:
    for name in (*EACH, *OF_TRAIT):
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=1e-7)
    assert list(found.trait_status.values) == list(expected.trait_status.values)


def test_a_result_has_the_components_by_name():
    ds = caged()
    found = blmm.heritability(ds, kinship={"additive": "kinship", "cage": "cage"})
    assert list(found.components.values) == ["additive", "cage", "residual"]
    assert found.h2.dims == ("components", "traits")
    np.testing.assert_allclose(found.h2.sum("components"), 1.0)
    assert found.attrs["kinship"] == "additive=kinship, cage=cage"
    assert found.attrs["covariates"] == "covariate1"
    assert float(found.h2.sel(components="cage").mean()) > 0.1
    for name in ("log_likelihood_0", "lr_statistic", "p_value", "neg_log10_p"):
        assert np.isnan(found[name].sel(components="residual")).all()
        assert not np.isnan(found[name].drop_sel(components="residual")).any()
    gain = (found.log_likelihood - found.log_likelihood_0).transpose("components", "traits")
    np.testing.assert_allclose(found.lr_statistic, 2 * gain.clip(min=0))
    covariates = np.column_stack([np.ones(50), ds.sample_covariate.values])
    kernels = np.stack([ds.kinship.values, cage_kernel(ds)])
    direct = estimate_shares(ds.sample_trait.values, KernelSamples(covariates, kernels), reml=True)
    np.testing.assert_allclose(found.h2, direct.h2, rtol=1e-12)
    np.testing.assert_allclose(found.h2_se, direct.h2_se, rtol=1e-12)


@pytest.mark.slow
def test_kernels_said_in_several_ways(tmp_path):
    ds = caged()
    expected = blmm.heritability(ds, kinship={"additive": "kinship", "cage": "cage"})
    kinship, cages = ds.kinship.values, cage_kernel(ds)
    blmm.save_kinship(ds.kinship, tmp_path / "K.zarr", ds)
    names = list(ds.sample_id.values)
    turned = pd.DataFrame(kinship, names, names).iloc[::-1, ::-1]
    labels = pd.Series(ds.sample_cage.values, names).sort_values()
    for additive in (kinship, 7 * kinship, turned, blmm.kinship(ds), str(tmp_path / "K.zarr")):
        for cage in ("@cage", "sample_cage", cages, labels, ds.sample_cage.values):
            found = blmm.heritability(ds, kinship={"additive": additive, "cage": cage})
            same(found, expected, rtol=1e-5)
    numbers = ds.assign(sample_cage=("samples", [float(one[1:]) for one in ds.sample_cage.values]))
    same(blmm.heritability(numbers, kinship={"additive": kinship, "cage": "cage"}), expected, 1e-6)
    # A matrix of the same name goes before the groups, unless these are asked for.
    both = ds.assign(cage=(("samples_0", "samples_1"), kinship))
    same(blmm.heritability(both, kinship={"additive": kinship, "cage": "@cage"}), expected, 1e-6)
    with pytest.raises(blmm.InputError, match="multiples of each other"):
        blmm.heritability(both, kinship={"additive": kinship, "cage": "cage"})


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
def test_one_kernel_is_the_heritability_of_a_kinship(reml):
    ds = caged(missing=0.2)
    weights = np.random.default_rng(0).uniform(0.5, 2, 50)
    assert np.diag(ds.kinship.values) == pytest.approx(1.0)
    one = blmm.heritability(ds, reml=reml, weights=weights)
    found = blmm.heritability(ds, kinship={"additive": "kinship"}, reml=reml, weights=weights)
    np.testing.assert_allclose(found.h2.sel(components="additive"), one.h2, atol=1e-6)
    np.testing.assert_allclose(found.sigma2, one.sigma2, rtol=1e-5)
    np.testing.assert_allclose(found.log_likelihood, one.log_likelihood, atol=1e-8)
    own = found.sel(components="additive")
    for name in ("log_likelihood_0", "lr_statistic"):
        np.testing.assert_allclose(own[name], one[name], atol=1e-7)
    np.testing.assert_allclose(own.p_value, one.p_value, atol=1e-6)
    np.testing.assert_array_equal(found.n_samples, one.n_samples)


def test_patterns_of_missing_values_in_any_chunks(monkeypatch):
    ds = caged(m=12, missing=0.3)
    ds.sample_trait.values[:3, ::5] = np.nan
    kernels = {"additive": "kinship", "cage": "cage"}
    together = blmm.heritability(ds, kinship=kernels)
    assert len(np.unique(together.n_samples)) > 2
    for j in (0, 5, 7):
        has = np.flatnonzero(~np.isnan(ds.sample_trait.values[:, j]))
        alone = ds.isel(samples=has, samples_0=has, samples_1=has, traits=[j])
        same(together.isel(traits=[j]), blmm.heritability(alone, kinship=kernels), rtol=1e-5)
    monkeypatch.setattr(engine, "_TASK", 3)
    for chunked in (ds, ds.chunk(traits=5, samples=20, samples_0=25, variants=7)):
        with dask.config.set(scheduler="synchronous"):
            again = blmm.heritability(chunked, kinship=kernels)
        same(again, together)


@pytest.mark.slow
def test_a_task_in_another_process(processes):
    ds = caged(m=3)
    kernels = {"additive": "kinship", "cage": "cage"}
    with dask.config.set(scheduler="processes", pool=processes):
        found = blmm.heritability(ds, kinship=kernels)
    same(found, blmm.heritability(ds, kinship=kernels))


REFUSED = [
    ({}, "empty mapping"),
    ({"residual": "kinship"}, "'residual', which is the name of the independent part"),
    ({" residual": "kinship"}, "' residual', which is the name of the independent part"),
    ({"": "kinship"}, "a kernel is named ''"),
    ({1: "kinship"}, "a kernel is named 1"),
    ({"a": "nothing"}, r"kernel 'a' is 'nothing', but .* it knows 'cage'"),
    ({"a": "@nothing"}, "kernel 'a' is 'nothing', but the study has no variable"),
    ({"a": None}, "kernel 'a' is None"),
    ({"a": [[1.0, 2.0], [3.0]]}, "kernel 'a' is a list that makes no array"),
    ({"a": xr.Dataset()}, "kernel 'a' is a Dataset that makes no array"),
    ({"a": np.eye(4)}, r"kernel 'a' has shape \(4, 4\), but the study has 50 samples"),
    ({"a": np.zeros((50, 50))}, "kernel 'a' is 0 everywhere"),
    ({"a": np.triu(np.ones((50, 50)))}, "kernel 'a' is not symmetric"),
    ({"a": -np.eye(50)}, "kernel 'a' is not positive semi-definite"),
    ({"a": np.full((50, 50), np.nan)}, "kernel 'a' holds nan at row 0, column 0"),
    ({"a": np.zeros((2, 50, 50))}, "kernel 'a' holds one matrix for each contig"),
    ({"a": np.linspace(0, 1, 50)}, r"kernel 'a' holds 0\.02.*, which is no label of a group"),
    ({"a": ["x"] * 49}, r"kernel 'a' has shape \(49,\) for 50 samples"),
    ({"a": [""] + ["x", "y"] * 24 + ["x"]}, "kernel 'a' lacks a label for 'sample1'"),
    ({"a": "kinship", "b": "@sample_id"}, "kernel 'b' is a multiple of the residual"),
    ({"a": "kinship", "b": np.ones(50, int)}, "kernel 'b' is 0, as that of one group"),
]


@pytest.mark.parametrize(("kernels", "words"), REFUSED, ids=range(len(REFUSED)))
def test_kernels_that_cannot_be_used_are_refused(kernels, words):
    with pytest.raises(blmm.InputError, match=words):
        blmm.heritability(caged(), kinship=kernels)


def test_collinear_kernels_are_named():
    ds = caged()
    kinship, cage = ds.kinship.values, cage_kernel(ds)
    with pytest.raises(blmm.InputError, match="'a', 'b' are multiples of each other; leave 'b'"):
        blmm.heritability(ds, kinship={"a": kinship, "c": cage, "b": 2 * kinship})
    mixed = {"a": kinship, "b": "cage", "c": kinship + 3 * cage}
    with pytest.raises(blmm.InputError, match="'a', 'b', 'c' are sums of multiples"):
        blmm.heritability(ds, kinship=mixed)
    with pytest.raises(blmm.InputError, match=r"'a', 'b', 'residual' are sums.* leave 'b' out"):
        blmm.heritability(ds, kinship={"a": kinship, "b": kinship + np.eye(50)})
    # Told apart by samples that lack a covariate alone, they are not told apart.
    ds.sample_covariate.values[49] = np.nan
    nearly = kinship.copy()
    nearly[49, 49] += 1.0
    with (
        pytest.raises(blmm.InputError, match=r"in 49 samples, .* multiples of each other"),
        pytest.warns(blmm.StudyWarning, match="lack a covariate"),
    ):
        blmm.heritability(ds, kinship={"a": kinship, "b": nearly})


def test_other_analyses_refuse_several_kernels():
    ds, kernels = caged(), {"additive": "kinship", "cage": "cage"}
    calls = [
        lambda: blmm.profile(ds, "trait1", kinship=kernels),
        lambda: blmm.hotspot_baseline(ds, window=5, kinship=kernels),
        lambda: ModelInputs(kinship=kernels),  # as every analysis of a kinship makes them
    ]
    for call in calls:
        with pytest.raises(blmm.InputError, match=r"2 kernels \('additive', 'cage'\).*heritabil"):
            call()


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ds = caged(m=6)
    blmm.save(ds, "s.zarr")
    pd.Series(ds.sample_cage.values, ds.sample_id.values, name="cage").to_csv(
        "cages.csv", index_label="sample"
    )
    blmm.save_kinship(ds.kinship, "K.zarr", ds)
    expected = blmm.heritability(ds, kinship={"additive": "kinship", "cage": "cage"}, reml=False)
    command = ["heritability", "s.zarr", "--ml", "--threads", 1, "--overwrite"]
    for additive in ("kinship", "K.zarr"):
        for cage in ("@cage", "@cages.csv"):
            kernels = ["--kernel", f"additive={additive}", "--kernel", f"cage={cage}"]
            shown = run(*command, *kernels, "--out", "h2.csv").stdout.splitlines()
            table = pd.read_csv("h2.csv")
            assert list(table.columns[:2]) == ["trait", "component"]
            assert len(table) == 18
            assert list(table.component[:3]) == ["additive", "cage", "residual"]
            table = table.set_index(["component", "trait"])
            for component in expected.components.values:
                for name in EACH:
                    np.testing.assert_allclose(
                        table.loc[component][name],
                        expected[name].sel(components=component),
                        rtol=1e-5,
                        atol=1e-9,
                    )
            np.testing.assert_allclose(table.loc["cage"].sigma2, expected.sigma2, rtol=1e-6)
            assert list(table.loc["cage"].trait_status) == list(expected.trait_status.values)
    assert shown[0].startswith("6 traits, ML: ")
    middle = float(expected.h2.sel(components="cage").median())
    assert any(line.startswith(f"share of cage: median {middle:.3g}, ") for line in shown)
    assert any(line.startswith("share of additive = 0 rejected for ") for line in shown)
    assert not any(line.startswith("share of residual = 0") for line in shown)


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--kernel", "cage"], "'cage' should be a name and a kinship", 2),
        (["--kernel", "=kinship"], "'=kinship' should be a name", 2),
        (["--kernel", "a=@"], "'a=@' should be a name", 2),
        (["--kernel", "a=kinship", "--kernel", "a=@cage"], "two kernels 'a'", 2),
        (
            ["--kernel", "a=kinship", "--kinship", "kinship"],
            "--kinship kinship and --kernel a=kinship exclude",
            2,
        ),
        (["--kernel", "a=nothing"], "the study has no kinship 'nothing'", 1),
        (["--kernel", "a=@nothing"], "kernel 'a' is 'nothing'", 1),
        (["--kernel", "a=none"], "kernel 'a' is None", 1),
        (["--kernel", "a=kinship", "--kernel", "b=kinship"], "multiples of each other", 1),
    ],
)
def test_wrong_kernels_on_the_command_line(arguments, words, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blmm.save(caged(m=2), "s.zarr")
    assert words in run("heritability", "s.zarr", *arguments, code=code).stderr


def oracle_study():
    """A trait of additive, cage and residual parts, with a covariate."""
    rng = np.random.default_rng(1)
    n = 150
    features = rng.standard_normal((n, 200))
    kinship = features @ features.T / 200
    cages = rng.integers(20, size=n)
    cage = np.equal.outer(cages, cages).astype(float)
    covariance = 0.4 * kinship + 0.3 * cage + 0.3 * np.eye(n)
    covariate = rng.standard_normal(n)
    y = 1.7 * np.linalg.cholesky(covariance) @ rng.standard_normal(n) + covariate + 3
    return y, covariate, kinship, cage, cages


def found_for(y, covariate, kernels, **options):
    dosage, _ = studies.arrays(n=len(y), p=3)
    ds = blmm.create_dataset(dosage, y[:, None], covariates=covariate[:, None], maximum=2)
    return blmm.heritability(ds, kinship=kernels, **options).isel(traits=0)


def gemma_vc(folder, y, covariate, kernels):
    """What `gemma -vc 2` prints of two kernels: REML, of kernels that it centres."""
    for name, values in (
        ("y", y),
        ("c", np.column_stack([np.ones(len(y)), covariate])),
        *((f"K{k}", kernel) for k, kernel in enumerate(kernels)),
    ):
        np.savetxt(folder / f"{name}.txt", values, fmt="%.17g")
    (folder / "mk.txt").write_text("K0.txt\nK1.txt\n")
    command = "gemma -p y.txt -c c.txt -mk mk.txt -vc 2 -outdir . -o found"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=120)
    log = (folder / "found.log.txt").read_text().splitlines()

    def printed(what: str) -> np.ndarray:
        line = next(line for line in log if line.startswith(f"## {what} ="))
        return np.array(line.partition("=")[2].split(), dtype=float)

    return printed


needs_gemma = pytest.mark.skipif(shutil.which("gemma") is None, reason="no program gemma")


@pytest.mark.gemma
@needs_gemma
def test_gemma_run_now(tmp_path):
    """The pve of GEMMA and their errors are ours of centred kernels."""
    y, covariate, kinship, cage, _ = oracle_study()
    printed = gemma_vc(tmp_path, y, covariate, [kinship, cage])
    centre = np.eye(len(y)) - 1 / len(y)
    kernels = [centre @ kernel @ centre for kernel in (kinship, cage)]
    found = found_for(y, covariate, {"additive": kernels[0], "cage": kernels[1]})
    np.testing.assert_allclose(found.h2[:2], printed("pve estimates"), rtol=2e-4)
    np.testing.assert_allclose(found.h2_se[:2], printed("se(pve)"), rtol=2e-4)
    np.testing.assert_allclose(1 - found.h2[2], printed("total pve")[0], rtol=2e-4)
    np.testing.assert_allclose(found.h2_se[2], printed("se(total pve)")[0], rtol=2e-4)
    sizes = np.array([*(np.trace(kernel) / len(y) for kernel in (kinship, cage)), 1.0])
    plain = found_for(y, covariate, {"additive": kinship, "cage": cage})
    np.testing.assert_allclose(plain.variance / sizes, printed("sigma2 estimates"), rtol=2e-4)


@pytest.mark.gemma
@needs_gemma
def test_gemma_on_dominance_in_an_intercross(tmp_path):
    """Kernels by the names of their methods, which are centred."""
    ds = blmm.simulate_study(n_samples=200, n_strains=None, n_variants=150, n_traits=1, cross="f2")
    rng = np.random.default_rng(0)
    x = ds.call_dosage.transpose("samples", "variants").values / ds.call_dosage.attrs["maximum"]
    loci = (x + (x == 0.5)) @ rng.standard_normal(150)
    covariate = rng.standard_normal(200)
    y = loci / loci.std() + covariate + rng.standard_normal(200)
    ds = ds.assign(
        sample_trait=(("samples", "traits"), y[:, None]), sample_age=("samples", covariate)
    )
    names = {"additive": "centered", "dominance": "dominance"}
    found = blmm.heritability(ds, kinship=names, covariates="age").isel(traits=0)
    assert (found.h2 > 0.1).all()
    kernels = [blmm.kinship(ds, method=method).values for method in names.values()]
    printed = gemma_vc(tmp_path, y, covariate, kernels)
    np.testing.assert_allclose(found.h2[:2], printed("pve estimates"), rtol=2e-4)
    np.testing.assert_allclose(found.h2_se[:2], printed("se(pve)"), rtol=2e-4)


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
def test_statsmodels_run_now(reml):
    mixed = pytest.importorskip("statsmodels.regression.mixed_linear_model")
    y, covariate, kinship, cage, cages = oracle_study()
    values, vectors = np.linalg.eigh(kinship)
    root = vectors * np.sqrt(np.maximum(values, 0))
    of_cages = np.eye(20)[cages]
    spec = mixed.VCSpec(
        ["additive", "cage"],
        [[[f"a{i}" for i in range(150)]], [[f"c{i}" for i in range(20)]]],
        [[root], [of_cages]],
    )
    design = np.column_stack([np.ones(150), covariate])
    model = mixed.MixedLM(y, design, np.zeros(150), exog_re=None, exog_vc=spec)
    fit = model.fit(reml=reml)
    found = found_for(y, covariate, {"additive": kinship, "cage": cage}, reml=reml)
    sizes = np.array([np.trace(kinship) / 150, 1.0])
    np.testing.assert_allclose(found.variance[:2] / sizes, fit.vcomp, rtol=1e-4)
    np.testing.assert_allclose(found.variance[2], fit.scale, rtol=1e-4)


def test_the_study_of_the_oracles_by_dense_covariances():
    """The same where neither tool is installed."""
    y, covariate, kinship, cage, _ = oracle_study()
    found = found_for(y, covariate, {"additive": kinship, "cage": cage})
    design = np.column_stack([np.ones(150), covariate])
    search = brute.Components(y, design, [kinship, cage], reml=True)
    h, value = search.best(starts=0)
    np.testing.assert_allclose(found.h2, h, atol=1e-4)
    assert float(found.log_likelihood) == pytest.approx(value, abs=1e-6)
