"""The slow, obvious way: one trait at a time, the covariance itself, QR and a bounded search."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.linalg
from scipy.optimize import minimize_scalar


def largest_h2(kinship: np.ndarray) -> float:
    """1, or just below it where the covariance at 1 would be singular."""
    values = np.linalg.eigvalsh(kinship)
    return 1.0 if values[0] > 1e-10 * values[-1] else 1 - 1e-5


def whiten(h2: float, kinship: np.ndarray, *matrices: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """log|V| and L^-1 A for V = h2 K + (1-h2) I = LL'."""
    factor = np.linalg.cholesky(h2 * kinship + (1 - h2) * np.eye(len(kinship)))
    solved = [scipy.linalg.solve_triangular(factor, a, lower=True) for a in matrices]
    return 2 * np.log(np.diag(factor)).sum(), solved


def log_likelihood(
    h2: float, y: np.ndarray, covariates: np.ndarray, kinship: np.ndarray, reml: bool
) -> float:
    """Profile log-likelihood up to a constant."""
    n, c = covariates.shape
    logdet, (yw, cw) = whiten(h2, kinship, y, covariates)
    q, r = np.linalg.qr(cw)
    rss = np.sum((yw - q @ (q.T @ yw)) ** 2)
    if not reml:
        return -0.5 * (n * np.log(rss) + logdet)
    return -0.5 * ((n - c) * np.log(rss) + logdet + 2 * np.log(np.abs(np.diag(r))).sum())


def null_h2(
    y: np.ndarray, covariates: np.ndarray, kinship: np.ndarray, *, reml: bool = False
) -> float:
    """The best of bounded searches in pieces of the interval, and of its two ends."""
    top = largest_h2(kinship)
    edges = np.unique(np.concatenate([np.linspace(0, top, 6), [min(0.97, top), min(0.999, top)]]))

    def cost(h2: float) -> float:
        return -log_likelihood(h2, y, covariates, kinship, reml)

    candidates = [0.0, top]
    for low, high in pairwise(edges):
        found = minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
        candidates.append(float(found.x))
    return min(candidates, key=cost)


def lod_scores(
    dosage: np.ndarray, y: np.ndarray, covariates: np.ndarray, kinship: np.ndarray, h2: float
) -> np.ndarray:
    """n/2 log10(RSS0 / RSS1) of every marker (variants, n) at a given h2."""
    _, (yw, cw, xw) = whiten(h2, kinship, y, covariates, dosage.T)
    q, _ = np.linalg.qr(cw)
    y0, x0 = yw - q @ (q.T @ yw), xw - q @ (q.T @ xw)
    x0 -= q @ (q.T @ x0)
    size = np.einsum("ki,ki->i", x0, x0)
    flat = size <= 1e-9 * np.maximum(np.einsum("ki,ki->i", xw, xw), 1e-300)
    slope = (x0.T @ y0) / np.where(flat, 1.0, size)
    slope[flat] = 0.0
    rss1 = np.sum((y0[:, None] - x0 * slope) ** 2, axis=0)
    return len(y) / 2 * np.log10(np.sum(y0**2) / rss1)


def ratio(
    x: np.ndarray,
    y: np.ndarray,
    covariates: np.ndarray,
    kinship: np.ndarray,
    h2: float,
    h2_alt: float,
) -> float:
    """LOD of one marker: the ratio of the full likelihoods, each at its own heritability."""
    wider = np.column_stack([covariates, x])
    above = log_likelihood(h2_alt, y, wider, kinship, False)
    return (above - log_likelihood(h2, y, covariates, kinship, False)) / np.log(10)


def alternative(
    x: np.ndarray, y: np.ndarray, covariates: np.ndarray, kinship: np.ndarray, *, reml: bool = False
) -> tuple[float, float]:
    """LOD and h2_alt of one marker that varies: both models searched, the marker a covariate."""
    h2 = null_h2(y, covariates, kinship, reml=reml)
    h2_alt = null_h2(y, np.column_stack([covariates, x]), kinship, reml=reml)
    return ratio(x, y, covariates, kinship, h2, h2_alt), h2_alt


