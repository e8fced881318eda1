"""Probes of containers by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from clusters.kubernetes.containers import Container
from clusters.kubernetes.names import shifted


def port_of(container: dict[str, Any], port: str | int) -> int:
    """The port of the machine for a port of a container that is named, or numbered."""
    named = {each.get("name"): each["containerPort"] for each in container.get("ports", ())}
    return shifted(int(named.get(port, port)))


async def probe(
    container: Container, name: str, address: str, tell: Callable[[bool], None]
) -> None:
    """Probe a container until cancelled, and tell whenever enough probes agree."""
    spec = container.spec[name]
    get = spec["httpGet"]
    url = f"http://{address}:{port_of(container.spec, get['port'])}{get.get('path', '/')}"
    needed = {True: spec.get("successThreshold", 1), False: spec.get("failureThreshold", 3)}
    last, count = None, 0
    await asyncio.sleep(spec.get("initialDelaySeconds", 0))
    timeout = aiohttp.ClientTimeout(spec.get("timeoutSeconds", 1))
    while True:
        answer = await _answers(url, timeout)
        last, count = answer, count + 1 if answer == last else 1
        if count == needed[answer]:
            tell(answer)
        await asyncio.sleep(spec.get("periodSeconds", 10))


async def _answers(url: str, timeout: aiohttp.ClientTimeout) -> bool:
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            return answer.status < 400
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
