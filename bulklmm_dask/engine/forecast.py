"""How long a run takes on some workers: its work, divided by the speed that was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bulklmm_dask.engine.calibration import Rates
from bulklmm_dask.engine.copies import Copies
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


def forecast(
    load: Workload, rates: Rates, room: Room, copies: Copies | None = None, *, stored: bool = True
) -> Forecast:
    """Forecast a run.

    Parameters
    ----------
    load : Workload
        The run.
    rates : Rates
        Speed of one thread.
    room : Room
        Workers and their threads.
    copies : Copies, optional
        Samples and markers that a scan computes once.
    stored : bool
        Whether all statistics are written into a store.
    """
    copies = copies or Copies()
    plan, foot = load.plan, load.plan.footprint
    work = Operations(
        *(foot.model, foot.n_samples, foot.n_covariates, foot.searched, copies.samples),
        together=foot.together,
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
    of_fit = plan.n_traits / plan.shape[1]  # the last chunk may be smaller
    fitting = (rates.fit * n + 2.0 * n * n / rates.rotation) * of_fit
    seconds = {
        "bases": bases * work.basis() / rates.basis,
        "fits": fits * fitting / min(together, max(fits, 1)),
        "scheduler": load.scheduling,
    }
    computed = copies.markers * plan.n_variants
    if load.size:
        products = work.permuted(computed, plan.n_traits, load.permutations)
        # Each chunk of markers has the traits permuted, and each block rotates its markers: with
        # several kernels into the basis of each ratio.
        rotations = plan.shape[0] * work.permuting(plan.n_traits, load.permutations)
        if not foot.model.components:
            rotations += load.n_blocks * work.rotation(1) * computed
        ratios = load.scheduled * work.ratios(min(plan.variants, plan.n_variants))
        flops["blocks"] = products + rotations + ratios
        pairs = computed * plan.n_traits * load.permutations
        taken = products / rates.product + rotations / rates.rotation
        taken += pairs * rates.pair + ratios * rates.ratio
        at_once = min(together, load.scheduled)
    else:
        columns = plan.shape[1]
        products = work.products(1, plan.n_traits) * computed
        of_one = plan.n_variants // max(load.relations, 1)
        few = is_few(foot.model, n, plan.traits, of_one) and not foot.own
        few &= not foot.model.components
        rotations = columns * plan.patterns * work.rotation(1) * computed
        flops["blocks"] = products + rotations
        markers = columns * computed * n
        traits = float(plan.shape[0] * plan.n_traits * n)
        # Those of few traits are in single precision.
        taken = products / rates.product + rotations / (rates.rotation * (2.0 if few else 1.0))
        taken += computed * plan.n_traits * rates.pair
        taken += markers * rates.marker + traits * rates.trait
        if stored:  # copies are compressed as one
            taken += computed * plan.n_traits * plan.pair_bytes / rates.write
        else:
            taken += plan.tests * rates.reduced
        at_once = min(together, load.n_blocks)
    if stored:
        taken += _STORING * load.n_blocks
    seconds["blocks"] = taken / at_once
    return Forecast(flops, seconds)
