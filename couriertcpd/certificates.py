"""Certificate files: which there are, what is in them, and why one will not work.

TLS_CERTFILE is the base.  A file with a server name behind it, BASE.mail.example.com, is for clients that ask for that
name (SNI), or BASE.*.example.com for all names with one more label; one with an address behind it, BASE.192.0.2.1, for
connections to that address.  A key of its own is TLS_PRIVATE_KEYFILE with the same behind it, or in the certificate's
file.  All are read into memory while the process still may; nothing is opened for a client.
"""

from __future__ import annotations

import os
import re
import time

from couriertcpd import installed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

MAX_FILE_OCTETS = 1 << 20

_KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----[^\n]*\n?", re.DOTALL)
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_DH_PARAMETERS = b"-----BEGIN DH PARAMETERS-----"
_V4_MAPPED = "::ffff:"


class Unusable(Exception):
    """A file will not do; the text is one line that names it and says what to do."""


class Pair:
    """A certificate chain, the server's own first, and its key."""

    __slots__ = ("chain", "key", "path")

    def __init__(self, path: str, chain: list[x509.Certificate], key: PrivateKeyTypes) -> None:
        self.path, self.chain, self.key = path, chain, key

    def warnings(self) -> Iterator[str]:
        """What clients will not like about the chain, one line each."""
        end = self.chain[0].not_valid_after_utc
        if end.timestamp() < time.time():
            yield f"{self.path}: expired on {end:%Y-%m-%d}; clients refuse it: get a new certificate"
        if self.chain[0].not_valid_before_utc.timestamp() > time.time():
            yield f"{self.path}: not valid before {self.chain[0].not_valid_before_utc:%Y-%m-%d}; is the clock right?"
        for one, issuer in zip(self.chain, self.chain[1:], strict=False):
            if one.issuer != issuer.subject:
                yield (
                    f"{self.path}: the chain is out of order: put the certificate of"
                    f" {one.issuer.rfc4514_string()} behind that of {one.subject.rfc4514_string()}"
                )
                return


class Files:
    """The octets of one certificate file and of its key file, read now and looked at later."""

    __slots__ = ("_certificates", "_key", "_key_path", "path")

    def __init__(self, path: str, key_path: str) -> None:
        """Read them; raises Unusable."""
        self.path, self._key_path = path, key_path
        self._certificates = read(path, "TLS_CERTFILE")
        self._key = read(key_path, "TLS_PRIVATE_KEYFILE") if key_path != path else self._certificates

    @property
    def has_certificate(self) -> bool:
        """Whether it is a certificate's file at all."""
        return _CERTIFICATE in self._certificates

    @property
    def has_dh_parameters(self) -> bool:
        """Whether Diffie-Hellman parameters stand in the certificate's file."""
        return _DH_PARAMETERS in self._certificates

    def exposure(self) -> Iterator[str]:
        """Whether a login process, which is the mail user, could read the key: one line that says so."""
        import pwd

        try:
            user = pwd.getpwnam(installed.MAILUSER)
            status = os.stat(self._key_path)
        except (KeyError, OSError):
            return
        groups = os.getgrouplist(installed.MAILUSER, user.pw_gid)
        of_group = status.st_gid in groups and status.st_mode & 0o040
        if os.geteuid() == 0 and (status.st_uid == user.pw_uid or of_group or status.st_mode & 0o004):
            yield (
                f"{self._key_path}: the private key can be read by {installed.MAILUSER}, as whom login processes run:"
                f" chown root {self._key_path}; chmod 600 {self._key_path}"
            )

    def pair(self) -> Pair:
        """What is in the files; raises Unusable."""
        chain = _chain(self.path, self._certificates)
        key = _private_key(self._key_path, self._key, "" if self._key_path == self.path else self.path)
        if _public(chain[0].public_key()) != _public(key.public_key()):
            raise Unusable(
                f"{self._key_path}: the private key does not belong to the first certificate in {self.path};"
                " use the key that the certificate was made with, and put the server's own certificate first"
            )
        return Pair(self.path, chain, key)


