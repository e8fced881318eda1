"""Small studies for tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.storage.labels.encoding import text


def told(function: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, str]:
    """Give what a function returns, and all that it said in a StudyWarning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", blmm.StudyWarning)
        found = function(*args, **options)
    return found, " | ".join(str(one.message) for one in caught)


def arrays(
    n: int = 40, p: int = 30, m: int = 12, seed: int = 0, related: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Dosages (n, p) of 0, 1, 2 and traits (n, m) with h2 from 0 to 1."""
    rng = np.random.default_rng(seed)
    parents = rng.binomial(2, 0.4, size=(max(3, n // 4), p))
    mixed = parents[rng.integers(len(parents), size=n)] if related else rng.binomial(2, 0.4, (n, p))
    dosage = np.where(rng.random((n, p)) < 0.7, mixed, rng.binomial(2, 0.4, (n, p))).astype(float)
    scaled = dosage - dosage.mean(axis=0)
    polygenic = scaled @ rng.standard_normal((p, m)) / np.sqrt(p)
    h2 = np.linspace(0, 1, m)
    return dosage, np.sqrt(h2) * polygenic + np.sqrt(1 - h2) * rng.standard_normal((n, m)) + 3


def study(
    n: int = 40, p: int = 30, m: int = 12, seed: int = 0, covariates: int = 0, missing: float = 0
) -> xr.Dataset:
    """A study with its kinship, optionally with covariates and with trait values missing."""
    return _study(n, p, m, seed, covariates, missing).copy(deep=True)


@cache
def _study(n: int, p: int, m: int, seed: int, covariates: int, missing: float) -> xr.Dataset:
    """What `study` copies: many tests begin with the same one."""
    dosage, traits = arrays(n, p, m, seed)
    rng = np.random.default_rng(seed + 1)
    if missing:
        patterns = rng.random((n, 3)) < missing
        patterns[:, 0] = False
        traits[patterns[:, rng.integers(3, size=m)]] = np.nan
    ds = blmm.create_dataset(
        dosage,
        traits,
        covariates=rng.standard_normal((n, covariates)) if covariates else None,
        contigs=np.repeat(["1", "2"], [p // 2, p - p // 2]),
        positions=np.concatenate([np.arange(p // 2), np.arange(p - p // 2)]).astype(float),
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    return ds


def result_of(lod, contig=None, position=None, names=None, **variables) -> xr.Dataset:
    """A result of the shape that scan returns; by default of one contig, markers 1 Mb apart."""
    p, m = lod.shape
    contig = np.zeros(p, int) if contig is None else np.asarray(contig)
    position = np.arange(p, dtype=float) if position is None else position
    return xr.Dataset(
        {
            "lod": (("variants", "traits"), lod),
            "h2": ("traits", np.linspace(0, 1, m)),
            "variant_contig": ("variants", contig),
            "variant_position": ("variants", position, {"units": "Mb"}),
            "contig_id": ("contigs", text(f"c{i}" for i in range(contig.max() + 1))),
            **variables,
        },
        coords={
            "variants": text(names or [f"m{i}" for i in range(p)]),
            "traits": text(f"t{i}" for i in range(m)),
        },
    )
