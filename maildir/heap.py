"""Keeping the memory of a process small after something large was held for a moment."""

from __future__ import annotations

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of mallopt(3)
_USUAL = 128 << 10  # both thresholds, if nobody sets them
_SOME = 8 << 20
_MUCH = 64 << 20

_expected = 0  # octets
_c_library: object = None


def _call(name: str, *numbers: int) -> None:
    """Call a function of the C library, if it has that (glibc does)."""
    global _c_library
    if _c_library is None:
        import ctypes

        _c_library = ctypes.CDLL(None)
    function = getattr(_c_library, name, None)
    if function is not None:
        function(*numbers)


def expect_much() -> None:
    """Much memory will be used and freed again, some of it many times: do not give it back piece by piece."""
    _expect(_MUCH, 4 * _MUCH, _MUCH // 4)


def expect_some() -> None:
    """The same of a few megabytes: a page that is given back and taken again costs more than a page of work."""
    _expect(_SOME, _SOME, _SOME // 8)


def _expect(octets: int, kept: int, more: int) -> None:
    global _expected
    if octets > _expected:
        _expected = octets
        _call("mallopt", _MMAP_THRESHOLD, octets)
        _call("mallopt", _TRIM_THRESHOLD, kept)
        _call("mallopt", _TOP_PAD, more)


def rest() -> None:
    """Give back what is free, if some was expected to be needed since this was done last."""
    if _expected:
        give_back()


def give_back() -> None:
    """Give back to the system what is free."""
    global _expected
    _expected = 0
    _call("mallopt", _MMAP_THRESHOLD, _USUAL)
    _call("mallopt", _TRIM_THRESHOLD, _USUAL)
    _call("mallopt", _TOP_PAD, 0)
    _call("malloc_trim", 0)
