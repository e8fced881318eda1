"""Damaged kinships of a study, computed again from its genotypes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bulklmm_dask.analyses.kinship import kinship, kinship_arguments
from bulklmm_dask.analyses.options import KINSHIP_METHODS
from bulklmm_dask.storage.health.repair import UnmendableError
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.storage.proof.attributes import attributes_of
from bulklmm_dask.storage.proof.manifest import MANIFEST
from bulklmm_dask.storage.proof.seal import same_content
from bulklmm_dask.storage.proof.stamp import PARTS
from bulklmm_dask.study.io import open_dataset, seal_again

# Variables of a study that this package computes.
COMPUTED = frozenset({"kinship", LOCO})


def mend_kinships(store: Location, names: Collection[str]) -> None:
    """Compute kinships of a study again whose values are damaged; all else must be sound.

    Parameters
    ----------
    store : Location
        The study. It is changed at one moment.
    names : collection of str
        Which of `COMPUTED`; their metadata must be sound too.

    Raises
    ------
    UnmendableError
        If a kinship was not computed by this package, or from other genotypes: its bytes are not
        those that were sealed.
    """
    parts = attributes_of(store)[PARTS]
    calls = {name: kinship_arguments(store.open_array(name).attrs.asdict()) for name in names}
    for name, arguments in calls.items():
        if arguments.get("method") not in KINSHIP_METHODS:
            raise UnmendableError(f"its {name} is not one that this package has computed")

    def put(copy: Location) -> None:
        for name in names:
            (copy / name).remove()
        seal_again(copy)
        ds = open_dataset(copy)
        values = {
            name: kinship(ds, loco=name == LOCO, **arguments).values
            for name, arguments in calls.items()
        }
        for name, matrix in values.items():
            (copy / name / METADATA).put(store / name / METADATA)
            array: Any = copy.open_array(name, "r+")
            array[...] = matrix
            if not same_content(copy, name, parts[name]):
                raise UnmendableError(
                    f"its {name} is another one than method {calls[name]['method']!r} computes "
                    "from its genotypes"
                )
        for name in (METADATA, f"{MANIFEST}/{METADATA}"):
            (copy / name).put(store / name)

    store.change(put)
