"""What a run into a store asks of its workers: tasks, reads and memory, from its plan alone.

A run submits its blocks in batches, column by column (`engine.run`). Dask orders a batch so that
genotypes are read shortly before their blocks, and the null models of all trait chunks of the batch
are kept until its last block is finished.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from bulklmm_dask.engine.plan import BATCH, Plan
from bulklmm_dask.lmm.footprint import Cells

# Bytes of a worker process with the libraries that a block uses, before it has any work.
WORKER = 205_000_000
_DOUBLE = 8
# Marker chunks that a worker holds beside those of its running blocks: read ahead, or waiting for
# their other blocks.
_AHEAD = 4
# Null models of other workers that a worker holds for each of its threads, at most.
_FOREIGN = 4
# Seconds of the scheduler for each block, its fits and reads included (`make bench-graph`): it is
# one process, and works on one block at a time.
SCHEDULING = 1.5e-3


@dataclass(frozen=True)
class Memory:
    """Memory of a worker at its peak by part, in bytes.

    Attributes
    ----------
    worker : int
        Python, and the libraries that a block uses.
    basis : int
        Kinships and their eigenbases.
    traits : int
        Trait values that are read.
    genotypes : int
        Genotypes that are read, and kept for further blocks.
    fits : int
        Null models that are kept for further blocks.
    block : int
        Blocks, or fits, that the threads compute at a time.
    """

    worker: int
    basis: int
    traits: int
    genotypes: int
    fits: int
    block: int

    @property
    def total(self) -> int:
        """Sum of all parts."""
        return sum(getattr(self, part.name) for part in fields(self))


@dataclass(frozen=True)
class Workload:
    """A scan, or permutations, into a store.

    Attributes
    ----------
    plan : Plan
        How markers and traits are cut.
    relations : int
        Number of kinships; 0 for ordinary regression.
    genotype_bytes : int
        Bytes of the genotypes of a marker and a sample in memory.
    permutations, size : int
        Number of permutations in all, and of a block; 0 for a scan.
    pools : int
        Pools of markers with a maximum each.
    """

    plan: Plan
    relations: int = 1
    genotype_bytes: int = 8
    permutations: int = 0
    size: int = 0
    pools: int = 1

    @property
    def grid(self) -> tuple[int, int]:
        """Number of blocks of the result along its two dimensions."""
        rows, columns = self.plan.shape
        return (-(-self.permutations // self.size) if self.size else rows), columns

    @property
    def n_blocks(self) -> int:
        """Number of blocks of the result."""
        return self.grid[0] * self.grid[1]

    def batches(self) -> list[tuple[int, int]]:
        """Blocks and trait chunks of each batch of a run.

        A column has the statistics of its traits and its blocks, which follow each other.
        """
        rows, columns = self.grid
        found = []
        keys = blocks = touched = 0
        for _ in range(columns):
            keys, touched, left = keys + 1, touched + 1, rows
            while left:
                taken = min(left, max(BATCH - keys, 1))
                keys, blocks, left = keys + taken, blocks + taken, left - taken
                if keys >= BATCH:
                    found.append((blocks, touched))
                    keys, blocks, touched = 0, 0, int(left > 0)
        return [*found, (blocks, touched)] if keys else found

    @property
    def marker_reads(self) -> int:
        """Number of marker chunks that are read for the blocks: once a batch."""
        chunks = self.plan.shape[0]
        return sum(chunks if self.size else min(chunks, b) for b, _ in self.batches() if b)

    @property
    def trait_reads(self) -> int:
        """Number of trait chunks that are read for the null models: once a batch."""
        return sum(touched for _, touched in self.batches())

    @property
    def n_fits(self) -> int:
        """Number of fits of a trait chunk with a kinship: once a batch."""
        return max(self.relations, 1) * self.trait_reads

    @property
    def scheduled(self) -> int:
        """Number of blocks for the scheduler: for permutations the parts of a block count."""
        return self.n_blocks * (self.plan.shape[0] if self.size else 1)

    @property
    def scheduling(self) -> float:
        """Seconds that the scheduler takes for all blocks."""
        return SCHEDULING * self.scheduled

    @property
    def n_bases(self) -> int:
        """Number of eigendecompositions: of all samples, and of patterns of missing values."""
        if not self.relations:
            return 0
        patterns = self.plan.patterns if self.plan.patterns > 1 else 0
        return self.relations + self.n_fits * patterns

    @property
    def tasks(self) -> int:
        """Tasks of the scheduler: blocks, fits, statistics of traits, and chunks that are read.

        For permutations also the maxima of each block, and its parts for several marker chunks.
        """
        chunks = self.plan.shape[0]
        parts = self.n_blocks * (1 + chunks * (chunks > 1)) if self.size else 0
        reads = self.marker_reads + self.trait_reads
        return self.n_blocks + parts + self.n_fits + self.grid[1] + reads

    @property
    def scan(self) -> Cells:
        """Memory of a task that scans, beside what it is given, in float64 numbers."""
        plan = self.plan
        if self.size:
            given = plan.variants, plan.traits, self.size, self.pools
            return plan.footprint.permutations(*given)
        return plan.scan_cells

    def memory(self, threads: int, workers: int = 1) -> Memory:
        """Peak memory of one of several workers with so many threads each, by part.

        The peak is that of the eigenbases, of the fits or of the blocks, whichever takes most. Null
        models that come from another worker use the eigenbasis that is there (`fits.Fits`).
        """
        plan, n = self.plan, self.plan.n_samples
        blocks, columns = max(self.batches(), key=lambda batch: (batch[1], batch[0]))
        kinships = self.relations
        square, fit = n**2 * (kinships > 0), plan.fit_cells
        chunk = plan.variants * n * self.genotype_bytes / _DOUBLE
        chunks = plan.shape[0]
        genotypes = chunk * min(chunks, threads + (_AHEAD // 2 if self.size else _AHEAD))
        if self.size:
            genotypes += n * self.size * self.grid[0]  # permutations of the samples
        fits = columns * max(kinships, 1)
        running = min(threads, fits)
        if workers > 1:
            own = -(-fits // workers)
            copies = min(max(fits - own, 1), _FOREIGN * threads)
            fits = min(fits, own + copies)
        # Values that are read, beside the pieces that they are put together from.
        values = 2 * plan.traits * n * min(threads, columns)
        scanning = min(threads, max(blocks, 1) * (chunks if self.size else 1))
        bases = min(threads, kinships)
        known = kinships * plan.footprint.known * (kinships > 0)
        waiting = max(fits - running, 0) * fit.kept
        solving = known, 0.0, 0.0, 0.0, bases * 2.0 * square
        fitting = known, values, genotypes, waiting, running * fit.peak
        scanned = known, 0.0, genotypes, fits * fit.kept, scanning * self.scan.peak
        largest = max(solving, fitting, scanned, key=sum)
        return Memory(WORKER, *(int(_DOUBLE * cells) for cells in largest))
