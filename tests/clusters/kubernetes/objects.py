"""Objects of the double: versions, history, finalizers, owners."""

from __future__ import annotations

import asyncio
import copy
import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from clusters.kubernetes.kinds import BUILT_IN, CUSTOM, Kind, defined_by

Object = dict[str, Any]
Key = tuple[str, str, str]  # plural of the kind, namespace, name


class RefusedError(Exception):
    """An answer other than the one that was asked for.

    Parameters
    ----------
    code : int
        Of HTTP.
    reason : str
        As Kubernetes names it.
    message : str
        For people.
    """

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


def now() -> str:
    """The time, as objects have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Objects:
    """All objects, to be used by one event loop.

    Objects that are given are never changed in place: a change puts a new one in their place.
    """

    def __init__(self) -> None:
        self.kinds = {kind.plural: kind for kind in BUILT_IN}
        self._items: dict[Key, Object] = {}
        self._history: list[tuple[int, str, str, Object]] = []
        self._versions = itertools.count(1)
        self._version = 0
        self._changed = asyncio.Event()

    @property
    def version(self) -> str:
        """Version of the whole, which the next change raises."""
        return str(self._version)

    def all(self, plural: str, namespace: str = "") -> list[Object]:
        """Objects of a kind, of one namespace or of all."""
        return [
            item
            for (kind, place, _), item in sorted(self._items.items())
            if kind == plural and namespace in ("", place)
        ]

    def find(self, plural: str, namespace: str, name: str) -> Object | None:
        """An object, if there is one."""
        return self._items.get((plural, namespace, name))

    def get(self, plural: str, namespace: str, name: str) -> Object:
        """An object; 404 without."""
        found = self.find(plural, namespace, name)
        if found is None:
            raise RefusedError(404, "NotFound", f'{plural} "{name}" not found')
        return found

    def create(self, kind: Kind, namespace: str, item: Object) -> Object:
        """Add an object; 409 if there is one of its name."""
        item = copy.deepcopy(item)
        meta = item.setdefault("metadata", {})
        key = (kind.plural, namespace, meta["name"])
        if key in self._items:
            raise RefusedError(
                409, "AlreadyExists", f'{kind.plural} "{meta["name"]}" already exists'
            )
        if kind.namespaced:
            meta["namespace"] = namespace
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        item |= {"apiVersion": kind.api_version, "kind": kind.name}
        if kind.has_status:
            item.pop("status", None)
        if kind == CUSTOM:
            defined = defined_by(item)
            self.kinds[defined.plural] = defined
        made = self._put(key, item, "ADDED")
        owners = {each["uid"] for each in meta.get("ownerReferences", ())}
        if owners and not owners & {each["metadata"]["uid"] for each in self._items.values()}:
            self.delete(*key)  # its owner went meanwhile
        return made

    def change(self, key: Key, changed: Callable[[Object], Object]) -> Object:
        """Put what a function makes of an object in its place; no change keeps its version."""
        before = self.get(*key)
        after = changed(copy.deepcopy(before))
        for name in ("uid", "creationTimestamp", "resourceVersion", "deletionTimestamp"):
            if name in before["metadata"]:
                after["metadata"][name] = before["metadata"][name]
        if after == before:
            return before
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] = before["metadata"]["generation"] + 1
        meta = after["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers") and key[0] != "pods":
            self._remove(key)
            return after
        return self._put(key, after, "MODIFIED")

    def set_status(self, key: Key, **fields: Any) -> None:
        """Change fields of the status of an object, if it is still there."""
        if key in self._items:
            self.change(key, lambda item: {**item, "status": {**item.get("status", {}), **fields}})

    def delete(self, plural: str, namespace: str, name: str, grace: float | None = None) -> Object:
        """Delete an object: at once, or marked where finalizers or its processes remain."""
        key = (plural, namespace, name)
        item = copy.deepcopy(self.get(*key))
        meta = item["metadata"]
        if not meta.get("finalizers") and plural != "pods":
            self._remove(key)
            return item
        if "deletionTimestamp" not in meta:
            meta["deletionTimestamp"] = now()
            if plural == "pods":
                usual = item["spec"].get("terminationGracePeriodSeconds", 30)
                meta["deletionGracePeriodSeconds"] = usual if grace is None else grace
            self._put(key, item, "MODIFIED")
        return item

    def remove_pod(self, key: Key) -> None:
        """Remove a pod whose processes have ended."""
        if key in self._items:
            self._remove(key)

    async def watch(
        self, plural: str, since: int, accepts: Callable[[Object], bool]
    ) -> AsyncIterator[tuple[str, Object]]:
        """All changes of the objects of a kind after a version, without end."""
        at = 0
        while True:
            changed = self._changed
            while at < len(self._history):
                version, kind, of, item = self._history[at]
                at += 1
                if version > since and of == plural and accepts(item):
                    yield kind, item
            await changed.wait()

    @property
    def next_change(self) -> asyncio.Event:
        """Set once any object is changed after this moment."""
        return self._changed

    def _put(self, key: Key, item: Object, change: str) -> Object:
        self._note(key, item, change)
        self._items[key] = item
        return item

    def _note(self, key: Key, item: Object, change: str) -> None:
        self._version = next(self._versions)
        item["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, change, key[0], item))
        self._changed.set()
        self._changed = asyncio.Event()

    def _remove(self, key: Key) -> None:
        item = copy.deepcopy(self._items.pop(key))
        self._note(key, item, "DELETED")
        uid = item["metadata"]["uid"]
        for other, owned in list(self._items.items()):
            owners = owned["metadata"].get("ownerReferences", ())
            if any(owner["uid"] == uid for owner in owners) and other in self._items:
                self.delete(*other)
