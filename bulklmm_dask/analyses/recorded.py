"""The options of an analysis, read back from the attributes of its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bulklmm_dask.analyses.inputs.kernels import GIVEN, from_words
from bulklmm_dask.analyses.options import Option
from bulklmm_dask.storage.labels.portable import names_of

# Attributes of options that were given as arrays or tables.
_GIVEN = ("given", "given as a matrix", "by trait")
# Options of several names, which are one text in the attributes.
_NAMES = ("covariates", "x_covariates", "interaction", "condition")


@dataclass
class Recorded:
    """Options that give the attributes of a result, without those that were not given.

    Attributes
    ----------
    arguments : dict
        Arguments of the function, by name.
    given : list of str
        Options whose values were arrays or tables, which a result does not keep.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)


def recorded(options: Sequence[Option], attrs: Mapping[str, Any]) -> Recorded:
    """Find the options of an analysis in the attributes of its result."""
    found = Recorded()
    for option in options:
        name, value = option.name, attrs.get(option.name)
        if name in _NAMES and value is not None and value not in _GIVEN:
            value = names_of(value)
        if value is None or (value in ("none", []) and not option.default):
            continue
        if option.kind is bool:
            if value:
                found.arguments[name] = True
        elif value in _GIVEN:
            found.given.append(name)
        elif name == "kinship" and (kernels := from_words(str(value))) is not None:
            if GIVEN in kernels.values():
                found.given.append(name)
            else:
                found.arguments[name] = kernels
        elif name == "kinship" and value == "none":
            found.arguments[name] = None
        elif name == "covariates" and value == []:
            found.arguments[name] = False
        else:
            found.arguments[name] = value
    return found
