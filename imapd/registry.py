"""The one list of features, and look-ups in what they declare.

A new RFC is a new module and one line here.  Two features that claim one name are a mistake of ours and stop the server
at its start.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from imapd.feature import Command, Feature, FetchItem, StatusItem

    Named = TypeVar("Named", Command, FetchItem, StatusItem)

MODULES = (
    "imapd.commands.append",
    "imapd.commands.capability",
    "imapd.commands.check",
    "imapd.commands.close",
    "imapd.commands.copy",
    "imapd.commands.create",
    "imapd.commands.delete",
    "imapd.commands.expunge",
    "imapd.commands.fetch",
    "imapd.commands.list",
    "imapd.commands.logout",
    "imapd.commands.noop",
    "imapd.commands.rename",
    "imapd.commands.search",
    "imapd.commands.select",
    "imapd.commands.status",
    "imapd.commands.store",
    "imapd.commands.subscribe",
    "imapd.extensions.enable",
    "imapd.extensions.id",
    "imapd.extensions.idle",
    "imapd.extensions.namespace",
    "imapd.extensions.sort",
    "imapd.extensions.thread",
    "imapd.extensions.unselect",
)


def _collect() -> tuple[Feature, ...]:
    return tuple(import_module(name).FEATURE for name in MODULES)


def _by_name(rows: list[Named]) -> dict[bytes, Named]:
    table: dict[bytes, Named] = {}
    for row in rows:
        if row.name in table:
            raise ValueError(f"two features declare {row.name!r}")
        table[row.name] = row
    return table


FEATURES = _collect()
COMMANDS = _by_name([command for feature in FEATURES for command in feature.commands])
FETCH_ITEMS = _by_name([item for feature in FEATURES for item in feature.fetch_items])
STATUS_ITEMS = _by_name([item for feature in FEATURES for item in feature.status_items])
