"""Profile likelihood of the heritability of one trait."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import (
    COLOURS,
    NORMAL,
    RULE,
    axes,
    label_of,
    legend_above,
    named,
    tidy,
)
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.storage.labels.variables import Variable
from bulklmm_dask.study.checks import refuse_huge
from bulklmm_dask.study.schema import require_form

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (4.2, 3.2)  # inches
_DEEPEST = 8.0  # lowest end of the y axis, in nats below the maximum without a marker
_CURVE = Variable((("h2",),), "fiu", "numbers along h2")
_NUMBER = Variable(((),), "fiu", "a number")
_FORMS = {
    **dict.fromkeys(("h2", "null", "alternative"), _CURVE),
    **dict.fromkeys(("null_h2", "alternative_h2", "lod"), _NUMBER),
    "null_interval": Variable((("limits",),), "fiu", "the two ends of an interval"),
}


def profile(values: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the profile log-likelihood of the heritability of a trait.

    Parameters
    ----------
    values : Dataset
        What ``bulklmm_dask.profile`` returns, with or without a marker.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Heritability (x) and log-likelihood in nats (y). Under ML both curves are relative to the
        maximum without a marker, so that the curve with a marker reaches LOD x ln 10; under REML
        each curve is relative to its own maximum. Optima are marked; the 95% likelihood interval of
        the model without a marker is shaded.

    Raises
    ------
    InputError
        If this is no profile, or matplotlib is not installed.

    Examples
    --------
    >>> values = blmm.profile(ds, "trait06", variant="2:54233555")
    >>> ax = blmm.plot.profile(values)
    >>> ax.get_xlabel()
    'Heritability h²'
    >>> ax.figure.savefig("profile.png")
    """
    _require_profile(values)
    reml = bool(values.attrs["reml"])
    heights = {
        name: values[name].values - float(values[name if reml else "null"].max())
        for name in ("null", "alternative")
        if name in values
    }
    top = max(float(height.max()) for height in heights.values())
    bottom = max(-_DEEPEST, min(float(height.min()) for height in heights.values()))
    margin = 0.06 * (top - bottom)
    ax = axes(ax, _SIZE)
    for (name, height), colour in zip(heights.items(), COLOURS, strict=False):
        best = float(values[f"{name}_h2"])
        at = int(np.argmin(np.abs(values["h2"].values - best)))
        (line,) = ax.plot(values["h2"].values, height, "-o", markevery=[at], color=colour, zorder=3)
        line.set(linewidth=1.1, markersize=4, label=_described(values, name))
        h2 = values["h2"].values
        tell(ax, Points(line, h2, height, partial(_words, _described(values, name), h2, height)))
        ax.vlines(best, bottom - margin, height[at], color=colour, linewidth=0.7, linestyle=":")
    low, high = values["null_interval"].values
    label = f"95% interval without a marker: {low:.2f} to {high:.2f}"
    ax.axvspan(low, high, color=RULE, linewidth=0, zorder=0, label=label)
    ax.set(xlim=(-0.02, 1.02), ylim=(bottom - margin, top + margin))
    ax.set_xlabel(f"Heritability {label_of('h2')}", fontsize=NORMAL)
    kind, base = ("Restricted log-likelihood", "each") if reml else ("Log-likelihood", "the null")
    ax.set_ylabel(f"{kind} (nats)\nabove {base} maximum", fontsize=NORMAL)
    tidy(ax)
    legend_above(ax, title=named(values.attrs["trait"]))
    return ax


def _words(name: str, h2: np.ndarray, height: np.ndarray) -> list[str]:
    """What is said of every point of a curve."""
    rows = zip(h2, height, strict=True)
    return [f"{name}\nh² {at:.3f}: {value:.2f} nats" for at, value in rows]


def _require_profile(values: Any) -> None:
    """Raise InputError unless this is what `profile` returns."""
    remedy = "draw what bulklmm_dask.profile returns"
    if not isinstance(values, xr.Dataset):
        raise InputError(f"this is a {type(values).__name__}, no profile: {remedy}")
    needed = ["h2", "null", "null_h2", "null_interval"]
    attributes = ["reml", "trait"]
    if "alternative" in values:
        needed.append("alternative_h2")
        attributes.append("variant")
    lost = [name for name in needed if name not in values]
    lost += [f"attribute {name}" for name in attributes if name not in values.attrs]
    if lost:
        raise InputError(f"there is no {lost[0]} here: {remedy}")
    require_form(values, _FORMS)
    if not isinstance(values.attrs["reml"], bool | int | np.bool_ | np.integer):
        raise InputError(f"the attribute reml is {values.attrs['reml']!r}: {remedy}")
    names = [name for name in ("null", "alternative") if name in values]
    curves = [values[name].values.astype(np.float64) for name in names]
    if not all(np.isfinite(np.nanmax(curve, initial=-np.inf)) for curve in curves):
        raise InputError(f"the likelihoods are not finite: {remedy}")
    for curve in curves:
        refuse_huge(curve[np.isfinite(curve)], "the likelihoods", remedy)
    interval = values["null_interval"].values
    if not values["h2"].size or interval.size != 2 or (np.abs(interval) > 1).any():
        raise InputError(
            f"the interval of h2 is {interval} of {values['h2'].size} points: {remedy}"
        )


def _described(values: xr.Dataset, name: str) -> str:
    """Legend of a curve: its model, the optimum of h2 and the LOD."""
    which = "without a marker" if name == "null" else f"with {named(values.attrs['variant'])}"
    text = f"{which}: h² = {float(values[f'{name}_h2']):.2f}"
    if values.attrs.get(f"{name}_status") == "unbounded":
        text += " (no maximum below 1)"
    if name == "alternative" and "lod" in values:
        text += f", LOD = {float(values['lod']):.2f}"
    return text
