"""One scan, the same file wherever its workers are; only the end of the command differs.

    python scan.py /data/study.zarr /data/lod.zarr                              # threads
    python scan.py /data/study.zarr /data/lod.zarr --workers 4 --threads 2      # processes
    python scan.py /data/study.zarr /data/lod.zarr --scheduler scheduler.json   # a cluster
    sbatch --ntasks=8 scan.sbatch scan.py /data/study.zarr /data/lod.zarr       # a SLURM job
    sbatch --array=1-10 array.sbatch scan.py /data/study.zarr /data/lod.zarr    # a job array

Stopped by anything, the same command goes on from the blocks that are finished.
"""

from __future__ import annotations

import argparse
import signal

import bulklmm_dask as blmm

# What is asked of the scan: arguments of blmm.scan.
OPTIONS = {"method": "null-exact"}


def arguments() -> argparse.Namespace:
    """Words of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", help="path or URL of the study, with its kinship")
    parser.add_argument("store", help="path or URL of the result")
    parser.add_argument("--scheduler", help="address or file of a running scheduler")
    parser.add_argument("--workers", type=int, default=0, help="processes of this machine")
    parser.add_argument("--threads", type=int, help="threads, of each process if there are several")
    parser.add_argument("--share", metavar="NUMBER/COUNT", help="share of the traits, such as 3/10")
    return parser.parse_args()


def main() -> None:
    """Scan, and show the highest LODs."""
    asked = arguments()
    # A batch system ends its jobs by SIGTERM: stop in order, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with blmm.workers(
        scheduler=asked.scheduler, processes=asked.workers, threads=asked.threads
    ) as where:
        print(f"computes on {where}", flush=True)
        ds = blmm.open_dataset(asked.study)
        result = blmm.scan(ds, store=asked.store, share=asked.share, **OPTIONS)
        peaks = blmm.max_lod(result)
    print(peaks.nlargest(5, "lod")[["trait", "variant", "lod"]])


# Worker processes import this file, and must not scan themselves.
if __name__ == "__main__":
    main()
