"""Selectors of labels and of fields, as they stand in queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clusters.kubernetes.objects import RefusedError


def selected(labels: str, fields: str) -> Callable[[dict[str, Any]], bool]:
    """Make the test of objects that two selectors of a query stand for.

    Only equality is known, which is all that the operator and its clients ask for.
    """
    by_label, by_field = _terms(labels), _terms(fields)

    def accepts(item: dict[str, Any]) -> bool:
        own = item["metadata"].get("labels", {})
        return all(own.get(name) == value for name, value in by_label) and all(
            _field(item, name) == value for name, value in by_field
        )

    return accepts


def _terms(selector: str) -> list[tuple[str, str]]:
    found = []
    for term in filter(None, selector.split(",")):  # clients leave a comma at the end
        name, equal, value = term.replace("==", "=").partition("=")
        if not equal or name.endswith("!"):
            raise RefusedError(400, "BadRequest", f"the double knows no selector {term!r}")
        found.append((name, value))
    return found


def _field(item: Any, path: str) -> Any:
    for name in path.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return item
