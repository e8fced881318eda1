"""What servers answer, in words: one sentence, with the remedy."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from bulklmm_dask.storage.places.clients import endpoint
from bulklmm_dask.storage.places.url import S3, WEB

_STATUS = re.compile(r"status(?: code)?:? ?(\d{3})|\((\d{3}) [A-Z]|\b([45]\d\d) [A-Z][a-z]")
_CODE = re.compile(r"<Code>([A-Za-z]+)</Code>")
_NOT_KNOWN = ("InvalidAccessKeyId", "SignatureDoesNotMatch")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_CREDENTIALS = {
    "s": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "g": "GOOGLE_APPLICATION_CREDENTIALS",
    "a": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


def status_of(error: Exception) -> int | None:
    """Number that a server has answered with; None if it has not."""
    found = _STATUS.search(str(error))
    return None if found is None else int(next(filter(None, found.groups())))


def lacks_bucket(error: Exception) -> bool:
    """Tell whether the bucket is not there, rather than the object."""
    return any(code in str(error) for code in _NO_BUCKET)


def at_host(root: str) -> str:
    """Where a bucket is, after a blank; empty for the providers' own servers."""
    host = _host(root)
    return f" at {host}" if host else ""


def reason(root: str, error: Exception) -> str:
    """What is wrong, and the remedy, from an error of obstore, whose own text is a page long."""
    from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

    text, status, scheme = str(error), status_of(error), root.partition(":")[0]
    code = _CODE.search(text)
    why = ", ".join(filter(None, (str(status or ""), "" if code is None else code[1])))
    server = f"the server {host}" if (host := _host(root)) else "its server"
    remedy = f"set {_CREDENTIALS.get(scheme[0], '')}"
    if scheme in WEB:
        remedy = "only what is public is read from the web"
    if isinstance(error, UnauthenticatedError) or re.search("credential|account must", text, re.I):
        return f"{server} does not accept the credentials, or there are none; {remedy}"
    if isinstance(error, PermissionDeniedError) or status in (401, 403):
        known = code is not None and code[1] in _NOT_KNOWN
        what = "does not accept the credentials" if known else "gives no permission"
        return f"{server} {what} ({why or 403}); {remedy}, or give another URL"
    if isinstance(error, NotSupportedError):
        return f"{server} cannot do that; give a local path, or a bucket of S3, GCS or Azure"
    if status is not None and status >= 500:
        return f"{server} answers with errors ({why}); try it again later"
    if status is not None and status >= 300:
        region = ", and the region in AWS_REGION" if scheme in S3 else ""
        return f"{server} answers with {why}; check the URL{region}"
    if isinstance(error, ValueError):
        return f"the URL has a character that it cannot have ({text.splitlines()[0]}); change it"
    where = " in AWS_ENDPOINT_URL" if host and scheme in S3 else ""
    return f"{server} cannot be reached; check the network and the address{where}"


def _host(root: str) -> str:
    """The server, where it is another one than that of the provider."""
    scheme = root.partition(":")[0]
    address = root if scheme in WEB else endpoint() if scheme in S3 else ""
    return urlsplit(address).netloc.rpartition("@")[2]
