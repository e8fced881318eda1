"""When few traits are scanned against many markers by a scanner of their own (`few.scan`)."""

from __future__ import annotations

from bulklmm_dask.lmm.options import ModelOptions

# Up to this many traits are few.
MOST_TRAITS = 10
# With fewer markers for each sample, what is made once for the traits costs more than it saves.
MARKERS_A_SAMPLE = 4


def is_few(model: ModelOptions, n_samples: int, n_traits: int, n_markers: int | None) -> bool:
    """Tell whether sizes and options are those of a scan of few traits.

    Parameters
    ----------
    model : ModelOptions
        What is estimated and tested.
    n_samples, n_traits : int
        Numbers of samples, and of the traits of a chunk.
    n_markers : int or None
        Number of markers that they are scanned against with one kinship, if it is known.
    """
    if n_markers is None or model.alternative or model.joint or model.with_effects:
        return False
    return 0 < n_traits <= MOST_TRAITS and n_markers >= MARKERS_A_SAMPLE * n_samples
