"""Every kind of picture as a page, opened in a browser: pointed at, zoomed, dragged, made whole."""

import asyncio
import base64
import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from browser import chromium, path_of_chromium, tab_of

mpl.use("Agg")

import bulklmm_dask as blmm
from bulklmm_dask import plot

# Where the pointer has to be for a point or cell of the picture, and what should be said there.
PLACE = """(() => {
  const panels = JSON.parse(document.getElementById("scene").textContent), panel = panels[0];
  const svg = document.querySelector("figure svg"), [left, top, width, height] = panel.box;
  const told = panel.told[0];
  const share = (limits, value) => (value - limits[0]) / (limits[1] - limits[0]);
  let x, y, words;
  if (told.values) {
    const middle = (edges, i) => (edges[i] + edges[i + 1]) / 2;
    const row = Math.floor(told.rows.length / 2), column = Math.floor(told.columns.length / 3);
    x = middle(told.x, column); y = middle(told.y, row);
    words = `${told.rows[row]}\\n${told.columns[column]}\\n${told.label} `
      + String(told.values[row][column]).replace("-", "\\u2212");
  } else {
    const distance = (i) => Math.max(Math.abs(share(panel.x.limits, told.x[i]) - 0.5),
      Math.abs(share(panel.y.limits, told.y[i]) - 0.5));
    const best = [...told.words.keys()].reduce(
      (one, other) => distance(other) <= distance(one) ? other : one);
    x = told.x[best]; y = told.y[best]; words = told.words[best];
  }
  const point = new DOMPoint(left + width * share(panel.x.limits, x),
    top + height * (1 - share(panel.y.limits, y))).matrixTransform(svg.getScreenCTM());
  const frame = svg.getBoundingClientRect();
  return {x: point.x, y: point.y, words, middle: frame.x + frame.width / 2};
})()"""
SAID = """(() => {
  const box = document.getElementById("words");
  return box.hidden ? null : box.textContent;
})()"""
# How what lies in the axes stands: transforms of paths, places of marks.
STANCE = """[...document.querySelectorAll("figure g[clip-path] path, figure g[clip-path] use, "
  + "figure g[clip-path] image")].map((part) => ["transform", "x", "y"]
  .map((name) => part.getAttribute(name) || "").join(" ").trim()).join("|")"""
