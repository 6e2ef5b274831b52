"""The messages of INBOX as POP3 numbers them, with the sizes and unique ids that they keep.

What is known of a message stands in the list of sizes (sizelist), so that no message is read for it; what arrived since
is read once.  The list is written when messages have come or gone, and whoever writes it has numbered them in the order
of their names: two servers that do so come to the same numbers.
"""

from __future__ import annotations

from couriertcpd import log
from maildir import directories, fs, listing, lock, names, purge, sizelist
from maildir.anew import rename_anew
from maildir.folder import Folder
from maildir.message import Message
from maildir.sizelistfile import NO_FILE, Overtaken, SizeListFile, understood

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from maildir.lineends import Octets
    from maildir.listing import Listing
    from maildir.sizelist import Entry, SizeList

ATTEMPTS = 20  # at writing the list, each of which failed because somebody else had just written it
MAPPED_OCTETS = 1 << 20  # from this size on a message is not read as a whole
_BLOCK = 1 << 18

Measured = dict[bytes, tuple[int, bool]]  # octets on the wire, and raw octets in a header, by key


class DropList:
    """Names, octets on the wire and unique ids in the order of the numbers.

    `raw` holds the positions of messages with raw octets in a header; `unsaved` is why the list could not be written,
    if so.
    """

    __slots__ = ("names", "raw", "sizes", "uidls", "unsaved")

    def __init__(self, found: list[bytes], sizes: list[int], uidls: list[bytes], raw: set[int]) -> None:
        self.names = found
        self.sizes = sizes
        self.uidls = uidls
        self.raw = raw
        self.unsaved: OSError | None = None


def _of_entries(found: list[bytes], entries: Collection[Entry]) -> DropList:
    raw = {index for index, entry in enumerate(entries) if entry[4]}
    return DropList(found, [entry[1] for entry in entries], [sizelist.uidl(entry) for entry in entries], raw)


def scan(root: bytes) -> DropList:
    """Move what was delivered into cur/ and return what is there, with the list of sizes brought up to date.

    Where the list cannot be written, messages that it does not hold are left out: their ids would not stay.
    """
    return directories.completing(root, lambda: _scan(root))


def _scan(root: bytes) -> DropList:
    try:
        purge.purge(root + b"/tmp")
    except PermissionError:
        pass  # somebody else's maildir
    _move_new(root)
    file = SizeListFile(root)
    octets = file.content()
    found = listing.read(root + b"/cur")
    same = unchanged(octets, found)
    if same is not None:
        return same
    known = understood(octets)
    seen = _Seen(root, known, found)
    if not known.fault and not seen.odd and seen.by_key.keys() == known.entries.keys():
        return _of_entries([seen.by_key[key] for key in known.entries], known.entries.values())
    measured: Measured = {}
    _measure(root, known, seen.by_key, measured)  # before the lock, for it takes as long as there are new messages
    try:
        with lock.held(root):
            for _ in range(ATTEMPTS):
                try:
                    return _update(root, file, measured)
                except Overtaken:
                    continue
        raise OSError("others write it all the time")
    except OSError as error:
        return _what_is_known(root, file.read(), error)


def unchanged(octets: bytes | None, found: Listing) -> DropList | None:
    """What is there, where it is what the list says and both are as usual; None where more thought is needed."""
    usual = sizelist.usual(octets) if octets is not None else None
    by_base = found.by_base
    if usual is None or len(usual.keys) != len(by_base) or found.twins:
        return None
    there = [by_base.get(key, b"\n") for key in usual.keys]  # where the base has no colon it is the key
    if b"\n" in b"".join(there):
        return None
    return DropList(there, usual.sizes, usual.uidls, usual.raw)


class _Seen:
    """A reading of cur/: names by key; `odd` are names that cannot stay, with a label and a reason."""

    __slots__ = ("by_key", "odd")

    def __init__(self, root: bytes, known: SizeList, found: Listing | None = None) -> None:
        cur = root + b"/cur"
        found = found or listing.read(cur)
        self.by_key = {name.partition(b":")[0]: name for name in found.by_base.values()}
        self.odd = [(name, b"twin", "a second file of that name; it gets another") for _, name in found.twins]
        if len(self.by_key) != len(found.by_base):
            kept = set(self.by_key.values())
            others = [name for name in found.by_base.values() if name not in kept]
            self.odd += [(name, b"twin", "a second message of that key; it gets another name") for name in others]
        broken = [name for name in self.by_key.values() if b"\n" in name]  # two lines of the list
        self.odd += [(name, b"broken", "a line break in the name; it gets another") for name in broken]
        missing = set() if found.settled else known.entries.keys() - self.by_key.keys()
        if missing:  # renamed while the directory was read, or gone
            again = listing.find(cur, {names.base(known.entries[key][0]) for key in missing})
            self.by_key.update((sizelist.key(name), name) for name in again.values())


