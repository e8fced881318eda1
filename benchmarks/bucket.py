"""A bucket in memory that speaks as S3 does, for times: it takes little of a processor.

Servers that digest and store what they are sent take as much of a core as a scan. This one knows
what scans ask for, and nothing else; who may ask is not looked at. Of statistics of pairs, which a
scan does not read again, it keeps the length: new memory for them costs more than all else.
"""

from __future__ import annotations

import re
import threading
import time
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from objects.proxy import Handler, Proxy, Request, deleted

_PIECE = 2**18  # bytes that are received at once of what is not kept
_PAGE = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>{more}</IsTruncated>'
    "<KeyCount>{count}</KeyCount>{token}{found}</ListBucketResult>"
)
_FOUND = (
    "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>{tag}</ETag>"
    "<Size>{size}</Size></Contents>"
)


class _Object(NamedTuple):
    """Bytes of an object, unless they are not kept, their number, its tag, and when it came."""

    data: bytearray | None
    size: int
    tag: str
    written: float


class _Handler(Handler):
    """A connection of a client."""

    def _pass_on(self, asked: Request) -> None:
        time.sleep(self.proxy.latency)
        {"PUT": self._put, "DELETE": self._delete, "POST": self._delete_each}.get(
            self.command, self._get if asked.verb != "LIST" else self._list
        )()

    @property
    def _memory(self) -> Memory:
        assert isinstance(self.proxy, Memory)
        return self.proxy

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def _body(self) -> bytearray:
        data = bytearray(int(self.headers.get("Content-Length", 0)))
        view = memoryview(data)
        while view:
            view = view[self._received(view) :]
        return data

    def _lost_body(self) -> int:
        """Receive a body that is not kept; give its length."""
        length = left = int(self.headers.get("Content-Length", 0))
        piece = memoryview(bytearray(min(length, _PIECE)))
        while left:
            left -= self._received(piece[:left])
        return length

    def _received(self, into: memoryview) -> int:
        count: int = self.rfile.readinto(into)  # type: ignore[attr-defined]
        if not count:
            raise ConnectionError("a client has gone in the middle of a body")
        return count

    def _put(self) -> None:
        key, wanted = self._key, self.headers.get("If-Match")
        data = self._body() if self._memory.keeps(key) else None
        size = self._lost_body() if data is None else len(data)
        objects = self._memory.objects
        with _LOCK:
            before = objects.get(key)
            is_new = before is None or "If-None-Match" not in self.headers
            is_same = wanted is None or (before is not None and before.tag == wanted)
            if is_new and is_same:
                tag = f'"{time.monotonic_ns()}"'
                objects[key] = _Object(data, size, tag, time.time())
        if is_new and is_same:
            self._tell(200, {"ETag": tag})
        else:
            self._tell(412)

    def _get(self) -> None:
        found = self._memory.objects.get(self._key)
        if found is None:
            self._tell(404)
            return
        how = {"ETag": found.tag, "Last-Modified": formatdate(found.written, usegmt=True)}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if found.data is None:
            self._tell(410)  # the bytes are not there any more
        elif asked is None:
            self._tell(200, how, found.data)
        else:
            first, last = asked.groups()
            start = int(first) if first else max(found.size - int(last), 0)
            stop = min(int(last) + 1, found.size) if first and last else found.size
            how["Content-Range"] = f"bytes {start}-{stop - 1}/{found.size}"
            self._tell(206, how, memoryview(found.data)[start:stop])

    def _delete(self) -> None:
        self._memory.objects.pop(self._key, None)
        self._tell(204)

    def _delete_each(self) -> None:
        found = ET.fromstring(bytes(self._body())).iter()
        keys = [one.text or "" for one in found if one.tag.endswith("Key")]
        for key in keys:
            self._memory.objects.pop(f"{self._key}/{key}", None)
        self._tell(200, {}, deleted(keys).encode())

    def _list(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        bucket = f"{unquote(parts.path).strip('/')}/"
        begin, after = bucket + query.get("prefix", ""), query.get("continuation-token", "")
        most = int(query.get("max-keys", 1000))
        keys = [
            key for key in sorted(self._memory.objects) if key.startswith(begin) and key > after
        ]
        found = []
        for key in keys[:most]:
            one = self._memory.objects[key]
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(one.written))
            name = escape(key.removeprefix(bucket))
            found.append(_FOUND.format(key=name, time=when, tag=escape(one.tag), size=one.size))
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
        What it has, by bucket and key.
    lost : str
        A pattern of keys whose bytes are not kept; whoever reads them is told that they are gone.
    """

    handler = _Handler

    def __init__(self, lost: str = "(?!)") -> None:
        super().__init__("", 0)
        self.objects: dict[str, _Object] = {}
        self.lost = re.compile(lost)

    def keeps(self, key: str) -> bool:
        """Whether the bytes of an object are kept."""
        return self.lost.search(key) is None
