"""Keeping the memory of a process small after something large was held for a moment."""

from __future__ import annotations

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of mallopt(3)
_LARGE = 64 << 20

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
    _call("mallopt", _MMAP_THRESHOLD, _LARGE)
    _call("mallopt", _TRIM_THRESHOLD, 4 * _LARGE)
    _call("mallopt", _TOP_PAD, _LARGE // 4)


def give_back() -> None:
    """Give back to the system what is free."""
    _call("mallopt", _TOP_PAD, 0)
    _call("malloc_trim", 0)
