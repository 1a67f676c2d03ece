"""Erasure: nothing of the subject is left in any byte of the home, and the rest still holds."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from box import COMPONENTS, WALL_MS, Box
from market import BUYER, SELLER, terms

from agent import erasure, scrub
from agent.audit import verify_home
from agent.desks import Goods, SellingDesk
from agent.disclosing import Wish, disclose
from agent.erasure import erase_subject
from agent.export import export_home, write_whole
from agent.goods import readings_body, readings_source
from agent.home import Home, HomeError
from agent.journal import JournalError
from agent.registry import Registry
from agent.stores import Stores
from agent.till import Tidemark, Till
from ledger_client.channels import State
from ledger_client.database import open_database
from ledger_client.errors import ProofError, StoreError
from ledger_client.explanation import not_proved
from ledger_client.messages import Standing
from ledger_client.settlement import View
from ledger_client.verify import verify_record

STRAP = COMPONENTS[0]
NOW_S = WALL_MS // 1000 + 3_600


@dataclass
class Lived:
    """A home as a kill left it, with all that knew the runner, and what must not be found."""

    path: Path
    outside: Path
    urn: str = ""
    needles: list[bytes] = field(default_factory=list)
    """Bytes that no file may hold, the log included."""

    def found(self) -> list[str]:
        """Every file or name in the home that still tells of the runner."""
        places = []
        for file in self.path.rglob("*"):
            data = file.read_bytes() if file.is_file() else b""
            names = [self.urn.encode(), *self.needles]
            held = self.needles if file.name == "ledger.db" else names
            places += [f"{file.name}: {each[:24]!r}" for each in held if each in data]
            places += [
                f"{file.name}" for each in (b"strap", b"runner") if each in file.name.encode()
            ]
        return places


@pytest.fixture
def lived(box: Box, tmp_path: Path) -> Lived:
    stores = box.open()
    for subject in ("runner", "car", "runner", "car"):
        box.hear(stores, 3, subject, dropped=1)
        box.prove(stores)
    stores.journal.packs_told([1, 2, 3])
    box.hear(stores, 2)
    (packs,) = stores.journal.unbatched().values()
    stores.journal.seal(packs, b"sealed".ljust(16))
    box.hear(stores, 4)
    stores.journal.put([], {STRAP.address: 7}, {}, 1)
    sell(stores, stores.till)
    brand = peer(box.path)
    with closing(open_database(brand)) as connection:
        sell(stores, Till.open(connection, Tidemark.beside(brand)))
    one = Lived(tmp_path / "killed", tmp_path / "before.cbor", stores.subjects["runner"])
    one.needles = [*secrets(stores), STRAP.address.encode(), b"strap", b"runner"]
    shutil.copytree(box.path, one.path)  # open as it is: with its write-ahead logs
    ids = {alias: each.id for alias, each in stores.components.items()}
    box.close()
    leave_files(one, ids, box.path)
    return one


def peer(path: Path) -> Path:
    folder = path / "peers" / "brand"
    folder.mkdir(parents=True)
    return folder / "till.db"


def sell(stores: Stores, till: Till) -> None:
    """Every batch is on its way to a buyer who has not paid."""
    desk = SellingDesk(SELLER, till, credit=1_000, run=b"this run")
    desk.observe(View(terms(), State.OPEN, 5_000, 0, None))
    answer = Standing(terms(), 5_000, 0, 0, 0, None, None, b"this run")
    desk.receive(BUYER.public.short_id, answer)
    for batch in stores.journal.receipted():
        statement = stores.log.statement(batch.log_index or 0)
        body = readings_body(statement, b"receipt", leaves_of(stores, batch.batch))
        assert desk.sell(
            terms().channel, [Goods(readings_source(statement), 10, body, simulated=True)]
        )


def leaves_of(stores: Stores, identity: bytes) -> list[bytes]:
    batch, body = stores.journal.find(identity), stores.journal.leaves_of(identity)
    assert batch is not None
    assert body is not None
    return stores.vault.open_leaves(batch.subject, identity, body)


def secrets(stores: Stores) -> Iterable[bytes]:
    """The runner's key, leaves and sealed bodies."""
    yield stores.vault.subject_key("runner")
    for batch in stores.journal.receipted():
        if batch.subject == "runner":
            yield from leaves_of(stores, batch.batch)
            yield stores.journal.leaves_of(batch.batch) or b"never"
    for _, subject, _, body in stores.journal.untold_packs(100):
        if subject == "runner":
            yield body


