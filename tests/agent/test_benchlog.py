"""The bench measures a log that is a real one, at small sizes."""

from pathlib import Path

import pytest

from agent import benchlog
from ledger_client.database import open_database
from ledger_client.log import LogReader


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> benchlog.Figures:
    return benchlog.run(tmp_path_factory.mktemp("bench"), (1_000, 4_000), 12_000)


def test_an_append_and_a_proof_grow_no_faster_than_log_n(figures: benchlog.Figures) -> None:
    """By what is computed, which no other load on the machine changes."""
    small, large = figures.sizes

    assert (small["proof_hashes"], large["proof_hashes"]) == (10, 12)
    assert figures.growth["append_hashes"] <= figures.growth["log_n"]
    assert figures.growth["proof_hashes"] <= figures.growth["log_n"]


def test_readings_take_little_more_room_than_their_own_cbor(figures: benchlog.Figures) -> None:
    assert figures.disk["ratio"] <= 2.5
    assert figures.disk["batches"] == 10


def test_a_filled_log_proves_every_entry(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    benchlog.measure(path, 1_000)

    connection = open_database(path, create=False)
    reader = LogReader(connection)
    sizes = [head.size for head in reader.heads()]

    assert (reader.head.size, len(sizes)) == (1_000, 1 + benchlog.SAMPLES)
    connection.close()
