"""Eigendecompositions of several kinships beside each other, each on one BLAS thread."""

from __future__ import annotations

from collections.abc import Sequence

from dask.delayed import delayed

from bulklmm_dask.engine.overlap import computing
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.lmm.basis import Eigen, eigen_of
from bulklmm_dask.typing import Array


def eigen_of_each(matrices: Sequence[Array]) -> list[Eigen]:
    """Eigenvalues and eigenvectors of each matrix, as a scan that computes them has them."""
    return list(computed(*(delayed(_eigen)(matrix) for matrix in matrices)))


def _eigen(matrix: Array) -> Eigen:
    with computing():
        return eigen_of(matrix)
