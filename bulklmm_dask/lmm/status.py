"""Whether the null model of a trait could be fitted, in a word."""

from __future__ import annotations

import numpy as np

OK, ALL_MISSING, CONSTANT, TOO_FEW, UNBOUNDED = (
    "ok",
    "all-missing",
    "constant",
    "too-few-samples",
    "unbounded",
)
# With several components: a share is at its bound, other shares are as likely, or the samples of
# the trait cannot tell kernels apart.
BOUNDARY, FLAT, CONFOUNDED = "boundary", "flat", "confounded"
# Those of traits that have LODs.
FITTED = (OK, UNBOUNDED, BOUNDARY, FLAT)
# Dtype that holds each of these.
STATUS = np.array([*FITTED, ALL_MISSING, CONSTANT, TOO_FEW, CONFOUNDED]).dtype
