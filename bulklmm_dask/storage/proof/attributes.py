"""Attributes of a store, read and checked once: each is of the kind that this package writes.

Whoever opens a store gets its attributes from here, so that a damaged one is an error that names
it, wherever it would be used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.location import METADATA, Location, ServerError
from bulklmm_dask.storage.proof.remedy import remedy
from bulklmm_dask.text import counted

Attributes = dict[str, Any]
# What stands beside the attributes in the metadata of a group.
_GROUP = {"zarr_format": 3, "node_type": "group"}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _all(fits: Callable[[object], bool], length: int | None = None) -> Callable[[object], bool]:
    def fits_all(value: object) -> bool:
        if not isinstance(value, list) or length not in (None, len(value)):
            return False
        return all(map(fits, value))

    return fits_all


def _is_yes_or_no(value: object) -> bool:
    return isinstance(value, int) and value in (0, 1)


def _is_number_or_none(value: object) -> bool:
    return value is None or _is_number(value)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and _is_whole(value) and value > 0


def _is_map_of_texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_map_of_parts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(part, dict) and _is_text(part.get("metadata")) for part in value.values()
    )


def _is_text_or_texts(value: object) -> bool:
    return _is_text(value) or _all(_is_text)(value)


def _is_numbers_or_text(value: object) -> bool:
    return _is_text(value) or _all(_is_number)(value)


_TEXT = (_is_text, "a text")
_TEXTS = (_all(_is_text), "a list of texts")
_NUMBERS = (_all(_is_number), "a list of numbers")
_YES_OR_NO = (_is_yes_or_no, "true or false")
_COUNT = (_is_size, "a whole number above 0")
_SETTING = (_is_number_or_none, "a number")

# Name -> whether a value fits, and what it should be. Others are kept as they are.
_KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "bulklmm_store": _TEXT,
    "bulklmm_version": _TEXT,
    "format": _COUNT,
    "block": (_all(_is_size, 2), "two whole numbers above 0"),
    "dims": (_all(_is_text, 2), "two names"),
    "statistics": _TEXTS,
    "of_traits": _TEXTS,
    "parts": (_is_map_of_parts, "a description of each array"),
    "digest": _TEXT,
    "matrix_digest": _TEXT,
    "fingerprints": (_is_map_of_texts, "a text for each input"),
    "values": (_is_map_of_texts, "a text for each array"),
    **dict.fromkeys(
        ("version", "method", "precision", "kinship", "genotypes", "by", "strata", "effect_unit"),
        _TEXT,
    ),
    **dict.fromkeys(("interaction", "covariates"), (_is_text_or_texts, "a text")),
    **dict.fromkeys(("reml", "loco"), _YES_OR_NO),
    **dict.fromkeys(("refine_above", "window", "step", "threshold", "peakdrop"), _SETTING),
    "h2_grid": _NUMBERS,
    "prior": (_is_numbers_or_text, "a list of numbers or a text"),
    "n_permutations": _COUNT,
    "digits": _COUNT,
    "bulklmm_study": _TEXT,
    "seed": (_is_whole, "a whole number"),
}


def attributes_of(store: Location) -> Attributes:
    """Attributes of the root group of a store.

    Parameters
    ----------
    store : Location
        A store of this package or of another program, in Zarr format 3.

    Raises
    ------
    StoreError
        If they cannot be read, or one that this package knows is of another kind.
    """
    file = store / METADATA
    try:
        metadata = json.loads(file.read_bytes())
        found = dict(metadata.pop("attributes", {}))
        if {name: metadata.get(name) for name in _GROUP} != _GROUP:
            raise ValueError("it is not of a Zarr group of format 3")
    except ServerError:
        raise
    except Exception as error:  # whatever damaged metadata lead to
        raise StoreError(f"{file} is damaged ({error}); {remedy(store)}") from error
    for name, what in _wrong(found):
        raise StoreError(
            f"{file} is damaged: its attribute {name} is {found[name]!r}, not {what}; "
            f"{remedy(store)}"
        )
    return found


def attributes_in(file: Location) -> Attributes | None:
    """Attributes in the metadata of a group, whatever else of its store is damaged.

    None if the metadata cannot be read, hold anything but attributes, or one that this package
    knows is of another kind.
    """
    try:
        metadata = json.loads(file.record() or b"")
        found = dict(metadata.pop("attributes"))
        same = metadata == _GROUP and not list(_wrong(found))
    except ServerError:
        raise
    except Exception:  # whatever damaged metadata lead to
        return None
    return found if same else None


def _wrong(attrs: Attributes) -> Iterator[tuple[str, str]]:
    """Names of attributes that are of another kind, and what each should be."""
    for name, (fits, what) in _KINDS.items():
        if name in attrs and not fits(attrs[name]):
            yield name, what


def require_attributes(store: Location, attrs: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Raise StoreError unless a store has all these attributes."""
    lost = [name for name in names if name not in attrs]
    if lost:
        raise StoreError(
            f"{store / METADATA} is damaged: {counted(len(lost), 'attribute')} lost "
            f"({', '.join(lost)}); {remedy(store)}"
        )
