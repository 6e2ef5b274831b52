"""What the TLS_* settings say: the original's words, and those that mean nothing any more."""

from __future__ import annotations

import pytest

from couriertcpd import tlssettings
from couriertcpd.tlssettings import NONE, PEER, REQUIRE, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3, Settings

NAMES = (
    "TLS_CERTFILE", "TLS_PRIVATE_KEYFILE", "TLS_DHPARAMS", "TLS_TRUSTCERTS", "TLS_VERIFYPEER", "TLS_PROTOCOL",
    "TLS_CIPHER_LIST", "TLS_ALPN", "TLS_TIMEOUT",
)  # fmt: skip


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch):
    """settings(TLS_...=value, ...), with nothing else set."""

    def read(**values: str) -> Settings:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return Settings()

    return read


@pytest.mark.parametrize(
    ("word", "least"),
    [
        ("TLS1", TLS_1_0), ("TLSv1", TLS_1_0), ("TLSv1.0", TLS_1_0), ("TLSv1.1", TLS_1_1), ("TLSv1.1+", TLS_1_1),
        ("TLSv1.1++", TLS_1_1), ("TLSv1.2", TLS_1_2), ("TLSv1.2+", TLS_1_2), ("TLSv1.2++", TLS_1_2),
        ("TLSv1.3", TLS_1_3), (" TLSv1.3 ", TLS_1_3), ("", TLS_1_2), ("SSL3", TLS_1_2), ("SSL23", TLS_1_2),
        ("tlsv1", TLS_1_2), ("nonsense", TLS_1_2),
    ],
)  # fmt: skip
def test_the_lowest_version(settings, word: str, least: int) -> None:
    """What is not known means the default, and that is never below TLS 1.2."""
    assert settings(TLS_PROTOCOL=word).minimum == least


@pytest.mark.parametrize(
    ("word", "verify"),
    [
        ("NONE", NONE), ("n", NONE), ("no", NONE), ("PEER", PEER), ("p", PEER), ("REQUIREPEER", REQUIRE),
        ("r", REQUIRE), ("", PEER), ("yes", PEER), ("0", PEER),
    ],
)  # fmt: skip
def test_the_first_letter_says_what_is_asked_of_clients(settings, word: str, verify: int) -> None:
    assert settings(TLS_VERIFYPEER=word).verify == verify


def test_with_nothing_set_a_certificate_is_asked_for_as_in_the_original(settings) -> None:
    unset = settings()
    assert unset.verify == PEER
    assert (unset.certificate, unset.key, unset.dh_parameters, unset.client_authority) == ("", "", "", "")
    assert (unset.alpn, unset.session_seconds, unset.ciphers) == ((), 3600, tlssettings.CIPHERS)


@pytest.mark.parametrize(
    ("text", "seconds"), [("600", 600), ("0", 3600), ("-1", 3600), ("x", 3600), ("9999999", 604800)]
)
def test_how_long_a_session_can_be_taken_up_again(settings, text: str, seconds: int) -> None:
    assert settings(TLS_TIMEOUT=text).session_seconds == seconds


def test_protocols_of_alpn(settings) -> None:
    """Blanks or commas between them; what begins with @ was for GnuTLS."""
    assert settings(TLS_ALPN="imap, pop3 @mandatory").alpn == (b"imap", b"pop3")


def test_versions_before_1_2_need_the_lowest_security_level(settings) -> None:
    assert settings(TLS_PROTOCOL="TLSv1", TLS_CIPHER_LIST="ALL").ciphers == "ALL:@SECLEVEL=0"
    assert settings(TLS_PROTOCOL="TLSv1", TLS_CIPHER_LIST="ALL:@SECLEVEL=1").ciphers == "ALL:@SECLEVEL=1"
    assert settings(TLS_PROTOCOL="TLSv1.2", TLS_CIPHER_LIST="ALL").ciphers == "ALL"
