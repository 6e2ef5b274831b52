"""The back ends of a site, in order, and what a request makes of them: octets for the client, or None.

None is a temporary failure, which the protocol says by closing the connection without a word.
"""

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator

from authdaemond import options, protocol, ticket, ticketkey
from authdaemond.account import Account
from authdaemond.backend import Backend, NotSupported, Reject, TemporaryFailure
from couriertcpd import log

_NAME = re.compile(r"[a-z][a-z0-9_]*")

# The order of the original's authdaemonrc, for a file that does not say; what is not installed is left out.
_USUAL = ("authuserdb", "authpam", "authpgsql", "authldap", "authmysql", "authsqlite", "authcustom", "authpipe")


def usual_modules() -> list[str]:
    """The back ends to ask when authmodulelist is missing."""
    return [name for name in _USUAL if importlib.util.find_spec(f"authdaemond.modules.{name}")]


def load(names: list[str]) -> dict[str, Callable[[], Backend]]:
    """The back ends' classes by name, in order; one that cannot be loaded is logged and left out."""
    found: dict[str, Callable[[], Backend]] = {}
    for name in names:
        log.info(f"Installing lib{name}")
        where = f"authdaemond.modules.{name}"
        if not _NAME.fullmatch(name) or importlib.util.find_spec(where) is None:
            log.info(f"file not found: {name} is no back end of this installation, skipped")
            continue
        try:
            found[name] = importlib.import_module(where).BACKEND
        except (ImportError, AttributeError) as error:
            log.info(f"{name}: {error}, skipped")
            continue
        log.info(f"Installation complete: {name}")
    return found


class Chain:
    """The back ends of one worker; in the key directory is what tickets are signed with, if any are to be."""

    def __init__(
        self, classes: dict[str, Callable[[], Backend]], default_options: bytes, debug: bool, key_directory: str = ""
    ) -> None:
        self._backends = {name: make() for name, make in classes.items()}
        self._default_options = default_options
        self._key_directory = key_directory
        self._debug = log.debug if debug else _say_nothing

    def idle(self) -> None:
        """Let go of what the back ends can get again."""
        for backend in self._backends.values():
            backend.idle()

    def close(self) -> None:
        """End what the back ends have running."""
        for backend in self._backends.values():
            backend.close()

    def answer(self, request: protocol.Request) -> Iterator[bytes]:
        """The reply, in pieces; it ends early, or is empty, when a back end fails for the moment."""
        match request:
            case protocol.Lookup():
                self._debug(f"received userid lookup request: {log.printable(request.userid)}")
                backends = self._named(request.module)
                yield from self._account(backends, lambda backend: backend.lookup(request))
            case protocol.Authenticate():
                service, authtype = log.printable(request.service), log.printable(request.authtype)
                self._debug(f"received auth request, service={service}, authtype={authtype}")
                yield from self._account(
                    self._backends, lambda backend: backend.authenticate(request), request.audience
                )
            case protocol.ChangePassword():
                yield self._change_password(request)
            case protocol.Enumerate():
                yield from self._enumerate()

    def _named(self, module: bytes) -> dict[str, Backend]:
        if module == b".":
            return self._backends
        name = module.decode("ascii", "replace")
        return {name: self._backends[name]} if name in self._backends else {}

    def _account(
        self, backends: dict[str, Backend], ask: Callable[[Backend], Account], audience: bytes = b""
    ) -> Iterator[bytes]:
        for name, backend in backends.items():
            self._debug(f"{name}: trying this module")
            try:
                account = ask(backend)
                account.options = options.merged(account.options, self._default_options)
                if audience:
                    account.ticket = self._ticket(account, audience)
                reply = protocol.encode_account(account)
            except Reject:
                self._debug(f"{name}: REJECT - try next module")
                continue
            except (TemporaryFailure, protocol.Malformed) as error:
                self._debug(f"{name}: TEMPFAIL - no more modules will be tried")
                log.err(f"{name}: {error}")
                return
            self._debug(f"Authenticated: {_described(account)}")
            yield reply
            return
        self._debug("FAIL, all modules rejected")
        yield protocol.FAIL

    def _ticket(self, account: Account, audience: bytes) -> bytes:
        """What the next stage believes; empty where there is no key, so that the login stage has to do without.

        The key is read anew each time: it can be replaced, or taken away, without a restart.
        """
        try:
            return ticket.sign(ticketkey.read(self._key_directory), account, audience, ticket.clock())
        except FileNotFoundError:
            self._debug("no key to sign a ticket with")
        except (OSError, ticketkey.Untrusted, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            log.err(f"no ticket for {log.printable(account.address)}: {reason}")
        return b""

    def _change_password(self, request: protocol.ChangePassword) -> bytes:
        for name, backend in self._backends.items():
            self._debug(f"{name}: trying this module")
            try:
                backend.change_password(request)
            except NotSupported:
                self._debug(f"{name}: changes no passwords - try next module")
            except Reject:
                self._debug(f"{name}: REJECT - try next module")
            except TemporaryFailure as error:
                log.err(f"{name}: {error}")
                return protocol.FAIL
            else:
                return protocol.OK
        self._debug("FAIL, all modules rejected")
        return protocol.FAIL

    def _enumerate(self) -> Iterator[bytes]:
        for name, backend in self._backends.items():
            try:
                accounts = backend.enumerate()
                yield protocol.encode_enumeration_heading(name)
                for found in accounts:
                    try:
                        found.options = options.merged(found.options, self._default_options)
                        line = found.encode()
                    except protocol.Malformed as error:
                        log.err(f"{name}: {error}, left out of the list: {log.printable(found.userid)}")
                        continue
                    yield line
            except NotSupported:
                continue
            except TemporaryFailure as error:
                log.err(f"{name}: {error}")
                return
        yield protocol.END


def _say_nothing(text: str) -> None:
    """Without DEBUG_LOGIN."""


def _described(account: Account) -> str:
    """What a debug line says of an account: everything but passwords."""
    parts = (
        ("sysusername", account.username),
        ("sysuserid", account.uid),
        ("sysgroupid", account.gid),
        ("homedir", account.home),
        ("address", account.address),
        ("fullname", account.fullname),
        ("maildir", account.maildir),
        ("quota", account.quota),
        ("options", account.options),
    )
    return ", ".join(f"{name}={_text(value)}" for name, value in parts)


def _text(value: bytes | str | int | None) -> str:
    if value is None or value == b"":
        return "<null>"
    return log.printable(value) if isinstance(value, bytes) else str(value)
