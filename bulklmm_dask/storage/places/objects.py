"""Buckets: requests to an object store, each tried again for a while, with errors in one sentence.

obstore does the requests. Beside the libraries of fsspec it was chosen for what locks and stores
need: an object is written only if it is not there, or is still the one that was read, in S3, GCS
and Azure alike; and any thread sends requests, without an event loop. It needs no other library.

Credentials are never kept here: obstore reads them from the environment, or asks boto3.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.base import ServerError
from bulklmm_dask.storage.places.url import MEMORY, WEB
from bulklmm_dask.text import named

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

T = TypeVar("T")

# A request is tried again for a minute, after pauses of up to five seconds.
_RETRIES: RetryConfig = {
    "max_retries": 60,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
_CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=10),
    "timeout": timedelta(seconds=120),
}
# Tries of a read whose bytes end early, beside those of its request.
_READS = 5
# Bytes that are written by one request; more go in parts of this size.
ONE_PUT = 2**26

# What a machine of Amazon asks for its credentials.
_METADATA_SERVER, _WAIT = ("169.254.169.254", 80), 1.0
# Any of these says where the credentials for S3 are.
_S3_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_TRUE = ("1", "true", "yes", "on")
# Beginnings of the environment variables that clients are made from.
_OF_CLIENTS = ("AWS_", "GOOGLE_", "AZURE_")

_processes: set[int] = set()  # the process that has sent requests; after a fork, another one

_STATUS = re.compile(r"status(?: code)?:? ?(\d{3})|\((\d{3}) [A-Z]|\b([45]\d\d) [A-Z][a-z]")
_CODE = re.compile(r"<Code>([A-Za-z]+)</Code>")


@dataclass(frozen=True)
class Entry:
    """An object that is there: its key, its bytes, when it was written, and what tells it apart."""

    key: str
    size: int
    written: float
    tag: PutMode

    @classmethod
    def of(cls, meta: ObjectMeta) -> Entry:
        """From what obstore tells."""
        tag: Any = {name: meta[name] for name in ("e_tag", "version") if meta.get(name)}
        return cls(meta["path"], meta["size"], meta["last_modified"].timestamp(), tag)


@dataclass(frozen=True)
class Bucket:
    """A bucket, or a web server; its client is made once a process.

    Every method raises FileNotFoundError where there is no such object, and ServerError where the
    server does not answer or refuses.
    """

    root: str

    @property
    def scheme(self) -> str:
        """Kind of the URL."""
        return self.root.partition(":")[0]

    @property
    def is_web(self) -> bool:
        """Whether it is only read, and lists nothing."""
        return self.scheme in WEB

    @property
    def _client(self) -> ObjectStore:
        return _client(self.root, os.getpid(), _environment(self.scheme))

    def get(self, key: str) -> bytes:
        """Read an object."""
        return self.fetch(key)[1]

    def fetch(self, key: str, most: int | None = None) -> tuple[Entry, bytes]:
        """Read an object, or no more than the first `most` bytes of it; tell what it is."""
        obstore = _library(self.root)

        def read() -> tuple[Entry, bytes]:
            found = obstore.get(self._client, key)
            entry = Entry.of(found.meta)
            if most is None or entry.size <= most:
                return entry, bytes(found.bytes())
            return entry, bytes(obstore.get_range(self._client, key, start=0, end=most))

        with self._said(key, "read"):
            return _again(read)

    def part(self, key: str, start: int, stop: int) -> bytes:
        """Read a range of the bytes of an object, which it has."""
        obstore = _library(self.root)

        with self._said(key, "read"):
            return _again(
                lambda: bytes(obstore.get_range(self._client, key, start=start, end=stop))
            )

    def tail(self, key: str, most: int) -> bytes:
        """Read the last bytes of an object."""
        obstore = _library(self.root)
        from obstore.exceptions import NotSupportedError

        options: Any = {"range": {"suffix": most}}
        with self._said(key, "read"):
            try:
                return _again(
                    lambda: bytes(obstore.get(self._client, key, options=options).bytes())
                )
            except NotSupportedError:  # Azure, and some servers of the web
                return self.get(key)[-most:]

    def look(self, key: str) -> Entry:
        """Tell what an object is, without its bytes."""
        obstore = _library(self.root)

        with self._said(key, "read"):
            return Entry.of(obstore.head(self._client, key))

    def put(self, key: str, data: Any, mode: PutMode = "overwrite") -> None:
        """Write an object, by one request unless it is large.

        With the mode "create", FileExistsError if it is there; with a tag of an `Entry`,
        FileExistsError if it is another one by now.
        """
        obstore = _library(self.root)
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._said(key, "written"):
            large = memoryview(data).nbytes > ONE_PUT and mode == "overwrite"
            try:
                obstore.put(
                    self._client,
                    key,
                    data,
                    mode=mode,
                    use_multipart=large,
                    chunk_size=ONE_PUT,
                )
            except (AlreadyExistsError, PreconditionError):
                raise FileExistsError(f"{self.root}/{key}") from None

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, which need not be there."""
        obstore = _library(self.root)

        for key in keys[:1]:
            with self._said(key, "removed"), suppress(FileNotFoundError):
                obstore.delete(self._client, list(keys))

    def copy(self, key: str, target: str) -> None:
        """Copy an object within the bucket, on the server."""
        obstore = _library(self.root)

        with self._said(target, "written"):
            obstore.copy(self._client, key, target)

    def all(self, folder: str) -> list[Entry]:
        """All objects below a folder: a request for each thousand."""
        obstore = _library(self.root)

        with self._said(folder, "listed"):
            found = list(obstore.list(self._client, folder or None, chunk_size=1000))
            return [Entry.of(meta) for meta in chain.from_iterable(found)]

    def top(self, folder: str) -> list[str]:
        """Names of the objects and of the folders right below a folder."""
        obstore = _library(self.root)

        with self._said(folder, "listed"):
            found = obstore.list_with_delimiter(self._client, folder or None)
        keys = [*found["common_prefixes"], *(meta["path"] for meta in found["objects"])]
        return sorted({key.rstrip("/").rpartition("/")[2] for key in keys})

    def has_any(self, folder: str, other: str) -> bool:
        """Tell whether there is any object below a folder, other than this one."""
        obstore = _library(self.root)

        with self._said(folder, "listed"):
            pages = obstore.list(self._client, folder or None, chunk_size=1)
            return any(meta["path"] != other for meta in chain.from_iterable(pages))

    @contextmanager
    def _said(self, key: str, done: str) -> Iterator[None]:
        """Turn the errors of obstore into FileNotFoundError, or ServerError in one sentence."""
        from obstore.exceptions import BaseError

        _require_own_runtime()
        try:
            yield
        except (FileExistsError, InputError, ServerError):
            raise
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
                raise ServerError(
                    f"there is no bucket {self.root}{_at(self)}; make it first, or check the name"
                ) from None
            raise FileNotFoundError(f"{self.root}/{key}") from None
        except (BaseError, OSError, ValueError) as error:
            name = named(f"{self.root}/{key}".removesuffix("/"))
            raise ServerError(f"{name} cannot be {done}: {_reason(self, error)}") from None


