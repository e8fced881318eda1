"""Whether stores still hold what was written into them, and results made whole again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeAlias

import pandas as pd
import xarray as xr

from bulklmm_dask.engine.progress import Progress
from bulklmm_dask.errors import OptionError, StoreError
from bulklmm_dask.storage.health.examine import SURPLUS, Finding, examine
from bulklmm_dask.storage.health.repair import (
    UnmendableError,
    attributes_to_repair,
    is_finished,
    repairing,
)
from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.storage.proof.attributes import Attributes
from bulklmm_dask.storage.proof.manifest import BLOCKS
from bulklmm_dask.storage.proof.remedy import remedy
from bulklmm_dask.storage.proof.seal import has_lost_root
from bulklmm_dask.storage.proof.stamp import KIND, KINSHIP, OF, RESULT, STUDY, is_first
from bulklmm_dask.study.io import open_dataset
from bulklmm_dask.study.origin import remember
from bulklmm_dask.surface import either, option

_Progress: TypeAlias = Callable[[int, int], None]
_UNFINISHED = "unfinished"
_COLUMNS = ("store", "array", "file", "problem")


def verify(
    store: str | os.PathLike[str],
    *,
    mend: bool = False,
    study: xr.Dataset | str | os.PathLike[str] | None = None,
    progress: _Progress | None = None,
) -> pd.DataFrame:
    """Read all bytes of a store once, and list the parts that are not as they were written.

    Every chunk is compared with its own checksum, with the copy of it in the manifest of the store,
    and the store with its list of parts. Memory holds one file at a time.

    With `mend` a damaged result of `scan`, `permute` or `hotspot_baseline` is made whole: names,
    metadata and the manifest are written anew where they differ, and blocks that are not the ones
    that were written are computed again, and no others, with the options that the result keeps. A
    result that is unfinished is finished by that. Then all is read once more. No run may write into
    the store meanwhile; after any stop the same call goes on.

    Parameters
    ----------
    store : path
        A study, a kinship, or a result, finished or not.
    mend : bool
        Whether to mend what is damaged, and to finish what is unfinished.
    study : Dataset or path, optional
        The study that a result was made from, for `mend`; by default the one that the result keeps
        the path of. It is known by its fingerprints, so it may have been moved or saved again.
    progress : callable, optional
        Called with the number of bytes read and of all bytes, after each file. While blocks are
        computed it counts, from 0, the share of them that is finished, in bytes of the store.

    Returns
    -------
    DataFrame
        One row for each finding, none for a sound store: ``store``; ``array``, empty for the root
        group; ``file``, below the store; ``problem``: "lost", "cut short", "changed" (other bytes),
        "another file" (sound by itself, but not the one written there, such as an older file or one
        of another block), "unreadable" (the disk does not give it) or "surplus" (not of the store;
        it does no harm), with `mend` also "unfinished". Stores of version 0.1.0
        have no checksums: what cannot be decoded is found, other changed bytes are not. With `mend`
        also ``mended``, and ``reason``, why it was not: of a study nothing but its kinship can be
        computed again, nor anything of a result whose kinship, weights or the like were given as
        arrays, which it does not keep. Surplus files are removed in the folders of arrays of
        results only.

    Raises
    ------
    StoreError
        If there is no store; or if it is to be mended, and a run writes into it or it cannot be
        written.
    InputError
        If a study is given, and nothing is to be mended.

    Examples
    --------
    >>> blmm.save(ds, "study.zarr")
    >>> len(blmm.verify("study.zarr"))
    0

    After a bit of the LODs was lost on the disk:

    >>> _ = blmm.scan(blmm.open_dataset("study.zarr"), store="scan.zarr")
    >>> from pathlib import Path
    >>> file = Path("scan.zarr/lod/c/0/0")
    >>> content = bytearray(file.read_bytes())
    >>> content[100] ^= 4
    >>> _ = file.write_bytes(content)
    >>> blmm.verify("scan.zarr")[["array", "file", "problem"]]
      array       file  problem
    0   lod  lod/c/0/0  changed

    The block is computed again from the study:

    >>> bool(blmm.verify("scan.zarr", mend=True).mended.all())
    True
    >>> len(blmm.verify("scan.zarr"))
    0
    """
    place = Location.of(store).opened()
    _require_store(place)
    if study is not None and not mend:
        raise OptionError(
            f"{either('study', '--from')} is given, but nothing is to be mended; add "
            f"{option('mend', True)}"
        )
    found = _findings(place, mend, progress)
    if not mend:
        return _table(place, found)
    place, why, left = place.anew, "", found
    if found:
        try:
            _mend(place, study, found, progress)
        except UnmendableError as error:
            why = str(error)
        else:
            left = _findings(place.opened(), mend, progress)
    reasons = {finding: why or _reason(finding) for finding in left}
    found = list(dict.fromkeys([*found, *left]))  # damaged metadata hide what else is wrong
    table = _table(place, found)
    table["mended"] = pd.Series([finding not in reasons for finding in found], dtype=bool)
    table["reason"] = [reasons.get(finding, "") for finding in found]
    return table


def _require_store(place: Location) -> None:
    if not place.is_folder():
        raise StoreError(f"there is no store {place}; check the path")
    if not place.is_store() and not has_lost_root(place):
        raise StoreError(
            f"{place} is no store: it has no zarr.json; "
            + either(
                "give the path of what save or scan has written",
                "give the path of what 'bulklmm import' or 'bulklmm scan' has written",
            )
        )


def _table(place: Location, found: Sequence[Finding]) -> pd.DataFrame:
    rows = [{"store": str(place), **asdict(finding)} for finding in found]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _findings(place: Location, mend: bool, progress: _Progress | None) -> list[Finding]:
    """What is wrong with a store; progress reaches its end, whatever need not be read."""
    done, total = 0, place.size()

    def read(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(min(done, total), total)

    found = list(examine(place, read))
    if done < total:
        read(total - done)
    if mend and not is_finished(place):
        found.append(Finding(BLOCKS, BLOCKS, _UNFINISHED))
    return found


def _mend(
    place: Location,
    study: xr.Dataset | str | os.PathLike[str] | None,
    found: Sequence[Finding],
    progress: _Progress | None,
) -> None:
    """Mend a store, or raise UnmendableError, which says why that cannot be done."""
    from bulklmm_dask.analyses.again import analysis_of  # so that only who mends waits for it

    attrs = attributes_to_repair(place)
    if attrs.get(KIND) == STUDY:
        _mend_study(place, attrs, found)
        return
    if attrs.get(KIND) == KINSHIP:
        raise UnmendableError(f"it is of a kinship: {remedy(place)}")
    if attrs.get(KIND) != RESULT or is_first(attrs):
        raise UnmendableError(
            "only results of bulklmm_dask 0.2.0 and later keep what mending needs: make it again "
            "in another store"
        )
    analysis = analysis_of(attrs)
    ds = remember(_study(attrs, study), attrs.get(OF))
    size = place.size()

    def show(run: Progress) -> None:
        if progress is not None:
            progress(size * run.tests_done // run.tests_total, size)

    with repairing(place, attrs, found) as writer:
        analysis.run(ds, writer, show)


def _mend_study(place: Location, attrs: Attributes, found: Sequence[Finding]) -> None:
    """Compute the kinships of a study again, if nothing else of it is damaged."""
    from bulklmm_dask.analyses.kinship_again import COMPUTED, mend_kinships

    wrong = [finding for finding in found if finding.problem != SURPLUS]
    if any(one.array not in COMPUTED or one.file.endswith(METADATA) for one in wrong):
        source = f" from {attrs['source']}" if "source" in attrs else ""
        raise UnmendableError(
            "what was measured cannot be computed again: "
            + either(f"save the study again{source}", f"import the study again{source}")
        )
    if wrong:
        mend_kinships(place, {one.array for one in wrong})


def _study(attrs: Attributes, given: xr.Dataset | str | os.PathLike[str] | None) -> xr.Dataset:
    """The study that is given, else that which a result keeps the path of."""
    if isinstance(given, xr.Dataset):
        return given
    if given is not None:
        return open_dataset(given)
    remedy = f"give it as {either('study', '--from')}"
    if OF not in attrs:
        raise UnmendableError(f"it does not say which study it was made from; {remedy}")
    if not Location.of(attrs[OF]).is_folder():
        raise UnmendableError(f"its study {Location.of(attrs[OF])} is not there; {remedy}")
    return open_dataset(attrs[OF])


def _reason(finding: Finding) -> str:
    if finding.problem == SURPLUS:
        return "it is not of this store: move it elsewhere"
    return "it is damaged again: look at the disk"
