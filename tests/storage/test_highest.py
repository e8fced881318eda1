import numpy as np
import pytest

from bulklmm_dask.storage.summaries.highest import highest_of_runs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("starts", [[0], [0, 1, 2], [0, 7, 8, 30], list(range(40))])
def test_highest_of_runs_is_fmax_of_each_run(starts, dtype):
    rng = np.random.default_rng(len(starts))
    lod = rng.standard_normal((40, 9)).astype(dtype)
    lod[rng.random(lod.shape) < 0.3] = np.nan
    lod[:, 4] = np.nan
    found = highest_of_runs(lod, np.array(starts))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.fmax.reduceat(lod, starts, axis=0))
