"""A Dask cluster on machines that are reached by ssh, until Ctrl-C: a worker on each.

The scheduler is on the first machine. All need the same Python environment and see the study and
the result under the same path. Names, ports, users and keys are those of ~/.ssh/config.

    python cluster.py node1 node2 node3 --threads 8 --memory 32GB
    bulklmm scan /data/study.zarr /data/lod.zarr --scheduler scheduler.json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import dask
from distributed import SSHCluster

# Arrays use freed memory again, which the threads of a worker share.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": 2**25, "MALLOC_ARENA_MAX": 1}


def options() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("machines", nargs="+", metavar="MACHINE", help="names or addresses; the first schedules")
    add("--threads", type=int, help="threads of each worker  [default: all processors]")
    add("--memory", default="auto", help="memory limit of each worker  [default: all memory]")
    add("--python", default=sys.executable, help="Python on the machines  [default: this one]")
    add("--address", help="address of the first machine at which the others reach its scheduler")
    add(
        "--scheduler-file", type=Path, default=Path("scheduler.json"), help="[default: %(default)s]"
    )
    add("--scratch", help="folder of each machine for what memory does not hold  [default: /tmp]")
    for name in ("ca-file", "cert", "key"):
        add(f"--tls-{name}", metavar="PEM", help="speak TLS; at the same path on all machines")
    return parser.parse_args()


def settings(asked: argparse.Namespace) -> dict[str, Any]:
    """Dask's configuration, which the machines are sent."""
    found: dict[str, Any] = {
        f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MEMORY.items()
    }
    if asked.tls_ca_file is None:
        return found
    tls = {"ca-file": asked.tls_ca_file}
    for role in ("scheduler", "worker", "client"):
        tls |= {f"{role}.cert": asked.tls_cert, f"{role}.key": asked.tls_key}
    found |= {f"distributed.comm.tls.{name}": file for name, file in tls.items()}
    return found | {"distributed.comm.require-encryption": True}


def main() -> None:
    """Start the cluster, write its scheduler file, and wait for Ctrl-C or SIGTERM."""
    asked = options()
    # All of the configuration is sent, and all users of a machine see it: passwords stay here.
    for name in dask.config.global_config.keys() - {"distributed", "array"}:
        del dask.config.global_config[name]
    dask.config.set(settings(asked))
    # The dashboard is seen through ssh -L only. A cluster that lost this process ends by itself.
    scheduler = {"dashboard_address": "127.0.0.1:0", "port": 0, "idle_timeout": "1 hour"}
    if asked.address is not None:
        scheduler["host"] = asked.address
    if asked.tls_ca_file is not None:
        scheduler["protocol"] = "tls://"
    worker: dict[str, Any] = {"memory_limit": asked.memory, "death_timeout": "5 minutes"}
    if asked.threads is not None:
        worker["nthreads"] = asked.threads
    if asked.scratch is not None:
        worker["local_directory"] = asked.scratch
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with SSHCluster(
        [asked.machines[0], *asked.machines],
        scheduler_options=scheduler,
        worker_options=worker,
        remote_python=asked.python,
    ) as cluster:
        file: Path = asked.scheduler_file
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps({"address": cluster.scheduler_address}))
        os.replace(partial, file)
        print(f"{cluster.scheduler_address}, in {file}; Ctrl-C ends it", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopped")
        finally:
            file.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
