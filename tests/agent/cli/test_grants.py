"""`milepost grants`: activations that a party attests, and the register that follows."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import contracts
import pytest
from box import WALL_MS, Box
from contracts import OTHER, WEARER, signed
from typer.testing import CliRunner

from agent import agreed
from agent.cli.main import application
from agent.home import HomeError
from ledger_client import activations, agreements, cbor, statements
from ledger_client.deeds import Deed
from ledger_client.errors import EncodingError, RemoteError

NOW_S = WALL_MS // 1000
GRANT = contracts.grant()
DIGEST = agreements.digest(GRANT)
CODE = "K7QF-93MX-0021"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(application(), ["grants", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "grant"
    path.write_bytes(Deed(GRANT).joined(each.signed for each in signed(GRANT)).encode())
    return path


def test_a_pair_and_a_strap_are_attested_and_exported_for_a_registrar(
    box: Box, file: Path, tmp_path: Path
) -> None:
    stores = box.open()
    key = tmp_path / "brand.key"
    key.write_bytes(contracts.BRAND.file_bytes())
    key.chmod(0o600)
    who = ("--home", box.path, "--key", key, "--holder", WEARER.public.did)
    for more in ((), ("--wearable", "heart strap"), ("--wearable", "a hat")):
        assert "is attested" in run("activate", file, *who, "--code", CODE, *more)

    for _ in range(2):  # a second start adds nothing
        stores.shelf.open(NOW_S)
    run("export", file, "--home", box.path, "--out", tmp_path / "csv")
    said = run("export", file, "--home", box.path, "--out", tmp_path / "json", "--json")

    assert stores.log.head.size == 1 + 3
    rows = list(csv.DictReader((tmp_path / "csv").read_text().splitlines()))
    assert [(row["holder"], row["units"]) for row in rows] == [
        (WEARER.public.did, "100"),
        (WEARER.public.did, "20"),
    ]
    assert len(json.loads((tmp_path / "json").read_text())["entitlements"]) == 2
    assert "2 entitlements to founder units; these are not securities" in said
    assert all(CODE.encode() not in each.statement for each in stores.log.entries())


def test_the_only_grant_of_a_home_is_shown_without_being_named(box: Box) -> None:
    stores = box.open()
    with pytest.raises(HomeError, match="found 0"):
        run("export", "--home", box.path)
    deed = Deed(GRANT).joined(each.signed for each in signed(GRANT))
    kept = agreed.path_of(stores.home, DIGEST)
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(deed.encode())
    device = activations.device_of(DIGEST, CODE)
    attested = activations.sign(contracts.BRAND, DIGEST, WEARER.public, device, "", NOW_S)
    stores.log.append([(b"i" * 16, attested)], NOW_S)

    said = run("export", "--home", box.path)
    plain = json.loads(run("export", "--home", box.path, "--json"))

    assert f"100 for the device {device.hex()[:16]}" in said
    assert WEARER.public.did in said
    assert plain["entitlements"][0]["none_before_s"] == NOW_S + GRANT.cliff_s


def test_another_kind_of_agreement_grants_nothing(box: Box, tmp_path: Path) -> None:
    box.open()
    path = tmp_path / "deed"
    path.write_bytes(Deed(contracts.licence()).encode())

    with pytest.raises(HomeError, match="expected an activation-grant"):
        run("export", path, "--home", box.path, "--out", tmp_path / "csv")


def test_only_a_party_attests_and_only_its_own_agreement_counts() -> None:
    device = activations.device_of(DIGEST, CODE)
    said = [
        statements.verify(activations.sign(key, digest, WEARER.public, device, "", NOW_S + 59))
        for key, digest in ((OTHER, DIGEST), (WEARER, bytes(32)), (WEARER, DIGEST))
    ]

    found = activations.of(GRANT, [contracts.act(WEARER, GRANT), *said])

    assert [(each.device, each.at_s) for each in found] == [(device.hex(), NOW_S)]


def test_a_code_that_can_be_guessed_and_a_malformed_attestation_are_refused() -> None:
    with pytest.raises(EncodingError, match="12 characters"):
        activations.device_of(DIGEST, "123456")
    said = statements.verify(activations.sign(WEARER, DIGEST, WEARER.public, bytes(32), "", NOW_S))
    for payload in ({1: 1}, {1: 2, 2: DIGEST, 3: WEARER.public.did, 4: bytes(32), 5: ""}):
        with pytest.raises(RemoteError, match="activation"):
            activations.of(GRANT, [replace(said, payload=cbor.encode(payload))])
