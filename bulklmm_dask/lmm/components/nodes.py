r"""A few covariances from which quadratic forms at all others follow, for traits in bulk.

All that a null scan needs of a trait's shares are forms x'Mx, x'My and y'My of M(h), the inverse of
the covariance of the contrasts, and its log-determinant. As functions of the shares they are of low
numerical rank: with weights w that depend on the shares alone,

    x'M(h)y = sum_q w_q(h) x'M(h_q)y

at some 30 to 100 nodes h_q. The nodes are chosen from a lattice (`lattice`) by QR with pivoting of
the forms of random vectors, the weights of all its points follow by least squares, and those
between by local polynomials. For one ratio of the kernels to each other, one eigendecomposition
gives the forms at all shares of the residual.

The error is measured on other vectors between the points. Where it is too large, as at small shares
of a singular kernel beside a small residual, traits are scanned one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.linalg

from bulklmm_dask.lmm.components.choice import MOST_KERNELS
from bulklmm_dask.lmm.components.kernels import RotatedKernels
from bulklmm_dask.lmm.components.lattice import Axis, Lattice
from bulklmm_dask.typing import Array, Flags, Index

# Points along an axis of kernels, and along that of the residual; odd numbers.
_POINTS, _OF_RESIDUAL = 61, 45
_REACH, _REACH_OF_RESIDUAL = 9.0, 6.0
# Least weight of the residual in bulk: nearer to 0 forms are of high rank.
LOW = 0.01
# Random vectors that nodes are chosen by, and most points that are looked at.
_VECTORS, _CANDIDATES = 200, 12_000
# Rank and weights are those of this relative error.
_TOLERANCE = 3e-10
# Vectors by which the error is measured, and the largest with which traits are scanned in bulk.
_FRESH, LARGEST = 60, 3e-7

# Columns whose forms are computed together: they stay in cache.
_COLUMNS = 256

_LOCK = threading.Lock()


@dataclass(frozen=True)
class Nodes:
    """Nodes of the kernels of n samples with d contrasts.

    Attributes
    ----------
    lattice : Lattice
    inner : array (Q, k + 1)
        Weights of the corners of the admissible shares at the nodes.
    weights : array (points, Q)
        Weights of the nodes at the points of the lattice.
    logdet : array (points,)
        Log-determinant of the likelihood at these points.
    errors : array (cells,)
        Largest relative error of a form x'M(h)x that was measured in each cell of the lattice.
    roots : array (Q, d, d)
        Inverse Cholesky factors at the nodes, lower triangular.
    """

    lattice: Lattice
    inner: Array
    weights: Array
    logdet: Array
    errors: Array
    roots: Array

    @cached_property
    def inverses(self) -> Array:
        """M at the nodes, (Q * d, d)."""
        q, d, _ = self.roots.shape
        return (self.roots.transpose(0, 2, 1) @ self.roots).reshape(q * d, d)

    @cached_property
    def _coarse(self) -> Index:
        """Positions of the points of the coarse lattice."""
        places = 2 * self.lattice.coarse.places.astype(np.int64)
        return np.ravel_multi_index(tuple(places.T), self.lattice.shape)

    @cached_property
    def coarse_weights(self) -> Array:
        """Weights (points, Q) at the points of the coarse lattice."""
        return np.ascontiguousarray(self.weights[self._coarse])

    @cached_property
    def coarse_logdet(self) -> Array:
        """Log-determinants (points,) there."""
        return self.logdet[self._coarse]

    @cached_property
    def coarse_inner(self) -> Array:
        """Weights (points, k + 1) of the corners there."""
        return self.lattice.coarse.inner(self.lattice.coarse.places)

    def weights_at(self, place: Array) -> Array:
        """Weights (m, Q) of the nodes at places (m, k) of the lattice."""
        along = [each[0] for each in self.lattice.polynomials(place)]
        out = np.empty((len(place), self.weights.shape[1]))
        for cell, some in self.cells(place):
            tensor = along[0][some]
            for each in along[1:]:
                tensor = (tensor[:, :, None] * each[some][:, None, :]).reshape(len(some), -1)
            out[some] = tensor @ self.weights[self.lattice.points(cell)]
        return out

    def cells(self, place: Array) -> Iterator[tuple[int, Index]]:
        """The cells of places (m, k), and which places each has."""
        cell = self.lattice.cell(place)
        order = np.argsort(cell, kind="stable")
        starts = np.flatnonzero(np.diff(cell[order])) + 1
        for some in np.split(order, starts):
            if len(some):
                yield int(cell[some[0]]), some

    def errors_at(self, place: Array) -> Array:
        """Relative errors of forms at places (m, k)."""
        cells = tuple(count - 1 for count in self.lattice.shape)
        near = np.clip(np.floor(place), 0, np.array(cells) - 1).astype(np.int64)
        return self.errors[np.ravel_multi_index(tuple(near.T), cells)]

    def suffice(self, place: Array) -> Flags:
        """Whether errors at places (m, k) are so small that a scan in bulk will do."""
        return self.errors_at(place) <= LARGEST

    def forms(self, columns: Array) -> Array:
        """x'M(h_q)x of contrasts (d, m) at the nodes, (Q, m)."""
        return forms(self.roots, columns)


