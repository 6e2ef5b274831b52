"""Stored passwords: the original's formats, what crypt(3) adds, and what must never match."""

import shutil
import subprocess

import pytest

from authdaemond import crypt3, passwords

SECRET = {
    "md5": b"{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
    "md5raw": b"{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69",
    "sha": b"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "sha256": b"{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
    "sha512": b"{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==",
}


@pytest.fixture(scope="module")
def des() -> bytes:
    made = crypt3.crypt(b"secret", b"ab")
    assert made is not None
    return made


@pytest.mark.parametrize("scheme", ["md5", "md5raw", "sha", "sha256", "sha512"])
def test_known_hashes(scheme: str) -> None:
    stored = SECRET[scheme]
    assert passwords.verify(b"secret", stored)
    assert passwords.verify(b"secret", stored[:2] + stored[2:4].lower() + stored[4:])
    assert not passwords.verify(b"Secret", stored)
    assert not passwords.verify(b"", stored)


@pytest.mark.parametrize("scheme", [b"$1$", b"MD5", b"MD5RAW", b"SHA", b"SSHA", b"SHA256", b"SHA512"])
def test_new_hash_has_the_scheme_asked_for(scheme: bytes) -> None:
    made = passwords.encrypt(b"open-sesame", scheme)
    assert made.startswith(scheme if scheme == b"$1$" else b"{%s}" % scheme)
    assert passwords.verify(b"open-sesame", made)
    assert not passwords.verify(b"open-sesamf", made)
    assert passwords.encrypt(b"other", made).startswith(scheme if scheme == b"$1$" else b"{%s}" % scheme)


@pytest.mark.parametrize("hint", [b"", b"NONSENSE", b"{NONSENSE}x", b"plain", b"ab0DaAIhAQ9dI", b"*"])
def test_unknown_scheme_gives_ssha(hint: bytes) -> None:
    made = passwords.encrypt(b"secret", hint)
    assert made.startswith(b"{SSHA}")
    assert len(made) == len(b"{SSHA}") + 32  # 24 octets in base64: the digest and a salt of 4


@pytest.mark.parametrize("prefix", [b"", b"{CRYPT}", b"{crypt}"])
@pytest.mark.parametrize("scheme", [b"$5$", b"$6$", b"$y$", b"$2b$"])
def test_crypt_schemes_verify_and_keep_their_scheme(prefix: bytes, scheme: bytes) -> None:
    made = passwords.encrypt(b"secret", prefix + scheme)
    assert made.startswith(prefix + scheme)
    assert passwords.verify(b"secret", made)
    assert not passwords.verify(b"secret2", made)


def test_ssha_with_any_salt() -> None:
    import base64
    import hashlib

    for salt in (b"", b"a", b"abcd", b"a" * 16, b"a" * 40):
        stored = b"{SSHA}" + base64.b64encode(hashlib.sha1(b"secret" + salt).digest() + salt)
        assert passwords.verify(b"secret", stored) == bool(salt)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize("option", ["-1", "-5", "-6"])
def test_hashes_of_openssl(option: str) -> None:
    made = subprocess.run(
        ["openssl", "passwd", option, "-salt", "saltsalt", "secret"], check=True, capture_output=True
    ).stdout.strip()
    assert passwords.verify(b"secret", made)
    assert passwords.verify(b"secret", b"{CRYPT}" + made)
    assert not passwords.verify(b"secrets", made)


def test_des_crypt_reads_eight_characters(des: bytes) -> None:
    assert passwords.verify(b"secret", des)
    assert not passwords.verify(b"secres", des)
    long = crypt3.crypt(b"12345678", b"xy")
    assert long is not None
    assert passwords.verify(b"123456789", long)


def test_bcrypt_reads_72_octets() -> None:
    made = passwords.encrypt(b"p" * 100, b"$2b$")
    assert passwords.verify(b"p" * 72 + b"different", made)
    assert not passwords.verify(b"p" * 71, made)


@pytest.mark.parametrize(
    "stored",
    [
        b"", b"*", b"x", b"!", b"*0", b"*1", b"secret", b"{PLAIN}secret", b"{MD5}", b"{MD5}????", b"{SHA}%%", b"{SSHA}",
        b"{SSHA}!", b"{SHA256}", b"{SHA512}abc", b"{CRYPT}", b"{MD5RAW}zz", b"$1$", b"$6$", b"$y$", b"{", b"{}",
        b"\xff\xfe", b"{SHA}\xff", b"{SHA256}\xff", b"{MD5RAW}\xff", b"$2b$05$", b"{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        b"$1$salt$" + b"x" * 5000, b"a\0b",
    ],
)  # fmt: skip
def test_malformed_hashes_match_nothing(stored: bytes) -> None:
    for password in (b"secret", b"", stored, b"\xff", b"x" * 9000):
        assert not passwords.verify(password, stored)


def test_nul_cannot_shorten_a_password() -> None:
    made = passwords.encrypt(b"secret", b"$6$")
    assert not passwords.verify(b"secret\0junk", made)
    with pytest.raises(ValueError, match="NUL"):
        passwords.encrypt(b"a\0b")


def test_pretend_costs_what_the_last_good_hash_did(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = passwords.encrypt(b"secret", b"$6$")
    assert passwords.verify(b"secret", stored)
    checked = []
    monkeypatch.setattr(passwords, "_verify", lambda password, against: checked.append(against) or False)
    passwords.pretend(b"whatever")
    assert checked == [stored]


def test_without_crypt_passlib_stands_in(monkeypatch: pytest.MonkeyPatch, des: bytes) -> None:
    stored = passwords.encrypt(b"secret", b"$6$")

    def missing(*_: object) -> bytes:
        raise crypt3.Unavailable("none here")

    monkeypatch.setattr(crypt3, "crypt", missing)
    monkeypatch.setattr(crypt3, "new_setting", missing)
    assert passwords.verify(b"secret", stored)
    assert passwords.verify(b"secret", des)
    assert not passwords.verify(b"wrong", stored)
    assert not passwords.verify(b"secret", b"$y$j9T$U9ltNSskgpK5sgs8W18I1T$YYO3")
    assert passwords.encrypt(b"secret", b"$y$").startswith(b"$6$")
