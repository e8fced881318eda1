r"""A few covariances from which quadratic forms at all others follow, for traits in bulk.

All that a null scan needs of a trait's shares are forms x'Mx and y'My of M(h), the inverse of the
covariance of the contrasts, and its log-determinant. As functions of the shares they are of low
numerical rank: with weights w that depend on the shares alone,

    x'M(h)x = sum_q w_q(h) x'M(h_q)x

at some 30 to 150 nodes h_q. The nodes are chosen from a lattice (`lattice`) by QR with pivoting of
the forms of random vectors, the weights of all its points follow by least squares, and those
between by polynomials. Contrasts that no kernel acts on have the variance h_e: their weight 1/h_e
is known, and counts as one more node.

Along the kernel of least rank, forms at all points follow from the eigenvalues of a matrix of its
size: with A the sum of the other kernels and the residual, K = BB' and A = LL',

    (A + tK)^-1 = L'^-1 [I - W (I/t + W'W)^-1 W'] L^-1,   W = L^-1 B.

The error is measured on other vectors at other points. Where it is too large, as at small shares
of a singular kernel beside a small residual, traits are scanned one by one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, product

import numpy as np
import scipy.linalg

from bulklmm_dask.lmm.components.choice import MOST_KERNELS
from bulklmm_dask.lmm.components.kernels import RotatedKernels
from bulklmm_dask.lmm.components.lattice import STEP, Lattice
from bulklmm_dask.lmm.components.logdet import LogDeterminant
from bulklmm_dask.lmm.components.simplex import Mesh
from bulklmm_dask.typing import Array, Flags, Index

# Largest ratio of a kernel to the residual in bulk, by the number of kernels.
_MOST = (0.0, 2000.0, 2000.0, 500.0)
# Points of a coordinate for each unit of its length: those of polynomials and of rough ones, by the
# number of kernels; those of log|V| of all samples, and those that maxima are looked for on.
_POINTS, _OF_ROUGH = (0.0, 4.5, 3.5, 3.0), (0.0, 4.5, 3.0, 2.0)
_OF_LOGDET, _SEARCHED = 3.5, 1.67
# Decades of the ratio of two kernels that are looked at beyond the lattice.
_DECADES = 4
# Random vectors that nodes are chosen by, and most points that are looked at.
_VECTORS, _CANDIDATES = 400, 6_000
# Rank and weights are those of this relative error, by the number of kernels; and those by which
# shares are looked for, before they are corrected (`many`).
_TOLERANCES, _ROUGH = (0.0, 3e-10, 3e-10, 1e-8), (0.0, 1e-8, 1e-8, 1e-6)
# Boxes along each coordinate where errors are measured, by the number of kernels, each at so many
# places, by so many vectors.
_BOXES, _PLACES, _FRESH = (0, 16, 8, 5), 3, 60
# The largest error of a form with which traits are scanned in bulk.
LARGEST = 3e-7
# Eigenvalues of a kernel below this part of the largest, a sample, are 0.
_NONE = 64 * np.finfo(np.float64).eps

# Columns whose forms, and places whose weights, are computed together: they stay in cache.
_COLUMNS, _WEIGHTS = 256, 16

_LOCK = threading.Lock()


@dataclass(frozen=True)
class Rough:
    """Nodes and points with errors of some 1e-5, by which shares are looked for.

    Attributes
    ----------
    lattice : Lattice
    weights : array (points, q + 1)
        Weights of the first q nodes, and of the rest of the contrasts.
    logdet : array (points,)
        Log-determinant of the likelihood.
    error : float
        Largest relative error of a form that was measured.
    """

    lattice: Lattice
    weights: Array
    logdet: Array
    error: float

    @cached_property
    def searched(self) -> tuple[Array, Array, Array]:
        """Of places that maxima are looked for on, weights, log-determinants and corners."""
        both = np.column_stack([self.weights, self.logdet])
        found = self.lattice.onto(both, self.lattice.searched_parts)
        inner = self.lattice.inner(self.lattice.searched_places)
        return np.ascontiguousarray(found[:, :-1]), found[:, -1], inner


@dataclass(frozen=True)
class Nodes:
    """Nodes of the kernels of n samples with d contrasts, r of which kernels act on.

    Attributes
    ----------
    lattice : Lattice
    inner : array (Q, k + 1)
        Weights of the corners of the admissible shares at the nodes.
    weights : array (points, Q + 1)
        Weights of the nodes, and of the rest of the contrasts, at the points of the lattice.
    rough : Rough
        The same with fewer nodes and points.
    logdet : LogDeterminant
        Log-determinant of the likelihood.
    errors : array (boxes,)
        Largest relative error of a form x'M(h)x that was measured in each box of the lattice.
    roots : array (Q, r, r)
        Inverse Cholesky factors at the nodes, lower triangular.
    outside : tuple of arrays (m, r, r), (m,), (m,)
        Such factors at shares beyond the lattice, these of the residual, and log-determinants.
    """

    lattice: Lattice
    inner: Array
    weights: Array
    rough: Rough
    logdet: LogDeterminant
    errors: Array
    roots: Array
    outside: tuple[Array, Array, Array]

    def weights_at(self, place: Array) -> Array:
        """Weights (m, Q + 1) of the nodes at places (m, k) of the lattice."""
        out = np.empty((len(place), self.weights.shape[1]))
        for start in range(0, len(place), _WEIGHTS):
            some = slice(start, start + _WEIGHTS)
            out[some] = self.lattice.weights(place[some]) @ self.weights
        return out

    def beyond(self, y: Array, count: int) -> Array:
        """Largest likelihood (m,) of contrasts y (d, m) on a mesh of shares beyond the lattice."""
        roots, residual, logdet = self.outside
        squares = forms(roots, y)
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = np.where(squares[-1] > 0.0, squares[-1] / residual[:, None], 0.0)
        values = -0.5 * (count * np.log(squares[:-1] + rest) + logdet[:, None])
        return np.asarray(values.max(axis=0, initial=-np.inf))

    def suffice(self, place: Array) -> Flags:
        """Whether errors at places (m, k) are so small that a scan in bulk will do."""
        ends = self.lattice.ends
        k = len(ends)
        box = np.clip((place / ends * _BOXES[k]).astype(np.int64), 0, _BOXES[k] - 1)
        errors = self.errors[np.ravel_multi_index(tuple(box.T), (_BOXES[k],) * k)]
        return (place <= ends).all(axis=1) & (errors <= LARGEST)

    def forms(self, columns: Array) -> Array:
        """x'M(h_q)x of contrasts (d, m) at the nodes, and |x|^2 of the rest, (Q + 1, m)."""
        return forms(self.roots, columns)

    def rough_forms(self, columns: Array) -> Array:
        """The same at the nodes of `rough`, (q + 1, m)."""
        return forms(self.roots[: self.rough.weights.shape[1] - 1], columns)


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
    """Inverse Cholesky factors (Q, r, r) at weights (Q, k + 1), kept with the kernels.

    They are those of the nodes in the process that chose these; another one computes them from the
    same weights, since there rounding might choose others.
    """
    with _LOCK:
        key = inner.tobytes()
        if key not in kernels.kept:
            kernels.kept[key] = roots_at(kernels, inner)
        found: Array = kernels.kept[key]
    return found


