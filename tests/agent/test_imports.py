"""Evidence of other gateways: verified on the way in, kept byte for byte, refused when it lies."""

import json
import shutil
from pathlib import Path

import pytest
from box import Box

from agent import imports
from agent.audit import verify_home
from agent.export import export_home, import_into, imported_into, points_of_all
from agent.home import HomeError
from ledger_client import disclosure, record
from ledger_client.disclosure import Part
from ledger_client.errors import ProofError, RemoteError
from ledger_client.verify import verify_record


@pytest.fixture
def other(tmp_path: Path) -> Box:
    """Another gateway, with three batches of readings."""
    one = Box(tmp_path / "other")
    stores = one.open()
    for subject in ("runner", "car", "runner"):
        one.hear(stores, 4, subject)
        one.prove(stores)
    one.close()
    return one


@pytest.fixture
def home(box: Box) -> Path:
    """The home that takes things over, with a batch of its own."""
    stores = box.open()
    box.hear(stores, 2)
    box.prove(stores)
    box.close()
    return box.path


def more(box: Box, readings: int = 4) -> bytes:
    """The gateway's record after it went on."""
    stores = box.open()
    box.hear(stores, readings)
    box.prove(stores)
    box.close()
    return export_home(box.path)


def test_a_record_is_kept_byte_for_byte_and_verified_with_the_home(home: Path, other: Box) -> None:
    data = export_home(other.path)

    evidence = import_into(home, data)

    assert evidence.path.read_bytes() == data
    assert evidence.path.stat().st_mode & 0o077 == 0
    assert evidence.path.parent.stat().st_mode & 0o077 == 0
    assert evidence.report == verify_record(data)
    report = verify_home(home)
    assert dict(report.imported) == {evidence.name: evidence.report}
    assert "4 of 4 entries, 12 of 12 readings" in report.lines()[-1]
    assert report.as_json()["imported"][evidence.name]["readings"] == 12
    json.dumps(report.as_json())


def test_what_was_imported_goes_on_to_the_next_home_unchanged(
    home: Path, other: Box, tmp_path: Path
) -> None:
    data = export_home(other.path)
    import_into(home, data)
    third = Box(tmp_path / "third")
    third.open()
    third.close()

    (evidence,) = imported_into(home)
    import_into(third.path, evidence.data)
    import_into(third.path, export_home(home))

    held = list(imported_into(third.path))
    assert {each.data for each in held} == {data, export_home(home)}
    assert len(list(points_of_all([each.data for each in held], ()))) == 12 + 2


def test_importing_twice_keeps_it_once(home: Path, other: Box) -> None:
    data = export_home(other.path)

    assert import_into(home, data) == import_into(home, data)

    assert len(list(imported_into(home))) == 1


def test_a_reading_that_two_records_hold_is_exported_once(home: Path, other: Box) -> None:
    import_into(home, export_home(other.path))
    import_into(home, more(other))

    records = [each.data for each in imported_into(home)]

    assert len(records) == 2
    assert len(list(points_of_all(records, ()))) == 16


def test_records_of_one_log_that_grew_agree_in_either_order(home: Path, other: Box) -> None:
    short = export_home(other.path)
    long = more(other)

    import_into(home, long)
    import_into(home, short)

    assert [each.report.size for each in imported_into(home)].count(4) == 1


def test_an_excerpt_is_evidence_too(home: Path, other: Box) -> None:
    whole = export_home(other.path)
    every = record.parse(whole).lines[2].disclosure
    assert every is not None
    assert not isinstance(every, Part)
    stores = other.open()
    excerpt = record.excerpt(stores.log, {2: disclosure.choose(every, {0})})
    other.close()

    import_into(home, excerpt)
    import_into(home, more(other))

    assert sorted(each.report.shown for each in imported_into(home)) == [2, 5]


def test_a_changed_record_does_not_come_in(home: Path, other: Box) -> None:
    data = bytearray(export_home(other.path))
    data[len(data) // 2] ^= 1

    with pytest.raises(RemoteError):
        import_into(home, bytes(data))

    assert not (home / imports.FOLDER).exists()


def test_a_record_that_was_changed_in_the_home_is_named(home: Path, other: Box) -> None:
    evidence = import_into(home, export_home(other.path))
    evidence.path.write_bytes(export_home(home))

    with pytest.raises(ProofError, match=rf"{evidence.path}: .*take it away"):
        verify_home(home)


def test_a_log_that_signed_two_histories_is_refused(home: Path, other: Box, tmp_path: Path) -> None:
    copy = Box(tmp_path / "copy", put_readings=900)
    shutil.copytree(other.path, copy.path)
    import_into(home, more(other))

    with pytest.raises(ProofError, match="signed two histories"):
        import_into(home, more(copy))

    more(copy)
    with pytest.raises(ProofError, match="signed two histories"):
        import_into(home, export_home(copy.path))
    assert len(list(imported_into(home))) == 1


def test_excerpts_of_other_heads_cannot_be_compared_and_come_in(home: Path, other: Box) -> None:
    stores = other.open()
    short = record.excerpt(stores.log, {1: None})
    other.close()
    more(other)
    stores = other.open()
    long = record.excerpt(stores.log, {1: None})
    other.close()

    import_into(home, short)
    import_into(home, long)

    assert len(list(imported_into(home))) == 2


def test_the_own_log_may_come_home_but_not_as_another(home: Path, box: Box, tmp_path: Path) -> None:
    import_into(home, export_home(home))
    copy = Box(tmp_path / "copy")
    shutil.copytree(home, copy.path)

    with pytest.raises(ProofError, match="the log of this very home"):
        import_into(home, more(copy))

    assert len(list(imported_into(box.path))) == 1


def test_there_is_an_end_to_what_a_home_takes_over(
    home: Path, other: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "RECORDS_MAX", 1)
    import_into(home, export_home(other.path))

    with pytest.raises(HomeError, match="at most 1 are kept"):
        import_into(home, more(other))


def test_a_folder_where_no_gateway_ever_was_takes_nothing_over(tmp_path: Path, other: Box) -> None:
    with pytest.raises(HomeError, match=r"there is no ledger\.db"):
        import_into(tmp_path / "nowhere", export_home(other.path))


def test_a_home_that_cannot_be_written_says_so(home: Path, other: Box) -> None:
    (home / imports.FOLDER).write_bytes(b"")

    with pytest.raises(HomeError, match="cannot be"):
        import_into(home, export_home(other.path))
