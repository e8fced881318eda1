"""Attributes that files of every format hold: names are one text, yes and no are 1 and 0.

NetCDF 3 has no lists of texts, and NetCDF 4 no attributes that are true or false.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_BETWEEN = ", "


def one_text(names: Iterable[str]) -> str:
    """Names as one text: with commas between, or as JSON where a name holds a comma.

    >>> one_text(["age", "sex"]), one_text([]), one_text(["high, low"])
    ('age, sex', '', '["high, low"]')
    """
    known = list(names)
    plain = _BETWEEN.join(known)
    return plain if names_of(plain) == known else json.dumps(known, ensure_ascii=False)


def names_of(value: object) -> list[str]:
    """The names in an attribute: a text of `one_text`, or a list, as version 0.1.0 wrote them.

    >>> names_of("age, sex"), names_of(""), names_of('["high, low"]'), names_of(["age"])
    (['age', 'sex'], [], ['high, low'], ['age'])
    """
    if not isinstance(value, str):
        return [str(name) for name in value] if isinstance(value, Iterable) else [str(value)]
    if value.startswith("["):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None  # a name that begins so
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return found
    return value.split(_BETWEEN) if value else []


def portable(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes with each list of names as one text, and true and false as 1 and 0."""
    return {name: _portable(value) for name, value in attrs.items()}


def _portable(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return one_text(value)
    return value