def _move_new(root: bytes) -> None:
    """Move new messages into cur/; who may not, leaves them where they are."""
    for name in fs.listdir(root + b"/new"):
        if name[:1] == b".":
            continue
        stem, colon, info = name.partition(b":")
        target = name if colon and info.startswith(b"2,") else stem + b":2,"
        try:
            fs.rename(root + b"/new/" + name, root + b"/cur/" + target)
        except FileNotFoundError:
            continue  # another session was faster
        except OSError as error:
            if error.errno not in fs.UNWRITABLE:
                raise
            log.warn(f"{log.printable(root)}: cannot be written, so new messages are not shown: {error.strerror}")
            return


def _update(root: bytes, file: SizeListFile, measured: Measured) -> DropList:
    """Number what is new and write the list, under the lock; raises Overtaken."""
    known = file.read()
    seen = _Seen(root, known)
    if seen.odd:
        for name, label, why in seen.odd:
            rename_anew(root + b"/cur/", name, label, why)
        seen = _Seen(root, known)
    _measure(root, known, seen.by_key, measured)
    if known.fault not in ("", NO_FILE):
        log.info(f"{log.printable(file.path)}: {known.fault}; written anew")
    for key in known.entries.keys() - seen.by_key.keys():
        del known.entries[key]
    for key in sorted(seen.by_key.keys() - known.entries.keys(), key=names.sort_key):
        if key in measured:
            known.give(seen.by_key[key], *measured[key])
    for key, entry in known.entries.items():
        known.entries[key] = (seen.by_key[key], *entry[1:])
    file.replace(known)
    return _listed(known, seen.by_key)


def _what_is_known(root: bytes, known: SizeList, error: OSError) -> DropList:
    """What can be served although the list cannot be written."""
    by_key = _Seen(root, known).by_key
    drop = _listed(known, by_key)
    drop.unsaved = error
    if not drop.names and by_key:
        # As in the original: the first message, by an id that is its file's, so that a full disk can be emptied.
        key = min(by_key, key=names.sort_key)
        measured: Measured = {}
        _measure(root, known, {key: by_key[key]}, measured)
        if key in measured:
            found = fs.stat(root + b"/cur/" + by_key[key])
            stamp = b"ENOMEM-%x-%x-%x" % (int(found.st_mtime), found.st_dev, found.st_ino)
            drop = _of_entries([by_key[key]], [(stamp, measured[key][0], 0, 0, measured[key][1])])
            drop.unsaved = error
    return drop


def _listed(known: SizeList, by_key: dict[bytes, bytes]) -> DropList:
    there = sorted(known.entries.keys() & by_key.keys(), key=names.sort_key)
    return _of_entries([by_key[key] for key in there], [known.entries[key] for key in there])


def _measure(root: bytes, known: SizeList, by_key: dict[bytes, bytes], measured: Measured) -> None:
    """Read the messages that are neither in the list nor measured; one that cannot be read is left out."""
    folder = Folder(root)
    for key in by_key.keys() - known.entries.keys() - measured.keys():
        try:
            descriptor, _ = folder.open_message(by_key[key])
        except FileNotFoundError:
            continue
        except OSError as error:
            log.err(f"{log.printable(root + b'/cur/' + by_key[key])}: not shown: {error.strerror}")
            continue
        try:
            measured[key] = _properties(descriptor)
        finally:
            fs.close(descriptor)


def _properties(descriptor: int) -> tuple[int, bool]:
    """A message's octets on the wire, and whether one of its headers has raw octets beyond ASCII."""
    size = fs.fstat(descriptor).st_size
    if size == 0:
        return 0, False
    if size >= MAPPED_OCTETS:
        from mmap import ACCESS_READ, mmap

        with mmap(descriptor, 0, access=ACCESS_READ) as octets:
            return _of_octets(octets)
    blocks = []
    while block := fs.read(descriptor):
        blocks.append(block)
    return _of_octets(b"".join(blocks))


def _of_octets(octets: Octets) -> tuple[int, bool]:
    message = Message(octets)
    added = 0 if octets[-1:] == b"\n" else 2  # a line end is sent behind a last line that has none
    return message.wire_octets + added, _has_raw_header(message)


def _has_raw_header(message: Message) -> bool:
    octets = message.octets
    if all(octets[at : at + _BLOCK].isascii() for at in range(0, len(octets), _BLOCK)):
        return False
    header = message.header
    if not octets[: header.body].isascii():
        return True
    # As the original: without MIME-Version there are no parts.
    return header.first(b"mime-version") is not None and any(
        not octets[part.start : part.body].isascii() for part in message.tree.walk()
    )