def forms(roots: Array, columns: Array) -> Array:
    """x'M(h_q)x of contrasts (d, m) at the nodes, and |x|^2 of the rest, (Q + 1, m).

    `roots` (Q, r, r) are inverse Cholesky factors of the first r contrasts.
    """
    rank = roots.shape[1]
    out = np.empty((len(roots) + 1, columns.shape[1]))
    for start in range(0, columns.shape[1], _COLUMNS):
        some = slice(start, start + _COLUMNS)
        mine = np.asfortranarray(columns[:rank, some])
        for q, root in enumerate(roots):
            # The transpose of a root is an upper triangle in the order of BLAS.
            white = scipy.linalg.blas.dtrmm(1.0, root.T, mine, trans_a=1)
            np.einsum("kj,kj->j", white, white, out=out[q, some])
        np.einsum("kj,kj->j", columns[rank:, some], columns[rank:, some], out=out[-1, some])
    return out


def _made(kernels: RotatedKernels, reml: bool) -> Nodes:
    r, d = kernels.rank, kernels.contrasts
    k = len(kernels.kernels)
    inside = kernels.kernels[:, :r, :r]
    lattice = _lattice(inside, _POINTS[k], kernels.least_residual)
    rng = np.random.default_rng(0)
    values, logdet = _on_lattice(inside, lattice, _drawn(rng, kernels, _VECTORS))
    total = 1.0 + lattice.ratios(lattice.places).sum(axis=1)
    values *= total
    chosen, weights, rough = _chosen(values, (_TOLERANCES[k], _ROUGH[k]))
    inner = lattice.inner(lattice.places[chosen])
    weights, rough = (np.column_stack([one, total]) for one in (weights, rough))
    of_logdet = LogDeterminant(lattice, logdet - d * np.log(total)) if reml else _logdet(kernels)
    fewer = replace(lattice, count=1 + round(_OF_ROUGH[k] * float(lattice.ends.max()) * STEP))
    found = Nodes(
        lattice,
        inner,
        weights,
        Rough(fewer, lattice.onto(rough, fewer.axis), of_logdet.on_grid(fewer), np.nan),
        of_logdet,
        np.empty(0),
        roots_at(kernels, inner),
        _outside(kernels, lattice, reml),
    )
    errors, error = _errors(kernels, found, rng)
    return replace(found, errors=errors, rough=replace(found.rough, error=error))