class Pairs:
    """The likelihoods of one trait with each marker, marker by marker at its own h2.

    The same QR as above, many at a time: in eigenvectors of the kinship the covariance is diagonal.
    """

    def __init__(
        self, dosage: np.ndarray, y: np.ndarray, covariates: np.ndarray, kinship: np.ndarray
    ) -> None:
        self.values, vectors = np.linalg.eigh(kinship)
        self.top = largest_h2(kinship)
        # The part of a marker outside the covariates: the span, and every likelihood, is the same.
        q, _ = np.linalg.qr(covariates)
        outside = dosage.T - q @ (q.T @ dosage.T)
        outside -= q @ (q.T @ outside)
        size = np.linalg.norm(outside, axis=0)
        self.varies = size > 1e-9 * np.linalg.norm(dosage, axis=1)
        self.markers = (vectors.T @ (outside / np.where(self.varies, size, 1.0))).T
        self.y, self.covariates = vectors.T @ y, vectors.T @ q

    def likelihood(self, h2: np.ndarray, markers: np.ndarray | None, reml: bool) -> np.ndarray:
        """Profile log-likelihoods (k,) at h2 (k,), with markers (k,) by index, or with none."""
        return self.profile(h2, markers, reml)[0]

    def profile(
        self, h2: np.ndarray, markers: np.ndarray | None, reml: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same and its slope in h2."""
        v = np.maximum(np.outer(h2, self.values) + 1 - h2[:, None], 1e-300)
        root = 1 / np.sqrt(v)
        fixed = np.broadcast_to(self.covariates, (len(h2), *self.covariates.shape))
        if markers is not None:
            fixed = np.concatenate([fixed, self.markers[markers][:, :, None]], axis=2)
        q, r = np.linalg.qr(fixed * root[:, :, None])
        rest = (self.y * root)[:, :, None]
        for _ in range(2):
            rest = rest - q @ (q.transpose(0, 2, 1) @ rest)
        square = rest[:, :, 0] ** 2
        rss = square.sum(axis=1)
        n, c = fixed.shape[1:]
        change = (self.values - 1) / v
        logdet, logdet_slope = np.log(v).sum(axis=1), change.sum(axis=1)
        if reml:
            n -= c
            logdet += 2 * np.log(np.abs(np.diagonal(r, axis1=1, axis2=2))).sum(axis=1)
            logdet_slope -= (change * (q**2).sum(axis=2)).sum(axis=1)
        rss_slope = -(change * square).sum(axis=1)
        return -0.5 * (n * np.log(rss) + logdet), -0.5 * (n * rss_slope / rss + logdet_slope)

    def grid(self) -> np.ndarray:
        """Heritabilities dense in the interval and denser towards its ends."""
        tails = 10.0 ** -np.arange(2, 9.25, 0.25)
        whole = np.concatenate([np.linspace(0, 1, 51), tails, 1 - tails])
        return np.unique(np.concatenate([whole[whole < self.top], [self.top]]))

    def on_grid(self, grid: np.ndarray, markers: np.ndarray | None, reml: bool) -> np.ndarray:
        """Likelihoods (grid, markers), or (grid, 1) without a marker."""
        k = 1 if markers is None else len(markers)
        at_once = max(1, 30_000 // (k * len(self.y)))  # as much as a cache holds
        parts = [
            self.likelihood(
                np.repeat(some, k), None if markers is None else np.tile(markers, len(some)), reml
            )
            for some in np.split(grid, range(at_once, len(grid), at_once))
        ]
        return np.concatenate(parts).reshape(len(grid), k)

    def best(self, markers: np.ndarray | None, reml: bool) -> np.ndarray:
        """The h2 of every marker: each maximum of a grid narrowed down, and both ends."""
        grid = self.grid()
        values = self.on_grid(grid, markers, reml)
        padded = np.pad(values, ((1, 1), (0, 0)), constant_values=-np.inf)
        peak = (values >= padded[:-2]) & (values >= padded[2:]) & (values > values.max(axis=0) - 5)
        cell, pair = np.nonzero(peak)
        which = None if markers is None else markers[pair]
        low, high = grid[np.maximum(cell - 1, 0)], grid[np.minimum(cell + 1, len(grid) - 1)]
        golden = (np.sqrt(5) - 1) / 2
        for _ in range(8):
            inner, outer = high - golden * (high - low), low + golden * (high - low)
            left = self.likelihood(inner, which, reml) > self.likelihood(outer, which, reml)
            low, high = np.where(left, low, inner), np.where(left, outer, high)
        for _ in range(36):  # values are flat at their maximum, the slope is not
            middle = (low + high) / 2
            rising = self.profile(middle, which, reml)[1] > 0
            low, high = np.where(rising, middle, low), np.where(rising, high, middle)
        h2 = np.concatenate([(low + high) / 2, grid[cell]])
        pair = np.concatenate([pair, pair])
        found = self.likelihood(h2, None if markers is None else markers[pair], reml)
        order = np.argsort(found, kind="stable")
        chosen = np.empty(values.shape[1])
        chosen[pair[order]] = h2[order]  # the last write of a pair is its best
        return chosen

    def alternatives(
        self, *, reml: bool = False, grid: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """LOD and h2_alt of every marker, and the h2 of the null; also on a grid alone.

        A marker that does not vary beside the covariates scores 0 at the h2 of the null.
        """
        markers = np.flatnonzero(self.varies)

        def search(which: np.ndarray | None) -> np.ndarray:
            if grid is None:
                return self.best(which, reml)
            admissible = np.unique(np.minimum(grid, self.top))
            return admissible[self.on_grid(admissible, which, reml).argmax(axis=0)]

        null = search(None)
        lod, h2_alt = np.zeros(len(self.varies)), np.full(len(self.varies), null[0])
        h2_alt[markers] = search(markers)
        above = self.likelihood(h2_alt[markers], markers, False)
        lod[markers] = (above - self.likelihood(null, None, False)) / np.log(10)
        return lod, h2_alt, float(null[0])


def residual_sums(design: np.ndarray, traits: np.ndarray) -> np.ndarray:
    """Residual sums of squares (traits,) of least squares, in extended precision."""
    basis: list[np.ndarray] = []
    for column in design.astype(np.longdouble).T:
        rest = column
        for _ in range(2):
            for q in basis:
                rest = rest - q * (q @ rest)
        basis.append(rest / np.sqrt(rest @ rest))
    q = np.array(basis).T
    left = traits.astype(np.longdouble)
    left = left - q @ (q.T @ left)
    return np.asarray((left * left).sum(axis=0), dtype=np.float64)
