"""What a store of this package holds, so that nothing else is removed with it."""

from __future__ import annotations

import json
import re

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.base import CLOCK, GUARD, LOCK
from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.storage.places.lock import SHARES
from bulklmm_dask.storage.proof.entry import JOURNAL
from bulklmm_dask.storage.proof.manifest import MANIFEST
from bulklmm_dask.storage.proof.stamp import KIND, KINSHIP, RESULT, STUDY
from bulklmm_dask.storage.summaries.of_blocks import SUMMARY
from bulklmm_dask.surface import function
from bulklmm_dask.text import counted, listing

# Paths below the root. Those of a run: its lock, its journal, and chunks that it is writing, or was
# when it was killed. Those of a store: metadata and chunks of arrays in the root, in the manifest
# or in the summary.
_PARTIAL = r"\.[0-9a-f]{32}\.partial"
_OF_A_RUN = re.compile(
    rf"[^/]+/(?:{SHARES}/[^/]+/)?(?:{LOCK}|{GUARD}|{re.escape(CLOCK)}|\.lock[^/]*\.part-[^/]*)|{JOURNAL}/\d+(?:{_PARTIAL})?"
    rf"|.*/c(?:/\d+)*{_PARTIAL}"
)
_OF_A_STORE = re.compile(
    rf"(?:(?:{MANIFEST}|{SUMMARY})/)?(?:(?:[^/]+/)?zarr(?:\.json|{_PARTIAL})|[^/]+/c(?:/\d+)*(?:{_PARTIAL})?)"
)


def is_of_a_run(path: str) -> bool:
    """Tell whether a file of this path, below a store, is what a run has while it writes."""
    return _OF_A_RUN.fullmatch(path) is not None


def require_own(store: Location, wanted: str) -> None:
    """Raise StoreError, which says what would be lost, unless a folder is a store of this kind.

    `wanted` is "study", "result" or "kinship": what is to take the place. A folder that holds
    anything beside the store is none either.
    """
    kept = "so it is not overwritten; give another path, or remove it yourself"
    if not store.is_store():
        raise StoreError(f"{store} is no Zarr store, {kept}")
    kind = _kind(store)
    if kind not in (STUDY, RESULT, KINSHIP):
        raise StoreError(
            f"{store} is a Zarr store that {function('save')} has not written (its attribute "
            f"{KIND} is {kind!r}), {kept}"
        )
    if kind != wanted:
        raise StoreError(
            f"{store} is a {kind}, so a {wanted} does not overwrite it; give another path, or "
            "remove it yourself"
        )
    foreign = sorted(
        path
        for path in store.files()
        if not is_of_a_run(path) and _OF_A_STORE.fullmatch(path) is None
    )
    if foreign:
        raise StoreError(
            f"{store} holds {counted(len(foreign), 'file')} that would be lost, for they are no "
            f"part of a {kind}: {listing(foreign)}; move them elsewhere, or give another path"
        )


def _kind(store: Location) -> object:
    try:
        return json.loads((store / METADATA).record() or b"")["attributes"][KIND]
    except (ValueError, KeyError, TypeError, RecursionError):  # damaged, or of another program
        return None
