"""Attributes that identify a store of this package: kind, format version, version of the writer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bulklmm_dask._version import __version__
from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.location import Location

KIND, STUDY, RESULT, KINSHIP = "bulklmm_store", "study", "result", "kinship"
_FORMAT, _VERSION = "format", "bulklmm_version"

# Attributes of the root group that describe the store, not its content.
STAMP = (KIND, _FORMAT, _VERSION)

# Format 1: bulklmm_dask 0.1.0, which wrote no format number; marks are 1, and fingerprints are
# computed in another way. Format 2: every file has a checksum, and a copy of it in the manifest.
FIRST, FORMAT = 1, 2
# Attribute of a result: the path of the study that it was made from.
OF = "bulklmm_study"
# Attribute of a study: digests of the values of its genotypes and its traits, by their names. Of a
# kinship: those of the genotypes that it was computed from.
VALUES = "values"
# Attributes of the seal of a store, which those of format 1 lack.
PARTS, DIGEST = "parts", "digest"


def stamp(kind: str) -> dict[str, Any]:
    """Attributes of the root group of a new store."""
    return {KIND: kind, _FORMAT: FORMAT, _VERSION: __version__}


def format_of(store: Location, attrs: Mapping[str, Any]) -> int:
    """Format version of a store, from the attributes of its root group.

    Raises
    ------
    StoreError
        If it is newer than this version of the package can read.
    """
    found = int(attrs.get(_FORMAT, FIRST))
    if found > FORMAT:
        raise StoreError(
            f"{store} has format {found}, written by bulklmm_dask {writer(attrs)}, but "
            f"bulklmm_dask {__version__} reads formats up to {FORMAT} only; install "
            "the newer version"
        )
    return found


def is_first(attrs: Mapping[str, Any]) -> bool:
    """Tell whether a store is of format 1, from attributes that may be damaged."""
    return attrs.get(_FORMAT, FIRST) == FIRST and not {PARTS, DIGEST} & set(attrs)


def writer(attrs: Mapping[str, Any]) -> str:
    """Version of the package that wrote a store; results of 0.1.0 have it in ``version``."""
    return str(attrs.get(_VERSION, attrs.get("version", "0.1.0")))


def refuse_first_format(store: Location, attrs: Mapping[str, Any], remedy: str) -> None:
    """Raise StoreError if a store is of format 1, whose fingerprints do not allow to resume it."""
    if format_of(store, attrs) > FIRST:
        return
    raise StoreError(
        f"{store} was written by bulklmm_dask {writer(attrs)} in format {FIRST}, whose "
        f"fingerprints of the inputs cannot be compared with those of bulklmm_dask "
        f"{__version__} (format {FORMAT}); {remedy}"
    )
