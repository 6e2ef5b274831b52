"""After a successful login: on to the next stage, as the account.

A login stage that is root becomes the account itself, and then the program.  One that is not hands over the connection
with what authdaemond has signed, and a process of the next stage becomes the account (authdaemond.arrival).
"""

from __future__ import annotations

import os

from authdaemond import arrival, client
from couriertcpd import environ, log, stage
from imaplogin import preauth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from authdaemond.account import Account

# What those import when they are asked to do something who take connections with a ticket.
PRELOAD_ARRIVAL = ("authdaemond.ticket", "authdaemond.ticketkey", "hashlib", "hmac", "pwd")


def next_stages(operands: list[str]) -> list[str] | None:
    """The stages to come, from the operands of a login stage; None when there are too few.

    Before 4.0 the names of authentication modules stood in front of the server (`authuserdb ... imapd Maildir`).  They
    are tolerated and mean nothing.
    """
    stages = list(operands)
    while len(stages) > 2 and os.path.basename(stages[0]).startswith("auth"):
        del stages[0]
    return stages if len(stages) >= 2 else None


def log_in(peer: preauth.Peer, who: str, account: Account, stages: list[str]) -> None:
    """Become the account and the next stage; who is as for preauth.decide().

    Raises client.Rejected or client.TemporaryFailure, logged, or what stage.become() raises.
    """
    try:
        hand_on(account, stages)
    except arrival.Refused:
        preauth.failed(peer, who)
        raise client.Rejected from None
    except arrival.TemporaryFailure as failure:
        preauth.failed(peer, who)
        log.err(f"authentication error: {failure}")
        raise client.TemporaryFailure from None


def hand_on(account: Account, stages: list[str]) -> None:
    """Become the account and the next stage; returns only by raising.

    Raises what stage.become() raises, arrival.Refused or arrival.TemporaryFailure.
    """
    arrival.check(account)
    if stage.audience:
        _hand_over(account, stages)
        return
    arrival.become(account)
    told = arrival.variables(account, os.fsencode(stages[-1]))
    for name, value in told.items():
        environ.put(name.decode(), value)
    preauth.lift_limits()
    try:
        stage.execute([*stages[:-1], os.fsdecode(told[b"MAILDIR"])])
    except OSError as error:
        log.err(f"exec({stages[0]}) failed!!")
        raise arrival.TemporaryFailure(f"{stages[0]}: {error.strerror}") from None


def _hand_over(account: Account, stages: list[str]) -> None:
    if not account.ticket:
        raise arrival.TemporaryFailure(
            "authdaemond has signed no ticket; if it cannot, remove the ticket.key that another has left behind"
        )
    preauth.lift_limits()  # once it is sent the client must hear no word from here
    try:
        stage.become(stages, account.ticket)
    except OSError as error:
        log.err(f"hand-over to {stages[0]} failed!!")
        raise arrival.TemporaryFailure(f"{stages[0]}: {error.strerror or error}") from None
