"""What to do about a damaged store: the end of every error that names one."""

from __future__ import annotations

import json
from typing import Any

from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.storage.proof.stamp import KIND, KINSHIP, RESULT, STUDY, is_first
from bulklmm_dask.surface import either, repeat
from bulklmm_dask.text import named


def remedy(store: Location) -> str:
    """Say how a damaged store is put right; it depends on what the store is.

    Parameters
    ----------
    store : Location
        A store of this package, damaged anywhere.
    """
    attrs = _attributes(store)
    kind = attrs.get(KIND)
    if kind == STUDY:
        return either("save the study again", "import the study again")
    if kind == KINSHIP:
        return either("save the kinship again", "make it again with 'bulklmm kinship'")
    if kind == RESULT and is_first(attrs):
        return f"{repeat()} with another store"
    path = store.path
    command = f"bulklmm verify --mend {named(path)}"
    mending = either(f"verify({path!r}, mend=True)", repr(command))  # quotes in it are others
    return f"{mending} " + ("mends it" if kind == RESULT else "says what can be mended")


def _attributes(store: Location) -> dict[str, Any]:
    try:
        return dict(json.loads((store / METADATA).read_bytes())["attributes"])
    except Exception:  # whatever a damaged file leads to
        return {}
