"""OpenSSL's contexts: a server's, one for each certificate, and a client's."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from cryptography import x509
from OpenSSL import SSL, crypto

from couriertcpd import certificates, log, tlssettings
from couriertcpd.certificates import Store, Unusable

if TYPE_CHECKING:
    from couriertcpd.tlssettings import Settings

_SESSION_CONTEXT = b"courier-imap"
_HASHED = re.compile(r"\.\d+$")  # the names in a directory that c_rehash has made
_DH_PARAMETERS = b"-----BEGIN DH PARAMETERS-----"

# Of a client's certificate, in PEER and REQUIRE.
_VERIFY = {
    tlssettings.NONE: SSL.VERIFY_NONE,
    tlssettings.PEER: SSL.VERIFY_PEER,
    tlssettings.REQUIRE: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}

NO_CERTIFICATE = "there is no usable certificate here; the server's log says more"

# OpenSSL's numbers for what is wrong with a certificate (X509_verify_cert_error_string(3)).
_WRONG = {
    9: "not activated yet",
    10: "expired",
    18: "self-signed",
    19: "not signed by a trusted authority",
    20: "not signed by a trusted authority",
    21: "not signed by a trusted authority",
    23: "revoked",
    26: "not made for this",
}


class NoProtocol(Exception):
    """The client offers protocols (ALPN), and none is ours."""


class ServerContexts:
    """The contexts of a server, made from files that have been read.

    Session tickets are good for the context of a connection's address, in all processes that were forked with it.
    """

    def __init__(self, settings: Settings, before: ServerContexts | None = None) -> None:
        """Read all files; for a certificate that cannot be used, what it was before stays.  Raises Unusable."""
        self._settings = settings
        self._store: Store = Store(settings.certificate, settings.key, before._store if before is not None else None)
        self._authority = _authority(settings) if settings.verify != tlssettings.NONE else []
        self._contexts: dict[str, SSL.Context] = {}
        self._warnings: list[str] = []
        self._dh_file = self._find_dh_parameters()
        self._make("")

    @property
    def warnings(self) -> list[str]:
        """One line for each thing that is wrong with the files."""
        return [*self._store.problems, *self._warnings]

    def make_all(self) -> None:
        """Make every context now, so that what is wrong with the others is known, and children need not."""
        for suffix in list(self._store.files):
            try:
                self._make(suffix)
            except Unusable as problem:
                self._warnings.append(str(problem))

    def rehearse(self) -> None:
        """Use every context once, before the first fork."""
        from couriertcpd import tlsrehearsal

        for context in self._contexts.values():
            tlsrehearsal.rehearse(context)

    def _make(self, suffix: str) -> None:
        try:
            self._context(suffix)
        except Unusable as problem:
            if not self._store.go_back(suffix, problem):
                raise
            self._context(suffix)

    def for_address(self, address: str) -> SSL.Context:
        """The context that a connection to the address begins with.  Raises Unusable."""
        return self._context(self._store.for_address(address))

    def _context(self, suffix: str) -> SSL.Context:
        if suffix not in self._contexts:
            pair = self._store.files[suffix].pair()
            context = _new(SSL.TLS_SERVER_METHOD, self._settings)
            _use(context, pair)
            context.set_session_id(_SESSION_CONTEXT)
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets do without
            context.set_timeout(self._settings.session_seconds)
            context.set_tlsext_servername_callback(self._named)
            if self._settings.alpn:
                context.set_alpn_select_callback(self._protocol)
            if self._dh_file:
                self._use_dh_parameters(context)
            self._ask_for_certificates(context)
            self._contexts[suffix] = context
            self._warnings += [*pair.warnings(), *self._store.files[suffix].exposure()]
        return self._contexts[suffix]

    def _ask_for_certificates(self, context: SSL.Context) -> None:
        context.set_verify(_VERIFY[self._settings.verify], _verified)
        store = context.get_cert_store()
        for certificate in self._authority:
            context.add_client_ca(certificate)
            if store is not None:
                store.add_cert(crypto.X509.from_cryptography(certificate))

    def _named(self, connection: SSL.Connection) -> None:
        """The client asks for a server name: use its certificate, if there is one."""
        name = connection.get_servername()
        suffix = self._store.for_name(name) if name else None
        if suffix is None:
            return
        try:
            context = self._context(suffix)
        except Unusable as problem:  # fatal for the connection, with a context that has no certificate
            log.err(str(problem))
            connection.set_app_data(NO_CERTIFICATE)
            context = SSL.Context(SSL.TLS_SERVER_METHOD)
        if context is not connection.get_context():
            connection.set_context(context)
            connection.set_verify(_VERIFY[self._settings.verify], _verified)

    def _protocol(self, connection: SSL.Connection, offered: list[bytes]) -> bytes:
        for protocol in self._settings.alpn:
            if protocol in offered:
                return protocol
        raise NoProtocol("the client wants another protocol than " + b", ".join(self._settings.alpn).decode())

    def _use_dh_parameters(self, context: SSL.Context) -> None:
        """Do without them where they will not do: today's clients need none."""
        try:
            context.load_tmp_dh(self._dh_file)
        except SSL.Error as error:
            self._warnings.append(
                f"{self._dh_file}: Diffie-Hellman parameters that cannot be used: {reason(error)} (TLS_DHPARAMS);"
                " remove the file, and run mkdhparams"
            )
            self._dh_file = ""

    def _find_dh_parameters(self) -> str:
        path = self._settings.dh_parameters
        if path and os.path.exists(path):
            try:
                if _DH_PARAMETERS in certificates.read(path, "TLS_DHPARAMS"):
                    return path
                self._warnings.append(
                    f"{path}: there are no DH PARAMETERS in it (TLS_DHPARAMS); remove the file, and run mkdhparams"
                )
            except Unusable as problem:
                self._warnings.append(str(problem))
        return self._settings.certificate if self._store.files[""].has_dh_parameters else ""