def _again(read: Callable[[], T]) -> T:
    """Read, and once more if the bytes end early: obstore tries its requests again, not these."""
    from obstore.exceptions import GenericError

    for _ in range(_READS - 1):
        try:
            return read()
        except GenericError as error:
            if _status(str(error)) is not None or "after" in str(error):  # it has tried already
                raise
    return read()


def _at(bucket: Bucket) -> str:
    host = _host(bucket)
    return f" at {host}" if host else ""


def _host(bucket: Bucket) -> str:
    """The server, where it is another one than that of the provider."""
    endpoint = bucket.root if bucket.is_web else _endpoint()
    return urlsplit(endpoint).netloc.rpartition("@")[2] if endpoint else ""


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    return None if found is None else int(next(filter(None, found.groups())))


def _reason(bucket: Bucket, error: Exception) -> str:
    """What is wrong, and the remedy, from an error of obstore, whose own text is a page long."""
    from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

    text = str(error)
    code, status = _CODE.search(text), _status(text)
    why = ", ".join(filter(None, (str(status or ""), "" if code is None else code[1])))
    server = f"the server {host}" if (host := _host(bucket)) else "its server"
    if isinstance(error, UnauthenticatedError) or "credential" in text.lower():
        return f"{server} does not accept the credentials, or there are none; {_remedy(bucket)}"
    if isinstance(error, PermissionDeniedError):
        known = code is not None and code[1] in ("InvalidAccessKeyId", "SignatureDoesNotMatch")
        what = "does not accept the credentials" if known else "gives no permission"
        return f"{server} {what} ({why or 403}); {_remedy(bucket)}, or give another URL"
    if isinstance(error, NotSupportedError):
        return f"{server} cannot do that; give a local path, or a bucket of S3, GCS or Azure"
    if status is not None and status >= 500:
        return f"{server} answers with errors ({why}); try it again later"
    if status is not None and status >= 300:
        return f"{server} answers with {why}; check the URL, and the region in AWS_REGION"
    if isinstance(error, ValueError):
        return f"the URL has a character that it cannot have ({text.splitlines()[0]}); change it"
    return f"{server} cannot be reached; check the network and the address" + (
        "" if bucket.is_web else " (AWS_ENDPOINT_URL, if it is not Amazon's)"
    ) * bool(host)


