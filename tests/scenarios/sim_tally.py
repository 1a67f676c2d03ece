"""20,000 seeded runs of buyer, seller, broker and ledger with loss, doubling, delays and crashes.

The parties are the real till, desks and settlement; see tests/support/tallysim.py. Then each of the
planted faults must be noticed. Run: make sim [RUNS=20000] [FIRST=0] [WORKERS=2]
"""

import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from market import BUYER, memory, open_book
from tallyfaults import FAULTS
from tallymarket import Cast
from tallysim import Simulation
from tallytruth import ViolationError

RUNS = int(os.environ.get("RUNS", "20000"))
FIRST = int(os.environ.get("FIRST", "0"))
WORKERS = int(os.environ.get("WORKERS", "0")) or os.cpu_count()
CHUNK = 100
FAULTY_RUNS_MAX = 200
VIOLATIONS_SHOWN_MAX = 20
logging.disable(logging.WARNING)  # that a till is an old copy, in all processes


def chunk(first: int) -> Counter[str]:
    """What `CHUNK` runs from seed `first` on went through; violations under their complaint."""
    counted: Counter[str] = Counter()
    book = open_book(memory())
    book.issue(BUYER.public, 10**9)
    for seed in range(first, min(first + CHUNK, FIRST + RUNS)):
        run = Simulation(seed, book, Cast())
        try:
            run.run()
        except ViolationError as violation:
            counted[f"VIOLATION, seed {seed}: {violation}"] += 1
        counted += Counter(
            {
                "runs": 1,
                "events": run.events,
                "items sold": sum(at.truth.items for at in run.stalls.values()),
                "crashes": run.crashes,
                "old copies restored": run.restores,
                "old copies known at once": run.recognised,
                "messages lost": run.net["lost"],
                "messages doubled": run.net["doubled"],
                "messages overtaken": run.net["overtaken"],
                "messages refused": run.refused,
            }
        )
    return counted


def noticed(fault: str) -> int:
    """The number of runs until a planted fault shows; 0 when it never does."""
    cast = FAULTS[fault]
    book = open_book(memory(), kind=cast.book)
    book.issue(BUYER.public, 10**9)
    for number in range(1, FAULTY_RUNS_MAX + 1):
        try:
            Simulation(number, book, cast).run()
        except ViolationError:
            return number
    return 0


def main() -> None:
    """Run all of it on every processor; ends with status 1 for a violation or an unseen fault."""
    begun = time.monotonic()
    counted: Counter[str] = Counter()
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:  # fails if a worker dies
        seen = dict(zip(FAULTS, pool.map(noticed, FAULTS), strict=True))
        for part in pool.map(chunk, range(FIRST, FIRST + RUNS, CHUNK)):
            counted += part
            if counted["runs"] % (10 * CHUNK) == 0:
                took_s = time.monotonic() - begun
                print(f"{counted['runs']} runs in {took_s:.0f} s", file=sys.stderr, flush=True)
    violations = sorted(name for name in counted if name.startswith("VIOLATION"))
    for name, value in counted.items():
        if name not in violations:
            print(f"{name:26} {value:>12,}")
    print(f"{'seconds':26} {time.monotonic() - begun:>12,.0f}")
    print(f"{'violations':26} {len(violations):>12,}")
    for name in violations[:VIOLATIONS_SHOWN_MAX]:
        print(name)
    for fault, run in seen.items():
        print(f"planted: {fault:32} {f'red in run {run}' if run else 'NEVER RED'}")
    if violations or not all(seen.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
