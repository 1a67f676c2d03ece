"""Who is paired: subjects, components and boots survive, and nothing changes its key."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.registry import Registered, Registry
from ledger_client.database import open_database
from ledger_client.errors import LocalError, StoreError

URN = "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55"
STRAP = Registered("strap", "heart strap", "F0:00:00:00:00:01", "heart-rate", "runner", "key-1")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "ledger.db")) as one:
        yield one


@pytest.fixture
def registry(connection: sqlite3.Connection) -> Registry:
    one = Registry(connection)
    one.create()
    one.add_subject("runner", URN)
    return one


def test_making_the_tables_again_keeps_what_is_in_them(
    registry: Registry, connection: sqlite3.Connection
) -> None:
    registry.enrol(STRAP)

    Registry(connection).create()

    assert registry.streams().urns == {"runner": URN}
    assert registry.components() == [STRAP]


def test_tables_of_a_later_milepost_are_left_alone(
    registry: Registry, connection: sqlite3.Connection
) -> None:
    connection.execute("UPDATE schema SET version = 9 WHERE part = 'registry'")

    with pytest.raises(StoreError, match="version 9"):
        registry.create()


def test_a_component_may_move_to_another_address_and_subject(registry: Registry) -> None:
    registry.add_subject("walker", URN.replace("0c", "1c"))
    moved = replace(STRAP, address="F0:00:00:00:00:09", subject="walker", kind="strap")
    registry.enrol(STRAP)

    registry.enrol(moved)

    assert registry.components() == [moved]


def test_a_component_never_changes_its_key(registry: Registry) -> None:
    registry.enrol(STRAP)

    with pytest.raises(LocalError, match="expected key key-1, got key-2; restore keys/"):
        registry.enrol(replace(STRAP, id="key-2"))


def test_two_components_never_share_an_address(registry: Registry) -> None:
    registry.enrol(STRAP)

    with pytest.raises(LocalError, match="component other: its address is that of another"):
        registry.enrol(replace(STRAP, alias="other"))


def test_boots_and_the_starts_within_them_are_counted(registry: Registry) -> None:
    counted = [registry.boot(boot) for boot in (b"first...", b"first...", b"second..")]

    assert counted == [(1, 1), (1, 2), (2, 1)]
    assert registry.boot_count(b"first...") == 1
    assert registry.boot_count(b"second..") == 2
    assert registry.boot_count(b"unknown.") == 0
