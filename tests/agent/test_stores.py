"""The stores of a home are opened whole, or refused."""

import os
import sqlite3
from contextlib import closing

import pytest
from box import COMPONENTS, Box

from agent.home import HomeError
from agent.journal import JournalError, Losses
from agent.registry import Registered
from ledger_client.errors import LocalError, StoreError


def test_everything_is_the_same_after_a_restart(box: Box) -> None:
    first = box.open()
    facts = (first.signer.public, first.subjects, first.components, first.boot)
    assert first.starts == 1

    second = box.open()

    assert (second.signer.public, second.subjects, second.components, second.boot) == facts
    assert second.starts == 2
    assert sorted(second.components) == ["strap", "tyre"]


def test_a_restart_is_a_gap_in_every_subjects_next_batch(box: Box) -> None:
    box.open()

    stores = box.open()
    box.hear(stores)
    box.prove(stores)

    assert [batch.losses for batch in stores.journal.receipted()] == [Losses(gap=1)]


def test_what_was_opened_beside_the_stores_is_closed_with_them(box: Box) -> None:
    stores = box.open()
    beside = stores.beside.enter_context(closing(sqlite3.connect(":memory:")))

    box.close()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        beside.execute("SELECT 1")


def test_a_home_that_is_open_is_not_opened_again(box: Box) -> None:
    box.open()

    with pytest.raises(HomeError, match="another milepost"):
        Box(box.path).open()


@pytest.mark.parametrize("key", ["gateway", "log", "note"])
def test_a_home_that_lost_a_key_signs_nothing_until_it_is_restored(box: Box, key: str) -> None:
    box.open()
    box.close()
    path = box.path / "keys" / f"{key}.key"
    kept = path.read_bytes()
    path.unlink()

    for _ in range(2):
        with pytest.raises(LocalError, match="restore keys/"):
            box.open()

    path.touch(mode=0o600)
    path.write_bytes(kept)
    box.open()


def test_a_component_whose_key_is_gone_is_refused(box: Box) -> None:
    box.open()
    box.close()
    (box.path / "keys" / "component-strap.key").unlink()

    with pytest.raises(LocalError, match="component strap: expected key"):
        box.open()


def test_a_subject_whose_key_was_destroyed_is_not_heard_any_more(box: Box) -> None:
    stores = box.open()
    urn = stores.subjects["runner"]
    box.close()
    (box.path / "keys" / "subjects" / f"{urn.removeprefix('urn:uuid:')}.key").unlink()

    with pytest.raises(LocalError, match="no key for subject runner"):
        box.open()

    box.open(components=COMPONENTS[1:])


def test_a_key_that_others_may_read_is_refused_with_the_command_that_mends_it(box: Box) -> None:
    box.open()
    box.close()
    path = box.path / "keys" / "gateway.key"
    path.chmod(0o644)

    with pytest.raises(LocalError, match=f"chmod 600 {path}"):
        box.open()


def test_a_log_that_is_older_than_the_journal_is_refused(box: Box) -> None:
    stores = box.open()
    box.hear(stores)
    box.prove(stores)
    box.close()
    old = {name: (box.path / name).read_bytes() for name in ("ledger.db",)}
    stores = box.open()
    box.hear(stores)
    box.prove(stores)
    box.close()
    for name, content in old.items():
        (box.path / name).write_bytes(content)
    (box.path / "head").unlink()

    with pytest.raises(StoreError, match=r"older than journal\.db; restore the two"):
        box.open()


def test_a_damaged_journal_is_refused_and_kept(box: Box) -> None:
    box.open()
    box.close()
    path = box.path / "journal.db"
    path.write_bytes(b"damaged" * 1_000)

    for _ in range(2):  # and the lock is free again
        with pytest.raises(JournalError, match="move it aside"):
            box.open()

    assert path.read_bytes() == b"damaged" * 1_000


def test_a_ledger_of_another_name_or_kind_is_refused(box: Box) -> None:
    box.open()

    with pytest.raises(StoreError, match=r"expected .*other\.example/log"):
        box.open(log_name="other.example/log")
    with pytest.raises(StoreError, match="demo: False"):
        box.open(demo=False)


def test_a_start_that_was_cut_short_anywhere_is_taken_up_again(box: Box) -> None:
    """The steps of a first start, each undone from the last: what is left must open."""
    stores = box.open()
    public = stores.signer.public
    box.close()
    for names in (("journal.db",), ("head", "ledger.db")):
        for name in names:
            (box.path / name).unlink()
        stores = box.open()
        assert stores.signer.public == public
        box.close()


def test_a_component_that_left_the_configuration_stays_known(box: Box) -> None:
    box.open()

    stores = box.open(components=COMPONENTS[:1])

    assert sorted(stores.components) == ["strap"]
    assert [each.alias for each in stores.registry.components()] == ["strap", "tyre"]
    assert sorted(stores.subjects) == ["car", "runner"]


def test_an_address_that_belongs_to_another_component_is_refused(box: Box) -> None:
    box.open()
    intruder = Registered("intruder", "shoe", COMPONENTS[0].address, "running", "runner", "")

    with pytest.raises(LocalError, match="component intruder"):
        box.open(components=(*COMPONENTS, intruder))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_says_so(box: Box) -> None:
    box.path.parent.chmod(0o500)

    with pytest.raises(HomeError, match="can be written"):
        box.open()


def test_nothing_of_the_readings_is_in_the_files(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 5)
    box.prove(stores)
    box.close()

    for path in box.path.glob("*.db*"):
        data = path.read_bytes()
        assert b"heart_rate" not in data
        assert path.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(box.path / "journal.db")) as journal:
        assert journal.execute("SELECT count(*) FROM batch").fetchone() == (1,)
