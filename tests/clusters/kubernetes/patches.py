"""Patches of objects: merged, or operations in JSON."""

from __future__ import annotations

from typing import Any

import jsonpatch

from clusters.kubernetes.objects import Object, RefusedError


def patched(item: Object, patch: Any, content_type: str) -> Object:
    """Apply a patch of a content type to an object, which it may change in place."""
    if content_type == "application/merge-patch+json":
        merged: Object = merge(item, patch)
        return merged
    if content_type == "application/json-patch+json":
        try:
            applied: Object = jsonpatch.apply_patch(item, patch)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise RefusedError(422, "Invalid", f"the patch does not apply: {error}") from error
        return applied
    raise RefusedError(415, "UnsupportedMediaType", f"the double knows no patch {content_type!r}")


def merge(value: Any, patch: Any) -> Any:
    """Merge as RFC 7386 has it: null removes."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), part)
    return merged
