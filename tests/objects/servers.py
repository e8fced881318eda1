"""S3-compatible servers on loopback, as processes that end with the test session."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds until a server answers

# What clients need to know, beside the endpoint. The keys open nothing.
KEY, SECRET = "test-key-AKIA000", "test-secret-6d1f0b5e"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}


# Both send the head of an answer and its body apart: by default the body then waits 40 ms for the
# other side's word that the head has come. They let five connections wait; the system tries the
# next again after a second.
_AT_ONCE = """
import runpy, socketserver, sys
socketserver.StreamRequestHandler.disable_nagle_algorithm = True
socketserver.TCPServer.request_queue_size = 128
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def _moto(port: int, folder: Path) -> list[str]:
    return ["moto.server", "-H", "127.0.0.1", "-p", str(port)]


def _localbucket(port: int, folder: Path) -> list[str]:
    (folder / "buckets").mkdir()
    return ["localbucket", "--port", str(port), "buckets"]


# Servers that need the proxy to remove many objects at one request, and to write on a condition.
PLAIN = {"localbucket"}

SERVERS: Mapping[str, Callable[[int, Path], list[str]]] = {
    "moto": _moto,
    "localbucket": _localbucket,
}


def missing(name: str) -> str:
    """Say that a server is not installed; empty if it is."""
    return "" if find_spec(name) else f"{name} is not installed"


@contextmanager
def running(name: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Run a server; gives host and port once it answers."""
    port = _free_port()
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _AT_ONCE, *SERVERS[name](port, folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        _wait_for(process, port, Path(log.name))
        yield "127.0.0.1", port
    finally:
        process.kill()
        process.wait()


def client_of(host: str, port: int) -> Any:
    """A boto3 client of a server."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError, HTTPException):
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            return
        time.sleep(0.05)
    raise AssertionError(f"the server did not answer: {log.read_text()}")
