"""The options of a scan: checked together, told to the statistics and kept with the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bulklmm_dask.analyses.prepare import require_flag, require_one_of
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.statistics import STATISTICS
from bulklmm_dask.text import listing

METHODS = ("null-exact", "null-grid", "alt-exact", "alt-grid")
PRECISIONS = ("double", "single")
DEFAULT_REFINE_ABOVE = 3.0
DEFAULT_GRID = tuple(float(h) for h in np.arange(10) / 10)


@dataclass(frozen=True)
class ScanOptions:
    """Everything that decides the scores besides the data."""

    method: str
    reml: bool
    h2_grid: tuple[float, ...] | None
    refine_above: float | None
    precision: str
    statistics: tuple[str, ...] = ("lod",)
    genotypes: int | None = None
    interaction: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_one_of(self.method, METHODS, "method")
        require_one_of(self.precision, PRECISIONS, "precision")
        require_flag(self.reml, "reml")
        for name in self.statistics:
            require_one_of(name, ("lod", *STATISTICS), "statistic")
        if "lod_interaction" in self.statistics and not self.interaction:
            raise InputError(
                "statistics asks for lod_interaction, but there is no interaction; name the "
                "covariates with interaction=[...]"
            )
        if self.h2_grid is not None:
            self._check_grid(self.h2_grid)
        if self.refine_above is not None and self.method != "alt-exact":
            raise InputError(
                f"refine_above is {self.refine_above}, but method {self.method!r} refines no pair; "
                "use method='alt-exact' or leave refine_above out"
            )
        if self.refine_above is not None and not self.refine_above >= 0.0:
            raise InputError(f"refine_above is {self.refine_above}; it should be a LOD, 0 or more")
        if self.alternative and self.model.joint:
            what = "an interaction" if self.interaction else f"{self.genotypes} genotypes"
            raise InputError(
                f"method {self.method!r} tests one column a marker, and {what} need several at a "
                "time; use a null method"
            )

    @property
    def alternative(self) -> bool:
        """Whether h2 is estimated again for every pair."""
        return self.method.startswith("alt-")

    def _check_grid(self, grid: tuple[float, ...]) -> None:
        if not self.method.endswith("-grid"):
            raise InputError(
                f"h2_grid is given, but method {self.method!r} searches the whole interval; "
                f"use method={self.method.replace('exact', 'grid')!r} or leave h2_grid out"
            )
        outside = [h for h in grid if not 0.0 <= h <= 1.0]
        if outside or not grid:
            shown = listing(outside) if outside else "nothing"
            raise InputError(f"h2_grid holds {shown}; heritabilities lie in [0, 1]")

    @property
    def model(self) -> ModelOptions:
        """How heritabilities are estimated."""
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
        )

    def require_kinship(self, *, prior: bool) -> None:
        """Raise InputError where a scan without a kinship is asked for a heritability."""
        if self.alternative:
            raise InputError(
                f"method {self.method!r} estimates a heritability for every pair, but there is "
                "none without a kinship; use a null method, or give a kinship"
            )
        if prior:
            raise InputError(
                "prior moves a heritability, but there is none without a kinship; leave it out, or "
                "give a kinship"
            )

    def require_null_method(self, *, prior: bool, own_conditions: bool) -> None:
        """Raise InputError where the method cannot take what is there for single traits."""
        if prior and self.alternative:
            raise InputError(
                f"method {self.method!r} takes no prior; use a null method, or leave it out"
            )
        if own_conditions and (self.alternative or self.model.joint):
            raise InputError(
                "condition gives every trait its own markers, which the null methods take with "
                "dosages only; name markers for all traits, as condition=[...]"
            )

    def effect_unit(self, maximum: int) -> str:
        """What effects are per; `maximum` is the dosage of two counted alleles."""
        if self.genotypes is not None:
            return "from the first genotype" if self.interaction else "mean of each genotype"
        if maximum == 2:
            return "per copy of the last allele in variant_allele"
        return "from none to two copies of the last allele in variant_allele"

    def attributes(self) -> dict[str, Any]:
        """What a result says of them; JSON throughout."""
        model = self.model
        told: dict[str, Any] = {
            "method": self.method,
            "reml": self.reml,
            "precision": self.precision,
            "interaction": list(self.interaction),
        }
        if model.grid is not None:
            told["h2_grid"] = list(model.grid)
        if self.method == "alt-exact":
            told["refine_above"] = model.refine_above
        return told
