"""How long a run takes on some workers: its work, divided by the speed that was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bulklmm_dask.engine.calibration import Rates
from bulklmm_dask.engine.room import Room
from bulklmm_dask.engine.workload import Workload
from bulklmm_dask.lmm.few.choice import is_few
from bulklmm_dask.lmm.operations import Operations

# Seconds of a worker for each block that is stored, beside its arithmetic and its compression: for
# files, checksums and the summary.
_STORING = 4e-3


@dataclass(frozen=True)
class Forecast:
    """Operations and seconds of the steps of a run.

    Attributes
    ----------
    flops : dict of str to float
        Floating-point operations of the bases, the fits and the blocks.
    seconds : dict of str to float
        Seconds of these steps on all threads together, and of the scheduler.
    """

    flops: dict[str, float]
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """Seconds of the run: the scheduler works while blocks are computed."""
        steps = self.seconds
        return steps["bases"] + max(steps["fits"] + steps["blocks"], steps["scheduler"])

    @property
    def scheduler_is_the_limit(self) -> bool:
        """Whether the workers would finish blocks faster than the scheduler hands them out."""
        return self.seconds["scheduler"] > self.seconds["fits"] + self.seconds["blocks"]


def forecast(load: Workload, rates: Rates, room: Room) -> Forecast:
    """Forecast a run.

    Parameters
    ----------
    load : Workload
        The run.
    rates : Rates
        Speed of one thread.
    room : Room
        Workers and their threads.
    """
    plan, foot = load.plan, load.plan.footprint
    work = Operations(
        foot.model, foot.n_samples, foot.n_covariates, foot.searched, together=foot.together
    )
    n, together = plan.n_samples, room.workers * room.threads
    fits, own = load.n_fits, load.n_bases - load.relations
    flops = {
        "bases": load.n_bases * work.basis(),
        "fits": fits * work.fit(plan.traits),
        "blocks": 0.0,
    }
    # Bases of kinships run beside each other, at most one a thread.
    rounds = math.ceil(load.relations / together) if load.relations else 0
    bases = rounds + own / min(together, max(fits, 1))
    fitting = rates.fit * n * plan.traits + 2.0 * n * n * plan.traits / rates.rotation
    seconds = {
        "bases": bases * work.basis() / rates.basis,
        "fits": fits * fitting / min(together, max(fits, 1)),
        "scheduler": load.scheduling,
    }
    if load.size:
        flops["blocks"] = work.permuted(plan.n_variants, plan.n_traits, load.permutations)
        ratios = load.scheduled * work.ratios(min(plan.variants, plan.n_variants))
        pairs = float(plan.tests) * load.permutations
        taken = flops["blocks"] / rates.product + pairs * rates.pair + ratios * rates.ratio
        flops["blocks"] += ratios
        at_once = min(together, load.scheduled)
    else:
        columns = plan.shape[1]
        products = work.products(plan.n_variants, plan.n_traits)
        of_one = plan.n_variants // max(load.relations, 1)
        few = is_few(foot.model, n, plan.traits, of_one) and not foot.own
        few &= not foot.model.components
        rotations = columns * plan.patterns * work.rotation(plan.n_variants)
        flops["blocks"] = products + rotations
        markers = float(columns * plan.n_variants * n)
        traits = float(plan.shape[0] * plan.n_traits * n)
        # Those of few traits are in single precision.
        taken = products / rates.product + rotations / (rates.rotation * (2.0 if few else 1.0))
        taken += plan.tests * (rates.pair + plan.pair_bytes / rates.write)
        taken += markers * rates.marker + traits * rates.trait
        at_once = min(together, load.n_blocks)
    seconds["blocks"] = (taken + _STORING * load.n_blocks) / at_once
    return Forecast(flops, seconds)
