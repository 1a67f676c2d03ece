"""The home folder: one process, its keys, and what they seal."""

from pathlib import Path

import pytest

from agent.home import Home, HomeError, Vault, boot_identity
from ledger_client.errors import LedgerError, LocalError, SignatureError

URN = "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55"
BATCH = b"batch 1".ljust(16)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    one = Home(tmp_path / "home")
    one.create()
    return one


@pytest.fixture
def vault() -> Vault:
    return Vault({"runner": bytes(32), "car": bytes([1]) * 32})


def test_a_new_home_is_for_its_owner_alone(home: Home) -> None:
    assert not home.exists()
    assert [path.stat().st_mode & 0o077 for path in (home.path, home.path / "keys")] == [0, 0]


def test_a_home_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(HomeError, match=r"expected a folder that can be written.*--home"):
        Home(tmp_path / "file" / "home").create()


def test_the_second_milepost_on_a_home_is_told_so_until_the_first_one_ends(home: Home) -> None:
    home.lock()

    for _ in range(2):
        with pytest.raises(HomeError, match="another milepost is running"):
            Home(home.path).lock()
    home.unlock()
    again = Home(home.path)
    again.lock()
    again.unlock()


def test_a_folder_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be locked"):
        Home(tmp_path / "nowhere").lock()


def test_a_key_is_made_once(home: Home) -> None:
    assert home.key("gateway").public == home.key("gateway").public
    assert home.own_key("gateway").public == home.key("gateway").public


def test_a_key_of_the_home_is_never_made_anew_once_something_was_signed(home: Home) -> None:
    home.ledger_db.touch()

    with pytest.raises(LocalError, match=r"gateway\.key: expected the key.*restore keys/"):
        home.own_key("gateway")

    assert not (home.path / "keys" / "gateway.key").exists()


def test_the_vault_opens_the_subjects_whose_key_is_there_and_makes_none(home: Home) -> None:
    home.create_subject_key(URN)
    other = URN.replace("0c", "1c")

    vault = home.vault({"runner": URN, "erased": other})

    assert len(vault.subject_key("runner")) == 32
    with pytest.raises(LocalError, match="no key for subject erased"):
        vault.subject_key("erased")
    assert len(list((home.path / "keys" / "subjects").iterdir())) == 1


def test_a_damaged_urn_is_a_damaged_home(home: Home) -> None:
    with pytest.raises(LocalError, match="urn of a subject is damaged"):
        home.vault({"runner": "urn:uuid:../../x"})


def test_what_is_sealed_opens_again_and_two_seals_differ(vault: Vault) -> None:
    leaves = [b"one", b"two" * 500]

    assert vault.open_pack("runner", vault.seal_pack("runner", b"data")) == b"data"
    assert vault.open_leaves("car", BATCH, vault.seal_leaves("car", BATCH, leaves)) == leaves
    assert vault.seal_pack("runner", b"data") != vault.seal_pack("runner", b"data")


def test_every_flipped_byte_of_what_is_sealed_is_refused(vault: Vault) -> None:
    sealed = vault.seal_leaves("runner", BATCH, [b"leaf"])

    for place in range(len(sealed)):
        for bit in (1, 128):
            flipped = bytearray(sealed)
            flipped[place] ^= bit
            with pytest.raises(LedgerError):
                vault.open_leaves("runner", BATCH, bytes(flipped))


@pytest.mark.parametrize(("subject", "batch"), [("car", BATCH), ("runner", b"batch 2".ljust(16))])
def test_leaves_open_under_their_own_subject_and_batch_only(
    vault: Vault, subject: str, batch: bytes
) -> None:
    sealed = vault.seal_leaves("runner", BATCH, [b"leaf"])

    with pytest.raises(SignatureError):
        vault.open_leaves(subject, batch, sealed)


def test_a_boot_has_one_name_which_tells_nothing_of_the_kernels() -> None:
    named = boot_identity(b"secret", "kernel's name")

    assert named == boot_identity(b"secret", "kernel's name")
    assert named != boot_identity(b"other", "kernel's name")
    assert len(named) == 8


def test_a_home_names_the_places_of_its_parts(home: Home) -> None:
    assert home.peer_till("brand") == home.path / "peers" / "brand" / "till.db"
