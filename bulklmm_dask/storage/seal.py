"""The seal of a store: what it consists of, in the attributes of its root group.

``parts`` lists every array with its shape, its type, a digest of its metadata and, unless the
manifest holds the checksums of its files, a digest of their bytes. ``digest`` is that of all other
attributes. So a part that is lost, damaged, exchanged or of another store is noticed when the store
is opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import zarr

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.chunks import files
from bulklmm_dask.storage.location import METADATA, Location
from bulklmm_dask.storage.sums import ends

PARTS, DIGEST = "parts", "digest"


def seal(store: Location, attrs: Mapping[str, Any], listed: frozenset[str]) -> None:
    """Add attributes to a store whose arrays are made, and seal it.

    Parameters
    ----------
    store : Location
        A Zarr group.
    attrs : mapping
        Attributes to add; JSON values.
    listed : set of str
        Arrays whose files the manifest lists. All files of the others are written.
    """
    group = store.open_group("r+")
    parts = {
        name: _part(store, name, node, content=name not in listed)
        for name, node in sorted(group.members(max_depth=None))
    }
    # As it is read again: tuples become lists.
    sealed = json.loads(json.dumps({**group.attrs, **attrs, PARTS: parts}))
    group.update_attributes({**sealed, DIGEST: _digest_of(sealed)})  # one write for all


def require_seal(store: Location, attrs: Mapping[str, Any], remedy: str) -> None:
    """Raise StoreError unless the attributes and the parts of a store are those that were sealed.

    Files that the manifest lists are not looked at.
    """
    if not is_sealed(attrs):
        raise StoreError(
            f"{store / METADATA} is damaged: its attributes are not those that were written; "
            f"{remedy}"
        )
    for name, part in attrs[PARTS].items():
        file = store / name / METADATA
        if not file.is_file():
            raise StoreError(f"{store / name} is lost; {remedy}")
        if not is_metadata(file, part):
            raise StoreError(f"{file} is damaged: it is not what was written; {remedy}")
        if "content" in part and not same_content(store, name, store.open_array(name), part):
            raise StoreError(
                f"{store / name} is damaged: its bytes are not those that were written; {remedy}"
            )


def is_sealed(attrs: Mapping[str, Any]) -> bool:
    """Tell whether the attributes of a store are those that were sealed."""
    return attrs.get(DIGEST) == _digest_of(attrs)


def is_metadata(file: Location, part: Mapping[str, Any]) -> bool:
    """Tell whether the metadata of a part are those that were sealed."""
    return bool(part["metadata"] == _digest([file.read_bytes()]))


def same_content(store: Location, name: str, array: Any, part: Mapping[str, Any]) -> bool:
    """Tell whether the files of an array without manifest are those that were sealed."""
    return bool(part["content"] == _content(store, name, array))


def _part(
    store: Location, name: str, node: zarr.Array[Any] | zarr.Group, *, content: bool
) -> dict[str, Any]:
    part: dict[str, Any] = {"metadata": _digest([(store / name / METADATA).read_bytes()])}
    if isinstance(node, zarr.Group):
        return part
    part |= {"shape": node.shape, "dtype": str(node.dtype)}
    return part | ({"content": _content(store, name, node)} if content else {})


def _content(store: Location, name: str, array: Any) -> str:
    """Digest of the bytes of all files of an array, in order."""
    return _digest(
        end
        for _, file in files(store, name, array)
        for end in ends(file.read_bytes() if file.is_file() else b"")
    )


def _digest_of(attrs: Mapping[str, Any]) -> str:
    """Digest of all attributes but the digest itself; the order of names does not matter."""
    others = {name: value for name, value in attrs.items() if name != DIGEST}
    return _digest([json.dumps(others, sort_keys=True).encode()])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