class Store:
    """The files of one TLS_CERTFILE by what stands behind the base; the empty suffix is the base itself."""

    def __init__(self, certificate: str, key: str, before: Store | None = None) -> None:
        """Read all files there are; where one cannot be read, what it was before stays.

        Raises Unusable when there is no base.
        """
        if not certificate:
            raise Unusable("TLS_CERTFILE is not set; name the certificate's file in imapd-ssl or pop3d-ssl")
        self.problems: list[str] = []
        self.files: dict[str, Files] = {}
        self._certificate, self._key = certificate, key
        self._before = before.files if before is not None else {}
        try:
            self.files[""] = Files(certificate, key or certificate)
        except Unusable as problem:
            if not self.go_back("", problem):
                raise
        for suffix in _suffixes(certificate):
            self._read(suffix)

    def _read(self, suffix: str) -> None:
        try:
            files = Files(f"{self._certificate}.{suffix}", self._key_path(suffix))
        except Unusable as problem:
            if not self.go_back(suffix, problem):
                self.problems.append(str(problem))
            return
        if files.has_certificate or suffix in self._before:  # what is named like one by chance is no mistake
            self.files[suffix] = files

    def go_back(self, suffix: str, problem: Unusable) -> bool:
        """Take the files from before for this suffix; false when there are none."""
        before = self._before.pop(suffix, None)
        if before is None:
            return False
        self.files[suffix] = before
        self.problems.append(f"{problem}; what was there before stays in use")
        return True

    def _key_path(self, suffix: str) -> str:
        candidate = f"{self._key}.{suffix}"
        return candidate if self._key and os.path.exists(candidate) else f"{self._certificate}.{suffix}"

    def for_name(self, name: bytes) -> str | None:
        """The suffix for a server name that a client asks for; None where there is none."""
        asked = name.decode("ascii", "replace").replace("/", ".")
        for candidate in (asked, asked.lower(), "*." + asked.lower().partition(".")[2]):
            if candidate and candidate in self.files:
                return candidate
        return None

    def for_address(self, address: str) -> str:
        """The suffix for connections to the address, the base's where there is no other."""
        address = address.removeprefix(_V4_MAPPED)
        return address if address in self.files else ""


def looks(certificate: str, key: str, others: tuple[str, ...] = ()) -> tuple[object, ...]:
    """Something that is equal as long as no file has changed, from stat() alone."""
    folders = {os.path.dirname(path) or "." for path in (certificate, key) if path}
    paths = [*sorted(folders), *(path for path in (certificate, key, *others) if path)]
    suffixes = _suffixes(certificate)
    paths += [f"{base}.{suffix}" for base in (certificate, key) if base for suffix in suffixes]
    return tuple(map(_looks, paths))


def _looks(path: str) -> tuple[int, int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode


def _suffixes(certificate: str) -> list[str]:
    """What stands behind the base in the names of its directory; not what editors and packagers leave there."""
    folder, base = os.path.split(certificate)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    found = (name.removeprefix(base + ".") for name in names if name.startswith(base + "."))
    return sorted(suffix for suffix in found if suffix and not suffix.endswith((".bak", ".old", ".tmp", ".new", "~")))


def read(path: str, setting: str) -> bytes:
    """A file of the setting; raises Unusable."""
    try:
        with open(path, "rb", buffering=0) as file:
            octets = file.read(MAX_FILE_OCTETS + 1)
    except FileNotFoundError:
        raise Unusable(f"{path}: there is no such file ({setting}); put it there, or have one made by"
                       " mkimapdcert or mkpop3dcert") from None  # fmt: skip
    except PermissionError:
        raise Unusable(
            f"{path}: uid {os.geteuid()} may not read it ({setting}); give the file to that account, or start the"
            " server as root"
        ) from None
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror} ({setting})") from None
    if len(octets) > MAX_FILE_OCTETS:
        raise Unusable(f"{path}: larger than {MAX_FILE_OCTETS} octets ({setting}); is it the right file?")
    return octets


def _chain(path: str, octets: bytes) -> list[x509.Certificate]:
    if _CERTIFICATE not in octets:
        raise Unusable(f"{path}: there is no certificate in it (TLS_CERTFILE); it must hold one in PEM form")
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_KEY.sub(b"", octets))
    except ValueError:
        raise Unusable(f"{path}: a certificate in it is damaged; copy it anew, or get it anew") from None


def _private_key(path: str, octets: bytes, certificate: str) -> PrivateKeyTypes:
    """The key in the file; certificate is its file when that is another one."""
    found = _KEY.search(octets)
    if found is None:
        remedy = "put it there, or name its file in TLS_PRIVATE_KEYFILE" if not certificate else "put it there"
        raise Unusable(f"{path}: there is no private key in it; {remedy}")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if b"ENCRYPTED" in found[0].split(b"\n\n")[0]:
        raise Unusable(f"{path}: the private key needs a passphrase; take it off: openssl pkey -in {path} -out NEWFILE")
    try:
        return load_pem_private_key(found[0], None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unusable(f"{path}: the private key is damaged or of an unknown kind; copy it anew") from None


def _public(key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return octets
