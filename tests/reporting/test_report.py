"""The report: one page that is whole, says what the library finds, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import warnings
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from pages import Page
from studies import result_of

import bulklmm_dask as blmm
from bulklmm_dask.reporting import report, write
from bulklmm_dask.storage.labels.encoding import text

pytestmark = pytest.mark.slow  # whole pages

SECTIONS = ["study", "heritability", "top", "map", "repeat"]
NASTY = ["<script>alert(1)</script>", 'a "b" & c', "it's", "$x_$", "{{ 7 * 7 }}", "</td>"]


@pytest.fixture(scope="module")
def study():
    ds = blmm.simulate_study(
        n_samples=120,
        n_strains=None,
        n_variants=200,
        n_traits=60,
        n_contigs=12,
        n_covariates=1,
        missing=0.05,
        n_patterns=3,
        heritability=(0.5, 0.9),
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    return ds


@pytest.fixture(scope="module")
def result(study):
    return blmm.scan(study, statistics=("beta", "se")).compute()


@pytest.fixture(scope="module")
def page(study, result, tmp_path_factory):
    return made(tmp_path_factory.mktemp("page"), result, study=study, threshold=4.0, n_top=25)


def made(folder, result, **options) -> Page:
    path = folder / "report.html"
    report(result, path, **options)
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return Page(path.read_text(encoding="utf-8"))


def svgs(page: Page) -> list[ET.Element]:
    head = "data:image/svg+xml,"
    sources = [attrs["src"] for attrs in page.all("img")]
    assert all(source.startswith(head) for source in sources)
    return [ET.fromstring(unquote(s.removeprefix(head))) for s in sources]


def test_the_page_loads_nothing(page):
    ids = {attrs["id"] for _, attrs in page.attributes if "id" in attrs}
    for tag, attrs in page.attributes:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert not {name for name in attrs if name.startswith("on")}
        assert "action" not in attrs
        assert "srcset" not in attrs
        if "href" in attrs:
            assert attrs["href"].removeprefix("#") in ids
    (style,) = page.said("style")
    assert "url(" not in style
    assert "@import" not in style
    for svg in svgs(page):
        for element in svg.iter():
            assert element.tag.rpartition("}")[2] not in {"script", "foreignObject"}
            for name, value in element.attrib.items():
                if name.rpartition("}")[2] == "href":
                    assert value.startswith(("#", "data:image/png;base64,"))


def test_only_its_own_script_may_run(page):
    (script,) = page.said("script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_it_has_all_sections_and_pictures(page):
    assert [attrs["id"] for attrs in page.all("section")] == SECTIONS
    alts = [attrs["alt"].partition(" ")[0] for attrs in page.all("img")]
    assert alts == ["Histogram", "Quantiles", "LOD", "Map", "Number"]
    assert len(page.html) < 1_500_000


def test_it_says_what_was_scanned(page, study, result):
    facts = dict(zip(page.said("dt"), page.said("dd"), strict=True))
    assert facts["Samples"] == "120"
    assert facts["Markers"] == "200 on 12 chromosomes"
    assert facts["Missing trait values"] == f"{float(study.sample_trait.isnull().mean()):.2%}"
    assert facts["Missing genotypes"] == "none"
    assert facts["Tests"] == "12,000"
    assert facts["Kinship"] == "kinship (method bulklmm)"
    assert facts["Traits ok"] == "60 fitted"
    assert facts["Samples used"] == ", ".join(
        f"{n} ({count} traits)"
        for n, count in result.n_samples.to_series().value_counts().sort_index()[::-1].items()
    )
    assert facts["numpy"] == np.__version__


def test_the_table_is_the_highest_peaks(page, result):
    peaks = blmm.find_peaks(result, threshold=4).sort_values("lod", ascending=False, kind="stable")
    table, top = page.table(), peaks.head(25)
    assert len(peaks) > 25
    assert table["Trait"].tolist() == top.trait.tolist()
    assert table["Marker"].tolist() == top.variant.tolist()
    assert table["Chr"].tolist() == top.contig.tolist()
    assert table["cis"].tolist() == top.cis.map({True: "cis", False: "trans"}).tolist()
    ends = zip(top.ci_lo, top.ci_hi, strict=True)
    assert table["Interval (Mb)"].tolist() == [f"{lo:.2f}\u2013{hi:.2f}" for lo, hi in ends]
    of_contig = {name: i for i, name in enumerate(result.contig_id.values)}
    np.testing.assert_array_equal(page.values("Chr"), top.contig.map(of_contig))
    hits = blmm.find_hits(result, threshold=4).set_index(["trait", "variant"])
    told = hits.loc[list(zip(top.trait, top.variant, strict=True))]
    for heading, column in (("LOD score", "lod"), ("h²", "h2"), ("effect", "beta"), ("s.e.", "se")):
        np.testing.assert_allclose(page.values(heading), told[column], rtol=1e-6)


def test_headings_can_be_sorted_by(page):
    heads = page.all("th")
    assert all(attrs["scope"] == "col" for attrs in heads)
    assert {attrs["data-kind"] for attrs in heads} == {"number", "text"}
    orders = dict(zip(page.said("th"), (attrs["aria-sort"] for attrs in heads), strict=True))
    assert orders.pop("LOD score") == "descending"
    assert set(orders.values()) == {"none"}
    assert all("data-value" in attrs for attrs in page.all("td"))


def test_control_characters_of_names_are_seen(study, result, tmp_path):
    traits = text(result.traits.values)
    traits[np.argmax(result.lod.max("variants").values)] = "a\x1b[31mb\u202ec"
    odd = result.assign_coords(traits=traits, trait_id=("traits", traits))
    odd.attrs["covariates"] = ["\x1b[2Jage"]
    page = made(tmp_path, odd, threshold=3)
    assert r"a\x1b[31mb\u202ec" in set(page.table()["Trait"])
    whole = (tmp_path / "report.html").read_text()
    assert r"\x1b[2Jage" in whole
    assert not set("\x1b\u202e") & set(whole)


@pytest.mark.slow
def test_p_values_are_those_of_the_scan(study, tmp_path):
    told = blmm.scan(study, statistics="neg_log10_p").compute()
    heading = "\u2212log₁₀ p"
    mine = made(tmp_path, told, threshold=4).values(heading)
    (tmp_path / "report.html").unlink()
    derived = made(tmp_path, told.drop_vars("neg_log10_p"), threshold=4).values(heading)
    np.testing.assert_allclose(derived, mine, rtol=1e-5)


def test_names_are_text_whatever_they_hold(study, result, tmp_path):
    traits, variants = text(result.traits.values), text(result.variants.values)
    order = np.argsort(-result.lod.max("variants").values)
    traits[order[: len(NASTY)]] = NASTY
    variants[: len(NASTY)] = NASTY
    contigs = text(result.contig_id.values)
    contigs[0] = NASTY[0]
    ids = {"traits": traits, "variants": variants}
    nasty = result.assign_coords(ids | {"trait_id": ("traits", traits)})
    nasty = nasty.drop_vars("variant_contig_name").assign_coords(contig_id=("contigs", contigs))
    nasty.attrs["covariates"] = NASTY
    study = study.assign_coords(ids).assign_attrs(description=NASTY[0], source=NASTY[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = made(tmp_path, nasty, study=study, threshold=3, n_top=300)
    shown = page.table()
    assert set(NASTY) <= set(shown["Trait"])
    peaks = blmm.find_peaks(nasty, threshold=3)
    assert sorted(shown["Trait"]) == sorted(peaks.trait)
    assert sorted(shown["Marker"]) == sorted(peaks.variant)
    assert len(page.said("script")) == 1
    assert "alert" not in page.said("script")[0]
    assert page.said("h1") == [NASTY[0]]
    assert len(page.all("td")) == shown.size


@pytest.mark.slow
def test_permutations_add_adjusted_p(study, result, tmp_path):
    perm = blmm.permute(study, n_permutations=200, method="shared")
    page = made(tmp_path, result, perm=perm, threshold=3, n_top=1000)
    peaks = blmm.adjusted_p(perm, blmm.find_peaks(result, threshold=3))
    top = peaks.sort_values("lod", ascending=False, kind="stable")
    np.testing.assert_allclose(page.values("p adjusted"), top.p_adjusted, rtol=1e-6)
    tails = [shown.endswith("†") for shown in page.table()["p adjusted"]]
    assert tails == (top.p_source == "tail").tolist()
    known = int((top.p_adjusted <= 0.05).sum())
    assert f"<b>{known:,}</b> of them with adjusted p" in page.html
    assert "permute(" in page.said("code")[0]


@pytest.mark.slow
def test_one_chromosome_left_out(study, tmp_path):
    study = study.assign(kinship_loco=blmm.kinship(study, loco=True).compute())
    result = blmm.scan(study, loco=True).compute()
    page = made(tmp_path, result, study=study, threshold=4)
    peaks = blmm.find_peaks(result, threshold=4).sort_values("lod", ascending=False, kind="stable")
    np.testing.assert_allclose(page.values("h²"), peaks.h2, rtol=1e-6)
    facts = dict(zip(page.said("dt"), page.said("dd"), strict=True))
    assert facts["Kinship"] == (
        "kinship_loco (method bulklmm), leaving the chromosome of the marker out"
    )
    assert "mean over the chromosomes" in page.html


@pytest.mark.slow
def test_tests_of_several_degrees_of_freedom(study, tmp_path):
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(3), size=(200, 120))
    ds = study.drop_vars("call_dosage").assign(
        call_genotype_probability=(("variants", "samples", "genotypes"), probability),
        genotype_id=("genotypes", text(["AA", "AB", "BB"])),
    )
    result = blmm.scan(ds, statistics=("beta", "se")).compute()
    page = made(tmp_path, result, study=ds, threshold=2, n_top=10)
    assert set(page.values("df")) == {2}
    hits = blmm.find_hits(result, threshold=2).set_index(["trait", "variant"])
    table = page.table()
    told = hits.loc[list(zip(table["Trait"], table["Marker"], strict=True))]
    for genotype in ("AA", "AB", "BB"):
        np.testing.assert_allclose(page.values(f"effect {genotype}"), told[f"beta_{genotype}"])


def test_without_a_map_there_are_the_hits(result, tmp_path):
    bare = result.drop_vars(["variant_contig", "variant_position", "contig_id", "contigs"])
    page = made(tmp_path, bare, threshold=4)
    unplaced = bare.drop_vars(["trait_contig", "trait_position"])
    hits = blmm.find_hits(unplaced, threshold=4, top=1).sort_values("lod", ascending=False)
    np.testing.assert_allclose(page.values("LOD score"), hits.lod, rtol=1e-6)
    assert "Chr" not in page.said("th")
    assert "no marker map" in page.html
    assert [attrs["alt"].partition(" ")[0] for attrs in page.all("img")] == [
        "Histogram",
        "Quantiles",
    ]


def test_nothing_above_the_threshold(result, tmp_path):
    page = made(tmp_path, result, threshold=50)
    best = blmm.max_lod(result).nlargest(1, "lod").iloc[0]
    assert page.said("td") == []
    assert f"The highest is {best.lod:.2f}, of {best.trait} at {best.variant}." in page.html
    assert len(page.all("img")) == 2
    assert page.said("script") == []


def test_traits_that_cannot_be_fitted(study, tmp_path):
    nothing = study.assign(sample_trait=study.sample_trait * np.nan)
    page = made(tmp_path, blmm.scan(nothing).compute(), study=nothing)
    facts = dict(zip(page.said("dt"), page.said("dd"), strict=True))
    assert facts["Traits all-missing"] == "60 not fitted: no value"
    assert facts["Missing trait values"] == "100.00%"
    assert "No trait could be fitted" in page.html
    assert page.all("img") == []


def test_options_in_attributes_are_numbers_texts_and_lists(result, tmp_path):
    from_netcdf = result.assign_attrs(covariates=np.array(["x", "y"]), loco=np.int64(1))
    blmm.report(from_netcdf, tmp_path / "r.html", threshold=4)
    page = (tmp_path / "r.html").read_text()
    assert "loco=True" in page
    assert "--covariates x,y" in page
    for value in (np.timedelta64(1, "D"), [1j], ...):
        with pytest.raises(blmm.InputError, match=r"attrs\['method'\] is .*, which is no number"):
            blmm.report(result.assign_attrs(method=value), tmp_path / "x.html", threshold=4)
    assert not (tmp_path / "x.html").exists()


def test_a_single_contig_and_no_kinship(study, tmp_path):
    one = study.isel(variants=study.variant_contig.values == 3)
    result = blmm.scan(one, kinship=None).compute()
    page = made(tmp_path, result, study=one, threshold=2)
    assert set(page.table()["Chr"]) == {str(study.contig_id.values[3])}
    assert "the scan had no kinship" in page.html


@pytest.mark.slow
def test_a_result_that_says_nothing_of_its_scan(tmp_path):
    lod = np.random.default_rng(0).exponential(size=(50, 8))
    page = made(tmp_path, result_of(lod, np.repeat([0, 1], 25)), threshold=2)
    assert page.table()["LOD score"].tolist()[0] == f"{lod.max():.2f}"
    assert "Method" not in page.said("dt")


@pytest.mark.slow
def test_traits_without_usable_places_stand_in_their_order(result, tmp_path):
    noted = result.assign(trait_contig=("traits", text(["somewhere"] * 60)))
    assert "for every trait" in made(tmp_path, noted, threshold=4).html


@pytest.mark.slow
def test_blocks_are_computed_few_times(result, tmp_path):
    times = {}

    def counted(block, block_info=None):
        place = block_info[0]["chunk-location"]
        times[place] = times.get(place, 0) + 1
        return block

    chunks = da.from_array(result.lod.values, chunks=(50, 20)).map_blocks(
        counted, dtype="float32", meta=np.empty((0, 0), "float32")
    )
    lazy = result[["h2", "variant_contig", "variant_position", "contig_id"]].assign(
        lod=(("variants", "traits"), chunks)
    )
    with dask.config.set(scheduler="synchronous"):
        made(tmp_path, lazy, threshold=4)
    assert len(times) == 12
    assert max(times.values()) <= 3  # peaks, p-values, curves of some traits


@pytest.mark.slow
def test_the_same_result_gives_the_same_page(result, tmp_path):
    first = made(tmp_path, result, threshold=4).html
    report(result, tmp_path / "report.html", threshold=4, overwrite=True)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == first


def test_nothing_is_written_unless_all_is(result, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("before")
    with pytest.raises(blmm.StoreError, match="exists; choose another name"):
        report(result, path)
    monkeypatch.setattr(write, "_page", lambda *_: {}["lost"])
    with pytest.raises(KeyError):
        report(result, path, overwrite=True)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": -1}, "threshold is -1"),
        ({"threshold": "high"}, "threshold is 'high'"),
        ({"n_top": 0}, "n_top is 0"),
        ({"n_top": 2.5}, "n_top is 2.5"),
        ({"study": "study.zarr"}, "study should be the Dataset"),
        ({"perm": "perm.zarr"}, "perm should be the Dataset that permute gives"),
    ],
)
def test_options_are_checked_before_any_work(result, tmp_path, monkeypatch, options, message):
    monkeypatch.setattr(write, "find", None)
    with pytest.raises(blmm.InputError, match=message):
        report(result, tmp_path / "report.html", **options)
    assert not list(tmp_path.iterdir())


def test_other_studies_and_places_are_refused(study, result, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "find", None)
    path = tmp_path / "report.html"
    with pytest.raises(blmm.InputError, match="the study lacks 10 traits of the result: 'trait51'"):
        report(result, path, study=study.isel(traits=slice(50)))
    with pytest.raises(blmm.InputError, match="the study lacks 1 marker of the result"):
        report(result, path, study=study.isel(variants=slice(1, None)))
    perm = xr.Dataset({"max_lod": (("permutations", "traits"), np.ones((5, 2)))}).assign_coords(
        traits=text(["trait01", "other"])
    )
    with pytest.raises(blmm.InputError, match="perm lacks 59 traits of the result"):
        report(result, path, perm=perm)
    with pytest.raises(blmm.InputError, match="report needs the Dataset"):
        report(study, path)
    with pytest.raises(blmm.StoreError, match="there is no folder"):
        report(result, tmp_path / "none" / "report.html")
    with pytest.raises(blmm.StoreError, match="it is a folder"):
        report(result, tmp_path)


def test_without_matplotlib_it_says_so(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(blmm.InputError, match="pictures need matplotlib"):
        report(result, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_it_leaves_settings_and_figures_alone(result, tmp_path):
    from matplotlib import pyplot as plt
    from matplotlib import rcParams

    before = dict(rcParams)
    made(tmp_path, result, threshold=4)
    assert plt.get_fignums() == []
    assert dict(rcParams) == before


def test_the_script_has_no_syntax_of_templates():
    script = write._asset("table.js")
    assert not re.search(r"\{\{|\{%|</", script)