def _remedy(bucket: Bucket) -> str:
    names = {
        "gs": "GOOGLE_APPLICATION_CREDENTIALS",
        "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        "abfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    }
    if bucket.is_web:
        return "only what is public is read from the web"
    usual = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return f"set {names.get(bucket.scheme.removesuffix('s'), names.get(bucket.scheme, usual))}"


def _library(root: str) -> Any:
    """The module obstore; InputError if it is not installed."""
    if find_spec("obstore") is None:
        raise InputError(
            f"{root} is a URL, which needs obstore, and it is not installed; install it with: "
            "pip install 'bulklmm_dask[objects]'"
        )
    return import_module("obstore")


def _require_own_runtime() -> None:
    """Raise ServerError in a process forked from one that has sent requests: it would hang.

    The threads of obstore are not there after a fork, and it makes no others.
    """
    if _processes and os.getpid() not in _processes:
        raise ServerError(
            "this process was forked from one that has used object stores, whose threads it lacks; "
            "start processes by spawn or forkserver, as Dask does"
        )
    _processes.add(os.getpid())


def _environment(scheme: str) -> tuple[tuple[str, str], ...]:
    """What a client is made from, so that another one is made once that has changed."""
    if scheme in (MEMORY, *WEB):
        return ()
    return tuple(sorted(one for one in os.environ.items() if one[0].startswith(_OF_CLIENTS)))


def _endpoint() -> str:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next(filter(None, map(os.environ.get, names)), "")


@lru_cache(maxsize=64)
def _memory(root: str) -> ObjectStore:
    """A bucket in the memory of this process, for tests."""
    from obstore.store import MemoryStore

    return MemoryStore()


@lru_cache(maxsize=16)
def _client(root: str, pid: int, environment: tuple[tuple[str, str], ...]) -> ObjectStore:
    """Make a client; the process and its environment are those that ask."""
    from obstore.store import HTTPStore, from_url

    scheme = root.partition(":")[0]
    if scheme == MEMORY:
        return _memory(root)
    if scheme in WEB:
        return HTTPStore.from_url(
            root, client_options=_CLIENT | {"allow_http": True}, retry_config=_RETRIES
        )
    if scheme in ("s3", "s3a"):
        return _s3(root)
    return from_url(root, client_options=_CLIENT, retry_config=_RETRIES)


def _s3(root: str) -> ObjectStore:
    from obstore.store import S3Store

    endpoint, options = _endpoint(), dict[str, Any]()
    if endpoint:
        options["endpoint"] = endpoint
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    provider = _of_boto3(root)
    if provider is not None:
        options["credential_provider"] = provider
        region = region or provider.config.get("region")
    return S3Store.from_url(
        root.replace("s3a:", "s3:", 1),
        region=region or "us-east-1",
        client_options=_CLIENT | {"allow_http": endpoint.startswith("http://")},
        retry_config=_RETRIES,
        **options,
    )


def _of_boto3(root: str) -> Any:
    """Credentials of a profile, if boto3 finds any and the environment has none; else None.

    Raises
    ------
    ServerError
        If there are none anywhere: obstore would ask for minutes for those of a machine of Amazon.
    """
    if _names_credentials():
        return None
    if find_spec("boto3") is not None:
        import boto3  # type: ignore[import-untyped,import-not-found,unused-ignore]
        from obstore.auth.boto3 import Boto3CredentialProvider

        session = boto3.Session()
        if session.get_credentials() is None:
            raise _without_credentials(root)
        return Boto3CredentialProvider(session)
    try:
        socket.create_connection(_METADATA_SERVER, timeout=_WAIT).close()
    except OSError:
        raise _without_credentials(root) from None
    return None


def _names_credentials() -> bool:
    """Whether the environment says where the credentials for S3 are, or that there need be none."""
    public = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in _TRUE
    return public or any(map(os.environ.get, _S3_CREDENTIALS))


def _without_credentials(root: str) -> ServerError:
    return ServerError(
        f"there are no credentials for {root}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "a profile for boto3, or AWS_SKIP_SIGNATURE=true if it is public"
    )
