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
