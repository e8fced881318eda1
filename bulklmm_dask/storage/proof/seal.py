"""The seal of a store: what it consists of, in the attributes of its root group.

``parts`` lists every array with its shape, its type, a digest of its metadata and, unless the
manifest holds the checksums of its files, a digest of their bytes. ``digest`` is that of all other
attributes. So a part that is lost, damaged, exchanged or of another store is noticed when the store
is opened. The group of the manifest has a copy of the attributes, from which a store whose root
metadata are lost is mended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.datasets import make_group
from bulklmm_dask.storage.arrays.form import Form, metadata_of
from bulklmm_dask.storage.arrays.sums import ends
from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.storage.proof.attributes import Attributes, attributes_in
from bulklmm_dask.storage.proof.manifest import BLOCKS, MANIFEST
from bulklmm_dask.storage.proof.remedy import remedy
from bulklmm_dask.storage.proof.stamp import DIGEST, PARTS

# In the group of the manifest: a copy of the attributes of the root, whose list of parts has all
# but this group.
_COPY = "attributes"


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
    own = without_seal({**metadata_of(store)["attributes"], **attrs})
    manifest = store / MANIFEST
    listed_there = _nodes(manifest, f"{MANIFEST}/") if manifest.is_folder() else ()
    names = sorted({*_nodes(store), *listed_there} - {MANIFEST})
    found = store.each(lambda name: _part(store, name, content=name not in listed), names)
    parts = dict(zip(names, found, strict=True))
    copy = _as_read({**own, PARTS: parts})
    make_group(store / MANIFEST, {_COPY: copy, DIGEST: _digest_of(copy)})
    parts[MANIFEST] = _part(store, MANIFEST, content=False)
    sealed = _as_read({**own, PARTS: dict(sorted(parts.items()))})
    make_group(store, {**sealed, DIGEST: _digest_of(sealed)})


def without_seal(attrs: Mapping[str, Any]) -> Attributes:
    """Attributes of a store without its seal."""
    return {name: value for name, value in attrs.items() if name not in (PARTS, DIGEST)}


def copy_of(store: Location) -> Attributes | None:
    """Attributes of a store from their copy, with its parts; None if that is damaged or lost."""
    found = attributes_in(store / MANIFEST / METADATA) or {}
    own = found.get(_COPY)
    return own if isinstance(own, dict) and found.get(DIGEST) == _digest_of(own) else None


def has_lost_root(store: Location) -> bool:
    """Tell whether arrays or groups of this package are there, but not the metadata of the root."""
    own = (MANIFEST, BLOCKS, "sample_trait")
    return not store.is_store() and any((store / name).is_store() for name in own)


def require_seal(store: Location, attrs: Mapping[str, Any]) -> None:
    """Raise StoreError unless the attributes and the parts of a store are those that were sealed.

    Files that the manifest lists are not looked at.
    """
    if not is_sealed(attrs):
        raise StoreError(
            f"{store / METADATA} is damaged: its attributes are not those that were written; "
            f"{remedy(store)}"
        )
    for _ in store.each(lambda item: _require_part(store, *item), attrs[PARTS].items()):
        pass


def _require_part(store: Location, name: str, part: Mapping[str, Any]) -> None:
    """Raise StoreError unless a part of a store is as it was sealed."""
    file = store / name / METADATA
    if not file.is_file():
        raise StoreError(f"{store / name} is lost; {remedy(store)}")
    if not is_metadata(file, part):
        raise StoreError(f"{file} is damaged: it is not what was written; {remedy(store)}")
    if "content" in part and not same_content(store, name, part):
        raise StoreError(
            f"{store / name} is damaged: its bytes are not those that were written; {remedy(store)}"
        )


def is_sealed(attrs: Mapping[str, Any]) -> bool:
    """Tell whether the attributes of a store are those that were sealed."""
    return attrs.get(DIGEST) == _digest_of(attrs)


def is_metadata(file: Location, part: Mapping[str, Any]) -> bool:
    """Tell whether the metadata of a part are those that were sealed."""
    return bool(part["metadata"] == _digest([file.read_bytes()]))


def same_content(store: Location, name: str, part: Mapping[str, Any]) -> bool:
    """Tell whether the files of an array without manifest are those that were sealed."""
    return bool(part["content"] == _content(store / name, Form.at(store / name)))


def _nodes(store: Location, within: str = "") -> Iterator[str]:
    """Names of all arrays and groups in a store."""
    for name in store.names():
        if (store / name).is_store():
            yield within + name
            yield from _nodes(store / name, f"{within}{name}/")


def _part(store: Location, name: str, *, content: bool) -> dict[str, Any]:
    node = store / name
    metadata = metadata_of(node)
    part: dict[str, Any] = {"metadata": _digest([(node / METADATA).read_bytes()])}
    if metadata["node_type"] == "group":
        return part
    part |= {"shape": metadata["shape"], "dtype": metadata["data_type"]}
    return part | ({"content": _content(node, Form.read(metadata, node))} if content else {})


def _content(array: Location, form: Form) -> str:
    """Digest of the bytes of all files of an array, in order."""
    paths = map(form.path, np.ndindex(form.files))
    return _digest(end for path in paths for end in ends((array / path).record() or b""))


def _as_read(attrs: Mapping[str, Any]) -> Attributes:
    """Attributes as they are read again: tuples become lists."""
    return dict(json.loads(json.dumps(attrs)))


def _digest_of(attrs: Mapping[str, Any]) -> str:
    """Digest of all attributes but the digest itself; the order of names does not matter."""
    others = {name: value for name, value in attrs.items() if name != DIGEST}
    return _digest([json.dumps(others, sort_keys=True).encode()])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