def _lattice(kernels: Array, points: float, least: float) -> Lattice:
    """The lattice of kernels (k, s, s), with so many points for each unit of its length."""
    scales = tuple(1.0 / max(float(scipy.linalg.eigvalsh(one)[-1]), 1.0) for one in kernels)
    most = _MOST[len(kernels)]
    length = float(np.log1p(most / np.array(scales)).max())
    count, searched = (1 + round(length * each) for each in (points, _SEARCHED))
    return Lattice(scales, most, count, searched, least)


def _logdet(kernels: RotatedKernels) -> LogDeterminant:
    """log|V| of all samples."""
    both = np.r_[: kernels.rank, kernels.contrasts : kernels.n]
    some = kernels.kernels[:, both[:, None], both]
    lattice = _lattice(some, _OF_LOGDET, kernels.least_residual)
    _, logdet = _on_lattice(some, lattice, None)
    total = 1.0 + lattice.ratios(lattice.places).sum(axis=1)
    return LogDeterminant(lattice, logdet - kernels.n * np.log(total))


def _outside(kernels: RotatedKernels, lattice: Lattice, reml: bool) -> tuple[Array, Array, Array]:
    """Of a mesh of shares beyond the lattice inverse factors, residuals and log-determinants."""
    r, d = kernels.rank, kernels.contrasts
    size = d if reml else kernels.n
    both = np.r_[:r, d:size]
    roots, residual, logdet = [], [], []
    points = np.concatenate([Mesh.of(len(kernels.vertices)).points, _edges(len(kernels.vertices))])
    shares = kernels.shares(points)
    beyond = (lattice.place(shares) > lattice.ends).any(axis=1)
    for inner, share in zip(points[beyond], shares[beyond], strict=True):
        covariance = np.tensordot(inner, kernels.vertices[:, both[:, None], both], axes=1)
        factor, info = scipy.linalg.lapack.dpotrf(covariance, lower=1, clean=1)
        if info:
            continue
        roots.append(np.tril(scipy.linalg.lapack.dtrtri(factor, lower=1)[0])[:r, :r])
        residual.append(share[-1])
        rest = (d - r) * np.log(share[-1]) if r < d else 0.0
        logdet.append(2.0 * np.log(np.diag(factor)).sum() + rest)
    return np.array(roots).reshape(-1, r, r), np.array(residual), np.array(logdet)


