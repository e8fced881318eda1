"""Certificates for a scheduler that speaks TLS: completed, checked, and tried in one handshake.

Both sides show a certificate: the scheduler ends connections of clients without one. Dask itself
tries again for half a minute where certificates do not suit, and then says that nobody answered.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection
from time import time
from typing import TYPE_CHECKING, Any, NoReturn

import dask

from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.surface import either, option

if TYPE_CHECKING:
    from distributed import Security

SCHEME = "tls"
_CONFIG = "distributed.comm.tls"
# Names of Dask's configuration, in that section.
_OURS = {"ca_file": "ca-file", "cert": "client.cert", "key": "client.key"}
_WHAT = {
    "ca_file": "the certificate of the authority of the cluster",
    "cert": "a certificate that this authority has signed",
    "key": "the private key of that certificate",
}
_CERTIFICATE, _KEY = "-----BEGIN CERTIFICATE-----", "PRIVATE KEY-----"
_LOCKED = ("-----BEGIN ENCRYPTED", "Proc-Type: 4,ENCRYPTED")
# Verdicts of OpenSSL on the dates of a certificate (x509_vfy.h).
_DATES = {9: "is not valid yet", 10: "has expired"}
# What a peer says as it ends a handshake.
_REFUSALS = {
    "TLSV1_ALERT_UNKNOWN_CA": "it knows no authority that has signed it",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired by its clock",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it takes it for a bad one",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it is not meant for clients",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it cannot use it",
}
# Seconds that a handshake may take.
_PATIENCE = 10.0


@dataclass(frozen=True)
class Certificates:
    """Certificates for a scheduler at ``tls://host:port``, all in PEM format.

    What is not given is taken from Dask's configuration: ``ca-file``, ``client.cert`` and
    ``client.key`` of ``distributed.comm.tls``.

    Attributes
    ----------
    ca_file : path, optional
        Certificate of the authority that has signed those of the cluster.
    cert : path, optional
        Certificate of this client, signed by an authority that the scheduler knows.
    key : path, optional
        Private key of the certificate, without a passphrase; by default it is in the same file.

    Examples
    --------
    For `workers`, as ``blmm.workers(scheduler="tls://node1:8786", tls=certificates)``:

    >>> certificates = blmm.Certificates(ca_file="ca.pem", cert="me.pem", key="me.key")
    >>> certificates.cert
    'me.pem'
    """

    ca_file: str | os.PathLike[str] | None = None
    cert: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None


@dataclass(frozen=True)
class _Part:
    """A certificate or a key: its file or its text, and the option that has named it."""

    value: str
    named_by: str

    @property
    def in_memory(self) -> bool:
        """Whether it is the text itself, as those of ``Security.temporary`` are."""
        return "\n" in self.value

    def __str__(self) -> str:
        return "the text in Dask's configuration" if self.in_memory else repr(self.value)

    def text(self, kind: str) -> str:
        """What it holds; InputError if that cannot be read, or is none of its kind."""
        if self.in_memory:
            return self.value
        try:
            text = Path(self.value).read_bytes().decode("ascii", "replace")
        except FileNotFoundError:
            self.refuse("there is no such file; correct the path")
        except OSError as error:
            self.refuse(
                f"it cannot be read ({error.strerror}); give a file that this user may read"
            )
        if kind not in text:
            words = "private key" if kind == _KEY else "certificate"
            self.refuse(f"it holds no {words} in PEM format; give the file of one")
        return text

    def refuse(self, why: str) -> NoReturn:
        """Raise InputError about it."""
        named = "" if self.in_memory else f"{self.named_by} is "
        raise InputError(f"{named}{self}: {why}")


def security_for(address: str, tls: Certificates | None) -> Security | None:
    """Certificates for a connection to an address; None where it takes none.

    Parameters
    ----------
    address : str
        Address of a scheduler.
    tls : Certificates, optional
        Certificates that were given.

    Raises
    ------
    OptionError
        If there are certificates for an address without TLS, or none where they are needed.
    InputError
        If a file cannot be read or holds something else, or if a
        certificate has expired.
    """
    if not address.startswith(f"{SCHEME}://"):
        require_no_certificates(tls, f"and this one is at {address}; give its address with tls://")
        return None
    parts = _from_configuration() | _given(tls)
    for name in ("ca_file", "cert"):
        if name not in parts:
            raise OptionError(
                f"the scheduler at {address} takes no client without certificates; give "
                f"{_option(name)}, {_WHAT[name]}, or set {_CONFIG}.{_OURS[name]} in Dask's "
                "configuration"
            )
    _require_sound(parts)
    from distributed import Security

    return Security(
        require_encryption=True,
        tls_ca_file=parts["ca_file"].value,
        tls_client_cert=parts["cert"].value,
        tls_client_key=parts["key"].value if "key" in parts else None,
    )


def require_no_certificates(
    tls: Certificates | None, why: str = "and there is none; give its address"
) -> None:
    """Raise OptionError if certificates are given where nothing asks for them."""
    if given := [f"{one.named_by} ({one})" for one in _given(tls).values()]:
        raise OptionError(
            f"{', '.join(given)}: certificates are for a {option('scheduler')} at "
            f"tls://host:port, {why}, or leave them out"
        )


def _given(tls: Certificates | None) -> dict[str, _Part]:
    values = {} if tls is None else {name: getattr(tls, name) for name in _OURS}
    return {
        name: _Part(os.fspath(value), _option(name))
        for name, value in values.items()
        if value is not None
    }


def _option(name: str) -> str:
    """The option of a command, or the field of `Certificates`."""
    return either(f"{name} of Certificates", option(f"tls_{name}"))


def _from_configuration() -> dict[str, _Part]:
    found = {name: dask.config.get(f"{_CONFIG}.{key}", None) for name, key in _OURS.items()}
    return {
        name: _Part(str(value), f"{_CONFIG}.{_OURS[name]} of Dask's configuration")
        for name, value in found.items()
        if value is not None
    }


def _require_sound(parts: dict[str, _Part]) -> None:
    """Raise InputError if a file is none of its kind, or a certificate has expired."""
    authority = _authority(parts["ca_file"])
    cert, key = parts["cert"], parts.get("key", parts["cert"])
    cert.text(_CERTIFICATE)
    if any(mark in key.text(_KEY) for mark in _LOCKED):
        key.refuse("it has a passphrase, for which Dask cannot ask; give a key without one")
    if cert.in_memory or key.in_memory:
        return
    # Of a bundle some may have expired.
    dates = [str(one["notAfter"]) for one in authority.get_ca_certs()]
    last = max(dates, key=ssl.cert_time_to_seconds, default=None)
    if last is not None and ssl.cert_time_to_seconds(last) < time():
        parts["ca_file"].refuse(f"it has expired, on {last}; ask for a new one")
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        own.load_cert_chain(cert.value, key.value)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            key.refuse(f"it is not the key of the certificate {cert}; give the one made with it")
        cert.refuse(f"it cannot be used with the key {key} ({error.reason}); give both anew")
    if (words := _DATES.get(_verdict(cert, key))) is not None:
        cert.refuse(f"this certificate {words}; ask the authority of the cluster for a new one")


def _authority(part: _Part) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=part.text(_CERTIFICATE))
    except ssl.SSLError as error:
        part.refuse(f"its certificate cannot be read ({error.reason}); give a file that is whole")
    return context


def _verdict(cert: _Part, key: _Part) -> int:
    """Error code of OpenSSL for a certificate, in a handshake of this process with itself, or 0.

    The library ``ssl`` checks dates of certificates in handshakes only.
    """
    here, there = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.check_hostname, here.verify_mode = False, ssl.CERT_NONE
    there.verify_mode = ssl.CERT_REQUIRED
    there.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    there.load_verify_locations(cert.value)
    ends = []
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    for context, server, (read, write) in (
        (here, False, (into, out)),
        (there, True, (out, into)),
    ):
        context.load_cert_chain(cert.value, key.value)
        ends.append(context.wrap_bio(read, write, server_side=server))
    for end in (ends[0], ends[1], ends[0], ends[1]):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_code
    return 0


def try_handshake(address: str, security: Security) -> None:
    """Connect to a scheduler with certificates, and leave; where nobody answers, do nothing.

    Raises
    ------
    InputError
        If this process does not trust the scheduler, the scheduler does not trust this process, or
        does not speak TLS.
    """
    from distributed.comm.addressing import get_address_host_port

    host, port = get_address_host_port(address)
    context = security.get_connection_args("client")["ssl_context"]
    files: Any = security  # its attributes are slots that type checkers do not see
    authority, cert = _Part(files.tls_ca_file, ""), _Part(files.tls_client_cert, "")
    try:
        with (
            create_connection((host, port), timeout=_PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.recv(1)  # a certificate is refused after the handshake
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _DATES:
            raise InputError(
                f"the certificate of the scheduler at {address} {_DATES[error.verify_code]}; start "
                "the scheduler anew, with a new one"
            ) from error
        raise InputError(
            f"the scheduler at {address} has a certificate that {authority} has not signed "
            f"({error.verify_message}); give {_option('ca_file')} of the authority of this cluster"
        ) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # the network, or a scheduler that ends
        return
    except ssl.SSLError as error:
        if (why := _REFUSALS.get(error.reason)) is not None:
            raise InputError(
                f"the scheduler at {address} refuses the certificate {cert}: {why}; give "
                f"{_option('cert')} and {_option('key')} that the authority of this cluster signed"
            ) from error
        raise InputError(
            f"the scheduler at {address} does not speak TLS as this process does "
            f"({error.reason}); give its address with tcp:// if it was started without "
            "certificates"
        ) from error
    except OSError:
        return


def speaks_tls(address: str) -> bool:
    """Whether a scheduler that did not answer at ``tcp://`` speaks TLS."""
    from distributed.comm.addressing import get_address_host_port

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with create_connection(get_address_host_port(address), timeout=_PATIENCE) as plain:
            context.wrap_socket(plain).close()
    except (OSError, ValueError):
        return False
    return True
