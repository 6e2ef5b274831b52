"""aioimaplib: many clients in one program, most of them waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from chain import Chain

from tests.clients.box import Box, letter, opened, wire

aioimaplib = pytest.importorskip("aioimaplib")

_CLIENTS = 30
_SECONDS = 120


@pytest.fixture
def box(chain: Chain) -> Iterator[Box]:
    with opened(chain, "aioimaplib") as box:
        for number in range(1, 4):
            box.deliver(letter(f"mail {number}", f"Grüße {number}"), flags="")
        yield box


@asynccontextmanager
async def _client(box: Box, port: int) -> AsyncIterator[object]:
    """A client that has selected the INBOX."""
    client = aioimaplib.IMAP4("127.0.0.1", port, timeout=_SECONDS)
    await client.wait_hello_from_server()
    await _ok(client.login(box.account.name, box.account.password))
    await _ok(client.select())
    yield client
    await _ok(client.logout())


async def _ok(command) -> list[bytes]:
    """The lines of the answer to a command that must succeed."""
    answer = await command
    assert answer.result == "OK", answer.lines
    return answer.lines


async def _told(client, wanted: bytes) -> None:
    """Wait until the server has told a line that begins so."""
    while not any(line.startswith(wanted) for line in await client.wait_server_push(_SECONDS)):
        pass


async def _everybody_is_told(box: Box) -> None:
    port = box.port(IMAP_IDLE_TIMEOUT="1")
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(box, port)) for _ in range(_CLIENTS)]
        writer = await stack.enter_async_context(_client(box, port))
        idles = [await client.idle_start(_SECONDS) for client in clients]
        box.deliver(letter("fresh"))
        await asyncio.gather(*(_told(client, b"4 EXISTS") for client in clients))
        await _ok(writer.noop())
        await _ok(writer.store("2", "+FLAGS", r"(\Flagged)"))
        await asyncio.gather(*(_told(client, rb"2 FETCH (FLAGS (\Flagged") for client in clients))
        await _ok(writer.store("1", "+FLAGS", r"(\Deleted)"))
        await _ok(writer.expunge())
        await asyncio.gather(*(_told(client, b"1 EXPUNGE") for client in clients))
        for client, idle in zip(clients, idles, strict=True):
            client.idle_done()
            await asyncio.wait_for(idle, _SECONDS)
            assert (await _ok(client.uid_search("ALL")))[0] == b"2 3 4"
    assert box.flags() == {"mail 2": "F", "mail 3": "", "fresh": ""}


def test_everybody_in_idle_is_told(box: Box) -> None:
    asyncio.run(_everybody_is_told(box))


async def _all_at_once(box: Box) -> None:
    port = box.port()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(box, port)) for _ in range(_CLIENTS)]
        letters = [wire(letter(f"up {number}", "Grüße")) for number in range(_CLIENTS)]
        answers = await asyncio.gather(
            *(_ok(client.append(content, "INBOX", r"\Seen")) for client, content in zip(clients, letters, strict=True))
        )
        uids = {answer[-1].partition(b"[APPENDUID ")[2].split(b" ")[1].split(b"]")[0] for answer in answers}
        assert uids == {b"%d" % uid for uid in range(4, 4 + _CLIENTS)}
        await asyncio.gather(
            *(_ok(client.uid("store", "1:3", "+FLAGS", f"(Client{number})")) for number, client in enumerate(clients))
        )
        for client in clients:
            await _ok(client.noop())
            flags = await _ok(client.uid("fetch", "1:3", "(FLAGS)"))
            for line in flags[:3]:
                assert {f"Client{number}" for number in range(_CLIENTS)} <= set(
                    line.decode().strip(")").split("(")[-1].split()
                )
        copies = await asyncio.gather(
            *(client.uid("copy", uid.decode(), "INBOX") for uid, client in zip(sorted(uids), clients, strict=True))
        )
        assert {answer.result for answer in copies} == {"OK"}
    assert sorted(box.contents()) == sorted(
        [letter(f"mail {number}", f"Grüße {number}") for number in range(1, 4)]
        + [letter(f"up {number}", "Grüße") for number in range(_CLIENTS)] * 2
    )


def test_changes_at_once(box: Box) -> None:
    asyncio.run(_all_at_once(box))
