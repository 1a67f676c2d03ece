"""Streams: an urn and key for each purpose; nothing on the log leads from one to another."""

import json
import re
from pathlib import Path
from typing import cast

import contracts
import pytest
from box import WALL_MS, Box
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from agent import history
from agent.admission import Admission, Limits
from agent.audit import verify_home
from agent.claims import Kept
from agent.cli.main import application
from agent.disclosing import Wish, disclose
from agent.erasure import erase_subject
from agent.export import export_home, points_of_all, urns_of
from agent.home import Home, HomeError
from agent.journal import Losses
from agent.pipeline import CommitLimits, Committer, Intake, Pipeline
from agent.recording import PURPOSES_MAX, make_stream
from agent.streams import Stream, Streams
from ledger_client import batches, record, statements
from ledger_client.errors import LocalError
from ledger_client.verify import verify_record

NOW_S = WALL_MS // 1000
PLANS, RESEARCH = "training plans", "research"


@pytest.fixture
def home(box: Box) -> Path:
    """A batch of the runner for itself, one for each of two purposes, and one of the car."""
    stores = box.open()
    for subject, purpose in (("runner", ""), ("runner", PLANS), ("car", ""), ("runner", RESEARCH)):
        box.hear(stores, 3, subject, purpose)
        box.prove(stores)
    box.close()
    return box.path


def run(*arguments: object, code: int = 0) -> str:
    result: Result = CliRunner().invoke(application(), [*map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["", "x", "y"])), unique=True),
    st.sets(st.integers(0, 5)),
)
def test_readings_go_where_an_agreement_is_in_force_and_else_to_the_owner(
    made: list[tuple[str, str]], governed: set[int]
) -> None:
    known = [Stream(subject, purpose, f"urn:{n}") for n, (subject, purpose) in enumerate(made)]
    in_force = {f"urn:{n}" for n in governed}
    streams = Streams(known)

    name = streams.now("a", lambda urn, _: b"digest" if urn in in_force else None, 1)

    fitting = [each for each in known if each.subject == "a" and each.urn in in_force]
    fitting = [each for each in fitting if each.purpose]
    assert name == (fitting[-1].urn if fitting else "a")
    assert streams.urns == {each.name: each.urn for each in known}
    assert streams.aliases() == sorted({each.subject for each in known})
    for each in known:
        assert streams.find(each.subject, each.purpose) == each
        assert streams.subject(each.name) == each.subject
        assert streams.of(each.urn) == (each,)


def test_each_purpose_has_an_urn_and_a_key_of_its_own_for_ever(box: Box) -> None:
    stores = box.open()
    made = [stores.stream_for("runner", purpose) for purpose in ("", PLANS, RESEARCH)]

    again = box.open()

    assert [again.stream_for("runner", each.purpose) for each in made] == made
    assert len({each.urn for each in made}) == 3
    assert len({again.vault.subject_key(each.name) for each in made}) == 3
    assert sorted(again.streams.aliases()) == ["car", "runner"]


def test_the_log_tells_of_no_two_streams_that_they_are_one_subjects(home: Path) -> None:
    report = verify_record(export_home(home))
    parts = record.parse(export_home(home))

    assert len(report.subjects) == 4
    said = [statements.verify(line.statement) for line in parts.lines]
    for urn in report.subjects:
        of_others = [each.signed for each in said if each.subject != urn]
        assert not any(urn.encode() in data for data in of_others)
    given = [leaf for line in parts.lines for leaf in cast("list[bytes]", line.disclosure or [])]
    salts = [leaf[2:18] for leaf in given]
    assert len(set(salts)) == len(salts) == 12


def test_a_home_with_purposes_verifies(home: Path) -> None:
    assert verify_home(home).receipted == 4


def test_a_subject_is_disclosed_whole_or_for_one_purpose(home: Path) -> None:
    whole = disclose(home, Wish("runner"))
    (plans,) = [urn for urn in urns_of(home, "runner") if urn in run_subject(home, PLANS)]
    part = disclose(home, Wish(plans))

    assert (whole.readings, part.readings) == (9, 3)
    assert verify_record(part.data).subjects == (plans,)
    for other in set(urns_of(home, "runner")) - {plans}:
        assert other.encode() not in part.data


def run_subject(home: Path, purpose: str) -> str:
    return run("keys", "subject", "runner", "--home", home, "--purpose", purpose)


