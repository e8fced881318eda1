"""Time of a scan whose study and result lie behind latency, as a ratio to the same scan on disk.

    PYTHONPATH=tests python benchmarks/latency.py --latency 0.05

A server that speaks as S3 does and a proxy that delays each request run on loopback, in a process
of their own. They need processor time as well, which a server elsewhere would not take from the
scan: the server in memory takes least. The times are the least of all repeats.

Rounds are requests that wait for each other. Those before the first block is written, and those
after the last one is, do not grow with the number of blocks. On a busy machine, requests that need
not wait for each other are counted as rounds too: a latency of half a second tells them better.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from bucket import Memory
from objects.proxy import Proxy, Request
from objects.servers import CREDENTIALS, PLAIN, SERVERS, client_of, running

import bulklmm_dask as blmm

_BUCKET, _MEMORY = "lab", "memory"
# Statistics of pairs: what a scan writes and does not read again.
_OF_PAIRS = r"\d\.zarr/(lod|h2_alt|refined)/c/"


def main() -> None:
    """Print times, their ratio, and requests."""
    arguments = _arguments()
    warnings.simplefilter("ignore", blmm.StudyWarning)
    folder = Path(tempfile.mkdtemp(prefix="bulklmm-latency-"))
    try:
        with _server(arguments.server, folder, arguments.latency) as server:
            _compare(arguments, folder, server)
    finally:
        shutil.rmtree(folder)


def _compare(arguments: argparse.Namespace, folder: Path, server: Any) -> None:
    ds = blmm.simulate_study(
        n_samples=arguments.samples,
        n_strains=None,
        n_variants=arguments.variants,
        n_traits=arguments.traits,
        seed=1,
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    places = {"disk": str(folder), "bucket": f"s3://{_BUCKET}"}
    for place in places.values():
        blmm.save(ds, f"{place}/study.zarr")
    chunks = dict(zip(("variants", "traits"), arguments.chunks, strict=True))
    blocks = math.prod(-(-ds.sizes[dim] // size) for dim, size in chunks.items())
    times: dict[str, list[float]] = {name: [] for name in places}
    for repeat in range(arguments.repeats):
        for name, place in places.items():
            server.send("forget")
            server.recv()
            begin = time.perf_counter()
            with dask.config.set(scheduler="threads", num_workers=arguments.threads):
                study = blmm.open_dataset(f"{place}/study.zarr")
                store = f"{place}/{repeat}.zarr"
                blmm.scan(study, method=arguments.method, store=store, chunks=chunks)
            times[name].append(time.perf_counter() - begin)
    if arguments.trace:
        server.send("trace")
        _tell(server.recv())
    server.send("count")
    disk, bucket = (min(times[name]) for name in places)
    count, before, after, spent = server.recv()
    print(f"requests of a scan: {count}, {count.total() / blocks:.2f} a block")
    print(f"rounds: {before} until the first block is written, {after} after the last")
    print(f"the server took {spent:.2f} s of a processor")
    print(f"disk {disk:.2f} s, bucket {bucket:.2f} s: x {bucket / disk:.2f}")


def _tell(spans: list[tuple[float, float, Request]]) -> None:
    """Print when each request began and ended, in milliseconds since the first one."""
    zero = min(began for began, _, _ in spans)
    for began, ended, asked in sorted(spans, key=lambda span: span[0]):
        print(f"{1e3 * (began - zero):7.0f} {1e3 * (ended - zero):7.0f} {asked.verb:6} {asked.key}")


@contextmanager
def _server(name: str, folder: Path, latency: float) -> Iterator[Any]:
    """Run a server and its proxy in a process; gives a connection to it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(name, folder, latency, theirs)
    )
    process.start()
    try:
        # As over https, where nothing is digested beside what encryption does.
        how = {"AWS_ENDPOINT_URL": ours.recv(), "AWS_UNSIGNED_PAYLOAD": "true"}
        os.environ.update({**CREDENTIALS, **how})
        yield ours
    finally:
        ours.send("end")
        process.join()


@contextmanager
def _proxy(name: str, folder: Path) -> Iterator[Proxy]:
    """Run a server that has a bucket."""
    if name == _MEMORY:
        with Memory(_OF_PAIRS) as memory:
            yield memory
        return
    with running(name, folder) as address, Proxy(*address, plain=name in PLAIN) as proxy:
        client_of(*address).create_bucket(Bucket=_BUCKET)
        yield proxy


def _serve(name: str, folder: Path, latency: float, connection: Any) -> None:
    with _proxy(name, folder) as proxy:
        proxy.latency = latency
        connection.send(proxy.url)
        began = 0.0
        for word in iter(connection.recv, "end"):
            if word == "count":
                spent = time.process_time() - began
                connection.send(
                    (proxy.count(), *map(len, proxy.rounds_around("zarr/lod/c/")), spent)
                )
            elif word == "trace":
                connection.send(proxy.spans)
            else:
                proxy.forget()
                began = time.process_time()
                connection.send(None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--latency", type=float, default=0.05, help="seconds of each request")
    parser.add_argument("--server", choices=[_MEMORY, *SERVERS], default=_MEMORY)
    parser.add_argument("--method", default="alt-exact")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--variants", type=int, default=16384)
    parser.add_argument("--traits", type=int, default=1024)
    parser.add_argument("--chunks", type=int, nargs=2, default=[1024, 512])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--trace", action="store_true", help="print each request of the last scan")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
