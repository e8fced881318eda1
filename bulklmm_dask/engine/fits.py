"""Null models of a chunk of traits in a graph: they travel without the eigenvectors they share.

Of several kernels, these take the place of the eigenvectors.

All chunks of traits have the eigenvectors of all samples in common, n x n numbers for each kinship,
which a worker needs once. Pickled with each chunk, they would be the larger part of what travels.
So fits leave them out, and a task that uses fits takes the eigenbasis too. Within a worker nothing
is pickled, and the fits are as they were made.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, TypeAlias

from bulklmm_dask.engine.sizes import size_of
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.chunk import FittedTraits
from bulklmm_dask.lmm.components.kernels import RotatedKernels
from bulklmm_dask.lmm.groups import NullEstimates
from bulklmm_dask.typing import Index

_VECTORS = "vectors"

# A pickle, and the buffers of the arrays in it.
Common: TypeAlias = Basis | RotatedKernels
Pickled: TypeAlias = tuple[bytes, list[pickle.PickleBuffer]]


class Fits:
    """Null models of a chunk of traits, apart from the eigenbasis or the kernels of all samples.

    Attributes
    ----------
    estimates : NullEstimates
        Estimates of the traits.
    groups : list of (array of int, array of int)
        Positions of the samples, and of the traits, of each group of traits that were fitted.
    """

    def __init__(self, fitted: FittedTraits, complete: Common | None) -> None:
        """Keep fits that were made with the eigenbasis of all samples, if there is one."""
        known = fitted.h2, fitted.sigma2, fitted.n_samples, fitted.status
        self.estimates = NullEstimates(*known)
        self.groups: list[tuple[Index, Index]] = [
            (group.samples, group.columns) for group in fitted.groups
        ]
        self._vectors = _shared(complete)
        self._complete = complete
        self._fitted: FittedTraits | None = fitted
        self._pickled: Pickled | None = None

    def on(self, complete: Common | None) -> FittedTraits:
        """The fits, with the same eigenbasis as they were made with."""
        fitted = self._fitted
        if fitted is None:
            assert self._pickled is not None
            self._fitted = fitted = _Unpickler(*self._pickled, _shared(complete)).load()
        return fitted

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        data, buffers = self._pickled or _pickled(self._fitted, self._vectors)
        # Buffers travel beside a pickle from protocol 5 on.
        parts = buffers if protocol >= 5 else [bytes(part.raw()) for part in buffers]
        return _restored, (self.estimates, self.groups, data, parts)

    def __sizeof__(self) -> int:
        """Bytes, without those of the eigenbasis."""
        if self._pickled is not None:
            data, buffers = self._pickled
            return len(data) + sum(part.raw().nbytes for part in buffers)
        if self._complete is None:
            return size_of(self._fitted)
        shared = {id(part) for part in vars(self._complete).values() if part is not None}
        return size_of(self._fitted, shared | {id(self._complete)})


def _shared(complete: Common | None) -> Any:
    """What fits leave out: eigenvectors, or the kernels with all that they know."""
    return complete.vectors if isinstance(complete, Basis) else complete


def _restored(
    estimates: NullEstimates, groups: list[tuple[Index, Index]], data: bytes, parts: list[Any]
) -> Fits:
    fits = Fits.__new__(Fits)
    fits.estimates, fits.groups = estimates, groups
    fits._vectors = fits._complete = fits._fitted = None
    fits._pickled = data, [pickle.PickleBuffer(part) for part in parts]
    return fits


def attached(fits: Sequence[Fits], bases: Sequence[Common]) -> list[FittedTraits]:
    """Fits for some kinships with the eigenbases of all samples, if these have any."""
    return [each.on(basis) for each, basis in zip_longest(fits, bases)]


class _Pickler(pickle.Pickler):
    """Leaves an array, or an object, out."""

    def __init__(
        self, stream: io.BytesIO, buffers: list[pickle.PickleBuffer], vectors: Any
    ) -> None:
        super().__init__(stream, protocol=5, buffer_callback=buffers.append)
        self._vectors = vectors

    def persistent_id(self, item: Any) -> str | None:
        return _VECTORS if item is self._vectors and item is not None else None


class _Unpickler(pickle.Unpickler):
    """Puts an array, or an object, into the place of the one that was left out."""

    def __init__(self, data: bytes, buffers: list[pickle.PickleBuffer], vectors: Any) -> None:
        super().__init__(io.BytesIO(data), buffers=buffers)
        self._vectors = vectors

    def persistent_load(self, pid: Any) -> Any:
        if self._vectors is None:
            raise pickle.UnpicklingError("fits need the eigenbasis that they were made with")
        return self._vectors


def _pickled(fitted: FittedTraits | None, vectors: Any) -> Pickled:
    stream, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    _Pickler(stream, buffers, vectors).dump(fitted)
    return stream.getvalue(), buffers
