"""Names from data are drawn letter by letter, whatever matplotlib means by them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import studies
import xarray as xr
from matplotlib import pyplot as plt

import bulklmm_dask as blmm
from bulklmm_dask.study import warn

NAMES = [
    "$$",
    r"$\input{x}$",
    "a$b",
    r"\$x$",
    "$_{10}$",
    "_100%",
    "x^2_{3}",
    "a\nb",
    "$a$ $b",
    "{}",
]


@pytest.fixture(scope="module")
def named():
    """A study whose traits, markers, samples, contigs, alleles and genotypes have such names."""
    dosage, traits = studies.arrays(n=20, p=20, m=len(NAMES), seed=5)
    ds = blmm.create_dataset(
        dosage,
        traits,
        trait_ids=NAMES,
        variant_ids=[f"{NAMES[i % 10]}{i}" for i in range(20)],
        sample_ids=[f"{NAMES[i % 10]}{i}" for i in range(20)],
        contigs=np.repeat(NAMES[:2], 10),
        positions=np.tile(np.arange(10.0), 2),
        alleles=["$$", "$y$"],
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    return ds


@pytest.fixture(scope="module")
def result(named):
    return blmm.scan(named).compute()


@pytest.fixture(scope="module")
def perm(named):
    return blmm.permute(named, n_permutations=20, seed=1).compute()


def drawn(ax) -> str:
    """Texts of a picture, as they are in an SVG."""
    out = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none"}):
        ax.figure.savefig(out, format="svg")
    return out.getvalue()


@pytest.mark.parametrize(
    "name", [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[2:])]
)
def test_every_picture_of_a_trait_shows_its_name(named, result, perm, name):
    values = blmm.profile(named, name, variant=named.variant_id.values[3])
    shown = name.replace("\n", r"\n")
    for ax in (
        blmm.plot.lod(result, name),
        blmm.plot.lod(result, name, contig=NAMES[1]),
        blmm.plot.manhattan(result, name),
        blmm.plot.effects(named, name, str(named.variant_id.values[3])),
        blmm.plot.permutations(perm, name, alpha=0.2),
        blmm.plot.profile(values),
    ):
        assert f">{shown}</text>" in drawn(ax)


@pytest.mark.slow
def test_pictures_of_many_show_their_names(named, result):
    peaks = blmm.find_peaks(result, threshold=0.1)
    curves = blmm.plot.lod(result, NAMES, intervals=peaks)
    for picture in (drawn(curves), drawn(blmm.plot.heatmap(result, order="traits"))):
        for name in NAMES:
            shown = name.replace("\n", r"\n")
            assert f">{shown}</text>" in picture or f"> {shown}</text>" in picture
    assert len(curves.get_legend().get_texts()) == len(NAMES)
    chromosomes = drawn(blmm.plot.eqtl(peaks, named, threshold=0.1))
    assert all(f">{name}</text>" in chromosomes for name in NAMES[:2])
    assert all(
        f">{name}</text>" in drawn(blmm.plot.kinship(named)) for name in named.samples.values[:7]
    )


@pytest.mark.slow
def test_a_report_of_such_names_is_written(named, perm, tmp_path):
    result = blmm.scan(named, statistics=("beta", "se"))
    blmm.report(result, tmp_path / "r.html", study=named, perm=perm, threshold=0.5)
    page = (tmp_path / "r.html").read_text()
    assert r"$\input{x}$" in page


def test_formulas_of_labels_stay_formulas(named):
    ax = blmm.plot.manhattan(blmm.scan(named), "$$")
    assert ax.get_ylabel() == "\u2212log$_{10}$ p"
    counts = xr.Dataset({"kinship": named.kinship.assign_attrs(method="$$")})
    assert "Kinship ($$)" in drawn(blmm.plot.kinship(counts))


@pytest.mark.parametrize(("maximum", "words"), [(2, "a copy of"), (1, "two copies of")])
@pytest.mark.parametrize("alleles", [None, ["B", "$D$"]])
def test_a_picture_of_dosages_says_what_one_is(maximum, words, alleles):
    rng = np.random.default_rng(0)
    dosage = rng.uniform(0, maximum, (30, 2))
    ds = blmm.create_dataset(
        dosage,
        rng.standard_normal((30, 1)),
        variant_ids=["a", "b"],
        maximum=maximum,
        alleles=alleles,
    )
    ax = blmm.plot.effects(ds, "trait1", "a")
    named = "the effect allele" if alleles is None else r"\$D\$"
    assert ax.get_xlabel().splitlines()[-1] == f"A dosage of 1 is {words} {named}"


def test_the_middle_of_a_long_name_is_left_out():
    dosage, traits = studies.arrays(n=20, p=8, m=2, seed=5)
    names = [letter * 300 for letter in "wm"]
    ds = blmm.create_dataset(
        dosage, traits, trait_ids=names, contigs=[names[0]] * 8, positions=np.arange(8.0)
    )
    result = blmm.scan(ds, kinship=None)
    for ax in (blmm.plot.lod(result, names), blmm.plot.heatmap(result)):
        shown = drawn(ax)  # a warning that there is no room for the axes would be an error
        assert names[0] not in shown
        for name in names:
            assert f"{name[:32]} ... {name[-12:]}" in shown


def test_letters_that_the_font_lacks_are_drawn_as_codes_which_is_said(monkeypatch):
    monkeypatch.setattr(warn, "_said", set())
    names = ["\u7c73\u03b1", "\u7c73\u03b2", "r\u00e9sum\u00e9"]
    dosage, traits = studies.arrays(n=20, p=8, m=3, seed=5)
    ds = blmm.create_dataset(dosage, traits, trait_ids=names)
    ds = ds.assign(variant_contig=("variants", [0] * 8), contig_id=("contigs", [names[0]]))
    ds = ds.assign(variant_position=("variants", np.arange(8.0)))
    result = blmm.scan(ds, kinship=None)
    with pytest.warns(blmm.StudyWarning, match=r"DejaVu Sans lacks.*codes.*font\.family") as said:
        ax = blmm.plot.heatmap(result, order="traits")
    assert len(said) == 1
    ax.figure.canvas.draw()  # a warning of matplotlib would be an error
    shown = [label.get_text() for label in ax.get_yticklabels()]
    assert shown == ["\\u7c73\u03b1", "\\u7c73\u03b2", names[2]]
    assert [label.get_text() for label in ax.get_xticklabels()] == [shown[0]]
    drawn(blmm.plot.lod(result, names))
