"""Pictures of the shares of several random effects."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

mpl.use("Agg")
from matplotlib.collections import LineCollection, PathCollection

from bulklmm_dask import plot
from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._told import told

NAMES = ["additive", "cage", "residual"]


def shares(m: int = 9, missing: int = 0) -> xr.Dataset:
    values = np.random.default_rng(m).dirichlet([2, 1, 3], m).T
    values[:, :missing] = np.nan
    coords = {"components": NAMES, "traits": [f"t{j}" for j in range(m)]}
    return xr.Dataset({"h2": (("components", "traits"), values)}, coords)


def table(ds: xr.Dataset) -> pd.DataFrame:
    frame = ds.h2.to_dataframe().reset_index()
    return frame.rename(columns={"components": "component", "traits": "trait"})


def bars(ax):
    """Lower and upper ends of the bars of each component, (components, traits)."""
    steps = [patch.get_data() for patch in ax.patches]
    return np.array([one.baseline for one in steps]), np.array([one.values for one in steps])


def names(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def test_bars_are_the_shares_upon_each_other():
    ds = shares()
    ax = plot.shares(ds, order="traits")
    low, high = bars(ax)
    np.testing.assert_allclose(high - low, ds.h2, atol=1e-12)
    np.testing.assert_array_equal(low[1:], high[:-1])
    np.testing.assert_array_equal(low[0], 0)
    np.testing.assert_allclose(high[-1], 1)
    assert names(ax) == list(ds.traits.values)
    means = ds.h2.mean("traits").values
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [f"{n}, mean {v:.2f}" for n, v in zip(NAMES, means, strict=True)]
    assert len({patch.get_facecolor() for patch in ax.patches}) == 3


@pytest.mark.parametrize(
    ("order", "key"),
    [("explained", lambda h2: h2[2]), ("cage", lambda h2: -h2[1]), ("residual", lambda h2: -h2[2])],
)
def test_traits_are_sorted(order, key):
    ds = shares()
    ax = plot.shares(ds, order=order)
    arranged = np.argsort(key(ds.h2.values), kind="stable")
    assert names(ax) == list(ds.traits.values[arranged])
    low, high = bars(ax)
    np.testing.assert_allclose(high - low, ds.h2.values[:, arranged], atol=1e-12)


def test_a_table_is_drawn_as_its_result():
    ds = shares(missing=2)
    rows = table(ds).sample(frac=1, random_state=0)
    back = rows.set_index(["trait", "component"]).h2.unstack()
    for result in (ds, ds.transpose(), table(ds), table(ds).astype({"h2": str})):
        ax = plot.shares(result)
        assert ax.get_xlabel() == "7 traits; 2 without shares"
        low, high = bars(ax)
        np.testing.assert_allclose(high - low, back.loc[names(ax), NAMES].T, atol=1e-12)


def test_many_traits_are_counted_and_not_named():
    ax = plot.shares(shares(50, missing=1), order="cage")
    assert names(ax) == []
    assert ax.get_xlabel() == "49 traits, by the share of cage; 1 without shares"
    assert plot.shares(shares(50)).get_xlabel() == "50 traits, by the share that is explained"


def test_what_is_said_of_a_bar():
    ds = shares(3)
    ax = plot.shares(ds, order="traits")
    said = [points.words()[1] for points in told(ax)]
    assert said == [f"t1\n{n}: {v:.3f}" for n, v in zip(NAMES, ds.h2.values[:, 1], strict=True)]
    low, high = bars(ax)
    np.testing.assert_allclose([points.y for points in told(ax)], (low + high) / 2)


def test_points_are_two_shares():
    ds = shares(30, missing=1)
    for arguments, pair in (
        ({}, ("additive", "cage")),
        ({"x": "cage"}, ("cage", "additive")),
        ({"y": "additive"}, ("cage", "additive")),
        ({"x": "residual", "y": "cage"}, ("residual", "cage")),
    ):
        ax = plot.share_pairs(ds, **arguments)
        (points,) = (one for one in ax.collections if isinstance(one, PathCollection))
        expected = ds.h2.sel(components=list(pair)).values[:, 1:].T
        np.testing.assert_allclose(points.get_offsets(), expected)
        assert (ax.get_xlabel(), ax.get_ylabel()) == tuple(f"Share of {name}" for name in pair)
        assert ax.get_title(loc="left") == "29 traits; 1 without shares"
        (words,) = (one.words() for one in told(ax))
        assert words[0] == f"t1\n{pair[0]}: {expected[0, 0]:.3f}, {pair[1]}: {expected[0, 1]:.3f}"


def test_one_kernel_and_the_residual():
    ds = shares().isel(components=[0, 2])
    ds = ds / ds.sum("components")
    assert plot.share_pairs(ds).get_ylabel() == "Share of residual"
    assert len(plot.shares(ds).patches) == 2


def test_axes_of_the_user_are_used():
    _, own = mpl.pyplot.subplots()
    assert plot.shares(shares(), ax=own) is own
    assert any(isinstance(one, LineCollection) for one in own.collections)
    assert plot.share_pairs(shares(), ax=own) is own


@pytest.mark.parametrize("draw", [plot.shares, plot.share_pairs])
def test_what_has_no_shares_is_refused(draw):
    ds = shares()
    for wrong, words in (
        (None, "this is a NoneType, which has no shares"),
        (ds.h2, "this is a DataArray"),
        (ds.drop_vars("h2"), "no shares of several components"),
        (ds.isel(components=0, drop=True), "no shares of several components"),
        (ds.drop_vars("components"), "no shares of several components"),
        (ds.assign(h2=ds.h2.astype(str)), "h2 has dtype"),
        (ds.expand_dims(contigs=["1", "2"]), r"each contig left out; select one: result\.isel"),
        (ds * np.nan, "no trait could be fitted"),
        (ds * 2, r"the shares of trait 't0' are .* sum to 1"),
        (ds.isel(components=[0, 1]), r"the shares of trait 't0' are .* sum to 1"),
        (table(ds).drop(columns="component"), "no column 'component'"),
        (pd.concat([table(ds)] * 2), "two rows of trait 't0' and component 'additive'"),
        (table(ds).assign(h2="x"), "column 'h2'"),
    ):
        with pytest.raises(InputError, match=words):
            draw(wrong)


def test_names_of_no_component():
    with pytest.raises(InputError, match=r"order 'age'; choose one of explained, traits, additive"):
        plot.shares(shares(), order="age")
    with pytest.raises(InputError, match=r"no component is called 'age'; there are 'additive'"):
        plot.share_pairs(shares(), x="age")
    with pytest.raises(InputError, match="both shares are those of 'cage'"):
        plot.share_pairs(shares(), x="cage", y="cage")
