"""A bucket in memory that speaks as S3 does, for times: it takes little of a processor.

Servers that digest and store what they are sent take as much of a core as a scan. This one knows
what scans ask for, and nothing else; who may ask is not looked at.
"""

from __future__ import annotations

import re
import threading
import time
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from objects.proxy import Handler, Proxy, Request, deleted

_PAGE = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>{more}</IsTruncated>'
    "<KeyCount>{count}</KeyCount>{token}{found}</ListBucketResult>"
)
_FOUND = (
    "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>{tag}</ETag>"
    "<Size>{size}</Size></Contents>"
)


class _Handler(Handler):
    """A connection of a client."""

    def _pass_on(self, asked: Request) -> None:
        time.sleep(self.proxy.latency)
        {"PUT": self._put, "DELETE": self._delete, "POST": self._delete_each}.get(
            self.command, self._get if asked.verb != "LIST" else self._list
        )()

    @property
    def _objects(self) -> dict[str, tuple[bytearray, str, float]]:
        assert isinstance(self.proxy, Memory)
        return self.proxy.objects

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def _body(self) -> bytearray:
        data = bytearray(int(self.headers.get("Content-Length", 0)))
        view = memoryview(data)
        while view:
            view = view[self.rfile.readinto(view) :]  # type: ignore[attr-defined]
        return data

    def _put(self) -> None:
        data, key, wanted = self._body(), self._key, self.headers.get("If-Match")
        with _LOCK:
            before = self._objects.get(key)
            is_new = before is None or "If-None-Match" not in self.headers
            is_same = wanted is None or (before is not None and before[1] == wanted)
            if is_new and is_same:
                tag = f'"{time.monotonic_ns()}"'
                self._objects[key] = data, tag, time.time()
        if is_new and is_same:
            self._tell(200, {"ETag": tag})
        else:
            self._tell(412)

    def _get(self) -> None:
        found = self._objects.get(self._key)
        if found is None:
            self._tell(404)
            return
        data, tag, written = found
        how = {"ETag": tag, "Last-Modified": formatdate(written, usegmt=True)}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._tell(200, how, data)
            return
        first, last = asked.groups()
        start = int(first) if first else max(len(data) - int(last), 0)
        stop = min(int(last) + 1, len(data)) if first and last else len(data)
        how["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._tell(206, how, memoryview(data)[start:stop])

    def _delete(self) -> None:
        self._objects.pop(self._key, None)
        self._tell(204)

    def _delete_each(self) -> None:
        found = ET.fromstring(bytes(self._body())).iter()
        keys = [one.text or "" for one in found if one.tag.endswith("Key")]
        for key in keys:
            self._objects.pop(f"{self._key}/{key}", None)
        self._tell(200, {}, deleted(keys).encode())

    def _list(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        bucket = f"{unquote(parts.path).strip('/')}/"
        begin, after = bucket + query.get("prefix", ""), query.get("continuation-token", "")
        most = int(query.get("max-keys", 1000))
        keys = [key for key in sorted(self._objects) if key.startswith(begin) and key > after]
        found = []
        for key in keys[:most]:
            data, tag, written = self._objects[key]
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(written))
            name = escape(key.removeprefix(bucket))
            found.append(_FOUND.format(key=name, time=when, tag=escape(tag), size=len(data)))
        more = len(keys) > most
        last = escape(keys[most - 1]) if more else ""
        token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
        page = {"more": str(more).lower(), "count": len(found), "token": token}
        self._tell(200, {}, _PAGE.format(found="".join(found), **page).encode())

    def _tell(
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


_LOCK = threading.Lock()


class Memory(Proxy):
    """A server in threads of this process, which delays and counts requests as a proxy does.

    Attributes
    ----------
    objects : dict
        Bytes, tag and time of each object, by its bucket and its key.
    """

    handler = _Handler

    def __init__(self) -> None:
        super().__init__("", 0)
        self.objects: dict[str, tuple[bytearray, str, float]] = {}