def test_exports_and_pages_of_a_subject_cover_all_its_urns(home: Path) -> None:
    data = export_home(home)
    page = history.history(home, "runner")

    assert len(list(points_of_all([data], urns_of(home, "runner")))) == 9
    assert len(list(points_of_all([data], urns_of(home, None)))) == 12
    assert verify_record(history.record_in(page)).disclosed == 9
    (carried,) = re.findall(rb'data-subject="([^"]+)" data-name="runner"', page)
    assert tuple(carried.decode().split()) == urns_of(home, "runner")


def test_an_erased_subject_is_gone_under_every_urn(home: Path) -> None:
    urns = urns_of(home, "runner")

    erased = erase_subject(home, "runner", NOW_S)

    assert (set(erased.urns), erased.batches, erased.left) == (set(urns), 3, ())
    assert Home(home).subject_key_count() == 1
    report = verify_home(home)
    assert (report.receipted, report.erased) == (1, 3)


def test_what_one_stream_lost_is_told_by_the_next_batch_of_the_subject(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 3, "runner", dropped=2)
    stores.journal.lose({stores.stream_for("runner", PLANS).name: Losses(gap=1)})
    stores.journal.lose({"car": Losses(rejected=5)})

    box.prove(stores)
    box.hear(stores, 3, "runner", PLANS)
    box.prove(stores)

    told = [
        batches.decode(statements.verify(each.statement).payload).losses
        for each in list(stores.log.entries())[1:]
    ]
    assert told == [batches.Losses(2, 0, 1), batches.Losses(0, 0, 0)]


def test_the_command_makes_an_urn_once_and_lists_them(home: Path) -> None:
    first = run_subject(home, "insurance")
    second = run_subject(home, "insurance")
    listed = run("keys", "subject", "runner", "--home", home)

    assert first == second
    assert first.strip().endswith("insurance")
    assert first in listed
    assert "its own record" in listed
    with pytest.raises(HomeError, match="lorry: expected a subject of this home: car, runner"):
        run("keys", "subject", "lorry", "--home", home)


def test_purposes_are_bounded(box: Box) -> None:
    stores = box.open()
    with pytest.raises(HomeError, match="at most 200 characters"):
        stores.stream_for("runner", "x" * 201)
    with pytest.raises(LocalError, match="expected a subject"):
        make_stream(stores.home, stores.registry, "lorry", PLANS)
    for number in range(PURPOSES_MAX):
        stores.stream_for("runner", f"purpose {number}")
    with pytest.raises(HomeError, match="the most that there can be"):
        stores.stream_for("runner", "one more")


def test_a_licence_is_about_an_urn_of_its_own_purpose(home: Path, tmp_path: Path) -> None:
    form, deed = tmp_path / "form.json", tmp_path / "deed"
    document = contracts.plain(begins_s=0, expires_s=1 << 40, purpose="a third purpose")
    key = Home(home).key("party-runner")
    document["parties"][0]["did"] = key.public.did
    form.write_text(json.dumps(document))

    run("agreement", "new", form, "--home", home, "--subject", "runner", "--out", deed)
    run("agreement", "sign", deed, "--home", home, "--as", "party-runner")

    urn = run_subject(home, "a third purpose").split()[0]
    assert json.loads(run("agreement", "show", deed, "--json"))["subject"] == urn
    document["subject"] = urns_of(home, "runner")[0]
    form.write_text(json.dumps(document))
    run("agreement", "new", form, "--out", deed)
    with pytest.raises(HomeError, match="its urn is that of 'its own record'"):
        run("agreement", "sign", deed, "--home", home, "--as", "party-runner")
    run("agreement", "new", form, "--subject", "runner", "--out", deed, code=2)


def test_a_commit_goes_into_the_stream_that_is_on_then(box: Box) -> None:
    stores = box.open()
    plans = stores.stream_for("runner", PLANS)
    on: list[str] = []

    def stream(subject: str) -> str:
        return stores.streams.now(subject, lambda urn, _: b"x" if urn in on else None, NOW_S)

    pipeline = Pipeline({}, Admission(Limits(1_000), {}), lambda *_: None)
    limits = CommitLimits(0.1, 10)
    seal = stores.vault.seal_pack
    committer = Committer(Intake(1), pipeline, stores.journal, limits, seal, stream)
    kept = Kept("strap", "heart-rate/1", 9, WALL_MS, 1, bytes(8), (("heart_rate", 60.0),))
    for urns in ([], [plans.urn]):
        on[:] = urns
        pipeline.group.kept = {"runner": [kept]}
        committer._commit(committer._close_group(), stores.boot, 1)  # without the loop

    assert sorted(stores.journal.unbatched()) == sorted(["runner", plans.urn])