def leave_files(one: Lived, ids: dict[str, str], original: Path) -> None:
    """What broker, exports and the demo leave in a home."""
    write_whole(one.outside, export_home(original))
    write_whole(one.path / "record.cbor", one.outside.read_bytes())
    write_whole(one.path / "car.cbor", disclose(original, Wish("car")).data)
    home = Home(one.path)
    (home.broker / "store" / "streams").mkdir(parents=True)
    (home.broker / "store" / "streams" / "1.blk").write_bytes(
        b"strap/heart_rate " + one.urn.encode()
    )
    (home.broker / "nats.json").write_text(f'{{"users": ["{ids["strap"]}"]}}')
    home.broker_users.mkdir()
    home.key("party-runner")
    for each in ids.values():
        (home.broker_users / each).write_text("password")
    one.needles.append(ids["strap"].encode())


def test_the_search_finds_the_runner_before(lived: Lived) -> None:
    found = " ".join(lived.found())

    for name in ("ledger.db", "journal.db", "till.db", "record.cbor", "1.blk", "nats.json", "-wal"):
        assert name in found


def test_nothing_of_an_erased_subject_is_in_any_byte_of_the_home(lived: Lived) -> None:
    erased = erase_subject(lived.path, "runner", NOW_S)

    assert lived.found() == []
    assert erased.left == ()
    assert (erased.batches, erased.goods) == (3, 4)
    assert erased.packs >= 2
    assert set(erased.files) >= {"record.cbor", "broker/store/streams/1.blk", "broker/nats.json"}


def test_every_other_proof_still_holds(lived: Lived) -> None:
    erase_subject(lived.path, "runner", NOW_S)

    report = verify_home(lived.path)
    car = verify_record((lived.path / "car.cbor").read_bytes())
    fresh = verify_record(disclose(lived.path, Wish("car")).data)
    whole = verify_record(export_home(lived.path))
    before = verify_record(lived.outside.read_bytes())

    assert (report.receipted, report.erased, report.pending) == (2, 2, 0)
    assert (car.disclosed, fresh.disclosed) == (6, 6)
    assert (whole.readings, whole.disclosed, before.disclosed) == (12, 6, 12)
    assert whole.size == before.size + 1
    assert whole.signed_s == NOW_S


def test_the_log_says_that_the_subject_was_erased_and_verify_explains_it(lived: Lived) -> None:
    erase_subject(lived.path, "runner", NOW_S)

    home = verify_home(lived.path).log
    whole = verify_record(export_home(lived.path))

    assert home.kinds["erasure"] == whole.kinds["erasure"] == 1
    assert home.erased == whole.erased == {lived.urn: 6}
    assert whole.closed == 0
    assert "6 readings of 1 subjects were erased, as their signer says" in whole.findings
    assert any("no copy is left anywhere, nobody can prove" in each for each in not_proved(whole))
    assert f"subject      {lived.urn} (erased)" in whole.lines()
    assert not any("not disclosed" in each for each in whole.findings)


def test_without_the_mark_the_missing_readings_are_noticed(lived: Lived) -> None:
    erase_subject(lived.path, "runner", NOW_S)
    with closing(open_database(lived.path / "ledger.db")) as connection:
        connection.execute("DELETE FROM registry_erased")

    with pytest.raises(ProofError, match="the journal does not know its readings"):
        verify_home(lived.path)


