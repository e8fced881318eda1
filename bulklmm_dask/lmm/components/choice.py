"""When traits with several kernels are scanned in bulk (`bulk`), not one by one (`exact`)."""

from __future__ import annotations

from bulklmm_dask.lmm.options import ModelOptions

# Most kernels whose covariances are interpolated: the nodes of more take too many points.
MOST_KERNELS = 3
# Fewest traits of the same samples for which nodes are made.
FEWEST = 64
# The same with the most kernels: their nodes take as long as some hundred traits by themselves.
FEWEST_OF_MOST = 1024


def may_be_bulk(options: ModelOptions) -> bool:
    """Whether many traits with several kernels are scanned in bulk."""
    return not options.joint and options.components - 1 <= MOST_KERNELS


def bulk_kernels(options: ModelOptions, *, together: bool) -> int:
    """Number of kernels that traits are fitted with in bulk, where they may; 0 for none."""
    return options.components - 1 if together and options.components and may_be_bulk(options) else 0


def fewest(kernels: int) -> int:
    """Fewest traits of the same samples for which nodes of so many kernels are made."""
    return FEWEST if kernels < MOST_KERNELS else FEWEST_OF_MOST
