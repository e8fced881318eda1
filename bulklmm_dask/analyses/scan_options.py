"""Options of scans and permutations, checked together, and the model that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.analyses.inputs.kernels import kernels_in_words
from bulklmm_dask.analyses.inputs.kinship import no_kinship
from bulklmm_dask.analyses.inputs.markers import is_per_trait
from bulklmm_dask.analyses.options import METHODS, PERMUTE_METHODS, PRECISIONS
from bulklmm_dask.analyses.prepare import ModelInputs, strings
from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.statistics import STATISTICS
from bulklmm_dask.study.checks import (
    require_by,
    require_choice,
    require_flag,
    whole_number,
)
from bulklmm_dask.surface import option
from bulklmm_dask.text import listing

DEFAULT_REFINE_ABOVE = 3.0
DEFAULT_GRID = tuple(float(h) for h in np.arange(10) / 10)


def _numbers(h2_grid: npt.ArrayLike | None) -> tuple[float, ...] | None:
    """Heritabilities of a grid as a tuple; None stays None."""
    if h2_grid is None:
        return None
    try:
        return tuple(float(h) for h in np.atleast_1d(np.asarray(h2_grid)))
    except (TypeError, ValueError, OverflowError):
        raise OptionError(
            f"{option('h2_grid')} is {h2_grid!r}; it should be numbers in [0, 1]"
        ) from None


@dataclass(frozen=True)
class ScanOptions:
    """Options that determine the scores, besides the data.

    Attributes
    ----------
    method, reml, h2_grid, refine_above, precision, digits, statistics
        As in `scan`.
    genotypes : int or None
        Number of genotypes whose probabilities are tested; None for dosages.
    interaction : tuple of str
        Covariates whose product with the genotype is tested.
    components : int
        Number of kernels by name and the residual; 0 for a kinship.
    """

    method: str
    reml: bool
    precision: str
    digits: int | None = None
    h2_grid: tuple[float, ...] | None = None
    refine_above: float | None = None
    statistics: tuple[str, ...] = ("lod",)
    genotypes: int | None = None
    interaction: tuple[str, ...] = ()
    components: int = 0

    @classmethod
    def of(
        cls,
        ds: xr.Dataset,
        inputs: ModelInputs,
        *,
        method: str = "null-exact",
        reml: bool = False,
        h2_grid: npt.ArrayLike | None = None,
        refine_above: float | None = None,
        statistics: str | Sequence[str] = ("lod",),
        precision: str = "double",
        digits: int | None = None,
    ) -> Self:
        """Options of a scan of `ds`, which is checked here, from the arguments of `scan`."""
        return cls.made(
            method=method,
            reml=reml,
            h2_grid=h2_grid,
            refine_above=refine_above,
            statistics=statistics,
            precision=precision,
            digits=digits,
            genotypes=inputs.n_genotypes(ds),
            interaction=tuple(inputs.columns(ds).interacting),
            components=0 if inputs.kernels is None else len(inputs.kernels) + 1,
        )

    @classmethod
    def made(
        cls, *, h2_grid: npt.ArrayLike | None, statistics: str | Sequence[str], **others: Any
    ) -> Self:
        """Options from arguments as users give them, without a study."""
        wanted = strings(statistics, option("statistics"))
        return cls(h2_grid=_numbers(h2_grid), statistics=wanted, **others)

    def __post_init__(self) -> None:
        require_choice(self.method, "method", METHODS)
        require_choice(self.precision, "precision", PRECISIONS)
        require_flag(self.reml, "reml")
        for name in self.statistics:
            require_choice(name, "statistic", ("lod", *STATISTICS))
        if "lod_interaction" in self.statistics and not self.interaction:
            raise OptionError(
                f"{option('statistics', 'lod_interaction')} needs {option('interaction')}, and "
                "there is none; name its covariates, or leave lod_interaction out"
            )
        if self.h2_grid is not None:
            self._check_grid(self.h2_grid)
        if self.refine_above is not None and self.method != "alt-exact":
            raise OptionError(
                f"{option('refine_above', self.refine_above)} and {option('method', self.method)} "
                f"exclude each other: this method refines no pair; use "
                f"{option('method', 'alt-exact')}, or leave {option('refine_above')} out"
            )
        if self.refine_above is not None and not self.refine_above >= 0.0:
            raise OptionError(
                f"{option('refine_above')} is {self.refine_above}; it should be a LOD, 0 or more"
            )
        if self.alternative and self.model.joint:
            if self.interaction:
                raise OptionError(
                    f"{option('method', self.method)} and "
                    f"{option('interaction', list(self.interaction))} exclude each other: this "
                    "method tests one column a marker, and an interaction needs several at a time; "
                    "use a null method"
                )
            raise InputError(
                f"{option('method', self.method)} tests one column a marker, and {self.genotypes} "
                "genotypes need several at a time; use a null method"
            )

    @property
    def alternative(self) -> bool:
        """Whether h2 is estimated again for every pair."""
        return self.method.startswith("alt-")

    def _check_grid(self, grid: tuple[float, ...]) -> None:
        if not self.method.endswith("-grid"):
            raise OptionError(
                f"{option('h2_grid', list(grid))} and {option('method', self.method)} exclude each "
                "other: this method searches the whole interval; use "
                f"{option('method', self.method.replace('exact', 'grid'))}, or leave "
                f"{option('h2_grid')} out"
            )
        outside = [h for h in grid if not 0.0 <= h <= 1.0]
        if outside or not grid:
            shown = listing(outside) if outside else "nothing"
            raise OptionError(f"{option('h2_grid')} holds {shown}; heritabilities lie in [0, 1]")

    @property
    def model(self) -> ModelOptions:
        """The options as the numerical code takes them, with defaults filled in."""
        grid = self.h2_grid
        if grid is None and self.method.endswith("-grid"):
            grid = DEFAULT_GRID
        above = DEFAULT_REFINE_ABOVE if self.refine_above is None else self.refine_above
        return ModelOptions(
            alternative=self.alternative,
            reml=self.reml,
            grid=grid,
            refine_above=above,
            genotypes=self.genotypes,
            interactions=len(self.interaction),
            wanted=tuple(name for name in STATISTICS if name in self.statistics),
            components=self.components,
        )

    @property
    def single(self) -> bool:
        """Whether matrix products are in single precision."""
        return self.precision == "single"

    def require_fit(self, inputs: ModelInputs) -> None:
        """Raise InputError if the method does not support a part of the model."""
        prior = inputs.prior is not None
        typed = option("prior", inputs.prior if isinstance(inputs.prior, tuple) else None)
        if inputs.kernels is not None:
            self._require_kernels(inputs, typed if prior else None)
            return
        if inputs.kinship is None and self.alternative:
            raise OptionError(
                f"{option('method', self.method)} and {no_kinship()} exclude each other: this "
                "method estimates a heritability for every pair, and there is none without a "
                "kinship; use a null method, or give a kinship"
            )
        if inputs.kinship is None and prior:
            raise OptionError(
                f"{typed} and {no_kinship()} exclude each other: a prior moves a "
                f"heritability, and there is none without a kinship; leave {option('prior')} out, "
                "or give a kinship"
            )
        if prior and self.alternative:
            raise OptionError(
                f"{typed} and {option('method', self.method)} exclude each other: this "
                f"method takes no prior; use a null method, or leave {option('prior')} out"
            )
        if is_per_trait(inputs.condition) and (self.alternative or self.model.joint):
            words = (
                f"{option('condition')} gives every trait its own markers, which the null methods "
                "take with dosages only; name markers for all traits"
            )
            if self.alternative:
                raise OptionError(f"{words}, or leave {option('method', self.method)} out")
            raise InputError(words)

    def _require_kernels(self, inputs: ModelInputs, prior: str | None) -> None:
        """Raise OptionError for what is not there with several kernels; `prior` as it was given."""
        assert inputs.kernels is not None
        kernels = kernels_in_words(inputs.kernels)
        why = ""
        if self.method != "null-exact":
            why = (
                f"{option('method', self.method)} and {kernels} exclude each other: their shares "
                f"are estimated once a trait, over the whole simplex; use "
                f"{option('method', 'null-exact')}"
            )
        elif prior is not None:
            why = (
                f"{prior} and {kernels} exclude each other: a prior is for one kinship and the "
                f"residual; leave {option('prior')} out"
            )
        elif is_per_trait(inputs.condition):
            why = (
                f"{option('condition')} gives every trait its own markers, and {kernels} are "
                "scanned with covariates that all traits share; name markers for all traits"
            )
        if why:
            raise OptionError(f"{why}, or give one kinship")

    def effect_unit(self, maximum: int) -> str:
        """Say what one unit of effects is; `maximum` is the dosage of two effect alleles."""
        if self.genotypes is not None:
            return "from the first genotype" if self.interaction else "mean of each genotype"
        if maximum == 2:
            return "per copy of the effect allele"
        return "difference between the homozygotes: two copies of the effect allele against none"

    def attributes(self) -> dict[str, Any]:
        """Attributes of a result that record the options; JSON values."""
        model = self.model
        attrs: dict[str, Any] = {
            "method": self.method,
            "reml": self.reml,
            "precision": self.precision,
            "interaction": list(self.interaction),
        }
        if model.grid is not None:
            attrs["h2_grid"] = list(model.grid)
        if self.method == "alt-exact":
            attrs["refine_above"] = model.refine_above
        if self.digits is not None:
            attrs["digits"] = self.digits
        return attrs


@dataclass(frozen=True)
class PermuteOptions:
    """Options that determine the maxima, besides the data.

    Attributes
    ----------
    method, n_permutations, seed, by
        As in `permute`.
    scan : ScanOptions
        How permuted traits are estimated, and what is tested.
    """

    method: str
    n_permutations: int
    seed: int
    by: str | None
    scan: ScanOptions = field(repr=False)

    def __post_init__(self) -> None:
        require_choice(self.method, "method", PERMUTE_METHODS)
        whole_number(self.n_permutations, option("n_permutations"), 1)
        whole_number(self.seed, option("seed"), 0)
        require_by(self.by)

    @property
    def shared(self) -> bool:
        """Whether random residuals are drawn for all traits together."""
        return self.method == "shared"

    def attributes(self) -> dict[str, Any]:
        """Attributes of a result that record the options; JSON values."""
        return {
            "n_permutations": int(self.n_permutations),
            "seed": int(self.seed),
            "by": self.by or "none",
            **self.scan.attributes(),
            "method": self.method,
        }
