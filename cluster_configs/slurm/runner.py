"""A scan by dask-jobqueue's SLURMRunner: runner.sbatch runs this in every task of a job."""

import os
import sys

from dask.distributed import Client
from dask_jobqueue.slurm import SLURMRunner

import bulklmm_dask as blmm

study, store = sys.argv[1:]
threads = int(os.environ["SLURM_CPUS_PER_TASK"])
memory = threads * int(os.environ["SLURM_MEM_PER_CPU"])  # MiB

runner = SLURMRunner(
    scheduler_options={"dashboard_address": ":0"},
    worker_options={"nthreads": threads, "memory_limit": f"{memory}MiB"},
)
# Only the second task comes here: the others have become scheduler and workers.
with runner, Client(runner) as client:
    client.wait_for_workers(runner.n_workers)
    print(f"{runner.n_workers} workers, {threads} threads and {memory} MiB each", flush=True)
    result = blmm.scan(blmm.open_dataset(study), store=store)
    print(blmm.max_lod(result).nlargest(5, "lod")[["trait", "variant", "lod"]])
