"""Certificates for the tests: an authority, and what it issues to servers and clients."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_FIELDS = {
    "C": NameOID.COUNTRY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
_PEM = serialization.Encoding.PEM
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_DAY = datetime.timedelta(days=1)


class Issued:
    """A certificate with its key, and the certificates of its issuers that belong behind it."""

    def __init__(self, certificate: x509.Certificate, key: Key, issuers: tuple[bytes, ...]):
        self.certificate = certificate
        self._key = key
        self.chain = certificate.public_bytes(_PEM) + b"".join(issuers)

    @property
    def key(self) -> bytes:
        """The private key."""
        return self._key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def locked_key(self, passphrase: bytes) -> bytes:
        """The private key as it needs a passphrase."""
        lock = serialization.BestAvailableEncryption(passphrase)
        return self._key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, lock)

    @property
    def der(self) -> bytes:
        """The certificate as it is presented."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def put(self, path: Path) -> Path:
        """Key and chain in one file, replaced at once."""
        return put(path, self.key + self.chain)


def put(path: Path, octets: bytes) -> Path:
    """Replace a file at once, with one that only its owner may read."""
    ready = path.with_name(path.name + ".new")
    ready.write_bytes(octets)
    ready.chmod(0o600)
    ready.rename(path)
    return path


class Authority:
    """Signs certificates."""

    def __init__(self, name: str, parent: Authority | None = None) -> None:
        self.name = _name([("O", name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._parent = parent or self
        self.certificate = self._signed(self._parent, self.name, self.key, authority=True)
        self.pem = self.certificate.public_bytes(_PEM)
        self._issuers: tuple[bytes, ...] = (self.pem, *parent._issuers) if parent else ()

    def issue(self, *subject: tuple[str, str], names: tuple[str, ...] = (), days: int = 2, rsa_bits: int = 0) -> Issued:
        """A certificate with that subject, for these names and addresses; one of -1 days has expired."""
        key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        return Issued(self._signed(self, _name(list(subject)), key, names=names, days=days), key, self._issuers)

    def server(self, *names: str) -> Issued:
        """A certificate for a server of these names."""
        return self.issue(("CN", names[0]), names=names)

    @staticmethod
    def _signed(
        issuer: Authority,
        subject: x509.Name,
        key: Key,
        names: tuple[str, ...] = (),
        days: int = 2,
        authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            issuer.name, subject, key.public_key(), x509.random_serial_number(), now - 10 * _DAY, now + days * _DAY
        ).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        return builder.sign(issuer.key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    """An address is one, unless `name ` stands before it."""
    if name.startswith("name "):
        return x509.DNSName(name.removeprefix("name "))
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(fields: list[tuple[str, str]]) -> x509.Name:
    return x509.Name([x509.NameAttribute(_FIELDS[name], value) for name, value in fields])