def serve(kernels: RotatedKernels) -> bool:
    """Whether there are nodes for so many kernels, without weights of very different size."""
    return len(kernels.kernels) <= MOST_KERNELS and not kernels.graded


def nodes_of(kernels: RotatedKernels, *, reml: bool) -> Nodes:
    """The nodes of kernels, kept with them."""
    with _LOCK:
        if reml not in kernels.kept:
            found = _made(kernels, reml)
            kernels.kept[reml] = found
            kernels.kept[found.inner.tobytes()] = found.roots
        known: Nodes = kernels.kept[reml]
    return known


def roots_of(kernels: RotatedKernels, inner: Array) -> Array:
    """Inverse Cholesky factors (Q, d, d) at weights (Q, k + 1), kept with the kernels.

    They are those of the nodes in the process that chose these; another one computes them from the
    same weights, since there rounding might choose others.
    """
    with _LOCK:
        key = inner.tobytes()
        if key not in kernels.kept:
            kernels.kept[key] = _roots(kernels, inner)
        found: Array = kernels.kept[key]
    return found


def forms(roots: Array, columns: Array) -> Array:
    """x'M(h_q)x of contrasts (d, m) at the nodes, (Q, m), from inverse Cholesky factors."""
    out = np.empty((len(roots), columns.shape[1]))
    for start in range(0, columns.shape[1], _COLUMNS):
        some = np.asfortranarray(columns[:, start : start + _COLUMNS])
        for q, root in enumerate(roots):
            # The transpose of a root is an upper triangle in the order of BLAS.
            white = scipy.linalg.blas.dtrmm(1.0, root.T, some, trans_a=1)
            np.einsum("kj,kj->j", white, white, out=out[q, start : start + _COLUMNS])
    return out


def _made(kernels: RotatedKernels, reml: bool) -> Nodes:
    count, d = len(kernels.kernels), kernels.contrasts
    axes = [Axis(_POINTS, _REACH)] * (count - 1)
    lattice = Lattice((*axes, Axis(_OF_RESIDUAL, _REACH_OF_RESIDUAL, LOW)))
    rng = np.random.default_rng(0)
    vectors = _drawn(rng, kernels, min(_VECTORS, 4 * d))
    last = lattice.axes[-1]
    residual = last.share(np.arange(last.count, dtype=np.float64))
    values, logdet = _along_rays(kernels, lattice.rays, residual, vectors, full=not reml)
    chosen, weights = _chosen(values)
    inner = lattice.inner(lattice.places[chosen])
    roots = _roots(kernels, inner)
    found = Nodes(lattice, inner, weights, logdet, np.empty(0), roots)
    return replace(found, errors=_errors(kernels, found, rng))


