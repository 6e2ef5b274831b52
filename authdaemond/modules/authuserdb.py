"""authuserdb: accounts in userdb, a text file that makeuserdb turns into two databases.  See makeuserdb(8)."""

import os
import subprocess
from collections.abc import Iterator

from authdaemond import authdata, cramstate, passwords, protocol, userdb
from authdaemond.account import Account
from authdaemond.backend import Backend, Reject, TemporaryFailure
from couriertcpd import installed

_PROGRAM_SECONDS = 30
_NOT_IN_A_NAME = b"/|='\""


class Userdb(Backend):
    """userdb.dat stays open until it is replaced; userdbshadow.dat is opened for each look."""

    def __init__(self, source: str = "") -> None:
        self._public = userdb.Database(userdb.public_path(source))
        self._shadow_path = userdb.shadow_path(source)

    def authenticate(self, request: protocol.Authenticate) -> Account:
        """The account of a password, or of a CRAM response."""
        credentials = authdata.parse(request.authtype, request.data)
        if isinstance(credentials, authdata.Cram):
            return self._cram(request.service, credentials)
        if credentials is None:
            raise Reject
        try:
            account = self._account(credentials.userid)
            stored = _first(self._secrets(credentials.userid), request.service + b"pw", b"systempw")
        except Reject:
            passwords.pretend(credentials.password)
            raise
        if not passwords.verify(credentials.password, stored):
            raise Reject
        account.passwd, account.passwd2 = stored, credentials.password
        return account

    def lookup(self, request: protocol.Lookup) -> Account:
        """The account of a name."""
        account = self._account(request.userid)
        secrets = self._secrets(request.userid)
        account.passwd = secrets.get(request.service + b"pw", secrets.get(b"systempw", b""))
        return account

    def change_password(self, request: protocol.ChangePassword) -> None:
        """Write the new hash with `userdb`, and build the databases with `makeuserdb`."""
        if any(octet in _NOT_IN_A_NAME for octet in request.userid) or request.userid.startswith(b"-"):
            raise Reject
        try:
            self._account(request.userid)
            secrets = self._secrets(request.userid)
            stored = _first(secrets, request.service + b"pw", b"systempw")
        except Reject:
            passwords.pretend(request.old)
            raise
        if not passwords.verify(request.old, stored):
            raise Reject
        field = request.service + b"pw"
        changed = {field if field in secrets else b"systempw": _new_hash(request.new, stored)}
        for name, algorithm in _cram_fields(request.service):
            if secrets.get(name, b"").lower() == cramstate.state(algorithm, request.old):
                changed[name] = cramstate.state(algorithm, request.new)
        location = userdb.fields(self._public_record(request.userid)).get(b"_", b"")
        # The secrets go in on standard input: what stands in argv, everybody on the host can read.
        _run("userdb", location + request.userid, b"set", *changed, stdin=b"".join(v + b"\n" for v in changed.values()))
        _run("makeuserdb", stdin=b"")

    def enumerate(self) -> Iterator[protocol.Enumerated]:
        """Every account in userdb."""
        try:
            for name, record in self._public.items():
                account = userdb.account(name, record)
                if account is not None and account.uid is not None:
                    yield protocol.Enumerated(
                        name, account.uid, account.gid, account.home, account.maildir, account.options
                    )
        except FileNotFoundError:
            return
        except userdb.Unavailable as error:
            raise TemporaryFailure(str(error)) from None

    def idle(self) -> None:
        """Let go of the database."""
        self._public.close()

    def _public_record(self, name: bytes) -> bytes:
        record = _get(self._public, name)
        if record is None:
            raise Reject
        return record

    def _account(self, name: bytes) -> Account:
        account = userdb.account(name, self._public_record(name))
        if account is None:
            raise Reject
        return account

    def _secrets(self, name: bytes) -> dict[bytes, bytes]:
        database = userdb.Database(self._shadow_path)
        try:
            return userdb.fields(_get(database, name) or b"")
        finally:
            database.close()

    def _cram(self, service: bytes, credentials: authdata.Cram) -> Account:
        """The account of a CRAM response.  As in the original the record then has no name, quota and hash."""
        algorithm = credentials.algorithm
        try:
            account = self._account(credentials.userid)
            secrets = self._secrets(credentials.userid)
            field = b"hmac-%spw" % algorithm.encode("ascii")
            state = _first(secrets, service + b"-" + field, field)
        except Reject:
            # As long as a real check takes, so that the delay does not tell who exists.
            cramstate.check(algorithm, cramstate.state(algorithm, b""), credentials.challenge, credentials.digest)
            raise
        if not cramstate.check(algorithm, state, credentials.challenge, credentials.digest):
            raise Reject
        account.fullname = account.quota = b""
        return account


def _get(database: userdb.Database, key: bytes) -> bytes | None:
    try:
        return database.get(key)
    except FileNotFoundError:
        return None  # a site that has made no userdb has no accounts in it
    except userdb.Unavailable as error:
        raise TemporaryFailure(str(error)) from None
    except OSError as error:
        raise TemporaryFailure(f"{database.path}: {error.strerror}") from None


def _first(secrets: dict[bytes, bytes], own: bytes, general: bytes) -> bytes:
    """The service's own field, else the general one, which is not tried where the service has its own."""
    if own not in secrets and general not in secrets:
        raise Reject
    return secrets[own] if own in secrets else secrets[general]


def _cram_fields(service: bytes) -> list[tuple[bytes, str]]:
    return [
        (prefix + b"hmac-%spw" % algorithm.encode("ascii"), algorithm)
        for algorithm in cramstate.ALGORITHMS
        for prefix in (service + b"-", b"")
    ]


def _new_hash(password: bytes, old: bytes) -> bytes:
    """MD5-crypt, as the original writes; but a stronger crypt(3) scheme of the old hash is kept."""
    stronger = old.startswith(b"$") and not old.startswith(b"$1$")
    try:
        return passwords.encrypt(password, old if stronger else b"$1$")
    except ValueError:
        raise Reject from None


def _run(program: str, *arguments: bytes, stdin: bytes) -> None:
    """Run one of our programs to its end.  Raises TemporaryFailure unless it says that all went well."""
    path = os.path.join(installed.SBINDIR, program)
    try:
        subprocess.run(
            [path.encode(), *arguments],
            input=stdin,
            stdout=subprocess.DEVNULL,
            timeout=_PROGRAM_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise TemporaryFailure(f"{path} failed with status {error.returncode}: the password was not changed") from None
    except subprocess.TimeoutExpired:
        raise TemporaryFailure(f"{path} took longer than {_PROGRAM_SECONDS} seconds") from None
    except OSError as error:
        raise TemporaryFailure(f"{path}: {error.strerror}: the password was not changed") from None


BACKEND = Userdb
