"""Records and excerpts that carry cosignatures, and that prove what they continue."""

from pathlib import Path

import pytest
from box import WALL_MS, Box
from typer.testing import CliRunner, Result

from agent import witnessed
from agent.cli.main import application
from agent.disclosing import Wish, disclose
from agent.export import export_home
from agent.history import history, record_in
from agent.home import HomeError
from agent.stores import Stores
from ledger_client import cbor, checkpoints, pins, record
from ledger_client.checkpoints import COSIGNATURE, Verifier
from ledger_client.errors import EncodingError, ProofError, RemoteError, SignatureError
from ledger_client.explanation import not_proved, proved
from ledger_client.keys import SigningKey
from ledger_client.log import Head
from ledger_client.verify import verify_record
from ledger_client.vouching import Anchors

NOW_S = WALL_MS // 1000
WITNESSES = tuple(SigningKey(bytes([n]) * 32) for n in (71, 72))
VERIFIERS = tuple(
    Verifier(f"witness.example/w{n}", key.public, COSIGNATURE) for n, key in enumerate(WITNESSES)
)


def cosigned(head: Head, folder: Path) -> None:
    note = head.note
    for key, verifier in zip(WITNESSES, VERIFIERS, strict=True):
        note = checkpoints.cosign(key, verifier.name, note, NOW_S)
    witnessed.keep(folder, note, tuple(each.vkey for each in VERIFIERS))


def grow(box: Box, stores: Stores, subject: str) -> Head:
    box.hear(stores, 3, subject)
    box.prove(stores)
    return stores.log.head


@pytest.fixture
def home(box: Box, tmp_path: Path) -> Path:
    """Three batches; the head after the second was cosigned, that after the first is pinned."""
    stores = box.open()
    first, second, _ = (grow(box, stores, each) for each in ("runner", "car", "runner"))
    cosigned(second, box.path)
    vkey = verify_record(export_home(box.path)).vkey
    pin = pins.render({stores.log.name: pins.Pin(vkey, first.note)})
    (tmp_path / "pins.json").write_text(pin)
    box.close()
    return box.path


