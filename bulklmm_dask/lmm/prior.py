r"""A prior on the residual variance s2_e = (1 - h) s2: scaled inverse chi-square.

With scale t2 and sample size nu its density is proportional to s2_e^-(nu/2 + 1) exp(-nu t2 /
(2 s2_e)): it counts as much as nu more residuals of mean square t2. It keeps the residual variance
above 0, and the heritability below 1, where the likelihood alone may have no maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.errors import InputError
from bulklmm_dask.typing import Array

# With a prior, h2 = 1 (residual variance 0) has density 0, whatever the kinship.
LARGEST_H2 = 1.0 - 1e-9
# With a larger sample size the likelihood would be lost in the rounding of the prior's density.
_LARGEST_SIZE = 1e9
# Variances of a prior in units of the fit, far beyond any that matters.
_RANGE = (1e-200, 1e200)


@dataclass(frozen=True)
class Prior:
    """Scaled inverse chi-square prior on the residual variance, one for all traits or one each.

    Its density at the residual variance v = s2 (1 - h2) is proportional to
    v^-(nu/2 + 1) exp(-nu t2 / (2 v)): it weighs as much as nu more residuals of mean square t2.

    Attributes
    ----------
    variance : float or array (traits,)
        Scale t2, in squared units of the trait.
    sample_size : float or array (traits,)
        Sample size nu.

    Raises
    ------
    InputError
        If either is not positive and finite, or the sample size above 1e9.

    Examples
    --------
    In a study of few samples the likelihood may be highest at h2 = 1; a weak prior keeps h2 off it:

    >>> few = ds.isel(samples=slice(25, 45), samples_0=slice(25, 45), samples_1=slice(25, 45))
    >>> prior = blmm.Prior(variance=few.sample_trait.var("samples") / 2, sample_size=5)
    >>> blmm.scan(few).h2.sel(traits=["trait05", "trait11"]).values.round(2)
    array([0.91, 1.  ])
    >>> blmm.scan(few, prior=prior).h2.sel(traits=["trait05", "trait11"]).values.round(2)
    array([0.81, 0.84])
    """

    variance: npt.ArrayLike
    sample_size: npt.ArrayLike

    def __post_init__(self) -> None:
        for name in ("variance", "sample_size"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            wrong = values[~((values > 0.0) & np.isfinite(values))]
            if len(wrong):
                raise InputError(
                    f"the {name} of the prior is {wrong[0]:g}; it must be positive and finite "
                    "(without a prior, leave it out)"
                )
        most = float(np.max(self.sample_size, initial=0.0))
        if most > _LARGEST_SIZE:
            raise InputError(
                f"the sample_size of the prior is {most:g}; it may be at most {_LARGEST_SIZE:g}, "
                "which fixes the residual variance already"
            )

    @property
    def pull(self) -> Array:
        """Sum of squares nu t2 that the prior adds to the residual sum of squares."""
        return np.asarray(self.variance, np.float64) * np.asarray(self.sample_size, np.float64)

    @property
    def count(self) -> Array:
        """Degrees of freedom nu + 2 that the prior adds to those of the residuals."""
        return np.asarray(self.sample_size, np.float64) + 2.0

    def take(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> Prior:
        """The prior of some traits, by index or mask."""
        variance, sample_size = (
            value if np.ndim(value) == 0 else np.asarray(value)[index]
            for value in (self.variance, self.sample_size)
        )
        return Prior(variance, sample_size)

    def in_units(self, size: Array) -> Prior:
        """The prior for traits that were divided by `size` (traits,).

        A variance beyond the range of float64 becomes its end: it is as good as 0 or infinite.
        """
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            variance = np.asarray(self.variance, np.float64) / size / size
        return Prior(np.clip(variance, *_RANGE), self.sample_size)
