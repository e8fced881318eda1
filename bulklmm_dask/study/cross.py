"""A raw cross in a study: calls, founders' alleles, and how each sample was bred.

They are variables of the study beside its dosages, and ``attrs["crosstype"]`` has the type of the
cross (`bulklmm_dask.crosses.types`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.crosses.emission import NOT_AA, NOT_BB
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text

CODES = "call_code"
FOUNDERS = "founder_code"
NUMBERS = "sample_cross_number"


def put_cross(
    ds: xr.Dataset,
    codes: npt.NDArray[np.uint8],
    names: tuple[Sequence[str], Sequence[str]],
    founders: npt.NDArray[np.uint8] | None,
    letters: Sequence[str],
    numbers: Mapping[str, Sequence[int]],
) -> xr.Dataset:
    """Add a raw cross to a study; calls that tell a genotype in part have no dosage.

    Parameters
    ----------
    ds : Dataset
        The study, with some of the variants and samples of the cross.
    codes : array (variants, samples)
        Codes of calls, `bulklmm_dask.crosses.emission`.
    names : (variants, samples)
        Names along both dimensions.
    founders : array (variants, founders), optional
        Alleles of the founders; None where those are A and B at every marker.
    letters : sequence of str
        Letters of the founders.
    numbers : mapping of str to sequence of int
        cross_info by sample.
    """
    places = ({name: at for at, name in enumerate(known)} for known in names)
    rows, columns = (
        [of_name[name] for name in ds[dim].values.tolist()]
        for of_name, dim in zip(places, ("variant_id", "sample_id"), strict=True)
    )
    mine = codes[np.ix_(rows, columns)]
    new: dict[str, object] = {CODES: (("variants", "samples"), mine)}
    partial = np.isin(mine, (NOT_BB, NOT_AA))
    if partial.any():
        new["call_dosage"] = ds["call_dosage"].where(~partial)
    if founders is not None:
        more = [f"founder{at + 1}" for at in range(len(letters), founders.shape[1])]
        known = text([*letters, *more])
        ds = ds.assign_coords(founders=known, founder_id=("founders", known))
        new[FOUNDERS] = (("variants", "founders"), founders[rows])
    if numbers:
        count = max(map(len, numbers.values()))
        absent = [-1] * count
        samples = ds["sample_id"].values.tolist()
        values = np.array([numbers.get(name, absent) for name in samples], dtype=np.int64)
        new[NUMBERS] = (("samples", "cross_numbers"), values)
    return arranged(ds.assign(new))
