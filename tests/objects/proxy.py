"""A proxy in front of an S3 server: it counts requests, delays them, answers or cuts them itself.

Everything between client and server passes through it, so that a test can say what a real server
cannot be told to do: to be slow, busy, away, or to lose a connection in the middle of a chunk.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

_PIECE = 2**18  # bytes
# Headers that belong to one connection, or that are written anew.
_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}
_DELETED = '<?xml version="1.0" encoding="UTF-8"?><DeleteResult>{}</DeleteResult>'
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
    "<Message>{message}</Message><RequestId>1</RequestId></Error>"
)


@dataclass(frozen=True)
class Request:
    """What a client asks for.

    Attributes
    ----------
    verb : str
        LIST, GET, HEAD, PUT, COPY, DELETE or POST.
    key : str
        Name of the object, or prefix of a LIST; without the bucket.
    bucket : str
        The bucket.
    ranged : bool
        Whether it asks for a part of the object.
    signed : bool
        Whether it has credentials.
    """

    verb: str
    key: str
    bucket: str
    ranged: bool = False
    signed: bool = False

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.verb in ("LIST", "GET", "HEAD")


@dataclass(frozen=True)
class Answer:
    """An answer that is given in place of that of the server."""

    status: int
    code: str
    message: str = "The proxy says so."


BUSY = Answer(503, "SlowDown", "Please reduce your request rate.")
BROKEN = Answer(500, "InternalError", "We encountered an internal error. Please try again.")
FORBIDDEN = Answer(403, "AccessDenied", "Access Denied")
CHANGED = Answer(412, "PreconditionFailed", "At least one of the preconditions did not hold.")
# The body of the answer of the server ends half-way.
CUT = Answer(0, "cut")
# The server does what is asked for, and its answer is lost.
LOST = Answer(0, "lost")


class Proxy:
    """A proxy on loopback, in threads of this process.

    Attributes
    ----------
    latency : float
        Seconds that each request waits before it reaches the server.
    fault : callable
        Gets a `Request`; gives the `Answer` in place of that of the server, or None.
    plain : bool
        Do what the server cannot: remove many objects at one request, and write on a condition.
    requests : list of Request
        All that were made since the last `forget`.
    spans : list of (float, float, Request)
        When each of them that was answered began and ended, in seconds.
    handler : class
        Of connections.
    """

    handler: ClassVar[type[Handler]]

    def __init__(self, host: str, port: int, *, plain: bool = False) -> None:
        self.upstream = host, port
        self.plain = plain
        self.latency = 0.0
        self.fault: Callable[[Request], Answer | None] = _no_fault
        self.requests: list[Request] = []
        self.spans: list[tuple[float, float, Request]] = []
        # Of each object: servers for tests do not look at it and write, or read, in one step.
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._connections: set[socket.socket] = set()
        self._server: _Server | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.come_back()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def url(self) -> str:
        """The endpoint for clients."""
        return f"http://127.0.0.1:{self._port}"

    def behave(self) -> None:
        """Be there, without faults and latency, and forget all requests."""
        self.latency, self.fault = 0.0, _no_fault
        self.come_back()
        self.forget()

    def forget(self) -> None:
        """Count from here."""
        self.requests, self.spans = [], []

    def rounds(self) -> list[Request]:
        """The longest chain of requests, each of which began after the one before had ended.

        Latency multiplies its length, however many requests go out together.
        """
        return _chain(self.spans)

    def rounds_until(self, part: str) -> list[Request]:
        """The same of what ended before the first request for some objects.

        Parameters
        ----------
        part : str
            What their keys contain.
        """
        first = min(span[0] for span in self.spans if part in span[2].key)
        return _chain(span for span in self.spans if span[1] <= first)

    def rounds_around(self, part: str) -> tuple[list[Request], list[Request]]:
        """The same of what ended before, and of what began after, all writes of some objects.

        Parameters
        ----------
        part : str
            What their keys contain.
        """
        writes = [span for span in self.spans if span[2].verb == "PUT" and part in span[2].key]
        first, last = min(span[0] for span in writes), max(span[1] for span in writes)
        return (
            _chain(span for span in self.spans if span[1] <= first),
            _chain(span for span in self.spans if span[0] >= last),
        )

    def count(self, *, without: Iterable[str] = ()) -> Counter[str]:
        """Number of requests by verb; without those for some keys."""
        left_out = set(without)
        return Counter(each.verb for each in self.requests if each.key not in left_out)

    def keys(self, verb: str, within: str = "") -> list[str]:
        """Keys of the requests of a verb that begin with something, in their order."""
        found = (each.key for each in self.requests if each.verb == verb)
        return [key for key in found if key.startswith(within)]

    def leave(self) -> None:
        """Close all connections and refuse new ones."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Take connections, at the same port as before."""
        if self._server is not None:
            return
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        loop = {"poll_interval": 0.02}
        threading.Thread(target=self._server.serve_forever, kwargs=loop, daemon=True).start()

    def away_for(self, seconds: float) -> threading.Timer:
        """Refuse connections from now on, for some seconds."""
        self.leave()
        timer = threading.Timer(seconds, self.come_back)
        timer.start()
        return timer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(address, proxy.handler)

    def handle_error(self, *_: object) -> None:
        """Connections that a client or a test closes are no news."""