TICKS = """[...document.querySelectorAll("figure [id$='-x'] text, figure [id$='-y'] text")]
  .filter((text) => getComputedStyle(text).visibility === "visible").length"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """A page of every kind of picture."""
    from matplotlib import pyplot as plt

    folder = tmp_path_factory.mktemp("pages")
    size = {"n_samples": 80, "n_strains": None, "n_variants": 300, "n_traits": 40}
    ds = blmm.simulate_study(**size, n_contigs=5, cross="f2", seed=2)
    ds["kinship"] = blmm.kinship(ds)
    result = blmm.scan(ds).compute()
    perm = blmm.permute(ds, n_permutations=60, method="shared").compute()
    best = blmm.max_lod(result)
    peaks = blmm.find_peaks(result, threshold=3)
    top = best.loc[best.lod.idxmax()]
    shares = np.random.default_rng(0).dirichlet([0.3] * 3, size=(80, 20))
    crossed = blmm.create_dataset(
        shares,
        shares[:, 10] @ np.array([[0.0], [2.0], [5.0]]) + ds.sample_trait.values[:, :1],
        trait_ids=[top.trait],
        contigs=["1"] * 20,
        positions=np.arange(20.0),
    )
    effects = blmm.blup(crossed, top.trait, kinship=None)
    pair = {"additive": "kinship", "dominance": "dominance"}
    components = blmm.heritability(ds.isel(traits=slice(8)), kinship=pair)
    drawn = {
        "lod": lambda: plot.lod(result, top.trait, threshold=perm, intervals=peaks),
        "eqtl": lambda: plot.eqtl(best, ds, threshold=2),
        "heatmap": lambda: plot.heatmap(result),
        "hotspots": lambda: plot.hotspots(blmm.hotspots(peaks, ds, window=10), ds),
        "kinship": lambda: plot.kinship(ds),
        "manhattan": lambda: plot.manhattan(result, top.trait, threshold=perm),
        "miami": lambda: plot.miami(result, blmm.scan(ds, kinship=None), top.trait),
        "permutations": lambda: plot.permutations(perm, top.trait, observed=top.lod),
        "profile": lambda: plot.profile(blmm.profile(ds, top.trait, variant=top.variant)),
        "qq": lambda: plot.qq(result),
        "effects": lambda: plot.effects(ds, top.trait, top.variant),
        "coefficients": lambda: plot.coefficients(effects, top.trait),
        "shares": lambda: plot.shares(components),
        "share_pairs": lambda: plot.share_pairs(components, y="residual"),
    }
    assert set(drawn) == set(plot.__all__) - {"save"}
    for kind, draw in drawn.items():
        plot.save(draw(), folder / f"{kind}.html")
    plt.close("all")
    return {kind: folder / f"{kind}.html" for kind in drawn}


@pytest.mark.slow
def test_pages_answer_the_pointer(pages):
    program = path_of_chromium()
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with chromium(program) as address:
        asyncio.run(_use(pages, address))


async def _use(pages, address):
    tab = await tab_of(address)
    try:
        await _use_all(tab, pages)
    finally:
        tab.close()


async def _use_all(tab, pages):
    for kind, page in pages.items():
        await tab.open(page.as_uri())
        at = await tab.run(PLACE)
        x, y = at["x"], at["y"]
        assert at["words"], kind
        assert await tab.run(SAID) is None, kind
        await tab.mouse("mouseMoved", x, y)
        assert await tab.run(SAID) == at["words"], kind
        before, ticks = await tab.run(STANCE), await tab.run(TICKS)
        assert before, kind
        for _ in range(3):
            await tab.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120)
        assert await tab.run(STANCE) != before, kind
        await tab.mouse("mouseMoved", x, y)  # what the pointer is at stays under it
        assert await tab.run(SAID) == at["words"], kind
        assert ticks == 0 or 1 <= await tab.run(TICKS) <= 2 * ticks + 20, kind
        zoomed = await tab.run(STANCE)
        if folder := os.environ.get("PICTURES"):
            shot = await tab.call("Page.captureScreenshot")
            Path(folder, f"{kind}-zoomed.png").write_bytes(base64.b64decode(shot["data"]))
        there = x + (10 if x < at["middle"] else -10), y + 5
        await tab.mouse("mousePressed", x, y, button="left", clickCount=1)
        await tab.mouse("mouseMoved", *there, button="left", buttons=1)
        await tab.mouse("mouseReleased", *there, button="left", clickCount=1)
        assert await tab.run(STANCE) not in (before, zoomed), kind
        await tab.mouse("mouseMoved", *there)  # it was dragged along
        assert await tab.run(SAID) == at["words"], kind
        await tab.run('document.getElementById("whole").click()')
        await tab.drawn()
        await tab.mouse("mouseMoved", x, y)
        _assert_same_stance(await tab.run(STANCE), before)
        assert await tab.run(SAID) == at["words"], kind
        if folder:
            shot = await tab.call("Page.captureScreenshot")
            Path(folder, f"{kind}-whole.png").write_bytes(base64.b64decode(shot["data"]))
        assert not tab.said("Runtime.exceptionThrown"), kind
        assert not tab.said("Log.entryAdded"), kind
        asked = [request["request"]["url"] for request in tab.said("Network.requestWillBeSent")]
        assert asked[0] == page.as_uri()
        assert {url.split(":")[0] for url in asked[1:]} <= {"data"}, kind


def _assert_same_stance(now, before):
    """Places of marks may differ by rounding."""
    now = now.replace("translate(0 0)", "")
    for one, other in zip(now.split("|"), before.split("|"), strict=True):
        if one != other:
            np.testing.assert_allclose([*map(float, one.split())], [*map(float, other.split())])
