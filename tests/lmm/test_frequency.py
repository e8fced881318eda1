"""Allele frequencies against a loop over markers and patterns."""

import numpy as np
import pytest

from bulklmm_dask.lmm.frequency import allele_frequencies


@pytest.mark.parametrize("missing", [0.0, 0.2, 1.0])
def test_frequencies_are_means_of_calls(missing):
    rng = np.random.default_rng(1)
    dosage = rng.integers(0, 3, (40, 25)).astype(float)
    dosage[::2][rng.random((20, 25)) < missing] = np.nan
    used = rng.random((25, 6)) < 0.5
    wanted = np.full((40, 6), np.nan)
    for i, calls in enumerate(dosage):
        for j, kept in enumerate(used.T):
            own = calls[kept & ~np.isnan(calls)]
            if own.size:
                wanted[i, j] = own.mean() / 2
    np.testing.assert_allclose(allele_frequencies(dosage, used, 2.0), wanted, rtol=1e-6)
