"""The slow, obvious way: one trait at a time, the covariance itself, QR and a bounded search."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.linalg
from scipy.optimize import minimize, minimize_scalar


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


def scaled_kernels(kernels: list[np.ndarray], weights: np.ndarray | None = None) -> np.ndarray:
    """Kernels of mean diagonal one and the residual last, (k + 1, n, n)."""
    n = len(kernels[0])
    residual = np.eye(n) if weights is None else np.diag(1 / weights**2)
    return np.stack([*(kernel / np.trace(kernel) * n for kernel in kernels), residual])


class Components:
    """One trait, several kernels: its likelihood over the simplex, searched from many starts."""

    def __init__(
        self,
        y: np.ndarray,
        covariates: np.ndarray,
        kernels: list[np.ndarray],
        *,
        reml: bool,
        weights: np.ndarray | None = None,
    ) -> None:
        self.y, self.covariates, self.reml = y, covariates, reml
        self.parts = scaled_kernels(kernels, weights)
        self.contrasts = scipy.linalg.null_space(covariates.T)
        self.count = self.contrasts.shape[1] if reml else len(y)
        whole = self.parts[:-1]
        if weights is not None:
            whole = whole * np.outer(weights, weights)
        singular = any(largest_h2(kernel) < 1 for kernel in whole)
        self.least = 1e-5 if singular else 0.0

    def density(self, h: np.ndarray, s2: float) -> float:
        """Log-density of y with covariance s2 sum h_k K_k, fixed effects at their best.

        Under REML that of the contrasts, with orthonormal covariates.
        """
        y, covariance = self.y, s2 * np.tensordot(h, self.parts, axes=1)
        if self.reml:
            y, covariance = self.contrasts.T @ y, self.contrasts.T @ covariance @ self.contrasts
        else:
            solved = np.linalg.solve(covariance, self.covariates)
            y = y - self.covariates @ np.linalg.solve(self.covariates.T @ solved, solved.T @ y)
        factor = np.linalg.cholesky(covariance)
        white = scipy.linalg.solve_triangular(factor, y, lower=True)
        logdet = 2 * np.log(np.diag(factor)).sum()
        return float(-0.5 * (len(y) * np.log(2 * np.pi) + logdet + white @ white))

    def sigma2(self, h: np.ndarray) -> float:
        """The best s2 at some shares."""
        y, covariance = self.contrasts.T @ self.y, np.tensordot(h, self.parts, axes=1)
        inside = self.contrasts.T @ covariance @ self.contrasts
        return float(y @ np.linalg.solve(inside, y)) / self.count

    def value(self, h: np.ndarray) -> float:
        """Log-likelihood at some shares, s2 at its best; -inf where the covariance is singular."""
        try:
            return self.density(h, self.sigma2(h))
        except np.linalg.LinAlgError:
            return -np.inf

    def best(self, without: int | None = None, starts: int = 12) -> tuple[np.ndarray, float]:
        """Shares of the largest likelihood and its value, perhaps without a component."""
        corners = len(self.parts)
        free = [k for k in range(corners) if k != without]
        rng = np.random.default_rng(0)
        size = len(free)

        def shares(u: np.ndarray) -> np.ndarray:
            u = np.maximum(u, 0.0)
            h = np.zeros(corners)
            h[free] = u / u.sum() if u.sum() > 0 else 1 / size
            h *= 1 - self.least
            h[-1] += self.least
            return h

        first = [np.full(size, 1 / size), *(np.eye(size) * 0.9 + 0.1 / size)]
        first += [rng.dirichlet(np.full(size, 0.5)) for _ in range(starts)]
        found = [np.eye(size)[k] for k in range(size)]
        for start in first:
            done = minimize(
                lambda u: min(-self.value(shares(u)), 1e10),
                start,
                method="SLSQP",
                bounds=[(0, 1)] * size,
                constraints={"type": "eq", "fun": lambda u: u.sum() - 1},
                options={"ftol": 1e-12, "maxiter": 100},
            )
            found.append(done.x)
        # SLSQP stops early on its differences: a simplex search from its best goes on.
        top = max(found, key=lambda u: self.value(shares(u)))
        if size > 1:
            for _ in range(2):
                done = minimize(
                    lambda u: min(-self.value(shares(u**2)), 1e10),
                    np.sqrt(np.maximum(top, 0)),
                    method="Nelder-Mead",
                    options={"xatol": 1e-8, "fatol": 1e-12, "maxfev": 2000},
                )
                if -done.fun > self.value(shares(top)):
                    top = done.x**2 / (done.x**2).sum()
        h = shares(top)
        return h, self.value(h)
