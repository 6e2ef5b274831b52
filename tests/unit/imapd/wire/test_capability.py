"""The announced words: the administrator's order, and nothing that is not there."""

import pytest

from imapd import registry
from imapd.wire import capability
from imapd.wire.capability import text

COURIER = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE"


def words(*args, **settings):
    return text(*args, **{"tls": False, **settings}).split()


def test_an_old_configuration_keeps_its_order_and_loses_what_is_not_there():
    announced = words(COURIER)
    unbacked = [word for word in COURIER.split() if word not in capability.IMPLEMENTED]
    assert not set(announced) & set(unbacked)
    assert [word for word in announced if word in COURIER.split()] == [
        word for word in COURIER.split() if word in capability.IMPLEMENTED
    ]
    assert set(announced) == set(capability.IMPLEMENTED)


def test_each_word_once_in_the_administrators_writing():
    announced = words("uidplus IMAP4rev1 UIDPLUS")
    assert announced[:2] == ["uidplus", "IMAP4rev1"]
    assert len({word.upper() for word in announced}) == len(announced)


def test_imap4rev1_comes_first_where_it_was_forgotten():
    assert words("UIDPLUS")[:2] == ["IMAP4rev1", "UIDPLUS"]
    assert words("")[0] == "IMAP4rev1"


def test_states():
    assert "SASL-IR" in words(COURIER)
    assert "SASL-IR" not in words(COURIER + " SASL-IR", authenticated=True)


def test_mechanisms_are_announced_when_named_and_there():
    base = COURIER + " AUTH=PLAIN AUTH=CRAM-MD5"
    assert [word for word in words(base, mechanisms=["PLAIN", "LOGIN"]) if "AUTH" in word] == ["AUTH=PLAIN"]
    assert "AUTH=LOGIN" in words(base, "AUTH=LOGIN AUTH=X", mechanisms=["PLAIN", "LOGIN"])
    assert not [word for word in words(base, "AUTH=PLAIN", mechanisms=["PLAIN"], authenticated=True) if "AUTH" in word]


def test_starttls_and_logindisabled():
    assert words("", starttls=True)[-2:] == ["STARTTLS", "ENABLE"]
    announced = words("AUTH=PLAIN STARTTLS", mechanisms=["PLAIN"], starttls=True, tls_required=True)
    assert announced[-3:] == ["STARTTLS", "LOGINDISABLED", "ENABLE"]
    assert "AUTH=PLAIN" not in announced
    for settled in ({"tls": True}, {"authenticated": True}):
        announced = words("STARTTLS LOGINDISABLED", "STARTTLS", starttls=True, tls_required=True, **settled)
        assert not {"STARTTLS", "LOGINDISABLED"} & set(announced)


def test_external_only_where_starttls_is_not_offered():
    assert "AUTH=EXTERNAL" in words("", tls=True, starttls=True, external=True)
    assert "AUTH=EXTERNAL" not in words("", starttls=True, external=True)


@pytest.mark.parametrize("adjust", ["-UIDPLUS", "-uidplus", "UIDPLUS -UIDPLUS"])
def test_taking_away(adjust):
    assert "UIDPLUS" not in words(COURIER, adjust)


def test_adding_back():
    assert "QUOTA" in words(COURIER, "QUOTA")
    assert "ID" not in words(COURIER, off=["ID"])
    assert "ID" in words(COURIER, "-ID ID", off=["ID"])
    assert words(COURIER, "UIDPLUS").count("UIDPLUS") == 1


def test_configured():
    assert capability.configured("", "", tls=False) == "IMAP4rev1"
    assert capability.configured("A", "B", tls=False) == "A"
    assert capability.configured("A", "B", tls=True) == "B"
    assert capability.configured("A", "", tls=True) == "A"


def test_every_word_has_a_feature_behind_it_and_every_feature_its_word():
    """SASL-IR is the login stage's, which has no features."""
    backed = {word for feature in registry.FEATURES for word in feature.capabilities}
    assert backed | {"SASL-IR"} == set(capability.IMPLEMENTED)
