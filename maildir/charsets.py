"""Octets to text, by the charset names that mail uses.

    decode(octets, charset=b"") -> str   never raises; what makes no sense becomes U+FFFD
    is_known(charset) -> bool            whether the name says anything to us
    keeps_ascii(charset) -> bool         whether octets of ASCII always are these characters in it, and no others are

Octets without a charset, or labelled as ASCII although they are not, are taken for UTF-8 if they are that, else for
Windows-1252.  Octets in a charset that is not known count as ASCII with unknown signs in it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_NAME = 60
_MAX_FOUND = 200  # names whose codecs are remembered: senders choose them

# Names that Python does not have, or has for less than what such mail holds.
_MAIL_NAMES = {
    "ascii": "",
    "us_ascii": "",
    "unknown": "",
    "unknown_8bit": "",
    "x_unknown": "",
    "default": "",
    "8bit": "",
    "iso_8859_1": "cp1252",  # mail labelled so is often the larger one; they differ in control characters only
    "iso8859_1": "cp1252",
    "latin1": "cp1252",
    "latin_1": "cp1252",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "iso_8859_6_e": "iso8859_6",
    "gb2312": "gb18030",
    "gb_2312_80": "gb18030",
    "gbk": "gb18030",
    "x_gbk": "gb18030",
    "cp936": "gb18030",
    "euc_kr": "cp949",
    "ks_c_5601_1987": "cp949",
    "ks_c_5601": "cp949",
    "ksc5601": "cp949",
    "windows_949": "cp949",
    "shift_jis": "cp932",
    "shiftjis": "cp932",
    "sjis": "cp932",
    "x_sjis": "cp932",
    "windows_31j": "cp932",
    "iso_2022_jp": "iso2022_jp_2",
    "big5": "cp950",
    "x_big5": "cp950",
    "windows_874": "cp874",
    "x_windows_949": "cp949",
    "x_mac_roman": "mac_roman",
    "unicode_1_1_utf_7": "utf_7",
    "utf8mb4": "utf_8",
}
_CODECS_WITHOUT_ALIAS = (
    "cp720 cp737 cp856 cp874 cp875 cp1006 koi8_r koi8_t koi8_u mac_arabic mac_croatian mac_farsi mac_romanian utf_8_sig"
)
# Not charsets of mail, and some take time that grows with the square of the input.
_NO_CHARSETS = frozenset(
    "base64_codec bz2_codec hex_codec idna mbcs oem punycode quopri_codec raw_unicode_escape rot_13 undefined "
    "unicode_escape uu_codec zlib_codec".split()
)
# What octets of ASCII mean depends on those before them; other octets are ASCII too, written from right to left.
_WITH_STATES = ("hz", "iso2022", "utf_7")
_WITH_TWO_ASCIIS = ("mac_arabic", "mac_farsi")


def decode(octets: bytes, charset: bytes = b"") -> str:
    """Octets as text."""
    if octets.isascii() and keeps_ascii(charset):
        return octets.decode("ascii")
    codec = _codec(charset)
    if codec is None:
        return octets.decode("ascii", "replace")
    if codec:
        try:
            return octets.decode(codec, "replace")
        except (LookupError, ValueError):
            return octets.decode("ascii", "replace")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")


def is_known(charset: bytes) -> bool:
    """Whether text in this charset can be read."""
    return _codec(charset) is not None


def keeps_ascii(charset: bytes) -> bool:
    """Whether octets of ASCII always are these characters in it, and other octets never."""
    codec = _codec(charset)
    keeps = _keeping.get(codec)
    if keeps is None:
        keeps = _keeping[codec] = _keeps_ascii(codec or "ascii")
    return keeps


def _keeps_ascii(codec: str) -> bool:
    if codec.startswith(_WITH_STATES) or codec in _WITH_TWO_ASCIIS:
        return False
    ascii_octets = bytes(range(128))
    return ascii_octets.decode(codec, "replace") == ascii_octets.decode("ascii")


def _codec(charset: bytes) -> str | None:
    """The name of Python's codec, "" for octets that say nothing about themselves, None for an unknown name.

    Only names from lists are passed on: Python would look for a module for any other, and remember each one.
    """
    if charset in _found:
        return _found[charset]
    if len(charset) > _MAX_NAME:
        return None
    if len(_found) >= _MAX_FOUND:
        _found.clear()
    _found[charset] = _looked_up(charset)
    return _found[charset]


def _looked_up(charset: bytes) -> str | None:
    name = charset.decode("ascii", "replace").strip().strip("\"'").lower()
    name = "".join(sign if sign.isalnum() else "_" for sign in name)
    if not name:
        return ""
    if name in _MAIL_NAMES:
        return _MAIL_NAMES[name]
    codec = _python_names().get(name)
    if codec is not None:
        return _MAIL_NAMES.get(codec, codec)
    return None


_keeping: dict[str | None, bool] = {}  # by codec
_found: dict[bytes, str | None] = {}  # by the name as it stands in mail
_names: dict[str, str] = {}


def _python_names() -> dict[str, str]:
    if not _names:
        from encodings.aliases import aliases

        codecs: Iterable[str] = (set(aliases.values()) | set(_CODECS_WITHOUT_ALIAS.split())) - _NO_CHARSETS
        _names.update((alias, codec) for alias, codec in aliases.items() if codec not in _NO_CHARSETS)
        _names.update((codec, codec) for codec in codecs)
    return _names
