"""Certificates for tests: an authority of its own, and what it signs."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import bulklmm_dask as blmm

_DAY = dt.timedelta(days=1)


@dataclass
class Authority:
    """An authority, whose certificates and keys are written into a folder.

    Parameters
    ----------
    folder : path
        Where files go.
    name : str
        Its name, and that of its file.
    days : int
        Days until its own certificate ends.
    """

    folder: Path
    name: str = "authority"
    days: int = 30
    _key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        self.file = self.folder / f"{self.name}.pem"
        self.file.write_bytes(self._certificate(self.name, self._key, self.days, authority=True))

    def sign(
        self, name: str, *, days: int = 30, passphrase: bytes | None = None
    ) -> blmm.Certificates:
        """Make a key and a certificate that ends in some days; the files of both."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(self._certificate(name, key, days, authority=False))
        locked = (
            serialization.NoEncryption()
            if passphrase is None
            else serialization.BestAvailableEncryption(passphrase)
        )
        private.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
        )
        os.chmod(private, 0o600)
        return blmm.Certificates(ca_file=self.file, cert=cert, key=private)

    def _certificate(
        self, name: str, key: ec.EllipticCurvePrivateKey, days: int, *, authority: bool
    ) -> bytes:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 400 * _DAY)
            .not_valid_after(now + days * _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def words(tls: blmm.Certificates) -> list[str]:
    """The options of a command that give these certificates."""
    found = []
    for name in ("ca_file", "cert", "key"):
        if (file := getattr(tls, name)) is not None:
            found += [f"--tls-{name.replace('_', '-')}", str(file)]
    return found


def configuration(tls: blmm.Certificates) -> dict[str, str]:
    """The same as Dask's configuration, for all roles."""
    roles = {
        f"distributed.comm.tls.{role}.{name}": str(getattr(tls, name))
        for role in ("client", "worker", "scheduler")
        for name in ("cert", "key")
    }
    return {"distributed.comm.tls.ca-file": str(tls.ca_file)} | roles


def variables(tls: blmm.Certificates) -> dict[str, str]:
    """That configuration as variables of the environment."""
    return {
        f"DASK_{name.replace('.', '__').replace('-', '_').upper()}": value
        for name, value in configuration(tls).items()
    }
