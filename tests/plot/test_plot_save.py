"""Pictures in files: formats by name, whole or not at all; pages that say what they show."""

import json
import re

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
from genomes import GENOME, LEVELS, THOUSANDS
from pages import Page

import bulklmm_dask as blmm
from bulklmm_dask import plot
from bulklmm_dask.errors import InputError, StoreError


def page_of(ax, path):
    plot.save(ax, path, overwrite=True)
    return path.read_text()


def scene_of(html):
    return json.loads(re.search(r'id="scene">(.*?)</script>', html, re.DOTALL)[1])


def test_the_name_tells_the_format(tmp_path):
    ax = plot.lod(GENOME, "trait0")
    for suffix, start in (
        (".png", b"\x89PNG"),
        (".pdf", b"%PDF"),
        (".svg", b"<?xml"),
        (".HTML", b"<!D"),
    ):
        plot.save(ax, tmp_path / f"p{suffix}")
        assert (tmp_path / f"p{suffix}").read_bytes().startswith(start)
    with pytest.raises(StoreError, match="exists"):
        plot.save(ax, tmp_path / "p.png")
    with pytest.raises(InputError, match="is not a picture; end its name with"):
        plot.save(ax, tmp_path / "p.gif")
    with pytest.raises(InputError, match="dpi is 0"):
        plot.save(ax, tmp_path / "p.svg", dpi=0, overwrite=True)
    assert mpl.pyplot.get_fignums() == [ax.figure.number]  # it stays open


def test_a_page_says_what_every_marker_of_a_curve_is(tmp_path):
    ax = plot.lod(GENOME, ["trait0", "trait2"], threshold=LEVELS)
    (panel,) = scene_of(page_of(ax, tmp_path / "p.html"))
    assert len(panel["told"]) == 2
    line = ax.lines[1].get_xydata()
    line = line[~np.isnan(line).any(axis=1)]
    second = panel["told"][1]
    np.testing.assert_allclose(np.sort(second["x"]), np.sort(line[:, 0]), rtol=1e-5)
    top = int(np.argmax(second["y"]))
    best = blmm.max_lod(GENOME).iloc[2]
    assert second["words"][top] == (
        f"trait2\n{best.variant} (chr {best.contig}, {best.position:.2f} Mb)\nLOD {best.lod:.2f}"
    )
    assert panel["x"]["numbers"] is False
    assert panel["y"]["numbers"] is True


def test_a_page_of_cells_names_rows_and_columns(tmp_path):
    ax = plot.heatmap(THOUSANDS, order="traits")
    (panel,) = scene_of(page_of(ax, tmp_path / "p.html"))
    (cells,) = panel["told"]
    assert np.shape(cells["values"]) == (len(cells["rows"]), len(cells["columns"]))
    assert cells["rows"][0] == "trait0 and 6 others"
    assert cells["columns"][0].startswith("chr 1, ")
    assert np.nanmax(np.array(cells["values"], float)) == pytest.approx(
        float(THOUSANDS.lod.max()), rel=2e-3
    )


def test_a_page_loads_nothing_and_names_of_data_do_nothing(tmp_path):
    evil = '</script><img src=x onerror="alert(1)">$a'
    odd = GENOME.assign_coords(traits=np.array([evil, "b", "c"], object))
    html = page_of(plot.lod(odd, evil, threshold=3), tmp_path / "p.html")
    page = Page(re.sub(r"<(\w+)([^<>]*)/>", r"<\1\2></\1>", html))
    assert not page.all("img")
    assert len(page.all("script")) == 2
    assert {
        link for link in re.findall(r'(?:src|href)="([^"]*)"', html) if link[:1] != "#"
    } == set()
    policy = next(meta for meta in page.all("meta") if "http-equiv" in meta)["content"]
    assert policy.startswith("default-src 'none'")
    assert scene_of(html)[0]["told"][0]["words"][0].startswith(evil)


def test_saving_a_page_leaves_the_figure_as_it_was(tmp_path):
    ax = plot.eqtl(blmm.max_lod(GENOME).assign(cis=True), GENOME, threshold=3)
    before = [(a.get_gid(), a.get_rasterized()) for a in ax.findobj()]
    first = page_of(ax, tmp_path / "a.html")
    assert [(a.get_gid(), a.get_rasterized()) for a in ax.findobj()] == before
    assert page_of(ax, tmp_path / "b.html") == first


def test_what_was_removed_from_a_picture_is_not_said(tmp_path):
    ax = plot.lod(GENOME, ["trait0", "trait2"])
    ax.lines[0].remove()
    (panel,) = scene_of(page_of(ax, tmp_path / "p.html"))
    assert len(panel["told"]) == 1
    assert panel["told"][0]["words"][0].startswith("trait2")
