"""userdbpw and authpasswd: what they ask, what they print."""

import io
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from authdaemond import passwords
from authdaemond.tools import authpasswd, userdbpw

SOURCE = Path(__file__).resolve().parents[3]


def run(monkeypatch, main, given: bytes, *words: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    return main([main.__module__.rpartition(".")[2], *words])


# The states of the password `secret`, as the original prints them.
STATES = {
    "-hmac-md5": b"cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56",
    "-hmac-sha1": b"091e0f4c6cb5277ee2beb639a60d0831b5c8adcdaee172433df3e96ba4f00fb1b6a490c3929d2034",
    "-hmac-sha256": b"5a84072aab37d22275b139adf7a92564c7f674be98e77d991f6f689d29e05245"
    b"72804f31b042016804d3dea2f4e991a21b1c8906be161594b202fb74afc8ceb3",
}


@pytest.mark.parametrize("option", STATES)
@pytest.mark.parametrize("given", [b"secret\n", b"secret", b"secret\nmore\n"])
def test_hmac_states(monkeypatch, capsysbinary, option, given) -> None:
    assert run(monkeypatch, userdbpw.main, given, option) == 0
    assert capsysbinary.readouterr() == (STATES[option] + b"\n", b"")


def test_a_carriage_return_is_part_of_the_password(monkeypatch, capsysbinary) -> None:
    assert run(monkeypatch, userdbpw.main, b"secret\r\n", "-hmac-md5") == 0
    out = capsysbinary.readouterr().out
    assert out == b"aacac97e447df7990e37a42e55cd3f0adbeddeaaf9ffac412bec9b6ab6fc2f1f\n"


def test_userdbpw_des(monkeypatch, capsysbinary) -> None:
    assert run(monkeypatch, userdbpw.main, b"longpassword\n") == 0
    value = capsysbinary.readouterr().out.strip()
    assert len(value) == 13
    assert passwords.verify(b"longpass", value)


def test_userdbpw_md5(monkeypatch, capsysbinary) -> None:
    assert run(monkeypatch, userdbpw.main, b"\xffs\n", "-md5") == 0
    value = capsysbinary.readouterr().out.strip()
    assert value.startswith(b"$1$")
    assert value.index(b"$", 3) == 11
    assert passwords.verify(b"\xffs", value)


@pytest.mark.parametrize("words", [["-x"], ["-md5", "-hmac-md5"], ["secret"]])
def test_userdbpw_arguments(monkeypatch, capsys, words) -> None:
    assert run(monkeypatch, userdbpw.main, b"secret\n", *words) == 1
    assert capsys.readouterr() == ("", "userdbpw: invalid argument.\n")


@pytest.mark.parametrize("main", [userdbpw.main, authpasswd.main])
def test_unusable_passwords(monkeypatch, capsys, main) -> None:
    assert run(monkeypatch, main, b"") == 1
    assert capsys.readouterr() == ("", "")
    assert run(monkeypatch, main, b"se\0cret\n") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "NUL octet" in said.err
    assert "cret" not in said.err
    assert run(monkeypatch, main, b"secret" * 2000) == 1
    assert capsys.readouterr().err == "The answer is longer than 8192 octets.\n"


@pytest.mark.parametrize(
    ("scheme", "value"),
    [
        ("MD5", b"{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ=="),
        ("md5", b"{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ=="),
        ("MD5RAW", b"{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69"),
        ("SHA", b"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
        ("SHA256", b"{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="),
    ],
)
def test_authpasswd_unsalted(monkeypatch, capsysbinary, scheme, value) -> None:
    assert run(monkeypatch, authpasswd.main, b"secret\n", scheme) == 0
    assert capsysbinary.readouterr() == (value + b"\n", b"")


@pytest.mark.parametrize(
    ("words", "prefix"),
    [([], b"$1$"), (["SSHA"], b"{SSHA}"), (["nonsense"], b"{SSHA}"), (["SHA512"], b"{SHA512}"), (["$6$"], b"$6$")],
)
def test_authpasswd_salted(monkeypatch, capsysbinary, words, prefix) -> None:
    assert run(monkeypatch, authpasswd.main, b"secret\n", *words) == 0
    value = capsysbinary.readouterr().out.strip()
    assert value.startswith(prefix)
    assert passwords.verify(b"secret", value)


def test_authpasswd_usage(monkeypatch, capsys) -> None:
    assert run(monkeypatch, authpasswd.main, b"secret\n", "SHA", "SHA") == 1
    assert capsys.readouterr().err.startswith("Usage: authpasswd [SCHEME]")


def converse(module: str, words: list[str], answers: list[tuple[bytes, bytes]]) -> tuple[int, bytes, bytes, bool]:
    """Run a tool on a terminal: its status, its standard output (a pipe), what showed, and whether echo is on after."""
    code = f"import sys; from authdaemond.tools.{module} import main; sys.exit(main(sys.argv))"
    master, slave = pty.openpty()
    argv = [sys.executable, "-c", code, *words]
    with subprocess.Popen(argv, cwd=SOURCE, stdin=slave, stdout=subprocess.PIPE, stderr=slave) as child:
        seen = b""
        for prompt, value in answers:
            while not seen.endswith(prompt):
                seen += os.read(master, 1000)
            os.write(master, value)
        out, _ = child.communicate(timeout=120)
        os.set_blocking(master, False)
        try:
            seen += os.read(master, 1000)
        except BlockingIOError:
            pass
        echo = bool(termios.tcgetattr(slave)[3] & termios.ECHO)
    os.close(slave)
    os.close(master)
    return child.returncode, out, seen, echo


@pytest.mark.parametrize("module", ["userdbpw", "authpasswd"])
def test_asks_twice(module) -> None:
    asked = [(b"Password: ", b"secret\n"), (b"Reenter password: ", b"secret\n")]
    status, out, seen, echo = converse(module, [], asked)
    assert status == 0
    assert passwords.verify(b"secret", out.strip())
    assert b"secret" not in seen
    assert echo


@pytest.mark.parametrize("module", ["userdbpw", "authpasswd"])
def test_differing_answers(module) -> None:
    asked = [(b"Password: ", b"secret\n"), (b"Reenter password: ", b"secret2\n")]
    status, out, seen, echo = converse(module, [], asked)
    assert (status, out) == (1, b"")
    assert b"Passwords don't match." in seen
    assert echo


def test_says_when_des_drops_characters() -> None:
    asked = [(b"Password: ", b"longpassword\n"), (b"Reenter password: ", b"longpassword\n")]
    status, _, seen, _ = converse("userdbpw", [], asked)
    assert status == 0
    assert b"Only the first 8 characters" in seen


def interrupt(child: subprocess.Popen[bytes], master: int) -> int:
    """Press Ctrl-C until `child` ends; give its exit status.

    Once may not be enough: Python does not hear a signal that comes between the prompt and the system call that waits.
    """
    for _ in range(30):
        os.write(master, b"\x03")
        try:
            return child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            pass
    raise AssertionError("does not end")


def test_interrupted() -> None:
    """Ctrl-C at the prompt ends the tool quietly, with the echo on again."""
    code = (
        "import os; os.setsid(); import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # tests in the background ignore it
        "import sys; from authdaemond.tools.userdbpw import main; sys.exit(main(sys.argv))"
    )
    master, slave = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], cwd=SOURCE, stdin=slave, stdout=slave, stderr=slave) as child:
        seen = b""
        while not seen.endswith(b"Password: "):
            seen += os.read(master, 1000)
        try:
            assert interrupt(child, master) == 1
        finally:
            child.kill()
    os.set_blocking(master, False)
    try:
        seen += os.read(master, 10000)
    except OSError:
        pass
    os.close(slave)
    os.close(master)
    assert b"Traceback" not in seen
