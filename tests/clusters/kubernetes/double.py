"""The double of a Kubernetes, with the real Dask operator at work in it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

import yaml
from aiohttp import web

from clusters.kubernetes import names
from clusters.kubernetes.addresses import Addresses
from clusters.kubernetes.api import Api, Pods
from clusters.kubernetes.controllers import Controllers
from clusters.kubernetes.kubelet import Kubelet
from clusters.kubernetes.objects import Objects

ROOT = Path(__file__).resolve().parents[3]
DEFINITIONS = "deployment/helm/dask-kubernetes-operator/crds"
_CONTROLLER = ["kopf", "run", "-m", "dask_kubernetes.operator.controller"]
T = TypeVar("T")


class Double:
    """A cluster on loopback addresses. It runs in a thread, its pods in processes.

    Parameters
    ----------
    folder : path
        For logs, claims, and the kubeconfig.
    images : set of str
        Images that can be had.
    """

    def __init__(self, folder: Path, images: set[str]) -> None:
        self.folder = folder
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(names.SITE)
        self.modules = [site, ROOT, ROOT / "tests"]
        self.addresses = Addresses(folder / "names.json")
        self.url = ""
        self.objects: Objects
        self.kubelet: Kubelet
        self._images = images
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="kubernetes")

    @property
    def kubeconfig(self) -> Path:
        """The file that clients are told of."""
        return self.folder / "kubeconfig.json"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        assert self._started.wait(60), "the double has not started"
        nobody = {"name": "nobody", "user": {}}
        cluster = {"name": "double", "cluster": {"server": self.url}}
        chosen = {"cluster": "double", "user": "nobody", "namespace": "default"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [nobody],
            "contexts": [{"name": "double", "context": chosen}],
            "current-context": "double",
        }
        self.kubeconfig.write_text(json.dumps(config))

    def stop(self) -> None:
        """End all pods, and the thread."""
        assert self._main is not None
        self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()
        self.addresses.close()

    def ask(self, function: Callable[[], T]) -> T:
        """Call a function in the thread of the double."""

        assert self._thread.is_alive(), "the double has ended"

        async def asked() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(asked(), self._loop).result(60)

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> Any:
        """Ask the API server; HTTPError where it refuses."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data, {"Content-Type": kind}, method=method)
        with urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def environment(self, name: str) -> dict[str, str]:
        """Variables of a process that runs in the cluster without being a pod."""
        modules = os.pathsep.join(map(str, self.modules))
        here = names.environment(self.addresses.new(name), name, self.addresses.names)
        return {"KUBECONFIG": str(self.kubeconfig), "PYTHONPATH": modules, **here}

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._serve())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._main)
        answers = asyncio.all_tasks(self._loop)  # watches, which never end by themselves
        for task in answers:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*answers, return_exceptions=True))
        self._loop.close()

    async def _serve(self) -> None:
        self.objects = Objects()
        self.kubelet = Kubelet(
            self.objects, self.addresses, self.folder, self._images, self.modules
        )
        controllers = Controllers(self.objects, self.addresses)
        api = Api(self.objects, Pods(self.kubelet.log, self.kubelet.address))
        runner = web.AppRunner(api.application(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, self.addresses.host, 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._started.set()
        tasks = [asyncio.create_task(each.run()) for each in (self.kubelet, controllers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # pods end before the API does
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await runner.cleanup()


@contextmanager
def operator(double: Double) -> Iterator[Path]:
    """Install the Dask operator, as its chart does, and run its controller; gives its log."""
    for file in importlib.metadata.files("dask-kubernetes") or ():
        if DEFINITIONS in str(file):
            definition = yaml.load(Path(file.locate()).read_text(), Loader=yaml.CSafeLoader)
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            double.request("POST", path, definition)
    log = double.folder / "operator.log"
    words = [sys.executable, "-m", *_CONTROLLER, "--all-namespaces", "--standalone"]
    own = double.environment("operator")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words,
            stdout=stream,
            stderr=stream,
            env={"PATH": os.environ["PATH"], "HOME": str(double.folder), **own},
            cwd=double.folder,
            start_new_session=True,
        )
    try:
        yield log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