def _edges(corners: int) -> Array:
    """Weights (points, corners) of two kernels and as little residual as is admissible."""
    ratio = np.logspace(-_DECADES, _DECADES, 4 * _DECADES + 1)
    found = np.zeros((0, corners))
    for one, other in combinations(range(corners - 1), 2):
        own = np.zeros((len(ratio), corners))
        own[:, one], own[:, other] = ratio / (1.0 + ratio), 1.0 / (1.0 + ratio)
        found = np.concatenate([found, own])
    return found


def _drawn(rng: np.random.Generator, kernels: RotatedKernels, count: int) -> Array:
    """Random contrasts (r, count) of length one: of few samples, of all, and like traits."""
    n, r, third = kernels.n, kernels.rank, count // 3
    few = rng.standard_normal((n, third)) * (
        rng.random((n, third)) < rng.uniform(3.0 / n, 0.5, third)
    )
    few[rng.integers(n, size=third), np.arange(third)] = 1.0
    out = np.concatenate([kernels.turn[:, :r].T @ few, rng.standard_normal((r, count - third))], 1)
    for j in range(2 * third, count):
        inner = rng.dirichlet(np.full(len(kernels.vertices), 0.5))
        # Half of them as much in the range of the kernels as markers may be.
        inner[-1] *= j % 2
        inner = (1.0 - 1e-6) * inner / inner.sum() + 1e-6 * np.eye(len(inner))[-1]
        out[:, j] = np.linalg.cholesky(_covariance(kernels, inner)) @ out[:, j]
    return np.asarray(out / np.linalg.norm(out, axis=0))


def _on_lattice(kernels: Array, lattice: Lattice, vectors: Array | None) -> tuple[Array, Array]:
    """Forms (vectors, points) of the inverse of I + sum_k t_k K_k, and its log-determinant.

    Parameters
    ----------
    kernels : array (k, s, s)
    lattice : Lattice
    vectors : array (s, vectors) or None
        None for no forms.
    """
    k, size = len(kernels), kernels.shape[1]
    spectra = [scipy.linalg.eigh(one, driver="evd") for one in kernels]
    ranks = [int((values > _NONE * size * values[-1]).sum()) for values, _ in spectra]
    last = int(np.argmin(ranks))
    values, own = (part[..., size - ranks[last] :] for part in spectra[last])
    right = own * np.sqrt(values)
    if vectors is not None:
        right = np.concatenate([right, vectors], axis=1)
    right = np.asfortranarray(right)
    t = np.array(lattice.scales) * np.expm1(STEP * lattice.axis[:, None] * lattice.ends)
    others = [d for d in range(k) if d != last]
    found = np.empty((right.shape[1] - ranks[last],) + (lattice.count,) * k)
    logdet = np.empty((lattice.count,) * k)
    one = np.eye(size)
    for places in product(range(lattice.count), repeat=k - 1):
        where: list[slice | int] = [slice(None)] * k
        matrix = one.copy()
        for d, place in zip(others, places, strict=True):
            where[d] = place
            matrix += t[place, d] * kernels[d]
        factor = np.linalg.cholesky(matrix)
        white = scipy.linalg.blas.dtrsm(1.0, factor.T, right, lower=0, trans_a=1)
        w, x = white[:, : ranks[last]], white[:, ranks[last] :]
        values, turn = scipy.linalg.eigh(w.T @ w, driver="evd", check_finite=False)
        variances = 1.0 + np.multiply.outer(np.maximum(values, 0.0), t[:, last])
        logdet[tuple(where)] = 2.0 * np.log(np.diag(factor)).sum() + np.log(variances).sum(axis=0)
        if vectors is not None:
            along = np.square(turn.T @ (w.T @ x)).T @ (t[:, last] / variances)
            found[(slice(None), *where)] = np.einsum("ij,ij->j", x, x)[:, None] - along
    return found.reshape(len(found), logdet.size), logdet.ravel()