def test_the_same_alias_begins_anew_under_another_urn(lived: Lived, box: Box) -> None:
    erase_subject(lived.path, "runner", NOW_S)
    box.path = lived.path

    stores = box.open()
    box.hear(stores, 3)
    box.prove(stores)
    urn = stores.subjects["runner"]
    box.close()

    assert urn != lived.urn
    report = verify_home(lived.path)
    assert (report.receipted, report.erased) == (3, 2)
    assert len(report.log.subjects) == 3


def test_a_channel_whose_unpaid_goods_are_gone_freezes(lived: Lived) -> None:
    erase_subject(lived.path, "runner", NOW_S)

    with closing(open_database(lived.path / "ledger.db")) as connection:
        till = Till(connection)
        (sale,) = till.sales()
        assert sale.side.state is State.FROZEN
        assert [item.invoice.n for item in till.outbox(sale)] == [2, 4]
        assert till.check() == (1, 4)


def test_a_component_that_may_be_owed_money_keeps_its_key_under_its_id(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_database(lived.path / "ledger.db")) as connection:
        strap = next(each for each in Registry(connection).components() if each.alias == "strap")
    monkeypatch.setattr(Till, "parties", lambda _: frozenset({strap.id}))

    erased = erase_subject(lived.path, "runner", NOW_S)

    assert erased.kept == (f"keys/retired-{strap.id}.key",)
    assert (lived.path / "keys" / f"retired-{strap.id}.key").exists()
    assert not (lived.path / "keys" / "component-strap.key").exists()


@pytest.mark.parametrize("step", ["forget", "_broker_files", "_mentions"])
def test_an_erasure_that_broke_off_is_finished_by_the_same_command(
    lived: Lived, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def broken(*_: object) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(erasure, step, broken)
        with pytest.raises(OSError, match="power"):
            erase_subject(lived.path, "runner", NOW_S)

    if step != "_mentions":
        erase_subject(lived.path, "runner", NOW_S)
    assert lived.found() == []
    verify_home(lived.path)


def test_a_file_that_still_names_the_subject_is_told(lived: Lived) -> None:
    (lived.path / "notes.txt").write_text(f"the strap is {STRAP.address}")

    assert erase_subject(lived.path, "runner", NOW_S).left == ("notes.txt",)


def test_who_is_not_here_cannot_be_erased(lived: Lived, tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="nobody: expected a subject of this home: car, runner"):
        erase_subject(lived.path, "nobody", NOW_S)
    with pytest.raises(HomeError, match="expected the home folder"):
        erase_subject(tmp_path, "runner", NOW_S)


def test_a_running_gateway_is_not_erased_under_its_feet(box: Box) -> None:
    box.open()

    with pytest.raises(HomeError, match="another milepost is running"):
        erase_subject(box.path, "runner", NOW_S)


def test_a_database_that_is_read_elsewhere_is_not_called_clean(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    with closing(open_database(path)) as one, closing(open_database(path)) as reader:
        one.execute("CREATE TABLE t (x)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t").fetchall()
        one.execute("PRAGMA busy_timeout = 50")

        with pytest.raises(StoreError, match="try again"):
            scrub.rewrite(one)


def test_a_destroyed_file_was_overwritten_first(tmp_path: Path) -> None:
    path, link = tmp_path / "secret", tmp_path / "other-name"
    path.write_bytes(b"secret" * 1_000)
    link.hardlink_to(path)

    scrub.destroy(path)
    scrub.destroy(path)

    assert not path.exists()
    assert link.read_bytes() == bytes(6_000)


def test_a_journal_that_refuses_is_said(lived: Lived) -> None:
    with closing(sqlite3.connect(lived.path / "journal.db")) as connection:
        connection.execute("DROP TABLE loss")

    with pytest.raises(JournalError, match="cannot be written"):
        erase_subject(lived.path, "runner", NOW_S)
