"""Real clients on the encrypted ports, and with STARTTLS and STLS.  All of them check the server's certificate."""

from __future__ import annotations

import imaplib
import poplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chain import CLIENT_SECONDS, Chain

from tests.clients import getmail
from tests.clients.box import Box, letter
from tests.tls.authority import Authority
from tests.tls.servers import Servers

COUNT = 20
IMAP, POP3 = ["imap", "imap+starttls"], ["pop3", "pop3+stls"]
PROGRAM = Callable[[str], str]
ONE_FORM = pytest.mark.parametrize("chain", ["prefork"], indirect=True)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Clients")


@pytest.fixture(scope="module")
def trusted(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clients")
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    path = folder / "authority.pem"
    path.write_bytes(authority.pem)
    path.chmod(0o644)
    return path


class Home:
    """A box of mail, the servers in front of it, and the file of the authority, for clients of that account."""

    def __init__(self, box: Box, servers: Servers, trusted: Path) -> None:
        self.box, self.servers = box, servers
        self.trusted = box.write("authority.pem", trusted.read_text())
        self.settings = {
            "TLS_VERIFYPEER": "PEER", "TLS_TRUSTCERTS": str(trusted), "TLS_EXTERNAL": "emailaddress",
        }  # fmt: skip

    def port(self, how: str) -> int:
        return self.servers.port(how, **self.settings, TLS_ALPN=how[:4]).port

    def maildir(self, name: str) -> Path:
        for part in ("cur", "new", "tmp"):
            (self.box.account.home / name / part).mkdir(parents=True)
        self.box.account.own()
        return self.box.account.home / name

    def run(self, *argv: str, given: str = "", seconds: int = 300) -> str:
        """Run a client as the account until it ends well."""
        self.box.account.own()
        done = subprocess.run(
            argv, input=given, capture_output=True, text=True, timeout=seconds, check=False, **self.box.identity()
        )
        assert done.returncode == 0, (argv, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout


@pytest.fixture(scope="module")
def servers(chain: Chain, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    path = tmp_path_factory.mktemp("certificates") / "server.pem"
    authority.server("localhost", "127.0.0.1").put(path)
    running = Servers(chain, path)
    yield running
    running.end()


@pytest.fixture
def home(chain: Chain, servers: Servers, trusted: Path) -> Iterator[Home]:
    box = Box(chain, "tls-clients@example.com")
    for number in range(COUNT):
        box.deliver(letter(f"number {number}", ".", "Grüße " * number, "x" * 900))
    yield Home(box, servers, trusted)
    box.account.empty()


def bodies(place: Path) -> list[bytes]:
    """What follows the header of each file."""
    files = [path for path in place.rglob("*") if path.is_file()]
    return sorted(path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip(b"\n") for path in files)


def there(home: Home) -> list[bytes]:
    return sorted(content.partition(b"\n\n")[2].rstrip(b"\n") for content in home.box.contents())


def client(home: Home) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=home.trusted)
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the test's certificates have no key identifiers
    return made


@pytest.mark.parametrize("how", IMAP)
def test_imaplib(how: str, home: Home) -> None:
    port, account = home.port(how), home.box.account
    if how == "imap":
        imap: imaplib.IMAP4 = imaplib.IMAP4_SSL("localhost", port, ssl_context=client(home), timeout=CLIENT_SECONDS)
    else:
        imap = imaplib.IMAP4("localhost", port, timeout=CLIENT_SECONDS)
        assert imap.starttls(client(home))[0] == "OK"
    with imap:
        imap.login(account.name, account.password)
        assert imap.select()[1] == [b"%d" % COUNT]
        parts = imap.fetch("1:*", "(BODY.PEEK[])")[1]
        got = sorted(part[1].replace(b"\r\n", b"\n") for part in parts if isinstance(part, tuple))
    assert got == home.box.contents()


@pytest.mark.parametrize("how", POP3)
def test_poplib(how: str, home: Home) -> None:
    port, account = home.port(how), home.box.account
    if how == "pop3":
        pop: poplib.POP3 = poplib.POP3_SSL("localhost", port, context=client(home), timeout=CLIENT_SECONDS)
    else:
        pop = poplib.POP3("localhost", port, timeout=CLIENT_SECONDS)
        pop.stls(client(home))
    pop.user(account.name)
    pop.pass_(account.password)
    count = pop.stat()[0]
    assert sorted(b"\n".join(pop.retr(number)[1]) + b"\n" for number in range(1, count + 1)) == home.box.contents()
    pop.quit()


def curl_base(home: Home, how: str) -> tuple[str, ...]:
    protocol, _, start = how.partition("+")
    url = f"{protocol}{'' if start else 's'}://localhost:{home.port(how)}/"
    return (url, "-sS", "--max-time", "50", "--cacert", str(home.trusted), *(("--ssl-reqd",) if start else ()))


@pytest.mark.parametrize("how", [*IMAP, *POP3])
def test_curl(how: str, home: Home, program: PROGRAM) -> None:
    url, *options = curl_base(home, how)
    login = ["-u", f"{home.box.account.name}:{home.box.account.password}"]
    got = home.run(program("curl"), *options, *login, url + ("INBOX;MAILINDEX=1" if how.startswith("imap") else "1"))
    assert got.encode() in [content.replace(b"\r\n", b"\n") for content in home.box.contents()]


@pytest.mark.parametrize("how", [*IMAP, *POP3])
def test_curl_with_a_certificate(how: str, home: Home, program: PROGRAM, authority: Authority) -> None:
    """AUTH=EXTERNAL: no password."""
    name = home.box.account.name
    issued = authority.issue(("CN", "Jane Roe"), ("emailAddress", name))
    shown = str(home.box.write("client.pem", (issued.key + issued.chain).decode()))
    url, *options = curl_base(home, how)
    login = ["--cert", shown, "-u", name + ":", "--login-options", "AUTH=EXTERNAL"]
    listed = home.run(program("curl"), *options, *login, url)
    assert ("INBOX" in listed) if how.startswith("imap") else (len(listed.splitlines()) == COUNT)


@pytest.mark.parametrize("how", [*IMAP, *POP3])
def test_openssl(how: str, home: Home, program: PROGRAM) -> None:
    protocol, _, start = how.partition("+")
    command = [program("openssl"), "s_client", "-connect", f"localhost:{home.port(how)}", "-quiet", "-crlf"]
    command += ["-verify_return_error", "-CAfile", str(home.trusted), "-verify_hostname", "localhost"]
    command += ["-starttls", protocol] if start else []
    account = home.box.account
    script = f"a LOGIN {account.name} {account.password}\nb SELECT INBOX\nc LOGOUT\n"
    if protocol == "pop3":
        script = f"USER {account.name}\nPASS {account.password}\nSTAT\nQUIT\n"
    said = home.run(*command, "-ign_eof", given=script)
    assert (f"* {COUNT} EXISTS" if protocol == "imap" else f"+OK {COUNT} ") in said


@ONE_FORM
@pytest.mark.parametrize("how", IMAP)
def test_mbsync(how: str, home: Home, program: PROGRAM) -> None:
    account, mirror = home.box.account, home.box.account.home / "mirror"
    mirror.mkdir()
    kind = "STARTTLS" if "+" in how else "IMAPS"
    rc = home.box.write(
        "mbsyncrc",
        f"IMAPStore there\nHost localhost\nPort {home.port(how)}\nSSLType {kind}\nCertificateFile {home.trusted}\n"
        f"User {account.name}\nPass {account.password}\nAuthMechs LOGIN\n\n"
        f"MaildirStore here\nPath {mirror}/\nInbox {mirror}/INBOX\n\n"
        "Channel mail\nFar :there:\nNear :here:\nPatterns INBOX\nCreate Near\nSyncState *\n",
    )
    home.run(program("mbsync"), "-c", str(rc), "-a")
    assert bodies(mirror / "INBOX" / "new") == there(home)


@ONE_FORM
@pytest.mark.parametrize("how", IMAP)
def test_offlineimap(how: str, home: Home, program: PROGRAM) -> None:
    account, place = home.box.account, home.box.account.home
    kind = "ssl = no\nstarttls = yes" if "+" in how else "ssl = yes\nstarttls = no"
    rc = home.box.write(
        "offlineimaprc",
        f"[general]\naccounts = mail\nmetadata = {place}/metadata\nui = basic\n"
        "[Account mail]\nlocalrepository = here\nremoterepository = there\n"
        f"[Repository here]\ntype = Maildir\nlocalfolders = {place}/mirror\nsep = .\n"
        f"[Repository there]\ntype = IMAP\nremotehost = localhost\nremoteport = {home.port(how)}\n{kind}\n"
        f"sslcacertfile = {home.trusted}\nremoteuser = {account.name}\nremotepass = {account.password}\n"
        "auth_mechanisms = LOGIN\n",
    )
    # On a busy machine the thread with which its imaplib2 reads may take an earlier answer than that to STARTTLS for
    # the last in clear text (_reader() looks at TerminateReader after it has passed a line on): it waits for ever.
    for attempts_left in (2, 1, 0):
        try:
            home.run(program("offlineimap"), "-c", str(rc), "-o", seconds=60 if "+" in how else 300)
            break
        except subprocess.TimeoutExpired:
            if "+" not in how or not attempts_left:
                raise
    assert bodies(place / "mirror" / "INBOX" / "new") == there(home)


@ONE_FORM
@pytest.mark.parametrize("how", [*IMAP, *POP3])
def test_fetchmail(how: str, home: Home, program: PROGRAM) -> None:
    account, place = home.box.account, home.box.account.home / "fetched"
    place.mkdir()
    agent = home.box.write("agent", f'#!/bin/sh\nexec cat >"{place}/$$"\n')
    agent.chmod(0o755)
    protocol, _, start = how.partition("+")
    rc = home.box.write(
        "fetchmailrc",
        f"set no bouncemail\nset invisible\npoll localhost service {home.port(how)} protocol {protocol.upper()}\n"
        f' auth password username "{account.name}" password "{account.password}" mda "{agent}"\n'
        f" {'sslproto TLS1.2+' if start else 'ssl'} sslcertck sslcertfile {home.trusted}\n"
        " no rewrite no mimedecode pass8bits keep fetchall\n",
    )
    home.run(program("fetchmail"), "-f", str(rc), "--nosyslog", "--pidfile", str(account.home / "pid"))
    assert bodies(place) == there(home)


@ONE_FORM
@pytest.mark.parametrize("how", ["imap", "pop3"])
def test_getmail(how: str, home: Home, program: PROGRAM) -> None:
    account, place = home.box.account, home.maildir("getmail")
    kind = "SimpleIMAPSSLRetriever" if how == "imap" else "SimplePOP3SSLRetriever"
    rc = home.box.write(
        "getmailrc",
        f"[retriever]\ntype = {kind}\nserver = localhost\nport = {home.port(how)}\nca_certs = {home.trusted}\n"
        f"username = {account.name}\npassword = {account.password}\n"
        f"{getmail.destination(home.box, place)}[options]\nread_all = true\ndelivered_to = false\n",
    )
    home.run(program("getmail"), f"--getmaildir={account.home}", f"--rcfile={rc}")
    assert bodies(place / "new") == there(home)


@ONE_FORM
@pytest.mark.parametrize("how", POP3)
def test_mpop(how: str, home: Home, program: PROGRAM) -> None:
    account, place = home.box.account, home.maildir("mpop")
    rc = home.box.write(
        "mpoprc",
        f"account default\nhost localhost\nport {home.port(how)}\nuser {account.name}\npassword {account.password}\n"
        f"auth plain\ntls on\ntls_starttls {'on' if '+' in how else 'off'}\ntls_trust_file {home.trusted}\nkeep on\n"
        f"delivery maildir {place}\nuidls_file {account.home}/uidls\nreceived_header off\n",
    )
    home.run(program("mpop"), f"--file={rc}", "--quiet", "--auth=user")
    assert bodies(place / "new") == there(home)


@ONE_FORM
@pytest.mark.parametrize("how", IMAP)
def test_neomutt(how: str, home: Home, program: PROGRAM) -> None:
    screen = pytest.importorskip("tests.clients.screen", reason="pyte is not installed")
    account, protocol = home.box.account, "imap" if "+" in how else "imaps"
    url = f"{protocol}://localhost:{home.port(how)}/INBOX"
    rc = home.box.write(
        "neomuttrc",
        f'set imap_user = "{account.name}"\nset imap_pass = "{account.password}"\nset imap_authenticators = "login"\n'
        f'set ssl_starttls = yes\nset ssl_force_tls = yes\nset certificate_file = "{home.trusted}"\n'
        f'set spoolfile = "{url}"\nset folder = "{url}"\nset sort = mailbox-order\nset status_on_top = yes\n'
        'set status_format = "%f: %m messages"\nset move = no\nset sleep_time = 0\n',
    )
    path = program("neomutt")
    account.own()
    with screen.Screen([path, "-n", "-F", str(rc)], home.box.identity()) as shown:
        shown.until(f"INBOX: {COUNT} messages", "number 3")
        shown.type("q")
        shown.end()
