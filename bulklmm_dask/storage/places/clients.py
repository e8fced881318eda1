"""Clients of obstore: made once a process, from the environment; credentials are not kept here."""

from __future__ import annotations

import math
import os
import socket
import time
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.base import ServerError
from bulklmm_dask.storage.places.url import MEMORY, S3, WEB

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

Environment: TypeAlias = "tuple[tuple[str, str], ...]"

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
_ONCE_MORE: RetryConfig = {**_RETRIES, "max_retries": 3, "retry_timeout": timedelta(seconds=2)}
_AFTERWARDS = 20.0  # seconds for which a server that did not answer is not waited for again
_CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=10),
    "timeout": timedelta(seconds=120),
}
# What a machine of Amazon asks for its credentials, seconds that this may take, and boto3's word.
_METADATA_SERVER, _WAIT, _ROLE = ("169.254.169.254", 80), 0.5, "iam-role"
# Any of these says where the credentials for S3 are.
_S3_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_UNSIGNED = "AWS_UNSIGNED_PAYLOAD"
_TRUE = ("1", "true", "yes", "on")
# Beginnings of the environment variables that clients are made from.
_OF_CLIENTS = ("AWS_", "GOOGLE_", "AZURE_")

_away: dict[str, float] = {}  # when a server did not answer
_processes: set[int] = set()  # the process that has sent requests; after a fork, another one


def library(root: str) -> Any:
    """The module obstore; InputError if it is not installed."""
    if find_spec("obstore") is None:
        raise InputError(
            f"{root} is a URL, which needs obstore, and it is not installed; install it with: "
            "pip install obstore"
        )
    return import_module("obstore")


def require_own_threads() -> None:
    """Raise ServerError in a process forked from one that has sent requests: it would hang.

    The threads of obstore are not there after a fork, and it makes no others.
    """
    if _processes and os.getpid() not in _processes:
        raise ServerError(
            "this process was forked from one that has used object stores, whose threads it lacks; "
            "start processes by spawn or forkserver, as Dask does"
        )
    _processes.add(os.getpid())


def client_of(root: str) -> ObjectStore:
    """The client of a bucket; another one once what it is made from has changed."""
    scheme = root.partition(":")[0]
    if scheme == MEMORY:
        return _memory(root)
    patient = time.monotonic() - _away.get(root, -math.inf) > _AFTERWARDS
    return _client(root, () if scheme in WEB else _environment(), patient)


def note_away(root: str) -> None:
    """Note that a server did not answer: what is tidied up after that does not wait as long."""
    _away[root] = time.monotonic()


def note_there(root: str) -> None:
    """Note that a server has answered."""
    if root in _away:
        _away.pop(root, None)


def endpoint() -> str:
    """The server that speaks as Amazon's does; empty for Amazon's own."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next(filter(None, map(os.environ.get, names)), "")


def _environment() -> Environment:
    return tuple(sorted(one for one in os.environ.items() if one[0].startswith(_OF_CLIENTS)))


@lru_cache(maxsize=64)
def _memory(root: str) -> ObjectStore:
    """A bucket in the memory of this process, for tests."""
    from obstore.store import MemoryStore

    return MemoryStore()


@lru_cache(maxsize=16)
def _client(root: str, environment: Environment, patient: bool) -> ObjectStore:
    from obstore.store import HTTPStore, from_url

    scheme = root.partition(":")[0]
    # The server of a lab need not encrypt; those of the providers are asked by https anyway.
    plain = scheme in WEB or any(value.startswith("http://") for _, value in environment)
    how: Any = {
        "client_options": _CLIENT | {"allow_http": plain},
        "retry_config": _RETRIES if patient else _ONCE_MORE,
    }
    if scheme in WEB:
        return HTTPStore.from_url(root, **how)
    return _s3(root, how) if scheme in S3 else from_url(root, **how)


def _s3(root: str, how: dict[str, Any]) -> ObjectStore:
    from obstore.store import S3Store

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if server := endpoint():
        how = {**how, "endpoint": server}
    if _UNSIGNED not in os.environ:
        # Encryption keeps bodies as they are: they are not digested as well, as with boto3.
        how = {**how, "unsigned_payload": not server.startswith("http://")}
    provider = _of_boto3(root)
    if provider is not None:
        how = {**how, "credential_provider": provider}
        region = region or provider.config.get("region")
    return S3Store.from_url(root.replace("s3a:", "s3:", 1), region=region or "us-east-1", **how)


def _of_boto3(root: str) -> Any:
    """Credentials of a profile, if boto3 finds any and the environment has none; else None.

    Raises
    ------
    ServerError
        If there are none anywhere: obstore would ask for minutes for those of a machine of Amazon.
    """
    if _names_credentials():
        return None
    if find_spec("boto3") is None:
        if _is_machine_of_amazon():
            return None
        raise _without_credentials(root)
    import boto3  # type: ignore[import-untyped,import-not-found,unused-ignore]
    from botocore.session import get_session  # type: ignore[import-untyped,import-not-found,unused-ignore]
    from obstore.auth.boto3 import Boto3CredentialProvider

    # A machine that has no role waits for seconds for one: it is asked for last.
    own = get_session()
    own.get_component("credential_provider").remove(_ROLE)
    session = boto3.Session(botocore_session=own)
    if session.get_credentials() is None and _is_machine_of_amazon():
        session = boto3.Session()
    if session.get_credentials() is None:
        raise _without_credentials(root)
    return Boto3CredentialProvider(session)


def _is_machine_of_amazon() -> bool:
    """Whether something answers where a machine of Amazon asks for its credentials."""
    try:
        socket.create_connection(_METADATA_SERVER, timeout=_WAIT).close()
    except OSError:
        return False
    return True


def _names_credentials() -> bool:
    """Whether the environment says where the credentials for S3 are, or that there need be none."""
    public = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in _TRUE
    return public or any(map(os.environ.get, _S3_CREDENTIALS))


def _without_credentials(root: str) -> ServerError:
    return ServerError(
        f"there are no credentials for {root}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "a profile for boto3, or AWS_SKIP_SIGNATURE=true if it is public"
    )
