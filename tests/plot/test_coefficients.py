"""plot.coefficients: the lines are the effects, in the founders' colours."""

from __future__ import annotations

import numpy as np
import pytest

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._told import told
from bulklmm_dask.plot.founders import FOUNDERS


def founders(k=8):
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.full(k, 0.2), size=(60, 6))
    traits = shares[:, 1] @ np.arange(k) + rng.normal(size=60)
    ds = blmm.create_dataset(
        shares,
        traits[:, None],
        trait_ids=["weight"],
        contigs=["1"] * 4 + ["2"] * 2,
        positions=[1.0, 2, 3, 4, 1, 2],
    )
    return ds.assign_coords(genotypes=list("ABCDEFGH")[:k])


def lines(ax):
    return {
        line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")
    }


def test_lines_are_blups_in_the_colours_of_the_founders():
    ds = founders()
    ds = ds.assign_coords(genotype_id=("genotypes", ds.genotypes.values))
    effects = blmm.blup(ds, "weight", kinship=None)
    ax = blmm.plot.coefficients(effects, "weight", contig="1")
    drawn = lines(ax)
    assert list(drawn) == list("ABCDEFGH")
    for at, (name, line) in enumerate(drawn.items()):
        assert line.get_color() == FOUNDERS[at]
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
        expected = effects.beta.sel(genotypes=name, traits="weight")[:4]
        np.testing.assert_allclose(line.get_ydata(), expected)
    said = {what.artist.get_label(): what.words() for what in told(ax)}
    assert list(said) == list(drawn)
    assert said["C"][1].startswith("C\nvariant2 (chr 1, 2.00 Mb)\neffect ")
    whole = lines(blmm.plot.coefficients(effects, "weight"))["A"].get_ydata()
    assert np.isnan(whole).tolist() == [False] * 4 + [True] + [False] * 2


def test_least_squares_as_deviations_from_their_mean():
    result = blmm.scan(founders(3), kinship=None, statistics="beta")
    drawn = lines(blmm.plot.coefficients(result, "weight", contig="2"))
    beta = result.beta.sel(traits="weight")[4:].values
    assert len(drawn) == 3
    for line, expected in zip(drawn.values(), (beta - beta.mean(1, keepdims=True)).T, strict=True):
        np.testing.assert_allclose(line.get_ydata(), expected)


def test_genotypes_that_a_contig_lacks_are_not_drawn():
    effects = blmm.blup(founders(3), "weight", kinship=None)
    effects["beta"][:4, :, 2] = np.nan
    assert len(lines(blmm.plot.coefficients(effects, "weight", contig="1"))) == 2
    values = [
        line.get_ydata() for line in lines(blmm.plot.coefficients(effects, "weight")).values()
    ]
    np.testing.assert_allclose(values[0][:4] + values[1][:4], 0, atol=1e-12)


def test_what_cannot_be_drawn_is_refused():
    result = blmm.scan(founders(3), kinship=None)
    with pytest.raises(InputError, match="no effects of genotypes to draw; blup, or scan with"):
        blmm.plot.coefficients(result, "weight")
    effects = blmm.blup(founders(3), "weight", kinship=None)
    with pytest.raises(InputError, match="'height'"):
        blmm.plot.coefficients(effects, "height")
    with pytest.raises(InputError, match="contig '9'"):
        blmm.plot.coefficients(effects, "weight", contig="9")
