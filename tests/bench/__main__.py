"""`python -m tests.bench`: our server, the C Courier-IMAP and Dovecot side by side.

All servers run at the same time on loopback ports, on copies of one seeded mailbox, with the same cheap password
hash and raised limits. In each round every measure is taken from each server in turn, so that what else the machine
does hits all alike; shown are the median of the rounds and, behind `c` and `d`, the medians of the ratios to the C
Courier and to Dovecot, round by round. Nothing here passes or fails by time; an answer that does not fit the mail ends
the run. `--goals` takes the measures of the goals for large mailboxes and says of each whether it is reached.

The page cache is hot. "...-first" deletes beforehand what the server remembers of the mailbox. "ours" is the prefork
form, in "ours-reuse" login processes serve one client after another, "ours-exec" starts the programs anew for each
client. "dovecot-login" is Dovecot's high-performance login service; "dovecot-tuned" uses its other processes again
too, does not fsync and caches passwords: the upper anchor for logins and APPEND. "ours-fts" has the index of whole
texts (IMAP_FTS=1), built by maildirindex before it is asked again, and takes part in SEARCH BODY only.

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

from tests.bench import goals
from tests.bench.bench import Bench, NotOffered, Run
from tests.bench.client import WrongAnswer
from tests.bench.fetch import LARGE_OCTETS
from tests.bench.mail import Corpus
from tests.bench.measures import MEASURES
from tests.corpus import generate
from tests.peers.ours import Ours
from tests.peers.programs import Account, Courier, Dovecot, Missing, Place

SERVERS = ("ours", "ours-reuse", "ours-exec", "ours-fts", "courier", "dovecot", "dovecot-login", "dovecot-tuned")
_USUAL = ("ours", "courier", "dovecot")
_PREFORK = "-prefork=4"  # as etc/imapd has it
_SETTINGS = {"ours-reuse": {"COURIER_REUSE": "1"}, "ours-fts": {"IMAP_FTS": "1"}}


def _server(name: str, place: Place) -> Ours | Courier | Dovecot:
    if name == "courier":
        return Courier(place)
    if name.startswith("dovecot"):
        return Dovecot(place, name)
    options = ("-prefork=0",) if name == "ours-exec" else (_PREFORK,)
    return Ours(place, name=name, options=options, settings=_SETTINGS.get(name, {}))


def _takes_part(server: str, measure: str) -> bool:
    return server != "ours-fts" or measure.startswith("search-body")


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
    buffer = bytearray(b"\1") * (max(corpus.octets + corpus.count * 200, LARGE_OCTETS * 11 // 10) + (4 << 20))
    changed = min(options.changed, corpus.count)
    run = Run(corpus, buffer, changed, options.many, _message(10_000), options.logins, options.seconds)
    figures: dict[str, dict[str, list[float]]] = {only: {bench.name: [] for bench in benches} for only in options.only}
    for number in range(options.rounds):
        for only in options.only:
            # Another one begins in each round, so that nobody always comes after the same neighbour.
            for bench in benches[number % len(benches) :] + benches[: number % len(benches)]:
                if not _takes_part(bench.name, only):
                    continue
                _tell(f"\rround {number + 1}: {only} of {bench.name}".ljust(60), end="")
                try:
                    figures[only][bench.name].append(MEASURES[only].take(bench, run))
                except NotOffered as missing:
                    _tell(f"\r{bench.name} is left out of {only}: no {missing}".ljust(60))
    _tell("\r".ljust(60) + "\r", end="")
    return figures


def _tell(text: str, end: str = "\n") -> None:
    if end or sys.stderr.isatty():
        print(text, file=sys.stderr, end=end, flush=True)


def table(figures: goals.Figures) -> str:
    """Medians, and ratios to the C Courier and to Dovecot."""
    names = list(next(iter(figures.values())))
    lines = ["".ljust(36) + "".join(name.rjust(28) for name in names)]
    for only, by_server in figures.items():
        row = MEASURES[only].title.ljust(36)
        for name in names:
            shown = f"{statistics.median(by_server[name]):,.2f}" if by_server[name] else "-"
            for letter, beside in (("c", "courier"), ("d", "dovecot")):
                share = goals.ratio(by_server, name, beside)
                shown += "".rjust(9) if share is None or name == beside else f" {letter}{share:.3f}".rjust(9)
            row += shown.rjust(28)
        lines.append(row.rstrip())
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
    parser.add_argument("--servers", type=_names(SERVERS), help=",".join(SERVERS))
    parser.add_argument("--only", type=_names(list(MEASURES)), help=",".join(MEASURES))
    parser.add_argument("--goals", action="store_true", help="say of each goal for large mailboxes if it is reached")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--messages", type=int, default=10_000, help="messages in the mailbox (10000)")
    parser.add_argument("--changed", type=int, default=1_000, help="messages changed at a time (1000)")
    parser.add_argument("--many", type=int, default=100_000, help="messages in the very large mailbox (100000)")
    parser.add_argument("--logins", type=int, default=30, help="logins timed in each round (30)")
    parser.add_argument("--seconds", type=float, default=10, help="of the mixed load in each round (10)")
    parser.add_argument("--seed", type=int, default=1, help="of the mail (1)")
    parser.add_argument("--json", action="store_true", help="print the figures of all rounds as JSON")
    options = parser.parse_args(argv[1:])
    options.servers = options.servers or list(goals.SERVERS if options.goals else _USUAL)
    options.only = options.only or list(goals.NEEDED if options.goals else MEASURES)
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
    if options.goals and not options.json:
        print("\n" + goals.report(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
