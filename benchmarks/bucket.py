"""A bucket in memory that speaks as S3 does, for times: it takes little of a processor.

Servers that digest and store what they are sent take as much of a core as a scan. This one knows
what scans ask for, and nothing else; who may ask is not looked at.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_PAGE = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>{more}</IsTruncated>'
    "<KeyCount>{count}</KeyCount>{token}{found}</ListBucketResult>"
)
_FOUND = (
    "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>{tag}</ETag>"
    "<Size>{size}</Size></Contents>"
)


@contextmanager
def running() -> Iterator[tuple[str, int]]:
    """Run the server in threads of this process; gives host and port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16
    disable_nagle_algorithm = True
    objects: dict[str, tuple[bytearray, str, float]] = {}  # noqa: RUF012 - of all connections
    lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    @property
    def path_of_object(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def do_PUT(self) -> None:
        data = bytearray(int(self.headers.get("Content-Length", 0)))
        view = memoryview(data)
        while view:
            view = view[self.rfile.readinto(view) :]
        key, wanted = self.path_of_object, self.headers.get("If-Match")
        with self.lock:
            before = self.objects.get(key)
            is_new = before is None or "If-None-Match" not in self.headers
            is_same = wanted is None or (before is not None and before[1] == wanted)
            if is_new and is_same:
                tag = f'"{time.monotonic_ns()}"'
                self.objects[key] = data, tag, time.time()
        if is_new and is_same:
            self._answer(200, {"ETag": tag})
        else:
            self._answer(412)

    def do_GET(self) -> None:
        if "list-type" in urlsplit(self.path).query:
            self._list()
            return
        found = self.objects.get(self.path_of_object)
        if found is None:
            self._answer(404)
            return
        data, tag, written = found
        how = {"ETag": tag, "Last-Modified": formatdate(written, usegmt=True)}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(200, how, data)
            return
        first, last = asked.groups()
        start = int(first) if first else max(len(data) - int(last), 0)
        stop = min(int(last) + 1, len(data)) if first and last else len(data)
        how["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._answer(206, how, memoryview(data)[start:stop])

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self) -> None:
        self.objects.pop(self.path_of_object, None)
        self._answer(204)

    def _list(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        bucket = f"{unquote(parts.path).strip('/')}/"
        begin, after = bucket + query.get("prefix", ""), query.get("continuation-token", "")
        most = int(query.get("max-keys", 1000))
        keys = [key for key in sorted(self.objects) if key.startswith(begin) and key > after]
        found = []
        for key in keys[:most]:
            data, tag, written = self.objects[key]
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(written))
            name = escape(key.removeprefix(bucket))
            found.append(_FOUND.format(key=name, time=when, tag=escape(tag), size=len(data)))
        more = len(keys) > most
        last = escape(keys[most - 1]) if more else ""
        token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
        page = {"more": str(more).lower(), "count": len(found), "token": token}
        self._answer(200, {}, _PAGE.format(found="".join(found), **page).encode())

    def _answer(
        self, status: int, how: dict[str, str] | None = None, body: bytes | memoryview = b""
    ) -> None:
        self.send_response_only(status)
        for name, value in (how or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
