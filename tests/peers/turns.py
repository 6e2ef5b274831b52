"""Many random steps of the original's imapd and ours on one maildir, from the command line.

python -m tests.peers.turns --in-turn 1200 --at-once 800 --seed 1
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.peers.atonce import AtOnce
from tests.peers.inturn import InTurn
from tests.peers.programs import Account, Courier, Place
from tests.peers.talk import Differ, Refused, Site


def main(arguments: list[str]) -> int:
    """Run as many steps as wanted; 1 when the servers differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.turns", description=__doc__.partition("\n")[0])
    parser.add_argument("--in-turn", type=int, default=1200, metavar="STEPS", help="compared after each (1200)")
    parser.add_argument("--at-once", type=int, default=800, metavar="STEPS", help="of two sessions with each (800)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of all that is by chance")
    options = parser.parse_args(arguments)
    place = Place([Account("turns@example.com"), Account("once@example.com")])
    try:
        courier = Courier(place)
        with Site(place, place.accounts[0], courier) as site:
            in_turn = InTurn(site, random.Random(options.seed))
            _report("in turn", options.seed, in_turn.run, options.in_turn, in_turn.counts)
        with Site(place, place.accounts[1], courier) as site:
            at_once = AtOnce(site, random.Random(options.seed))
            _report("at once", options.seed, at_once.run, options.at_once, at_once.counts)
            print("refused, as somebody was faster:", _told(at_once.refused))
            print(at_once.unavailable, "messages told as unavailable by the original")
    except (Differ, Refused) as problem:
        print(problem)
        return 1
    finally:
        place.remove()
    return 0


def _report(what: str, seed: int, run: Callable[[int], None], count: int, counts: Counter[str]) -> None:
    began = time.monotonic()
    try:
        run(count)
    finally:
        print(f"{what}, seed {seed}: {time.monotonic() - began:.1f} s:", _told(counts))


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
