"""The whole loop as a newcomer sees it: real bytes, real log, real broker, real money of play."""

import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent import agreed
from agent.cli import demo
from agent.cli.main import application
from agent.home import Home
from ledger_client import agreements, batches, statements, values
from ledger_client.database import open_database
from ledger_client.record import parse as parse_record

MILEPOST = Path(sys.executable).with_name("milepost")


def milepost(*words: str | Path, status: int = 0) -> str:
    """What the installed command prints on standard output."""
    done = subprocess.run(
        [MILEPOST, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def summary(home: Path) -> dict[str, Any]:
    said = milepost("demo", "--seconds", "8", "--json", "--home", home)
    found: dict[str, Any] = json.loads(said)
    return found


def test_the_demo_proves_pays_and_loses_nothing(summary: dict[str, Any]) -> None:
    assert summary["readings"] > 50
    assert summary["batches"] == summary["receipts_verified"] >= 2
    assert summary["lost"] == 0
    assert summary["items_paid"] >= 2
    assert summary["items_unpaid"] == 0
    assert summary["settled_minor_units"] > 0
    assert summary["published"] > 0
    assert summary["cheats"] == []
    assert Path(summary["record"]).is_file()


def test_each_kind_of_agreement_is_at_work(summary: dict[str, Any]) -> None:
    facts = {each["kind"]: each["facts"] for each in summary["agreements"]}
    licence, grant, ecosystem = (
        facts[kind] for kind in ("data-licence", "activation-grant", "ecosystem")
    )

    assert {each["state"] for each in summary["agreements"]} == {"in force"}
    assert sum(licence["shares"].values()) == licence["settled"] > 0
    assert licence["shares"]["maker"] == licence["settled"] * 3_000 // 10_000
    assert facts["metered-service"]["units_paid"] >= 1
    assert grant["units"] == 140
    assert grant["activations"] == 3
    assert ecosystem["notes_given"] >= 1
    assert sum(ecosystem["positions"].values()) == 0


def test_every_brand_checks_the_netting_and_that_it_is_paid(
    summary: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    (deed,) = (
        agreed.path_of(Home(home), each.digest)
        for each in agreed.kept(Home(home))
        if isinstance(each.agreement, agreements.Ecosystem)
    )
    netted, record = home / "netting.cbor", ("--record", summary["record"])

    said = json.loads(milepost("ecosystem", "check", deed, netted, *record, "--json"))

    assert said["checked"] is True
    assert said["unpaid"] == []
    assert sum(said["positions"].values()) == 0
    assert "every position is conserved" in milepost("ecosystem", "check", deed, netted)

    insurer = Home(home).key("peer-insurer").public
    owed = values.owe(
        Home(home).key("peer-brand"), bytes.fromhex(deed.stem), insurer, 5_000_000, 1_800_000_000
    )
    more, later = tmp_path / "more.value", tmp_path / "later.cbor"
    more.write_bytes(values.pack([owed]))
    words = ("--record", str(summary["record"]))
    assert run("ecosystem", "net", str(deed), str(more), *words, "--out", str(later)).exit_code == 0
    checked = run("ecosystem", "check", str(deed), str(later), *words)
    assert checked.exit_code == 1
    assert "not paid on the ledger" in checked.output


@pytest.mark.parametrize("more", [("--seconds", "5"), ("--broker", "mqtts://127.0.0.1:1")])
def test_a_demo_with_cheats_is_long_enough_and_on_a_broker_of_its_own(
    tmp_path: Path, more: tuple[str, str]
) -> None:
    said = CliRunner().invoke(
        application(), ["demo", "--cheats", *more, "--home", str(tmp_path / "home")]
    )

    assert said.exit_code == 2
    assert not (tmp_path / "home").exists()


def test_ctrl_c_while_it_starts_ends_it_cleanly(tmp_path: Path) -> None:
    with subprocess.Popen(
        [MILEPOST, "demo", "--home", tmp_path / "home"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as starting:
        while starting.poll() is None and not catches(starting.pid, signal.SIGTERM):
            time.sleep(0.01)
        starting.send_signal(signal.SIGINT)
        said, complaints = starting.communicate(timeout=30)

    assert (starting.returncode, complaints) == (0, "")
    assert "0 lost" in said


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler of its own for the signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_anybody_can_check_the_record_in_an_empty_folder(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    alone = tmp_path / "record.cbor"
    alone.write_bytes(Path(summary["record"]).read_bytes())

    said = json.loads(milepost("verify", alone, "--json"))

    assert said["verified"] is True
    assert said["demo"] is True
    assert "everything holds" in milepost("verify", alone)


def test_the_home_holds_together_and_its_money_sums_to_zero(
    summary: dict[str, Any], home: Path
) -> None:
    said = json.loads(milepost("verify", home, "--json"))

    assert said["verified"] is True
    assert said["journal"]["receipted"] == summary["batches"]
    assert said["money"]["sum"] == 0
    assert said["money"]["items"] >= 2 * summary["items_paid"]  # each end writes its own lines


def test_a_flipped_byte_of_the_record_is_one_line_and_a_failure(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    data = bytearray(Path(summary["record"]).read_bytes())
    data[len(data) // 2] ^= 1
    spoilt = tmp_path / "spoilt.cbor"
    spoilt.write_bytes(data)

    said = json.loads(milepost("verify", spoilt, "--json", status=1))

    assert said["verified"] is False
    assert said["error"]


def test_an_exported_record_is_the_one_that_verifies(
    summary: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.cbor"

    said = json.loads(milepost("export", "--home", home, "--out", out, "--json"))

    assert said["bytes"] == out.stat().st_size
    assert said["disclosed"] == summary["readings"]
    assert "readings" in milepost("export", "--home", home, "--out", out)


# -- inside of this process, for what the terminal shows


def run(*words: str) -> Result:
    return CliRunner().invoke(application(), list(words), catch_exceptions=False)


def test_a_second_run_on_a_home_goes_on_where_the_first_one_ended(
    summary: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "demo.svg"
    size = summary["log_size"]

    done = run("demo", "--seconds", "6", "--home", str(home), "--picture", str(picture))

    assert done.exit_code == 0
    assert "0 lost" in done.output
    assert f"milepost verify {home}" in done.output
    assert "readings," in done.output
    assert "milepost" in picture.read_text(encoding="utf-8")
    with closing(open_database(home / "ledger.db")) as ledger:
        grown = ledger.execute("SELECT max(size) FROM log_heads").fetchone()[0]
    assert grown > size
    assert parse_record((home / "record.cbor").read_bytes()).lines[-1].receipt is not None
    verified = run("verify", str(home))
    assert "everything holds" in verified.output


def test_the_demo_is_a_configuration_like_any_other(tmp_path: Path) -> None:
    config = demo.demo_config(tmp_path / "home")

    assert config.gateway.demo
    assert config.broker.url == "embedded"


def test_the_demo_on_another_broker_names_the_certificates_of_its_gateway(tmp_path: Path) -> None:
    config = demo.demo_config(tmp_path / "home", 0, "mqtts://127.0.0.1:8883", tmp_path)

    gateway = Path(config.broker.cert_file).stem
    assert config.broker.url == "mqtts://127.0.0.1:8883"
    assert Path(config.broker.key_file) == tmp_path / f"{gateway}.key"
    assert len(gateway) == 16


def test_every_batch_of_the_runner_names_the_licence_under_which_it_is_sold(
    summary: dict[str, Any], home: Path
) -> None:
    lines = parse_record(Path(summary["record"]).read_bytes()).lines
    said = [statements.verify(line.statement) for line in lines]
    named = {
        each.subject: batches.decode(each.payload).agreement
        for each in said
        if each.kind == "batch"
    }
    deeds = {each.digest: each.agreement for each in agreed.kept(Home(home))}
    kinds = {agreements.to_plain(each)["kind"] for each in deeds.values()}
    (licence,) = (
        digest for digest, each in deeds.items() if isinstance(each, agreements.DataLicence)
    )

    assert kinds == set(agreements.KINDS)
    assert set(named.values()) == {licence, None}
    assert sum(each.kind == "agreement" for each in said) == 10
    deed = agreed.path_of(Home(home), licence)
    assert "in force" in milepost("agreement", "check", deed, "--home", home)
    assert "brand pays 0.000050 EUR for each reading." in milepost("agreement", "show", deed)


def test_the_demos_money_is_explained_and_anybody_recomputes_it(
    summary: dict[str, Any], home: Path
) -> None:
    accounts = json.loads(milepost("statement", "--home", home, "--format", "json"))["accounts"]
    replayed = json.loads(milepost("ledger", "replay", summary["record"], "--json"))

    assert {each["direction"] for each in accounts} == {"earned", "spent"}
    claimed = {each["channel"]: each["claimed"] for each in replayed["channels"]}
    assert [each["settled"] for each in accounts] == [claimed[each["channel"]] for each in accounts]
    assert sum(each["settled"] for each in accounts) >= summary["settled_minor_units"] > 0
    assert all(
        each["settled"] == each["claimed"] for each in accounts if each["direction"] == "earned"
    )
    assert replayed["sum"] == 0
    earned = next(each for each in accounts if each["direction"] == "earned")
    assert all(line["agreement"] for line in earned["lines"])
