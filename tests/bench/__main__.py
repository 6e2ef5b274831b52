"""`python -m tests.bench`: our server, the C Courier-IMAP and Dovecot side by side.

All servers run at the same time on loopback ports, on copies of one seeded mailbox, with the same cheap password
hash and raised limits. In each round every measure is taken from each server in turn, so that what else the machine
does hits all alike; shown are the median of the rounds and the median of the ratios to the C Courier, round by round
(below 1 is better than it). Nothing here passes or fails by time; an answer that does not fit the mail ends the run.

The page cache is hot. "...-first" deletes beforehand what the server remembers of the mailbox. "ours" is the prefork
form, in "ours-reuse" login processes serve one client after another, "ours-exec" starts the programs anew for each
client. "dovecot-login" is Dovecot's high-performance login service; "dovecot-tuned" uses its other processes again
too, does not fsync and caches passwords: the upper anchor for logins and APPEND.

`python -m tests.bench.tls` and `python -m tests.bench.pop3` measure encrypted connections and POP3 in the same way.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
from collections.abc import Sequence

from tests.bench.bench import Bench, Run
from tests.bench.client import WrongAnswer
from tests.bench.mail import Corpus
from tests.bench.measures import MEASURES
from tests.corpus import generate
from tests.peers.ours import Ours
from tests.peers.programs import Account, Courier, Dovecot, Missing, Place

SERVERS = ("ours", "ours-reuse", "ours-exec", "courier", "dovecot", "dovecot-login", "dovecot-tuned")
_PREFORK = "-prefork=4"  # as etc/imapd has it
_STANDARD = "courier"


def _server(name: str, place: Place) -> Ours | Courier | Dovecot:
    if name == "courier":
        return Courier(place)
    if name.startswith("dovecot"):
        return Dovecot(place, name)
    options = ("-prefork=0",) if name == "ours-exec" else (_PREFORK,)
    return Ours(place, name=name, options=options, settings={"COURIER_REUSE": "1"} if name == "ours-reuse" else {})


def _message(octets: int) -> bytes:
    line = b"A line of an ordinary letter, as it is appended to a folder of sent mail. 0123456789\r\n"
    head = b"From: sam@example.com\r\nTo: kim@example.com\r\nSubject: appended\r\nMessage-ID: <a@example.com>\r\n\r\n"
    return head + line * (octets // len(line))


def measure(
    options: argparse.Namespace, place: Place, stack: contextlib.ExitStack
) -> dict[str, dict[str, list[float]]]:
    """All rounds: for each measure and server the figures in the order of the rounds."""
    corpus_maildir = place.path / "corpus"
    generate.fill(corpus_maildir, options.messages, options.seed)
    corpus = Corpus(corpus_maildir)
    _tell(f"{corpus.count} messages, {corpus.octets / 1e6:.1f} MB; {options.rounds} rounds")
    benches = []
    for name, account in zip(options.servers, place.accounts, strict=True):
        try:
            server = stack.enter_context(_server(name, place))
        except Missing as reason:
            _tell(f"{name} is left out: {reason}")
            continue
        corpus.link(place.maildir(account), corpus.count)
        place.own_mail(place.maildir(account))
        prefix = server.prefix if isinstance(server, Ours) else None
        benches.append(Bench(name, server.port, account, place, server.processes, prefix))
    # Warm pages: else the first large answer would pay for the client's memory.
    buffer = bytearray(b"\1") * (corpus.octets + corpus.count * 200 + (4 << 20))
    changed = min(options.changed, corpus.count)
    run = Run(corpus, buffer, changed, _message(10_000), options.logins, options.seconds)
    figures: dict[str, dict[str, list[float]]] = {only: {bench.name: [] for bench in benches} for only in options.only}
    for number in range(options.rounds):
        for only in options.only:
            # Another one begins in each round, so that nobody always comes after the same neighbour.
            for bench in benches[number % len(benches) :] + benches[: number % len(benches)]:
                _tell(f"\rround {number + 1}: {only} of {bench.name}".ljust(60), end="")
                figures[only][bench.name].append(MEASURES[only][1](bench, run))
    _tell("\r".ljust(60) + "\r", end="")
    return figures


def _tell(text: str, end: str = "\n") -> None:
    if end or sys.stderr.isatty():
        print(text, file=sys.stderr, end=end, flush=True)


def ratio(figures: dict[str, list[float]], name: str) -> float | None:
    """The median of the ratios to the C Courier, round by round."""
    standard = figures.get(_STANDARD)
    if not standard or not figures[name]:
        return None
    ratios = [one / other for one, other in zip(figures[name], standard, strict=True) if other]
    return statistics.median(ratios) if ratios else None


def table(figures: dict[str, dict[str, list[float]]]) -> str:
    """Medians, and ratios to the C Courier."""
    names = list(next(iter(figures.values())))
    lines = ["".ljust(34) + "".join(name.rjust(20) for name in names)]
    for only, by_server in figures.items():
        cells = []
        for name in names:
            share = ratio(by_server, name)
            shown = f"{statistics.median(by_server[name]):,.2f}"
            cells.append((shown + (f"  x{share:5.2f}" if share is not None else "")).rjust(20))
        lines.append(MEASURES[only][0].ljust(34) + "".join(cells))
    return "\n".join(lines)


def _names(known: Sequence[str]) -> object:
    def parse(text: str) -> list[str]:
        wrong = [name for name in text.split(",") if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(known)}")
        return text.split(",")

    return parse


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--servers", type=_names(SERVERS), default=list(SERVERS[:3]), help=",".join(SERVERS))
    parser.add_argument("--only", type=_names(list(MEASURES)), default=list(MEASURES), help=",".join(MEASURES))
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--messages", type=int, default=10_000, help="messages in the mailbox (10000)")
    parser.add_argument("--changed", type=int, default=1_000, help="messages changed at a time (1000)")
    parser.add_argument("--logins", type=int, default=30, help="logins timed in each round (30)")
    parser.add_argument("--seconds", type=float, default=10, help="of the mixed load in each round (10)")
    parser.add_argument("--seed", type=int, default=1, help="of the mail (1)")
    parser.add_argument("--json", action="store_true", help="print the figures of all rounds as JSON")
    options = parser.parse_args(argv[1:])
    if shutil.disk_usage("/tmp").free < options.messages * 60_000:
        parser.error("/tmp has too little space for that many messages")
    place = Place([Account(f"{name}@example.com") for name in options.servers])
    try:
        with contextlib.ExitStack() as stack:
            figures = measure(options, place, stack)
    except WrongAnswer as wrong:
        for log in place.path.glob("*/*log"):
            _tell(f"--- {log.parent.name}/{log.name}\n" + log.read_text("utf-8", "replace")[-1500:])
        _tell(f"No figures: {wrong}")
        return 1
    finally:
        place.remove()
    print(json.dumps(figures, indent=1) if options.json else table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
