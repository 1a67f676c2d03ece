"""20,000 seeded runs of buyer, seller, broker and ledger with loss, doubling, delays and crashes.

The parties are the real till, desks and settlement; see tests/support/tallysim.py. Then each of the
eight planted faults must be noticed. Run: make sim [RUNS=20000]
"""

import logging
import os
import time
from collections import Counter
from multiprocessing import get_context

from market import BUYER, memory, open_book
from tallyfaults import FAULTS
from tallymarket import Cast
from tallysim import Simulation
from tallytruth import ViolationError

RUNS = int(os.environ.get("RUNS", "20000"))
CHUNK = 100
logging.disable(logging.WARNING)  # that a till is an old copy, in all processes


def chunk(first: int) -> Counter[str]:
    """What `CHUNK` runs from seed `first` on went through; violations under their complaint."""
    counted: Counter[str] = Counter()
    book = open_book(memory())
    book.issue(BUYER.public, 10**9)
    for seed in range(first, min(first + CHUNK, RUNS)):
        run = Simulation(seed, book, Cast())
        try:
            run.run()
        except ViolationError as violation:
            counted[f"VIOLATION, seed {seed}: {violation}"] += 1
        counted += Counter(
            runs=1,
            events=run.events,
            crashes=run.crashes,
            restores=run.restores,
            refused=run.refused,
            items=run.truth.items,
        )
    return counted


def noticed(fault: str) -> int:
    """The number of runs until a planted fault shows; 0 when it never does."""
    cast = FAULTS[fault]
    book = open_book(memory(), kind=cast.book)
    book.issue(BUYER.public, 10**9)
    for number in range(1, 201):
        try:
            Simulation(number, book, cast).run()
        except ViolationError:
            return number
    return 0


def main() -> None:
    """Run all of it on every processor; ends with status 1 for a violation or an unseen fault."""
    begun = time.monotonic()
    counted: Counter[str] = Counter()
    with get_context("spawn").Pool() as pool:
        for part in pool.imap_unordered(chunk, range(0, RUNS, CHUNK)):
            counted += part
        unseen = []
        for fault, run in zip(FAULTS, pool.map(noticed, FAULTS), strict=True):
            print(f"{fault}: noticed in run {run}" if run else f"{fault}: NOT NOTICED")
            unseen += [] if run else [fault]
    print(f"{dict(counted)} in {time.monotonic() - begun:.0f} s")
    if unseen or any(name.startswith("VIOLATION") for name in counted):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
