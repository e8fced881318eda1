"""What else works in the cluster: deployments, claims, and services with their proxies."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

from clusters.kubernetes import names
from clusters.kubernetes.addresses import Addresses
from clusters.kubernetes.kinds import BUILT_IN
from clusters.kubernetes.objects import Object, Objects
from clusters.kubernetes.probes import port_of

_PODS = next(kind for kind in BUILT_IN if kind.plural == "pods")


class Controllers:
    """Does what the objects ask for, until cancelled.

    Parameters
    ----------
    objects : Objects
        All objects.
    addresses : Addresses
        Of services.
    """

    def __init__(self, objects: Objects, addresses: Addresses) -> None:
        self._objects, self._addresses = objects, addresses
        self._proxies: dict[tuple[str, int], asyncio.Server] = {}
        self._targets: dict[tuple[str, int], tuple[str, int]] = {}
        self._addressed: dict[str, str] = {}  # addresses by the uid of their service

    async def run(self) -> None:
        """Look at all objects whenever one is changed."""
        try:
            while True:
                changed = self._objects.next_change
                self._deployments()
                self._claims()
                await self._services()
                await changed.wait()
        finally:
            for proxy in self._proxies.values():
                proxy.close()

    def _deployments(self) -> None:
        """A pod for each; another one where it is gone."""
        for item in self._objects.all("deployments"):
            meta = item["metadata"]
            if "deletionTimestamp" in meta:
                continue
            own = [
                pod
                for pod in self._objects.all("pods", meta["namespace"])
                if meta["uid"] in [each["uid"] for each in _owners(pod)]
                and "deletionTimestamp" not in pod["metadata"]
            ]
            if not own:
                self._objects.create(_PODS, meta["namespace"], _pod_of(item))
            ready = sum(_is_ready(pod) for pod in own)
            key = ("deployments", meta["namespace"], meta["name"])
            self._objects.set_status(key, replicas=1, readyReplicas=ready)

    def _claims(self) -> None:
        for item in self._objects.all("persistentvolumeclaims"):
            meta = item["metadata"]
            key = ("persistentvolumeclaims", meta["namespace"], meta["name"])
            self._objects.set_status(key, phase="Bound")

    async def _services(self) -> None:
        """An address for each service; a proxy at each of its ports while a pod is ready."""
        wanted: dict[tuple[str, int], tuple[str, int]] = {}
        services = self._objects.all("services")
        for item in services:
            address = self._addressed.get(item["metadata"]["uid"]) or self._settle(item)
            pod = self._endpoint(item)
            for port in item["spec"]["ports"] if pod else ():
                (container,) = pod["spec"]["containers"]
                number = port_of(container, port.get("targetPort", port["port"]))
                wanted[address, names.shifted(port["port"])] = (pod["status"]["podIP"], number)
        for gone in self._addressed.keys() - {each["metadata"]["uid"] for each in services}:
            self._addresses.free(self._addressed.pop(gone))
        self._targets = wanted
        for where in self._proxies.keys() - wanted.keys():
            self._proxies.pop(where).close()
        for where in wanted.keys() - self._proxies.keys():
            self._proxies[where] = await asyncio.start_server(self._forward, *where)

    def _settle(self, service: Object) -> str:
        """Give a service its address, and what else it has by default."""
        meta = service["metadata"]
        known = names.service_names(meta["name"], meta["namespace"])
        address = self._addressed[meta["uid"]] = self._addresses.new(*known)
        key = ("services", meta["namespace"], meta["name"])
        defaults = {"clusterIP": address, "type": "ClusterIP"}
        self._objects.change(key, lambda item: {**item, "spec": {**defaults, **item["spec"]}})
        self._objects.set_status(key, loadBalancer={})
        return address

    def _endpoint(self, service: Object) -> Object:
        """A pod that is ready and that a service selects; nothing without."""
        selector = service["spec"].get("selector", {}).items()
        for pod in self._objects.all("pods", service["metadata"]["namespace"]):
            if selector <= pod["metadata"].get("labels", {}).items() and _is_ready(pod):
                return pod
        return {}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass a connection on to the pod."""
        where = writer.get_extra_info("sockname")
        try:
            with suppress(OSError, KeyError, asyncio.CancelledError):
                back, forth = await asyncio.open_connection(*self._targets[where])
                await asyncio.gather(_pump(reader, forth), _pump(back, writer))
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def _owners(item: Object) -> list[Object]:
    owners: list[Object] = item["metadata"].get("ownerReferences", [])
    return owners


def _is_ready(pod: Object) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod.get("status", {}).get("conditions", ())
    return {"type": "Ready", "status": "True"} in conditions


def _pod_of(deployment: Object) -> Object:
    """The pod of a deployment, under a name of its own."""
    meta, template = deployment["metadata"], deployment["spec"]["template"]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }
    own = {
        "name": f"{meta['name']}-{uuid.uuid4().hex[:5]}",
        "labels": template["metadata"].get("labels", {}),
        "annotations": template["metadata"].get("annotations", {}),
        "ownerReferences": [owner],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": own, "spec": template["spec"]}
