"""couriertls: TLS on one side, clear text on the other.  See couriertls(1).

A stage of its own that holds the key, so that no process that reads passwords or mail ever does.  As a server it gives
up root, and in the prefork form every way to a file, before the first octet from the network.

In front of imaplogin it is the first stage of a chain (`-server -tcpd imaplogin ...`).  For STARTTLS it stands beside
the login stage: with `-passed` descriptor 0 is the client and descriptor 1 the clear-text side, through which come
first the descriptors that -statusfd and -printx509 would name (see imaplogin.starttls).
"""

from __future__ import annotations

import os
import sys
import time

from couriertcpd import environ, log, privileges, stage, tlsoptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from couriertcpd.handover import Arrival
    from couriertcpd.tlscontext import ServerContexts

FAILED = 1
CONTEXT_SECONDS = 86400.0  # after which another takes its place: with it the keys of session tickets change
LOOK_SECONDS = 2.0  # between two looks at the certificate files

_OF_ANOTHER = (b"TLS_SUBJECT_", b"TLS_CONNECTED_PROTOCOL", b"TLS_EXPORTER")  # connection

# For the fork server (couriertcpd.forkserver).
REUSABLE = True
PRELOAD = ("couriertcpd.tlsserver", "ctypes", "pwd")
LAUNCHER = "couriertcpd.tlslaunch"


class _Known:
    """What a fork server knows, and all its children share."""

    def __init__(self, argv: list[str]) -> None:
        from couriertcpd import tlsserver

        self.argv = argv
        self.options = tlsoptions.Options(argv[1:])
        self.environment = environ.everything()
        self.user = tlsserver.find_user(self.options.user)
        self.contexts, self._looks, self._made = _contexts(), _looks(), time.monotonic()
        self.contexts.make_all()
        self.contexts.rehearse()
        _warn(self.contexts)
        self._looked = self._made

    def renew(self) -> bool:
        """Whether the contexts are others than before: the files have changed, or the time has come."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        looks = _looks()
        if looks == self._looks and now - self._made < CONTEXT_SECONDS:
            return False
        self._looks, self._made = looks, now
        from couriertcpd.certificates import Unusable

        try:
            contexts = _contexts(self.contexts)
            contexts.make_all()
            contexts.rehearse()
        except Unusable as problem:
            log.err(f"{problem}; the certificates from before stay in use")
            return False
        _warn(contexts)
        self.contexts = contexts
        return True


_known: _Known | None = None
_renounced = False


def next_stage(argv: list[str]) -> list[str] | None:
    """What comes behind TLS."""
    return tlsoptions.Options(argv[1:]).program or None


def prepare(argv: list[str]) -> None:
    """Before the first fork: read certificates and keys."""
    global _known
    privileges.prepare()
    _known = _Known(argv)


def stale() -> bool:
    """Whether the processes that wait have old certificates."""
    return _known is not None and _known.renew()


def before_wait() -> None:
    """Give up root, and every way to a file, before there is a client."""
    global _renounced
    from couriertcpd import tlsserver

    assert _known is not None  # noqa: S101
    if not _renounced:
        tlsserver.give_up_root(_known.user, files=False)
        _renounced = True


def arrive(handed: Arrival) -> None:
    """Take from a login stage, which may be anybody's by now, nothing but who its client is."""
    known = _known
    assert known is not None  # noqa: S101
    if known.options.passed:
        about = (b"TCP", b"COURIER_SLOT")
        told = {name: value for name, value in handed.environment.items() if name.startswith(about)}
        handed.environment = {**known.environment, **told}
        handed.argv = known.argv


def _contexts(before: ServerContexts | None = None) -> ServerContexts:
    from couriertcpd.tlscontext import ServerContexts
    from couriertcpd.tlssettings import Settings

    return ServerContexts(Settings(), before)


def _looks() -> tuple[object, ...]:
    from couriertcpd import certificates
    from couriertcpd.tlssettings import Settings

    settings = Settings()
    return certificates.looks(settings.certificate, settings.key, (settings.dh_parameters, settings.client_authority))


def _warn(contexts: ServerContexts) -> None:
    for warning in contexts.warnings:
        log.warn(warning)


def main(argv: list[str]) -> int:
    """Serve one client, or be one."""
    try:
        options = tlsoptions.Options(argv[1:])
    except tlsoptions.Misuse as problem:
        os.write(2, f"couriertls: {problem}\n".encode("utf-8", "backslashreplace"))
        return FAILED
    for name in environ.everything():
        if name.startswith(_OF_ANOTHER):
            environ.drop(os.fsdecode(name))
    if options.check:
        return _check()
    if not options.server:
        from couriertcpd import tlsclient

        return tlsclient.run(options)
    from couriertcpd import tlsserver

    if _known is not None:
        return tlsserver.serve(options, _known.contexts)
    return tlsserver.serve(options)


def _check() -> int:
    """Say what is wrong with settings and certificates, one line each."""
    from couriertcpd.certificates import Unusable
    from couriertcpd.tlscontext import ServerContexts
    from couriertcpd.tlssettings import Settings

    try:
        contexts = ServerContexts(Settings())
    except Unusable as problem:
        print(problem, file=sys.stderr)
        return FAILED
    contexts.make_all()
    for warning in contexts.warnings:
        print(warning, file=sys.stderr)
    return stage.DONE
