"""The command line of a scan's statistics: every option gives what the library gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from commands import SMALL, run

import bulklmm_dask as blmm
from bulklmm_dask.study import warn
from bulklmm_dask.study.io import open_dataset, save

pytestmark = pytest.mark.slow  # whole commands


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """With both sorts of kinship, two covariates, replicates by name; three traits are short."""
    folder = tmp_path_factory.mktemp("statistics")
    run("simulate", folder / "plain.zarr", *SMALL, "--covariates", "2", "--seed", "3")
    ds = open_dataset(folder / "plain.zarr").load()
    ds.sample_trait.values[:7, 3:6] = np.nan
    ds["sample_count"] = ("samples", np.random.default_rng(0).integers(1, 9, 40).astype(float))
    save(ds, folder / "study.zarr")
    run("kinship", folder / "study.zarr")
    run("kinship", folder / "study.zarr", "--loco")
    return folder / "study.zarr"


def scanned(study: Path, store: Path, *arguments: object) -> xr.Dataset:
    run("scan", study, store, *arguments)
    return blmm.open_result(store).compute()


def same(found: xr.Dataset, study: Path, **options: object) -> None:
    """All that was asked for equals a scan of the library, and nothing else is there."""
    expected = blmm.scan(open_dataset(study), **options).compute()
    assert set(found.data_vars) == set(expected.data_vars)
    for name, values in expected.data_vars.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=2e-6)
        else:
            assert (found[name] == values).all()
    assert found.attrs == expected.attrs


def test_kinships_by_chromosome(study, tmp_path):
    ds = open_dataset(study)
    expected = blmm.kinship(ds, loco=True)
    np.testing.assert_allclose(ds.kinship_loco, expected, atol=1e-12)
    assert ds.kinship_loco.dims == ("contigs", "samples_0", "samples_1")
    assert "already: nothing is computed" in run("kinship", study, "--loco").stderr
    other = run("kinship", study, "--loco", "--method", "rqtl2", code=1).stderr
    assert "--overwrite" in other
    save(ds.drop_vars("kinship_loco"), tmp_path / "s.zarr")
    out = run("kinship", tmp_path / "s.zarr", "--loco", "--method", "rqtl2").stderr
    assert "next: bulklmm scan" in out
    assert out.strip().endswith("RESULT.zarr --loco")
    run("kinship", tmp_path / "s.zarr", "--loco", "--method", "centered", "--overwrite")
    found = open_dataset(tmp_path / "s.zarr")
    np.testing.assert_allclose(
        found.kinship_loco, blmm.kinship(ds, method="centered", loco=True), atol=1e-12
    )
    assert found.kinship.attrs["method"] == "bulklmm"


@pytest.mark.slow
def test_loco_with_stored_kinships_and_without(study, tmp_path):
    same(scanned(study, tmp_path / "a.zarr", "--loco"), study, loco=True)
    bare = tmp_path / "s.zarr"
    save(open_dataset(study).drop_vars("kinship_loco"), bare)
    message = run("scan", bare, tmp_path / "b.zarr", "--loco", code=1).stderr
    assert "no kinship 'kinship' by chromosome: compute it with 'bulklmm kinship --loco'" in message
    table = tmp_path / "k.csv"
    run("kinship", bare, "--out", table)
    message = run("scan", bare, tmp_path / "b.zarr", "--loco", "--kinship", table, code=1).stderr
    assert "by chromosome" in message
    assert not (tmp_path / "b.zarr").exists()
    found = scanned(bare, tmp_path / "b.zarr", "--loco", "--kinship", "rqtl2")
    relation = blmm.kinship(open_dataset(study), method="rqtl2", loco=True)
    np.testing.assert_allclose(
        found.lod, blmm.scan(open_dataset(study), loco=True, kinship=relation).lod, atol=2e-6
    )
    maxima = run("maxima", tmp_path / "a.zarr", "--top", "2").stdout.splitlines()
    assert maxima[0].startswith("trait,variant,contig,position,lod,h2,effect_allele,")
    assert len(maxima) == 3


def test_interactions(study, tmp_path):
    wanted = ("--interaction", "covariate2", "--statistics", "lod_interaction,beta")
    found = scanned(study, tmp_path / "r.zarr", *wanted)
    statistics = ("lod_interaction", "beta")
    same(found, study, interaction=["covariate2"], statistics=statistics)
    both = scanned(study, tmp_path / "b.zarr", "--interaction", "covariate1, covariate2")
    same(both, study, interaction=["covariate1", "covariate2"])


def test_covariates_by_name_and_all_but_one(study, tmp_path):
    ds = open_dataset(study)
    but = scanned(study, tmp_path / "a.zarr", "--covariates", "all,-covariate1")
    same(but, study, covariates=["covariate2"])
    more = scanned(study, tmp_path / "b.zarr", "--covariates", "all,count")
    same(more, study, covariates=["covariate1", "covariate2", "count"])
    ds["sample_cage"] = ("samples", np.tile(np.array(["a", "b", "c", "a"], dtype=object), 10))
    save(ds, tmp_path / "s.zarr")
    options = ("--covariates", "cage", "--interaction", "cage")
    note = run("scan", tmp_path / "s.zarr", tmp_path / "c.zarr", *options).stderr
    assert "note: covariate 'cage' has 3 texts and becomes 2 columns of 0 and 1" in note
    found = blmm.open_result(tmp_path / "c.zarr")
    assert found.attrs["covariates"] == "cage[b], cage[c]"
    named = ("--covariates", "cage[b],cage[c]", "--strata", "cage", "--permutations", "2")
    run("permute", tmp_path / "s.zarr", tmp_path / "p.zarr", *named)
    assert blmm.open_result(tmp_path / "p.zarr").attrs["strata"] == "cage"
    message = run(
        "scan", tmp_path / "s.zarr", tmp_path / "d.zarr", "--covariates", "shoe", code=1
    ).stderr
    assert "no covariate 'shoe' in the study; it has 'covariate1', 'covariate2', and of" in message


def test_columns_of_an_rqtl2_covar_file_are_no_covariates_until_named(tmp_path):
    """A constant column, numbers of animals and labels of groups stop no scan."""
    mice = [f"m{i:02d}" for i in range(24)]
    cells = {
        "geno.csv": lambda i: (["SS", "BB"][i % 2], ["SS", "BB"][i // 3 % 2], "BS"[i % 5 > 1] * 2),
        "pheno.csv": lambda i: (i * 7 % 11, i * 5 % 13),
        "covar.csv": lambda i: (1, 1000 + i, "wxyz"[i % 4], "fm"[i // 12], i % 3 + 4),
    }
    names = {"geno.csv": "a,b,c", "pheno.csv": "t,u", "covar.csv": "one,animal,cage,sex,generation"}
    for name, row in cells.items():
        rows = [",".join(map(str, (mouse, *row(i)))) for i, mouse in enumerate(mice)]
        (tmp_path / name).write_text("\n".join([f"id,{names[name]}", *rows]))
    (tmp_path / "map.csv").write_text("marker,chr,pos\na,1,1\nb,1,2\nc,2,1\n")
    (tmp_path / "x.yaml").write_text(
        "crosstype: riself\ngeno: geno.csv\npheno: pheno.csv\npmap: map.csv\ncovar: covar.csv\n"
        "genotypes: {SS: 1, BB: 2}\nalleles: [S, B]\n"
    )
    study = tmp_path / "s.zarr"
    notes = run("import", tmp_path / "x.yaml", study).stderr
    assert "covar.csv: the samples have 'one', 'animal', 'cage', 'sex', 'generation'" in notes
    assert "--covariates one" in notes
    assert "samples have: " in run("info", study).stdout
    run("kinship", study)
    assert scanned(study, tmp_path / "a.zarr").attrs["covariates"] == ""
    named = scanned(study, tmp_path / "b.zarr", "--covariates", "cage,sex,generation")
    levels = ["cage[x]", "cage[y]", "cage[z]"]
    assert named.attrs["covariates"] == ", ".join([*levels, "sex", "generation"])
    message = run("scan", study, tmp_path / "c.zarr", "--covariates", "one", code=1).stderr
    assert "'one' is the same in all 24 samples" in message
    assert message.endswith("; leave it out of --covariates\n")


def test_advice_to_leave_one_chromosome_out_is_in_words_of_the_command(
    study, tmp_path, monkeypatch
):
    for store, options, said in (("a.zarr", [], True), ("b.zarr", ["--loco"], False)):
        monkeypatch.setattr(warn, "_said", set())
        notes = run("scan", study, tmp_path / store, *options).stderr
        assert ("costs power" in notes) == said
        assert ("--loco, after 'bulklmm kinship --loco'" in notes) == said


def test_statistics(study, tmp_path):
    names = ("beta", "se", "neg_log10_p", "explained")
    found = scanned(study, tmp_path / "r.zarr", "--statistics", ",".join(names), "--reml")
    same(found, study, statistics=names, reml=True)
    assert set(names) <= set(found.data_vars)


def test_conditions_by_name(study, tmp_path):
    markers = list(open_dataset(study).variants.values[[4, 50]])
    found = scanned(study, tmp_path / "r.zarr", "--condition", ",".join(markers))
    same(found, study, condition=markers)
    assert f"condition: {', '.join(markers)}" in run("info", tmp_path / "r.zarr").stdout


def test_conditions_from_the_maxima(study, tmp_path):
    """Two scans and the table between them: every trait given its own highest marker."""
    run("scan", study, tmp_path / "first.zarr")
    table = tmp_path / "maxima.csv"
    run("maxima", tmp_path / "first.zarr", "--out", table)
    peaks = blmm.max_lod(blmm.open_result(tmp_path / "first.zarr")).set_index("trait").variant
    found = scanned(study, tmp_path / "second.zarr", "--condition", table)
    same(found, study, condition=peaks)
    for trait, marker in peaks.items():
        assert found.lod.sel(variants=marker, traits=trait) == 0
    run("maxima", tmp_path / "first.zarr", "--by", "contig", "--out", table, "--overwrite")
    high = pd.read_csv(table, dtype={"contig": str}).query("lod > 1.5")
    high[["lod", "variant", "trait"]].to_csv(table, index=False)
    found = scanned(study, tmp_path / "third.zarr", "--condition", table)
    assert high.trait.duplicated().any()
    same(found, study, condition=high.groupby("trait").variant.apply(list))
    assert "condition: by trait" in run("info", tmp_path / "third.zarr").stdout


@pytest.mark.slow
@pytest.mark.parametrize("option", ["weights", "replicates"])
def test_weights_by_name_and_by_table(study, tmp_path, option):
    ds = open_dataset(study)
    series = ds.sample_count.to_series()
    table = tmp_path / "n.csv"
    series.sample(frac=1, random_state=0).to_csv(table)
    stores = (tmp_path / f"{i}.zarr" for i in range(9))
    for name in ("count", "sample_count"):
        found = scanned(study, next(stores), f"--{option}", name)
        same(found, study, **{option: name})
    same(scanned(study, next(stores), f"--{option}", table), study, **{option: series})
    for name in ("sample_count", table):
        csv = tmp_path / "h2.csv"
        run("heritability", study, f"--{option}", name, "--out", csv, "--overwrite")
        h2 = pd.read_csv(csv, index_col=0).h2
        expected = blmm.heritability(ds, **{option: "sample_count"}).h2
        np.testing.assert_allclose(h2, expected, atol=1e-9)
        assert np.abs(h2.values - blmm.heritability(ds).h2.values).max() > 1e-3


def test_replicates_may_be_a_covariate(study, tmp_path):
    """A column of numbers of a table of traits comes in as a covariate."""
    counts = open_dataset(study).sample_count.values
    ds = open_dataset(study).load()
    ds.sample_covariate.values[:, 1] = counts
    save(ds, tmp_path / "s.zarr")
    options = ("--replicates", "covariate2", "--covariates", "covariate1")
    found = scanned(tmp_path / "s.zarr", tmp_path / "r.zarr", *options)
    expected = blmm.scan(open_dataset(study), covariates=["covariate1"], replicates=counts)
    np.testing.assert_allclose(found.lod, expected.lod, atol=2e-6)


def test_names_of_samples_that_look_like_numbers(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"{i:03d}" for i in range(30)]
    ds = blmm.create_dataset(
        rng.integers(0, 3, (30, 20)), rng.random((30, 4)), sample_ids=names, maximum=2
    )
    ds["kinship"] = blmm.kinship(ds)
    save(ds, tmp_path / "s.zarr")
    counts = rng.integers(1, 9, 30)
    table = tmp_path / "n.csv"
    table.write_text(
        "".join(["sample,n\n", *(f"{a},{b}\n" for a, b in zip(names, counts, strict=True))])
    )
    found = scanned(tmp_path / "s.zarr", tmp_path / "r.zarr", "--replicates", table)
    np.testing.assert_allclose(found.lod, blmm.scan(ds, replicates=counts).lod, atol=2e-6)


def test_a_prior(study, tmp_path):
    found = scanned(study, tmp_path / "r.zarr", "--prior", "0.5,10", "--reml")
    same(found, study, prior=(0.5, 10), reml=True)
    assert "prior: 0.5, 10" in run("info", tmp_path / "r.zarr").stdout


def test_genotypes(study, tmp_path):
    """A study with dosages and with probabilities of three genotypes."""
    share = open_dataset(study).call_dosage.values[:, :, None]
    probability = np.concatenate([(1 - share) ** 2, 2 * share * (1 - share), share**2], axis=2)
    noise = np.random.default_rng(0).dirichlet(np.ones(3), share.shape[:2])
    path = tmp_path / "s.zarr"
    ds = open_dataset(study).assign(
        call_genotype_probability=(
            ("variants", "samples", "genotypes"),
            0.9 * probability + 0.1 * noise,
        ),
        genotype_id=("genotypes", np.array(["AA", "AB", "BB"], dtype=object)),
    )
    save(ds, path)
    default = scanned(path, tmp_path / "a.zarr", "--statistics", "beta")
    same(default, path, genotypes="call_genotype_probability", statistics="beta")
    assert (default.df == 2).all()
    assert list(default.genotypes.values) == ["AA", "AB", "BB"]
    by_dosage = ("--genotypes", "call_dosage")
    same(scanned(path, tmp_path / "b.zarr", *by_dosage), study)
    products = ("--interaction", "covariate1", "--statistics", "se")
    found = scanned(path, tmp_path / "c.zarr", *by_dosage, *products)
    assert list(found.effects.values) == ["dosage", "dosage:covariate1"]
    description = run("info", tmp_path / "a.zarr").stdout
    assert "genotypes: call_genotype_probability" in description
    assert "effect_unit: mean of each genotype" in description


def test_info_tells_of_all_this(study, tmp_path):
    out = run("info", study).stdout
    assert "kinship: bulklmm\nkinship by chromosome: bulklmm\n" in out
    only = tmp_path / "s.zarr"
    save(open_dataset(study).drop_vars("kinship"), only)
    out = run("info", only).stdout
    assert "kinship by chromosome: bulklmm" in out
    assert "none yet" not in out
    options = ("--loco", "--replicates", "count", "--interaction", "covariate1")
    run("scan", study, tmp_path / "r.zarr", *options, "--statistics", "neg_log10_p")
    out = run("info", tmp_path / "r.zarr").stdout
    for line in (
        "90 markers x 12 traits = 1,080 tests",
        "loco: yes",
        "replicates: count",
        "interaction: covariate1",
        "traits: 12 ok",
    ):
        assert f"\n{line}\n" in out
    for words in ("neg_log10_p", "variants 90 x traits 12", "contigs 20 x traits 12"):
        assert words in out
    assert "condition" not in out


TABLES = {
    "empty.csv": "",
    "wide.csv": "sample,n,m\nsample01,1,2\n",
    "few.csv": "sample,n\nsample01,1\n",
    "text.csv": "sample,n\nsample01,many\n",
    "twice.csv": "sample,n\n" + "".join(f"sample{i % 40 + 1:02d},1\n" for i in range(41)),
    "zero.csv": "sample,n\n" + "".join(f"sample{i + 1:02d},{i}\n" for i in range(40)),
    "peaks.csv": "trait,marker\ntrait01,1:1\n",
    "cut.csv": "trait,variant,lod\ntrait01,1:1\n",
    "none.csv": "trait,variant\ntrait01,\n",
    "other.csv": "trait,variant\nheight,1:1\n",
}


def test_an_unknown_statistic_is_a_usage_error(study, tmp_path):
    out = run("scan", study, tmp_path / "r.zarr", "--statistics", "gain", code=2)
    assert "unknown statistic 'gain'; choose one of lod, beta" in out.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--interaction age", "interaction names 'age', not among the covariates"),
        ("--interaction covariate1 --covariates none", "must also be additive"),
        ("--condition rs1", "names 1 markers that the study has not: 'rs1'"),
        ("--condition ,", "condition names no marker"),
        ("--condition absent.csv", "there is no file absent.csv"),
        ("--condition {}/empty.csv", "empty.csv is empty"),
        ("--condition {}/peaks.csv", "has the columns trait, marker; a table of conditions needs"),
        ("--condition {}/cut.csv", "cut.csv, line 2: 2 fields, but the header has 3"),
        ("--condition {}/none.csv", "names no marker for any trait"),
        ("--condition {}/other.csv", "names 1 traits that the study has not: 'height'"),
        ("--weights shoe", "weights is 'shoe', but the study has no variable of that name"),
        ("--weights sample_id", "weights does not hold numbers"),
        ("--replicates {}/empty.csv", "empty.csv is empty"),
        ("--replicates {}/wide.csv", "has 3 columns; it should have two, samples and numbers"),
        ("--replicates {}/few.csv", "few.csv lacks 39 samples: 'sample02'"),
        ("--replicates {}/text.csv", "line 2 ('sample01'), column 'n': 'many' is not a number"),
        ("--replicates {}/twice.csv", "must be unique, but 1 occur twice: 'sample01'"),
        ("--replicates {}/zero.csv", "zero.csv holds 0.0 for sample 'sample01'"),
        ("--prior -1,10", "the variance of the prior is -1"),
        ("--prior 1,nan", "the sample_size of the prior is nan"),
        ("--genotypes call_genotype_probability", "no genotypes 'call_genotype_probability'"),
        ("--loco --kinship cousins", "no kinship 'cousins' by chromosome"),
        ("--kinship kinship_loco", "give --loco, or use the kinship of all"),
    ],
)
def test_bad_values_are_one_line(study, tmp_path, arguments, message):
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, content in TABLES.items():
        (folder / name).write_text(content)
    result = tmp_path / "r.zarr"
    out = run("scan", study, result, *arguments.format(folder).split(), code=1)
    assert message in out.stderr.splitlines()[-1]
    assert not result.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--weights sample_count --replicates sample_count", "both given"),
        ("--prior 1,10 --kinship none", "--prior 1,10 and --kinship none exclude each other"),
        ("--prior 1,10 --method alt-grid", "this method takes no prior"),
        ("--statistics lod_interaction", "lod_interaction needs --interaction"),
        (
            "--interaction covariate1 --method alt-exact",
            "--method alt-exact and --interaction covariate1 exclude each other",
        ),
        ("--loco --kinship none", "--loco and --kinship none exclude each other"),
    ],
)
def test_options_that_exclude_each_other_exit_with_2(study, tmp_path, arguments, message):
    out = run("scan", study, tmp_path / "r.zarr", *arguments.split(), code=2)
    assert message in out.stderr.splitlines()[-1]
    assert not (tmp_path / "r.zarr").exists()


@pytest.mark.parametrize("option", ["--weights", "--replicates"])
def test_heritability_refuses_what_a_scan_refuses(study, tmp_path, option):
    message = run("heritability", study, option, "shoe", code=1).stderr
    assert "is 'shoe', but the study has no variable" in message
    (tmp_path / "wide.csv").write_text(TABLES["wide.csv"])
    assert "3 columns" in run("heritability", study, option, tmp_path / "wide.csv", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("scan a b --prior 0.5", "'0.5' is not two numbers with a comma between"),
        ("scan a b --prior strong,10", "'strong,10' is not two numbers"),
        ("scan a b --genotypes calls", "'calls' is not one of"),
        ("kinship a --loco --out k.csv", "--out writes one table"),
    ],
)
def test_words_that_are_not_understood(arguments, message):
    assert message in run(*arguments.split(), code=2).stderr


def test_kinships_by_chromosome_need_chromosomes(tmp_path):
    rng = np.random.default_rng(0)
    ds = blmm.create_dataset(rng.integers(0, 3, (20, 9)), rng.random((20, 2)), maximum=2)
    save(ds, tmp_path / "s.zarr")
    assert "no variant_contig" in run("kinship", tmp_path / "s.zarr", "--loco", code=1).stderr


def test_strata_by_name_and_by_table(study, tmp_path):
    ds = open_dataset(study)
    labels = pd.Series([f"cage {i % 4}" for i in range(40)], index=ds.samples.values)
    table = tmp_path / "my strata.csv"
    labels.sample(frac=1, random_state=0).to_csv(table)
    options = ("--permutations", 20, "--seed", 3)
    run("permute", study, tmp_path / "p.zarr", *options, "--strata", table)
    found = blmm.open_result(tmp_path / "p.zarr").max_lod
    expected = blmm.permute(ds, n_permutations=20, seed=3, strata=labels, precision="single")
    np.testing.assert_array_equal(found, expected.max_lod)
    labels.iloc[5] = "NA"
    labels.to_csv(table)
    call = ("permute", study, tmp_path / "q.zarr", *options, "--strata", table)
    assert "strata.csv' lacks a label for 'sample06'" in run(*call, code=1).stderr


def test_permutations_in_fewer_digits_and_a_codec(study, tmp_path):
    store, options = tmp_path / "p.zarr", ("--permutations", 20)
    run("permute", study, store, *options, "--compression", "zstd", "--digits", 3)
    found, ds = blmm.open_result(store), open_dataset(study)
    assert found.attrs["digits"] == 3
    expected = blmm.permute(ds, n_permutations=20).max_lod
    np.testing.assert_allclose(found.max_lod, expected, rtol=0.5e-3, atol=0)
    assert not np.array_equal(found.max_lod, expected)
    other = run("permute", study, store, *options, "--compression", "lz4", "--digits", 3, code=1)
    assert "is compressed by zstd, not lz4; leave --compression out" in other.stderr
    other = run("permute", study, store, *options, "--digits", 4, code=1)
    assert "keeps 3 significant digits of its numbers, not 4" in " ".join(other.stderr.split())
    run("permute", study, store, *options)  # it keeps its own unasked


def test_a_kinship_with_a_number_that_is_none(study, tmp_path):
    names = open_dataset(study).samples.values
    matrix = pd.DataFrame(np.eye(40), names, names)
    matrix.iloc[3, 4] = np.inf
    matrix.to_csv(tmp_path / "k.csv")
    call = ("scan", study, tmp_path / "q.zarr", "--kinship", tmp_path / "k.csv")
    message = run(*call, code=1).stderr
    assert "k.csv holds inf for samples 'sample04' and 'sample05'; a kinship needs" in message
