"""The kubelet of the double: pods as processes of this machine."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from clusters.kubernetes import names
from clusters.kubernetes.addresses import Addresses
from clusters.kubernetes.containers import Container, expanded
from clusters.kubernetes.objects import Key, Object, Objects, now
from clusters.kubernetes.probes import probe

# Seconds before a container is started again. Kubernetes begins with 10 and doubles them.
BACKOFF = 1.0


class Kubelet:
    """Runs what pods say.

    Parameters
    ----------
    objects : Objects
        Where pods are found, and their status is written.
    addresses : Addresses
        Of pods.
    folder : path
        For logs, disks of pods and claims.
    images : set of str
        Images that can be had. Their programs are those of this environment.
    modules : list of path
        Folders of Python modules: the package, and what makes a process that of a pod.
    """

    def __init__(
        self,
        objects: Objects,
        addresses: Addresses,
        folder: Path,
        images: set[str],
        modules: list[Path],
    ) -> None:
        self._objects, self._addresses = objects, addresses
        self._folder, self._images, self._modules = folder, images, modules
        self._pods: dict[str, asyncio.Task[None]] = {}
        self.containers: dict[str, list[Container]] = {}  # by the uid of their pod
        self._deadlines: dict[str, asyncio.Timeout] = {}

    async def run(self) -> None:
        """Run all pods, until cancelled; then end them."""
        try:
            while True:
                changed = self._objects.next_change
                for pod in self._objects.all("pods"):
                    uid = pod["metadata"]["uid"]
                    if uid not in self._pods:
                        self._pods[uid] = asyncio.create_task(self._pod(pod))
                await changed.wait()
        finally:
            for task in self._pods.values():
                task.cancel()
            await asyncio.gather(*self._pods.values(), return_exceptions=True)

    def claim(self, name: str) -> Path:
        """The folder of a claim."""
        made = self._folder / "claims" / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def log(self, key: Key, container: str) -> Path:
        """The file with what a container of a pod has said."""
        return self._folder / "logs" / f"{key[1]}.{key[2]}.{container}"

    def address(self, key: Key) -> str:
        """The address of a pod."""
        return str(self._objects.get(*key)["status"]["podIP"])

    def pass_deadline(self, key: Key) -> None:
        """Let the `activeDeadlineSeconds` of a pod be over."""
        pod = self._objects.get(*key)
        assert "activeDeadlineSeconds" in pod["spec"], "it has no deadline"
        self._deadlines[pod["metadata"]["uid"]].reschedule(0)

    async def _pod(self, pod: Object) -> None:
        """The life of a pod."""
        meta = pod["metadata"]
        key = ("pods", meta["namespace"], meta["name"])
        gone = asyncio.create_task(self._until_deleted(key, meta["uid"]))
        life = asyncio.create_task(self._life(key, pod))
        try:
            await asyncio.wait({gone, life}, return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                life.result()
            await gone
            grace = self._objects.get(*key)["metadata"]["deletionGracePeriodSeconds"]
            await self._stop(meta["uid"], grace)
        finally:
            for task in (gone, life):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await life
            for container in self.containers.get(meta["uid"], ()):
                container.kill()
        self._addresses.free(self._objects.get(*key)["status"].get("podIP", ""))
        self._objects.remove_pod(key)

    async def _until_deleted(self, key: Key, uid: str) -> None:
        while True:
            found = self._objects.find(*key)
            if found is None or "deletionTimestamp" in found["metadata"]:
                return
            await self._objects.next_change.wait()

    async def _stop(self, uid: str, grace: float) -> None:
        """End the processes of a pod: they are asked first."""
        running = [each for each in self.containers.get(uid, ()) if "running" in each.state]
        for container in running:
            container.ask()
        ends = [each.process.wait() for each in running if each.process is not None]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*ends), grace)

    async def _life(self, key: Key, pod: Object) -> None:
        """Start the containers of a pod, again where they end, until none will run again."""
        spec, uid = pod["spec"], pod["metadata"]["uid"]
        self._objects.set_status(key, phase="Pending", conditions=_conditions(False))
        while (reason := self._missing(key[1], spec)) and self._objects.find(*key):
            waiting = {"state": {"waiting": {"reason": reason}}, "ready": False, "restartCount": 0}
            self._objects.set_status(key, containerStatuses=[
                {"name": each["name"], "image": each["image"], **waiting}
                for each in spec["containers"]
            ])  # fmt: skip
            await self._objects.next_change.wait()
        address = self._addresses.new(key[2])
        containers = [self._made(key, uid, each, spec, address) for each in spec["containers"]]
        self.containers[uid] = containers
        self._objects.set_status(key, podIP=address, startTime=now())
        lives = [self._container(key, each, containers, spec, address) for each in containers]
        try:
            async with asyncio.timeout(spec.get("activeDeadlineSeconds")) as self._deadlines[uid]:
                codes = await asyncio.gather(*lives)
        except TimeoutError:
            await self._stop(uid, spec.get("terminationGracePeriodSeconds", 30))
            for container in containers:
                container.kill()
            message = "Pod was active on the node longer than the specified deadline"
            self._objects.set_status(
                key, phase="Failed", reason="DeadlineExceeded", message=message
            )
            return
        self._objects.set_status(key, phase="Failed" if any(codes) else "Succeeded")

    def _missing(self, namespace: str, spec: dict[str, Any]) -> str:
        """Why a pod cannot be started yet."""
        for claim in _claims(spec).values():
            found = self._objects.find("persistentvolumeclaims", namespace, claim)
            if found is None or found.get("status", {}).get("phase") != "Bound":
                return "ContainerCreating"
        for container in spec["containers"]:
            if container["image"] not in self._images:
                return "ErrImagePull"
            for secret, optional in _secrets(container):
                if not optional and self._objects.find("secrets", namespace, secret) is None:
                    return "CreateContainerConfigError"
        return ""

    def _made(
        self, key: Key, uid: str, container: dict[str, Any], spec: dict[str, Any], address: str
    ) -> Container:
        folder = self._folder / "pods" / uid / container["name"]
        folder.mkdir(parents=True)
        log = self.log(key, container["name"])
        log.parent.mkdir(exist_ok=True)
        log.write_bytes(b"")  # of an earlier pod of the name
        claims = _claims(spec)
        mounts = {
            mount["mountPath"]: self.claim(claims[mount["name"]])
            for mount in container.get("volumeMounts", ())
        }
        variables = {
            **self._image(folder),
            **names.environment(address, key[2], self._addresses.names),
            **self._of_services(key[1]),
        }
        for secret, _ in _secrets(container):
            found = self._objects.find("secrets", key[1], secret) or {}
            values = found.get("data", {})
            variables |= {name: base64.b64decode(text).decode() for name, text in values.items()}
        for each in container.get("env", ()):
            variables[each["name"]] = expanded(each["value"], variables)
        return Container(container, variables, mounts, folder, log)

    def _image(self, folder: Path) -> dict[str, str]:
        """What the image gives a container: programs, modules, settings; nothing of ours."""
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
            "PYTHONPATH": os.pathsep.join(map(str, self._modules)),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "OPENBLAS_NUM_THREADS": "1",
        }

    def _of_services(self, namespace: str) -> dict[str, str]:
        """Variables that Kubernetes makes of the services of a namespace."""
        made = {}
        for service in self._objects.all("services", namespace):
            name = service["metadata"]["name"].upper().replace("-", "_")
            address, port = service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"]
            made[f"{name}_SERVICE_HOST"], made[f"{name}_SERVICE_PORT"] = address, str(port)
            made[f"{name}_PORT"] = f"tcp://{address}:{port}"
        return made

    async def _container(
        self,
        key: Key,
        container: Container,
        all_of_pod: list[Container],
        spec: dict[str, Any],
        address: str,
    ) -> int:
        """Start a container, and again as its pod wants; give its last exit code."""
        policy = spec.get("restartPolicy", "Always")

        def say() -> None:
            ready = all(each.is_ready for each in all_of_pod)
            self._objects.set_status(
                key,
                phase="Running",
                conditions=_conditions(ready),
                containerStatuses=[each.status for each in all_of_pod],
            )

        while True:
            await container.start()
            container.is_ready = "readinessProbe" not in container.spec
            say()
            probes = [
                asyncio.create_task(probe(container, name, address, tell))
                for name, tell in _tellers(container, say)
                if name in container.spec
            ]
            try:
                code = await container.ended()
            finally:
                for task in probes:
                    task.cancel()
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                say()
                return code
            container.waits("CrashLoopBackOff")
            say()
            await asyncio.sleep(BACKOFF)
            container.restarts += 1


def _tellers(container: Container, say: Any) -> Iterator[tuple[str, Any]]:
    """What is done as probes succeed or fail."""

    def readiness(answers: bool) -> None:
        if container.is_ready != answers:
            container.is_ready = answers
            say()

    def liveness(answers: bool) -> None:
        if not answers:
            container.ask()

    yield "readinessProbe", readiness
    yield "livenessProbe", liveness


def _conditions(ready: bool) -> list[dict[str, str]]:
    return [{"type": name, "status": str(ready)} for name in ("Ready", "ContainersReady")]


def _claims(spec: dict[str, Any]) -> dict[str, str]:
    """Names of claims by those of volumes; the double has no other volumes."""
    return {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in spec.get("volumes", ())
    }


def _secrets(container: dict[str, Any]) -> list[tuple[str, bool]]:
    """Secrets whose values become variables, and whether they may be lacking."""
    sources = [each["secretRef"] for each in container.get("envFrom", ())]
    return [(source["name"], source.get("optional", False)) for source in sources]