def _drawn(rng: np.random.Generator, kernels: RotatedKernels, count: int) -> Array:
    """Random contrasts (d, count) of length one: of few samples, of all, and like traits."""
    n, d, third = kernels.n, kernels.contrasts, count // 3
    few = rng.standard_normal((n, third)) * (
        rng.random((n, third)) < rng.uniform(3.0 / n, 0.5, third)
    )
    few[rng.integers(n, size=third), np.arange(third)] = 1.0
    out = np.concatenate([kernels.turn[:, :d].T @ few, rng.standard_normal((d, count - third))], 1)
    for j in range(2 * third, count):
        inner = rng.dirichlet(np.full(len(kernels.vertices), 0.5))
        # Half of them as much in the range of the kernels as markers may be.
        inner[-1] *= j % 2
        inner = (1.0 - 1e-6) * inner / inner.sum() + 1e-6 * np.eye(len(inner))[-1]
        out[:, j] = np.linalg.cholesky(_covariance(kernels, inner)) @ out[:, j]
    return np.asarray(out / np.linalg.norm(out, axis=0))


def _along_rays(
    kernels: RotatedKernels, rays: Array, residual: Array, vectors: Array, *, full: bool
) -> tuple[Array, Array]:
    """Forms (vectors, rays * e) of contrasts at shares (rays, k) and weights (e,) of the residual.

    Also the log-determinants (rays * e,) of the contrasts, or `full` of all samples.
    """
    d, e = kernels.contrasts, residual
    values_of = np.empty((vectors.shape[1], len(rays), len(e)))
    logdet = np.empty((len(rays), len(e)))
    flat = kernels.vertices[:-1].reshape(len(kernels.kernels), -1)
    for i, share in enumerate(rays):
        whole = (share @ flat).reshape(kernels.n, kernels.n)
        values, turn = scipy.linalg.eigh(whole[:d, :d], driver="evd")
        variances = np.multiply.outer(np.maximum(values, 0.0), 1.0 - e) + e
        values_of[:, i] = np.square(vectors.T @ turn) @ (1.0 / variances)
        if full:
            values = scipy.linalg.eigvalsh(whole)
            variances = np.multiply.outer(np.maximum(values, 0.0), 1.0 - e) + e
        logdet[i] = np.log(variances).sum(axis=0)
    return values_of.reshape(len(values_of), -1), logdet.ravel()


def _chosen(values: Array) -> tuple[Index, Array]:
    """Points that are nodes, and the weights (points, Q) of these at all points."""
    size = values.mean(axis=0)
    scaled = values / size
    # Errors count relative to each form, those of vectors in which little is left among them.
    scaled /= np.exp(np.log(scaled).mean(axis=1, keepdims=True))
    stride = 1 + values.shape[1] // _CANDIDATES
    candidates = np.arange(0, values.shape[1], stride)
    r, order = scipy.linalg.qr(scaled[:, candidates], mode="r", pivoting=True)
    diagonal = np.abs(np.diag(r))
    rank = int(np.count_nonzero(diagonal > _TOLERANCE * diagonal[0]))
    chosen = candidates[order[:rank]]
    q, corner = np.linalg.qr(scaled[:, chosen])
    weights = scipy.linalg.solve_triangular(corner, q.T @ scaled)
    return chosen, np.ascontiguousarray((weights * size / size[chosen][:, None]).T)


def _covariance(kernels: RotatedKernels, inner: Array) -> Array:
    d = kernels.contrasts
    whole = inner @ kernels.vertices.reshape(len(inner), -1)
    return np.asarray(whole.reshape(kernels.n, kernels.n)[:d, :d])


def _roots(kernels: RotatedKernels, inner: Array) -> Array:
    """Inverse Cholesky factors of the contrasts at weights (Q, k + 1), lower triangular."""
    factors = (np.linalg.cholesky(_covariance(kernels, own)) for own in inner)
    return np.stack([np.tril(scipy.linalg.lapack.dtrtri(one, lower=1)[0]) for one in factors])


def _errors(kernels: RotatedKernels, nodes: Nodes, rng: np.random.Generator) -> Array:
    """Largest relative error of forms of fresh vectors in the middle of every cell.

    There polynomials are furthest from the points that they go through.
    """
    middle = nodes.lattice.middle
    fresh = _drawn(rng, kernels, _FRESH)
    inner = nodes.lattice.inner(middle)
    count = nodes.lattice.axes[-1].count - 1
    residual = inner[:count, -1]
    rays = inner[::count, :-1] / (1.0 - residual[0])
    exact, _ = _along_rays(kernels, rays, residual, fresh, full=False)
    found = nodes.weights_at(middle) @ nodes.forms(fresh)
    return np.asarray(np.abs(found / exact.T - 1.0).max(axis=1))
