"""The API server of the double: HTTP in front of `Objects`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from clusters.kubernetes.kinds import Kind
from clusters.kubernetes.names import shifted
from clusters.kubernetes.objects import Key, Object, Objects, RefusedError
from clusters.kubernetes.patches import patched
from clusters.kubernetes.selectors import selected

SERVER = "v1.35.0"
_PAUSE = 0.05  # seconds between looks at a log that is followed


@dataclass
class Pods:
    """What only the kubelet knows of pods; it fills this in.

    Attributes
    ----------
    log : callable
        Gives the file with what a container of a pod has said.
    address : callable
        Gives the address of a pod.
    """

    log: Callable[[Key, str], Path]
    address: Callable[[Key], str]


@dataclass
class Request:
    """A request, taken apart.

    Attributes
    ----------
    kind : Kind
        The kind of objects asked for.
    namespace, name, part : str
        Empty where the path has none; the part is `status`, `log` or `portforward`.
    http : aiohttp.web.Request
        The request itself.
    """

    kind: Kind
    namespace: str
    name: str
    part: str
    http: web.Request = field(repr=False)

    @property
    def key(self) -> Key:
        return self.kind.plural, self.namespace, self.name

    def accepts(self) -> Callable[[Object], bool]:
        """The test of the namespace and of the selectors."""
        query = self.http.query
        accepts = selected(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        return lambda item: (
            self.namespace in ("", item["metadata"].get("namespace")) and accepts(item)
        )


class Api:
    """Answers requests.

    Parameters
    ----------
    objects : Objects
        What there is.
    pods : Pods
        Of the kubelet.
    """

    def __init__(self, objects: Objects, pods: Pods) -> None:
        self._objects, self._pods = objects, pods

    def application(self) -> web.Application:
        """The server, to be run."""
        made = web.Application()
        made.router.add_route("*", "/{path:.*}", self._answer)
        return made

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        try:
            words = [word for word in http.path.split("/") if word]
            found = self._discovered(words)
            if found is not None:
                return web.json_response(found)
            request = self._parsed(words, http)
            return await self._action(request)(request)
        except RefusedError as error:
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "message": str(error),
                "reason": error.reason,
                "code": error.code,
            }
            return web.json_response(status, status=error.code)

    def _discovered(self, words: list[str]) -> dict[str, Any] | None:
        """What discovery says at a path; None where the path is of objects."""
        kinds = self._objects.kinds.values()
        match words:
            case ["version"]:
                _, major, minor, *_ = SERVER.replace("v", ".").split(".")
                return {"major": major, "minor": minor, "gitVersion": SERVER}
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                groups = sorted({(kind.group, kind.version) for kind in kinds if kind.group})
                return {"kind": "APIGroupList", "groups": [_group(*each) for each in groups]}
            case ["api", "v1"]:
                return _resources("v1", kinds)
            case ["apis", group, version]:
                return _resources(f"{group}/{version}", kinds)
        return None

    def _parsed(self, words: list[str], http: web.Request) -> Request:
        group, rest = ("", words[2:]) if words[:1] == ["api"] else (words[1:2], words[3:])
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, part, *_ = [*rest, "", "", ""]
        kind = self._objects.kinds.get(plural)
        if kind is None or kind.group != "".join(group):
            raise RefusedError(404, "NotFound", "the server could not find the requested resource")
        return Request(kind, namespace, name, part, http)

    def _action(self, request: Request) -> Callable[[Request], Awaitable[web.StreamResponse]]:
        method, part = request.http.method, request.part
        if part in ("log", "portforward"):
            return self._log if part == "log" else self._port_forward
        if method == "GET" and not request.name:
            watches = request.http.query.get("watch") in ("true", "1")
            return self._watch if watches else self._list
        actions = {
            "GET": self._get,
            "POST": self._create,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        if method not in actions or part not in ("", "status"):
            raise RefusedError(405, "MethodNotAllowed", f"the double knows no {method} of {part!r}")
        return actions[method]

    async def _get(self, request: Request) -> web.StreamResponse:
        return web.json_response(self._objects.get(*request.key))

    async def _list(self, request: Request) -> web.StreamResponse:
        accepts = request.accepts()
        items = [each for each in self._objects.all(request.kind.plural) if accepts(each)]
        listed = {
            "kind": f"{request.kind.name}List",
            "apiVersion": request.kind.api_version,
            "metadata": {"resourceVersion": self._objects.version},
            "items": items,
        }
        return web.json_response(listed)

    async def _watch(self, request: Request) -> web.StreamResponse:
        accepts, query = request.accepts(), request.http.query
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request.http)
        since = int(query.get("resourceVersion") or 0)
        with suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(float(query.get("timeoutSeconds", 3600))):
                watched = self._objects.watch(request.kind.plural, since, accepts)
                async with aclosing(watched) as changes:
                    async for change, item in changes:
                        line = json.dumps({"type": change, "object": item}) + "\n"
                        await response.write(line.encode())
        return response

    async def _create(self, request: Request) -> web.StreamResponse:
        item = await request.http.json()
        wanted = (request.kind.api_version, request.kind.name)
        if (item.get("apiVersion"), item.get("kind")) != wanted:
            raise RefusedError(400, "BadRequest", f"the object is no {' '.join(wanted)}")
        made = self._objects.create(request.kind, request.namespace, item)
        return web.json_response(made, status=201)

    async def _patch(self, request: Request) -> web.StreamResponse:
        patch = json.loads(await request.http.read())
        content_type = request.http.headers.get("Content-Type", "")
        kind, of_status = request.kind, request.part == "status"
        if of_status and not kind.has_status:
            raise RefusedError(404, "NotFound", f"{kind.plural} have no status of their own")

        def changed(item: Object) -> Object:
            before = json.loads(json.dumps(item))
            after = patched(item, patch, content_type)
            if of_status:
                # What runs in the cluster writes the status of built-in kinds; nobody else here.
                status = after.get("status") if kind.is_custom else before.get("status")
                after = {**before, "status": status}
            elif kind.has_status:
                after["status"] = before.get("status")
            if after.get("status") is None:
                after.pop("status", None)
            return after

        return web.json_response(self._objects.change(request.key, changed))

    async def _delete(self, request: Request) -> web.StreamResponse:
        body = await request.http.read()
        options = json.loads(body) if body else {}
        seconds = options.get("gracePeriodSeconds", request.http.query.get("gracePeriodSeconds"))
        grace = None if seconds is None else float(seconds)
        return web.json_response(self._objects.delete(*request.key, grace=grace))

    async def _log(self, request: Request) -> web.StreamResponse:
        pod = self._objects.get(*request.key)
        container = request.http.query.get("container") or pod["spec"]["containers"][0]["name"]
        file = self._pods.log(request.key, container)
        follows = request.http.query.get("follow") in ("true", "1")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request.http)
        at = 0
        while True:
            found = self._objects.find(*request.key)
            phase = None if found is None else found.get("status", {}).get("phase")
            ended = found is None or phase in ("Succeeded", "Failed")
            data = file.read_bytes()[at:] if file.exists() else b""
            at += len(data)
            await response.write(data)
            if ended or not follows:
                return response
            await asyncio.sleep(_PAUSE)

    async def _port_forward(self, request: Request) -> web.StreamResponse:
        port = int(request.http.query["ports"])
        address = self._pods.address(request.key)
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request.http)
        reader, writer = await asyncio.open_connection(address, shifted(port))

        async def back() -> None:
            with suppress(ConnectionError):
                for channel in (b"\0", b"\1"):  # the first frame of each has the port only
                    await socket.send_bytes(channel + port.to_bytes(2, "little"))
                while data := await reader.read(1 << 16):
                    await socket.send_bytes(b"\0" + data)
            await socket.close()

        backwards = asyncio.create_task(back())
        try:
            async for message in socket:
                if message.type == WSMsgType.BINARY and message.data[0] == 0:
                    writer.write(message.data[1:])
                    await writer.drain()
        finally:
            backwards.cancel()
            writer.close()
        return socket


def _group(group: str, version: str) -> dict[str, Any]:
    described = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [described], "preferredVersion": described}


def _resources(api_version: str, kinds: Any) -> dict[str, Any]:
    found = [line for kind in kinds if kind.api_version == api_version for line in kind.described()]
    if not found:
        raise RefusedError(404, "NotFound", f"there is no group {api_version}")
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": found,
    }
