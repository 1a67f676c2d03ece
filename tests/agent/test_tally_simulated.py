"""The payment protocol in 1,000 seeded runs, and in fewer with each planted fault."""

import pytest
from market import BUYER, memory, open_book
from tallyfaults import FAULTS
from tallymarket import Cast
from tallysim import Simulation
from tallytruth import ViolationError

from ledger_client.log import LogReader
from ledger_client.settlement.accounts import check
from ledger_client.settlement.embedded import Book

RUNS = 1_000
PARTS = 10
FAULTY_RUNS_MAX = 150


def simulated(seed: int, book: Book, cast: Cast) -> Simulation:
    simulation = Simulation(seed, book, cast)
    simulation.run()
    return simulation


@pytest.mark.parametrize("part", range(PARTS))
def test_no_loss_doubling_delay_crash_restore_or_forgery_breaks_an_invariant(part: int) -> None:
    connection = memory()
    book = open_book(connection)
    book.issue(BUYER.public, 10**9)

    runs = [simulated(seed, book, Cast()) for seed in range(part, RUNS, PARTS)]

    assert sum(run.crashes for run in runs) > 5 * len(runs)
    assert sum(run.refused for run in runs) > len(runs)
    assert sum(run.restores for run in runs) > 0.2 * len(runs)
    assert sum(run.truth.items for run in runs) > 10 * len(runs)
    assert sum(check(connection, LogReader(connection)).values()) == 0


def simulate_until_noticed(book: Book, cast: Cast) -> None:
    for seed in range(10_000, 10_000 + FAULTY_RUNS_MAX):
        simulated(seed, book, cast)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_noticed(fault: str) -> None:
    cast = FAULTS[fault]
    book = open_book(memory(), kind=cast.book)
    book.issue(BUYER.public, 10**9)

    with pytest.raises(ViolationError):
        simulate_until_noticed(book, cast)


def test_the_same_seed_gives_the_same_run() -> None:
    def told(seed: int) -> tuple[object, ...]:
        book = open_book(memory())
        book.issue(BUYER.public, 10**9)
        run = simulated(seed, book, Cast())
        return run.events, run.crashes, run.now, run.truth

    assert told(7) == told(7)
