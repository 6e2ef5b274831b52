"""A memory of what was worked out lately, by what it was worked out from."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Memory(dict):  # type: ignore[type-arg]  # with arguments, who uses it had to import typing
    """Values by key; memory[key] is None for a key that is not known.

    When it is full it goes on with nothing, but for a while knows what it held before: what is asked for again stays.
    """

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: dict[Any, Any] = {}

    def __missing__(self, key: object) -> Any:
        found = self._before.get(key)
        if found is not None:
            self[key] = found
        return found

    def remember(self, key: object, value: object, most: int) -> None:
        """Keep a value, which is not None, among so many at most."""
        if 2 * len(self) >= most:
            self._before = dict(self)
            super().clear()
        self[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self._before = {}
        super().clear()
