"""What is told about the other end of a TLS connection: to the next stage, and on -printx509's descriptor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName
from cryptography.x509.oid import ExtensionOID

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name
    from OpenSSL import SSL

PREFIX = "TLS_SUBJECT_"
PROTOCOL = "TLS_CONNECTED_PROTOCOL"
EXPORTER = "TLS_EXPORTER"  # the binding of RFC 9266, in hexadecimal

_EXPORTER_LABEL = b"EXPORTER-Channel-Binding"
_EXPORTER_OCTETS = 32
_MAX_VALUE = 512  # characters of one field

# OpenSSL's short names, which the settings and log filters of the original know.
_SHORT = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.42": "GN",
    "1.2.840.113549.1.9.1": "emailAddress", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
}  # fmt: skip


def subject(certificate: Certificate) -> list[tuple[str, str]]:
    """The fields of the subject, in its order, with OpenSSL's short names; what is no clean text is left out."""
    return _fields(certificate.subject)


def _fields(name: Name) -> list[tuple[str, str]]:
    fields = []
    for attribute in name:
        short, value = _SHORT.get(attribute.oid.dotted_string), attribute.value
        if short and isinstance(value, str) and len(value) <= _MAX_VALUE and value.isprintable():
            fields.append((short, value))
    return fields


def dump(connection: SSL.Connection, verified: bool) -> bytes:
    """The text of -printx509: the certificates of the other end, then version, bits and cipher.

    Only certificates that have been verified are told, or that we have asked for as a client.
    """
    lines = []
    certificates = connection.get_peer_cert_chain(as_cryptography=True) if verified else None
    own = connection.get_peer_certificate(as_cryptography=True) if verified else None
    for certificate in [*([own] if own else []), *(one for one in certificates or [] if one != own)]:
        lines += ["Subject:", *(f"   {name}={value}" for name, value in subject(certificate)), ""]
        lines += [f"Subject-Alt-Name-DNS: {name}" for name in dns_names(certificate)]
        lines.append("Not-Before: " + _local(certificate.not_valid_before_utc.timestamp()))
        lines.append("Not-After: " + _local(certificate.not_valid_after_utc.timestamp()))
    lines.append(f"Version: {connection.get_protocol_version_name()}")
    lines.append(f"Bits: {connection.get_cipher_bits()}")
    lines.append(f"Cipher: {connection.get_cipher_name()}")
    binding = exporter(connection)
    if binding:
        lines.append(f"Exporter: {binding}")
    return "".join(line + "\n" for line in lines).encode()


def dns_names(certificate: Certificate) -> list[str]:
    """The DNS names that the certificate is for."""
    names = _alternative_names(certificate)
    return [name for name in names.get_values_for_type(DNSName) if name.isprintable()] if names is not None else []


def addresses(certificate: Certificate) -> list[str]:
    """The IP addresses that the certificate is for, each in its shortest form."""
    names = _alternative_names(certificate)
    return [str(address) for address in names.get_values_for_type(IPAddress)] if names is not None else []


def _alternative_names(certificate: Certificate) -> SubjectAlternativeName | None:
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except (ExtensionNotFound, ValueError):
        return None
    assert isinstance(extension, SubjectAlternativeName)  # noqa: S101
    return extension


def _local(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def exporter(connection: SSL.Connection) -> str:
    """The channel binding tls-exporter, in hexadecimal; empty below TLS 1.3, where it may not be unique (RFC 9266)."""
    if connection.get_protocol_version_name() != "TLSv1.3":
        return ""
    binding: bytes = connection.export_keying_material(_EXPORTER_LABEL, _EXPORTER_OCTETS, b"")
    return binding.hex()


def variables(connection: SSL.Connection, verified: bool) -> dict[bytes, bytes]:
    """The environment of the program behind couriertls, about its client."""
    version, bits = connection.get_protocol_version_name(), connection.get_cipher_bits()
    told = {PROTOCOL: f"{version},{bits}bits,{connection.get_cipher_name()}", EXPORTER: exporter(connection)}
    certificate = connection.get_peer_certificate(as_cryptography=True) if verified else None
    for name, value in subject(certificate) if certificate else ():
        told[PREFIX + name.upper()] = value
    return {name.encode(): value.encode() for name, value in told.items() if value}
