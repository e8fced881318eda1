"""A headless Chromium that is told what to do over its debugging port."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tornado.websocket import WebSocketClientConnection, websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--mute-audio"),
    "--window-size=1200,900",
)


def path_of_chromium() -> str | None:
    """The program, if one is installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """A page in the browser; what it asked for and what went wrong are kept."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection, self._number = connection, 0
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the debugging protocol."""
        self._number += 1
        request = {"id": self._number, "method": method, "params": parameters}
        await self._connection.write_message(json.dumps(request))
        while True:
            answer = await self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    async def _read(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self._connection.read_message(), 30)
        assert message is not None, "the browser has ended"
        answer = json.loads(message)
        if "id" not in answer:
            self.events.append(answer)
        return answer

    async def open(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self.events.clear()
        await self.call("Page.navigate", url=url)
        while not self.said("Page.loadEventFired"):
            await self._read()

    async def run(self, code: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Let the pointer do something, and wait until the page has been drawn."""
        await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
        await self.drawn()

    async def drawn(self) -> None:
        """Wait until what was asked for has been drawn."""
        frame = "requestAnimationFrame(() => requestAnimationFrame(done))"
        await self.run(f"new Promise((done) => {frame})")

    def close(self) -> None:
        """Leave the browser."""
        self._connection.close()

    def said(self, method: str) -> list[dict[str, Any]]:
        """Events of a kind since the page was opened."""
        return [event["params"] for event in self.events if event["method"] == method]


@contextmanager
def chromium(path: str) -> Iterator[str]:
    """Start the browser and give the address at which a tab can be had."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [path, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            told = Path(folder, "DevToolsActivePort")
            end = time.monotonic() + 60
            while not (told.exists() and len(told.read_text().splitlines()) == 2):
                assert process.poll() is None, "the browser does not start"
                assert time.monotonic() < end, "the browser says no port within 60 s"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{told.read_text().splitlines()[0]}"
        finally:
            process.terminate()
            process.wait()


async def tab_of(address: str) -> Tab:
    """A new tab of the browser."""
    with urlopen(Request(f"{address}/json/new?about:blank", method="PUT")) as answer:
        found = json.load(answer)
    connection = await websocket_connect(found["webSocketDebuggerUrl"], max_message_size=2**28)
    tab = Tab(connection)
    for domain in ("Page", "Runtime", "Network", "Log"):
        await tab.call(f"{domain}.enable")
    return tab