def _verified(connection: SSL.Connection, certificate: object, number: int, depth: int, good: int) -> bool:
    """OpenSSL's judgement on a certificate of the other end, kept for reason()."""
    if not good:
        connection.set_app_data(f"certificate verify failed: {_WRONG.get(number, f'error {number}')}")
    return bool(good)


def client(settings: Settings, *, verify: bool) -> SSL.Context:
    """A context to connect with; a certificate of ours is shown if there is one.  Raises Unusable.

    With verify the server's certificate must be signed by an authority of TLS_TRUSTCERTS.
    """
    context = _new(SSL.TLS_CLIENT_METHOD, settings)
    if settings.certificate and os.path.exists(settings.certificate):
        _use(context, certificates.Files(settings.certificate, settings.key or settings.certificate).pair())
    if settings.alpn:
        context.set_alpn_protos(list(settings.alpn))
    if verify:
        if not settings.client_authority:
            raise Unusable("TLS_TRUSTCERTS not set")
        _trust(context, settings.client_authority)
        context.set_verify(SSL.VERIFY_PEER, _verified)
    return context


def _new(method: int, settings: Settings) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(settings.minimum)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    try:
        context.set_cipher_list(settings.ciphers.encode())
    except SSL.Error:
        raise Unusable(
            f"TLS_CIPHER_LIST={log.printable(settings.ciphers)}: no cipher of that name; see openssl-ciphers(1), or"
            " remove the line"
        ) from None
    return context


def _use(context: SSL.Context, pair: certificates.Pair) -> None:
    try:
        context.use_certificate(pair.chain[0])
        for issuer in pair.chain[1:]:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(pair.key)
        context.check_privatekey()
    except SSL.Error as error:
        raise Unusable(f"{pair.path}: {reason(error)}; get a certificate that today's TLS takes") from None
    except TypeError:
        raise Unusable(f"{pair.path}: a key of this kind cannot be used for TLS; use RSA or ECDSA") from None


def _authority(settings: Settings) -> list[x509.Certificate]:
    """The certificates of TLS_TRUSTCERTS, a file or a directory as c_rehash makes it; none where there is no such."""
    path = settings.client_authority
    if not path or not os.path.exists(path):
        return []
    paths = [path]
    if os.path.isdir(path):
        paths = [os.path.join(path, name) for name in sorted(os.listdir(path)) if _HASHED.search(name)]
    found = []
    for one in paths:
        try:
            found += x509.load_pem_x509_certificates(certificates.read(one, "TLS_TRUSTCERTS"))
        except ValueError:
            raise Unusable(f"{one}: no certificate, or a damaged one, is in it (TLS_TRUSTCERTS)") from None
    return list(dict.fromkeys(found))


def _trust(context: SSL.Context, path: str) -> None:
    try:
        context.load_verify_locations(*((None, path) if os.path.isdir(path) else (path, None)))
    except SSL.Error:
        raise Unusable(f"{path}: no certificates of authorities can be read from it (TLS_TRUSTCERTS)") from None


def reason(error: SSL.Error, connection: SSL.Connection | None = None) -> str:
    """What is known of why the connection failed; else OpenSSL's words for the error, without its numbers."""
    known = connection.get_app_data() if connection is not None else None
    if known:
        return str(known)
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reasons = [words[-1] for words in queue if words[-1]]
    return "; ".join(dict.fromkeys(reasons)) or "unknown error"