class Handler(BaseHTTPRequestHandler):
    """A connection of a client, with one of its own to the server."""

    protocol_version = "HTTP/1.1"
    wbufsize = 2**16
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.proxy = self.server.proxy
        self.proxy._connections.add(self.connection)
        self.upstream = HTTPConnection(*self.proxy.upstream, blocksize=_PIECE)

    def finish(self) -> None:
        self.proxy._connections.discard(self.connection)
        self.upstream.close()
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def pass_on(self) -> None:
        asked = _request(self.command, self.path, self.headers)
        self.proxy.requests.append(asked)
        spans, began = self.proxy.spans, time.monotonic()
        self._pass_on(asked)
        spans.append((began, time.monotonic(), asked))

    def _pass_on(self, asked: Request) -> None:
        length = int(self.headers.get("Content-Length", 0))
        answer = self.proxy.fault(asked)
        time.sleep(self.proxy.latency)
        if answer is not None and answer.status:
            _drain(self.rfile, length)
            self._answer(answer)
            return
        if self.proxy.plain and asked.verb == "POST" and not asked.key:
            self._delete_each(self.rfile.read(length))
            return
        try:
            with self.proxy._turns[asked.key]:
                if self.proxy.plain and not self._holds():
                    _drain(self.rfile, length)
                    self._answer(CHANGED)
                    return
                response = self._ask(length)
        except (OSError, HTTPException):  # the server has closed a connection that was idle
            self.close_connection = True
            return
        self._relay(response, asked, answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on  # noqa: N815

    def _holds(self) -> bool:
        """Whether an object is still the one that a client names, if it names one."""
        tag = self.headers.get("If-Match")
        if tag is None:
            return True
        self.upstream.request("HEAD", self.path)
        response = self.upstream.getresponse()
        response.read()
        return response.headers.get("ETag", "").strip('"') == tag.strip('"')

    def _ask(self, length: int) -> Any:
        self.upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _OF_A_CONNECTION:
                self.upstream.putheader(name, value)
        if "Content-Length" in self.headers:
            self.upstream.putheader("Content-Length", str(length))
        self.upstream.endheaders()
        while length:
            piece = self.rfile.read(min(length, _PIECE))
            if not piece:
                raise ConnectionError
            self.upstream.send(piece)
            length -= len(piece)
        return self.upstream.getresponse()

    def _delete_each(self, body: bytes) -> None:
        """Do what a server does that removes many objects at one request."""
        bucket = urlsplit(self.path).path
        keys = [one.text or "" for one in ET.fromstring(body).iter() if one.tag.endswith("Key")]
        for key in keys:
            self.upstream.request("DELETE", f"{bucket}/{quote(key)}")
            self.upstream.getresponse().read()
        self._send(200, deleted(keys))

    def _relay(self, response: Any, asked: Request, answer: Answer | None) -> None:
        length = response.length
        if asked.verb == "HEAD":
            length = int(response.headers.get("Content-Length", 0))
        whole = response.read() if length is None else None  # in chunks of HTTP
        if answer == LOST:
            response.read()
            self.close_connection = True
            return
        self.send_response_only(response.status, response.reason)
        for name, value in response.headers.items():
            if name.lower() not in _OF_A_CONNECTION:
                self.send_header(name, value)
        if response.status not in (204, 304):
            self.send_header("Content-Length", str(length if whole is None else len(whole)))
        self.end_headers()
        if whole is not None:
            self.wfile.write(whole)
        elif asked.verb != "HEAD":
            self._pass_body(response, length, length // 2 if answer == CUT else None)
        response.close()

    def _pass_body(self, response: Any, length: int, until: int | None) -> None:
        left = length if until is None else until
        while left:
            piece = response.read(min(left, _PIECE))
            if not piece:
                break
            self.wfile.write(piece)
            left -= len(piece)
        if until is not None:
            self.wfile.flush()
            self.upstream.close()
            self.close_connection = True

    def _answer(self, answer: Answer) -> None:
        self._send(answer.status, _ERROR.format(code=answer.code, message=answer.message))

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


Proxy.handler = Handler


def _chain(spans: Iterable[tuple[float, float, Request]]) -> list[Request]:
    chain, end = [], 0.0
    for began, ended, request in sorted(spans, key=lambda span: span[1]):
        if began >= end:
            chain.append(request)
            end = ended
    return chain


def deleted(keys: Iterable[str]) -> str:
    """What a server answers that has removed many objects."""
    return _DELETED.format("".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys))


def _no_fault(_: Request) -> None:
    return None


def _drain(stream: Any, length: int) -> None:
    while length:
        piece = stream.read(min(length, _PIECE))
        if not piece:
            return
        length -= len(piece)


def _request(verb: str, target: str, headers: Any) -> Request:
    parts = urlsplit(target)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    if verb == "GET" and not key:
        verb, key = "LIST", query.get("prefix", [""])[0]
    elif verb == "PUT" and "x-amz-copy-source" in headers:
        verb = "COPY"
    signed = "Authorization" in headers or "X-Amz-Signature" in query
    return Request(verb, key, bucket, "Range" in headers, signed)