def run(*arguments: object, code: int = 0) -> str:
    result: Result = CliRunner().invoke(application(), [*map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_a_record_as_of_the_newest_cosigned_head_says_who_witnessed_it(home: Path) -> None:
    plain = verify_record(export_home(home))
    data = export_home(home, cosigned=True)
    report = verify_record(data, Anchors(witnesses=VERIFIERS[:1]))

    assert (plain.size, plain.witnesses) == (4, ())
    assert (report.size, report.disclosed) == (3, 6)
    assert [(each.vkey, each.seen_s, each.known) for each in report.witnesses] == [
        (VERIFIERS[0].vkey, NOW_S, True),
        (VERIFIERS[1].vkey, NOW_S, False),
    ]
    said = "\n".join([*report.lines(), *proved(report), *not_proved(report)])
    assert f"{VERIFIERS[0].vkey} at 2026-01-01 00:00:00Z, whom you named" in said
    assert f"{VERIFIERS[1].vkey} at 2026-01-01 00:00:00Z, a key that you did not name" in said
    assert f"Witness {VERIFIERS[0].vkey} saw this head" in said
    assert "Who 1 witness may be" in said


def test_the_newest_head_brings_its_cosignatures_unasked(box: Box, home: Path) -> None:
    stores = box.open()
    cosigned(stores.log.head, home)
    box.close()

    for data in (
        export_home(home),
        disclose(home, Wish("runner")).data,
        record_in(history(home, "runner")),
    ):
        assert len(verify_record(data, Anchors(witnesses=VERIFIERS)).witnesses) == 2


def test_a_witness_that_is_asked_for_has_to_be_there(home: Path) -> None:
    with pytest.raises(ProofError, match=r"not cosigned by witness\.example/w0"):
        verify_record(export_home(home), Anchors(witnesses=VERIFIERS[:1]))


def test_no_bit_of_a_witnessed_excerpt_that_continues_a_head_can_be_changed(
    home: Path, tmp_path: Path
) -> None:
    pinned = pins.parse((tmp_path / "pins.json").read_text())
    data = disclose(home, Wish("runner"), pinned, cosigned=True).data
    assert len(verify_record(data).witnesses) == 2

    tail = data.index(b"box.example/log\n3\n")  # checkpoint, witnesses, earlier head
    for position in (*range(0, tail, 23), *range(tail, len(data))):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        with pytest.raises(RemoteError):
            verify_record(bytes(changed))


def test_an_excerpt_shows_that_it_continues_the_pinned_head(home: Path, tmp_path: Path) -> None:
    text = (tmp_path / "pins.json").read_text()
    pinned = pins.parse(text)
    data = disclose(home, Wish("runner"), pinned).data

    without = verify_record(disclose(home, Wish("runner")).data, Anchors(pins=pinned))
    report = verify_record(data, Anchors(pins=pinned))
    alone = verify_record(data)

    assert (without.continues, without.unlinked) == (None, 2)
    assert (report.extends, report.continues, report.unlinked) == (2, 2, None)
    assert (alone.extends, alone.continues) == (2, None)
    assert "continues    the head of 2 entries" in alone.lines()
    assert any("nothing before that was rewritten" in each for each in proved(alone))
    again = disclose(home, Wish("runner"), pins.parse(pinned_at(report)))
    assert verify_record(again.data).extends is None


def pinned_at(report: object) -> str:
    return pins.render({report.log: pins.Pin(report.vkey, report.note)})  # type: ignore[attr-defined]  # a Report


def test_a_pin_that_the_log_does_not_continue_is_refused(home: Path, tmp_path: Path) -> None:
    (pin,) = pins.parse((tmp_path / "pins.json").read_text()).values()
    other = checkpoints.Checkpoint("box.example/log", 2, bytes(32))
    for wrong in (
        {},
        {"box.example/log": pins.Pin(VERIFIERS[0].vkey, pin.note)},
        {"box.example/log": _Other(pin.vkey, pin.note, other)},
    ):
        with pytest.raises(HomeError, match="pinned head"):
            disclose(home, Wish("runner"), wrong)  # type: ignore[arg-type]  # one is a stand-in


class _Other:
    """A pin of another history, whose signature is not looked at here."""

    def __init__(self, vkey: str, note: str, checkpoint: checkpoints.Checkpoint) -> None:
        self.vkey, self.note, self.checkpoint = vkey, note, checkpoint


def test_the_commands_do_it_too(home: Path, tmp_path: Path) -> None:
    out, pin = tmp_path / "out.record", tmp_path / "pins.json"
    run("disclose", "--home", home, "--subject", "runner", "--since", pin, "--out", out)
    assert "which this one continues" in run("verify", out, "--pin", pin)
    run("export", "--home", home, "--witnessed", "--out", out)
    said = run("verify", out, "--witness", VERIFIERS[0].vkey)
    assert "witnessed" in said
    with pytest.raises(ProofError, match="older copy"):
        run("verify", out, "--pin", pin)
    with pytest.raises(HomeError, match="is for records"):
        run("verify", home, "--witness", VERIFIERS[0].vkey)
    with pytest.raises(HomeError, match="a file of pins"):
        run(
            *("disclose", "--home", home, "--subject", "runner", "--out", out),
            *("--since", tmp_path / "none"),
        )


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"note": "x", "witnesses": []}', "absent"])
def test_a_lost_or_damaged_file_of_cosignatures_costs_them_and_nothing_else(
    home: Path, damage: str
) -> None:
    path = home / witnessed.FILE
    if damage == "absent":
        path.unlink()
    else:
        path.write_text(damage)

    assert verify_record(export_home(home)).size == 4
    with pytest.raises(HomeError, match="no head of this log was cosigned"):
        export_home(home, cosigned=True)


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be written"):
        witnessed.keep(tmp_path / "nowhere", "note", ())


def test_labels_of_another_shape_are_refused(home: Path, tmp_path: Path) -> None:
    pinned = pins.parse((tmp_path / "pins.json").read_text())
    data = disclose(home, Wish("runner"), pinned, cosigned=True).data
    pairs = cbor.decode(data, size_max=record.SIZE_MAX)
    assert isinstance(pairs, dict)
    note, path = pairs[7]

    sixths: tuple[object, ...] = ([], ["x"] * 2, [VERIFIERS[0].vkey] * 2, {}, None)
    sevenths: tuple[object, ...] = ([note], [b"x", path], [note, []], [note, path * 65], {}, None)
    for label, value in (*((6, each) for each in sixths), *((7, each) for each in sevenths)):
        with pytest.raises((EncodingError, SignatureError)):
            verify_record(cbor.encode({**pairs, label: value}))
    with pytest.raises(EncodingError, match="in an excerpt"):
        record.parse(cbor.encode({**pairs, 1: record.RECORD, 4: [], 7: [note, path]}))
