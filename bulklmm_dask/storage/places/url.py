"""URLs: told from paths, taken apart, and kept free of secrets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from bulklmm_dask.errors import InputError
from bulklmm_dask.text import named

# Two letters at least: C:/ is a drive. One slash: pathlib makes s3:/ of s3://.
_URL = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+):/+")
_FILE_URL = re.compile(r"file:(?://(?:localhost)?)?(/(?!/).*)", re.IGNORECASE | re.DOTALL)

S3, WEB = ("s3", "s3a"), ("http", "https")
MEMORY = "memory"
# Buckets of Azure may be of an account that stands behind an @ in the URL.
_WITH_ACCOUNT = ("abfs", "abfss")
KNOWN = (*S3, "gs", "az", *_WITH_ACCOUNT, *WEB, MEMORY)


def text_of(path: object) -> str:
    """Give a path as text, or raise InputError if it can be none."""
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(
            f"{path!r} is no path, but {type(path).__name__}; give the path of a file or a folder"
        ) from None
    refuse_nul(text)
    if not text.strip():
        raise _nothing(text)
    return text


def refuse_nul(text: str) -> None:
    """Raise InputError if a text has a character that no system allows in a name."""
    if "\0" in text:
        raise _nothing(text)


def _nothing(text: str) -> InputError:
    return InputError(f"the path {text!r} names nothing; give the path of a file or a folder")


def is_url(text: str) -> bool:
    """Tell whether a text is a URL of anything but local files."""
    return _URL.match(text) is not None and _FILE_URL.fullmatch(text) is None


def path_in(text: str) -> str | None:
    """The path in a file:// URL; None if the text is none."""
    found = _FILE_URL.fullmatch(text)
    return None if found is None else unquote(found[1])


@dataclass(frozen=True)
class Url:
    """A URL, taken apart.

    Attributes
    ----------
    scheme : str
        One of `KNOWN`.
    root : str
        The bucket or the server, without a slash at the end: s3://bucket.
    key : str
        What is in it: a/study.zarr.
    """

    scheme: str
    root: str
    key: str

    @property
    def text(self) -> str:
        """The URL, with the slashes that it should have."""
        return f"{self.root}/{self.key}".removesuffix("/")


@lru_cache(maxsize=4096)
def parsed(text: str) -> Url:
    """Take a URL apart, whose key may have any character.

    Raises
    ------
    InputError
        If its kind is unknown, or it names no bucket. A user name, a password and a query are not
        repeated.
    """
    scheme, server, path = _parts(text)
    shown = _shown(text)
    if scheme not in KNOWN:
        raise InputError(
            f"{shown} is a URL of the kind {scheme}, which is not known; give a local path, or a "
            f"URL of one of {', '.join(KNOWN)}"
        )
    host = server.rpartition("@")[2]
    try:
        named_host = urlsplit(f"//{host}").hostname
    except ValueError:
        named_host = None
    if not named_host:
        raise InputError(f"{shown} names no bucket or server; give s3://bucket/folder, or the like")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InputError(f"{shown} has .. in it, which object stores do not know; write it in full")
    return Url(scheme, f"{scheme}://{server}", "/".join(parts))


def as_typed(text: str) -> Url:
    """Take apart a URL that a user typed; on the web, codes such as %20 stand for characters.

    Raises
    ------
    InputError
        As `parsed`; and if it has a user name, a password or a query in it.
    """
    url = parsed(text)
    scheme, server, path = _parts(text)
    account, at, host = server.rpartition("@")
    if (at and (scheme not in _WITH_ACCOUNT or ":" in account)) or set("?#") & set(host + path):
        raise InputError(
            f"{_shown(text)} was given with a user name, a password or a signature (what follows ? "
            "or #) in it, which would be kept and shown; give the URL alone, and what the server "
            "asks for in environment variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return replace(url, key=unquote(url.key)) if scheme in WEB else url


def _parts(text: str) -> tuple[str, str, str]:
    """Scheme, server and path of a URL."""
    found = _URL.match(text)
    assert found is not None
    server, _, path = text[found.end() :].partition("/")
    return found[1].lower(), server, path


def _shown(text: str) -> str:
    """A URL without what may be a secret."""
    _, server, path = _parts(text)
    host, plain = (re.split("[?#]", part)[0] for part in (server.rpartition("@")[2], path))
    return named(f"{text.partition(':/')[0]}://{host}/{plain}".removesuffix("/"))