def _chosen(values: Array, tolerances: tuple[float, float]) -> tuple[Index, Array, Array]:
    """Points that are nodes, and the weights (points, Q) of these at all points.

    Also the weights (points, q) of the first q of them, for the second tolerance.
    """
    size = values.mean(axis=0)
    scaled = values / size
    # Errors count relative to each form, those of vectors in which little is left among them.
    scaled /= np.exp(np.log(scaled).mean(axis=1, keepdims=True))
    stride = 1 + values.shape[1] // _CANDIDATES
    candidates = np.arange(0, values.shape[1], stride)
    r, order = scipy.linalg.qr(scaled[:, candidates], mode="r", pivoting=True)
    diagonal = np.abs(np.diag(r))
    ranks = [int(np.count_nonzero(diagonal > least * diagonal[0])) for least in tolerances]
    chosen = candidates[order[: ranks[0]]]
    q, corner = np.linalg.qr(scaled[:, chosen])
    along = q.T @ scaled

    def weights(rank: int) -> Array:
        found = scipy.linalg.solve_triangular(
            corner[:rank, :rank], along[:rank], check_finite=False
        )
        found /= size[chosen[:rank]][:, None]
        return np.multiply(found.T, size[:, None], order="C")

    return chosen, weights(ranks[0]), weights(ranks[1])


def _covariance(kernels: RotatedKernels, inner: Array) -> Array:
    """V (r, r) of the contrasts that kernels act on."""
    r = kernels.rank
    return np.asarray(np.tensordot(inner, kernels.vertices[:, :r, :r], axes=1))


def roots_at(kernels: RotatedKernels, inner: Array) -> Array:
    """Inverse Cholesky factors of the contrasts at weights (Q, k + 1), lower triangular."""
    factors = (np.linalg.cholesky(_covariance(kernels, own)) for own in inner)
    return np.stack([np.tril(scipy.linalg.lapack.dtrtri(one, lower=1)[0]) for one in factors])


def _errors(kernels: RotatedKernels, nodes: Nodes, rng: np.random.Generator) -> tuple[Array, float]:
    """Largest relative error of forms of fresh vectors in every box of the lattice.

    Also the largest of all with rough weights.
    """
    ends = nodes.lattice.ends
    boxes = np.stack(np.meshgrid(*[np.arange(_BOXES[len(ends)])] * len(ends), indexing="ij"), -1)
    boxes = np.repeat(boxes.reshape(-1, len(ends)), _PLACES, axis=0)
    place = (boxes + rng.random(boxes.shape)) / _BOXES[len(ends)] * ends
    fresh = np.asfortranarray(_drawn(rng, kernels, _FRESH))
    exact = np.empty((len(place), _FRESH))
    for own, inner in zip(exact, nodes.lattice.inner(place), strict=True):
        factor = np.linalg.cholesky(_covariance(kernels, inner))
        white = scipy.linalg.blas.dtrsm(1.0, factor.T, fresh, lower=0, trans_a=1)
        np.einsum("kj,kj->j", white, white, out=own)
    forms_of = nodes.forms(fresh)[:-1]
    found = nodes.weights_at(place)[:, :-1] @ forms_of
    errors = np.abs(found / exact - 1.0).max(axis=1).reshape(-1, _PLACES).max(axis=1)
    rough, lattice = nodes.rough.weights[:, :-1], nodes.rough.lattice
    of_rough = lattice.weights(place) @ (rough @ forms_of[: rough.shape[1]])
    return errors, float(np.abs(of_rough / exact - 1.0).max())
