"""`milepost agreement`: from a form to a deed that governs what a gateway signs."""

import json
from pathlib import Path

import contracts
import pytest
from box import WALL_MS, Box
from typer.testing import CliRunner, Result

from agent import agreed, keyring
from agent.cli.main import application
from agent.erasure import erase_subject
from agent.home import Home, HomeError
from agent.owner import Terms, grant
from ledger_client import agreements, batches, consents, enrolment, statements
from ledger_client.certificates import Limits
from ledger_client.consents import Act
from ledger_client.deeds import Deed
from ledger_client.enrolment import Request
from ledger_client.errors import EncodingError, LocalError, ProofError
from ledger_client.keys import SigningKey, create_key
from ledger_client.log import LogReader

NOW_S = WALL_MS // 1000


def run(*arguments: object, code: int = 0) -> str:
    result: Result = CliRunner().invoke(application(), ["agreement", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def form(tmp_path: Path) -> Path:
    document = contracts.plain(begins_s=0, expires_s=1 << 40)
    for name in contracts.KEYS:
        key = create_key(tmp_path / f"{name}.key")
        document["parties"][[*contracts.KEYS].index(name)]["did"] = key.public.did
    path = tmp_path / "form.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def file(form: Path, tmp_path: Path) -> Path:
    run("new", form, "--out", tmp_path / "deed")
    return tmp_path / "deed"


def test_an_agreement_is_made_read_signed_and_in_force(file: Path, tmp_path: Path) -> None:
    assert "brand pays 0.000050 EUR for each reading." in run("show", file)
    assert json.loads(run("show", file, "--json"))["kind"] == "data-licence"
    assert "not signed by wearer" in run("check", file, code=1)

    said = [run("sign", file, "--key", tmp_path / f"{name}.key") for name in contracts.KEYS]

    assert "in force" in said[-1]
    assert json.loads(run("check", file, "--json"))["missing"] == []


def test_a_withdrawn_consent_ends_it_at_once(file: Path, tmp_path: Path) -> None:
    for name in contracts.KEYS:
        run("sign", file, "--key", tmp_path / f"{name}.key")

    run("end", file, "--key", tmp_path / "brand.key")
    assert "in force" in run("check", file)  # the notice runs
    run("end", file, "--key", tmp_path / "wearer.key", "--withdraw")

    assert "consent withdrawn" in run("check", file, code=1)


def test_a_home_signs_with_its_own_key_and_keeps_a_copy(
    form: Path, box: Box, tmp_path: Path
) -> None:
    stores = box.open()
    document = json.loads(form.read_text())
    document["parties"][0]["did"] = stores.home.key("party-runner").public.did
    form.write_text(json.dumps(document))
    box.close()
    file = tmp_path / "deed"
    run("new", form, "--out", file)

    run("sign", file, "--key", tmp_path / "brand.key")
    run("sign", file, "--home", box.path, "--as", "party-runner")
    run("sign", file, "--key", tmp_path / "platform.key", "--home", box.path)
    run("sign", file, "--home", box.path, "--as", "party-runner")

    (deed,) = agreed.kept(Home(box.path))
    assert {each.issuer.did for each in deed.acts} >= {document["parties"][0]["did"]}
    assert "in force" in run("check", file, "--home", box.path)


def test_misuse_is_told(file: Path, form: Path, tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="as JSON"):
        run("new", tmp_path / "nothing", "--out", tmp_path / "deed")
    form.write_text("{}")
    with pytest.raises(EncodingError, match="kind"):
        run("new", form, "--out", tmp_path / "deed")
    with pytest.raises(HomeError, match="expected an agreement"):
        run("show", tmp_path / "nothing")
    with pytest.raises(LocalError, match="key file"):
        run("sign", file, "--key", tmp_path / "nothing")
    create_key(tmp_path / "stranger.key")
    with pytest.raises(ProofError, match="expected a party's"):
        run("sign", file, "--key", tmp_path / "stranger.key")
    run("sign", file, code=2)
    run("schema", "lease", code=2)
    assert json.loads(run("schema", "ecosystem"))["$defs"]["Ecosystem"]


def test_a_party_is_named_by_its_key_which_is_made_once(box: Box, tmp_path: Path) -> None:
    box.open()

    first, again = (run("party", "runner", "--home", box.path) for _ in range(2))
    brand = run("party", "--key", tmp_path / "brand.key")

    assert first == again
    assert first.strip() == Home(box.path).key("party-runner").public.did
    assert brand.startswith("did:key:z6Mk")
    run("party", "../runner", "--home", box.path, code=2)
    run("party", code=2)


def test_the_agreements_of_a_home_are_listed_with_what_they_govern(box: Box) -> None:
    stores = box.open()
    nothing = run("list", "--home", box.path)
    deed = licence_for(box, stores.subjects["runner"], expires_s=1 << 40)

    text = run("list", "--home", box.path)
    (plain,) = json.loads(run("list", "--home", box.path, "--json"))

    assert nothing == "there are no agreements in this home\n"
    assert f"{deed.digest.hex()[:16]}  data-licence  in force until" in text
    assert "cadence, heart_rate of runner, paid by brand" in text
    assert (plain["agreement"], plain["governs"]) == (deed.digest.hex(), True)


def licence_for(box: Box, urn: str, **changes: object) -> Deed:
    """Signed by all its parties, in the folder of the home."""
    agreement = contracts.licence(subject=urn, **changes)
    deed = Deed(agreement).joined(
        contracts.act(key, agreement, at_s=NOW_S).signed for key in contracts.KEYS.values()
    )
    path = agreed.path_of(Home(box.path), deed.digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(deed.encode())
    return deed


def test_every_batch_names_the_agreement_that_governs_it(box: Box) -> None:
    stores = box.open()
    urn = stores.subjects["runner"]
    licence_for(box, urn, purpose="an older one", begins_s=NOW_S - 60)
    deed = licence_for(box, urn, begins_s=NOW_S + 60, expires_s=NOW_S + 600)
    stores.shelf.open(NOW_S)
    uplink = box.uplink(stores, governing=stores.shelf.governs)

    named = []
    for second in (120, 200, 1_000):
        box.second = second
        for subject in ("runner", "car"):
            box.hear(stores, subject=subject)
            (proved,) = uplink.step(box.now(stores), drain=True)
            said = batches.decode(statements.verify(stores.log.statement(proved.log_index)).payload)
            named.append(said.agreement)

    assert named[1::2] == [None, None, None]
    assert deed.digest in named[::2]
    assert len({*named[::2]}) == 2
    kinds = [statements.verify(each.statement).kind for each in stores.log.entries()]
    assert kinds.count(consents.KIND) == 6
    stores.shelf.open(NOW_S)  # a second start adds nothing
    assert stores.log.head.size == len(kinds)


def test_an_agreement_for_another_ledger_is_held_and_neither_logged_nor_governs(box: Box) -> None:
    stores = box.open()
    urn = stores.subjects["runner"]
    deed = licence_for(box, urn, ledger="another/log")

    stores.shelf.open(NOW_S)

    assert [each.digest for each in stores.shelf.holdings()] == [deed.digest]
    assert stores.log.head.size == 1
    assert stores.shelf.governs(urn, NOW_S + 1) is None


def test_an_agreement_under_another_name_stops_the_start(box: Box) -> None:
    stores = box.open()
    path = agreed.path_of(stores.home, licence_for(box, stores.subjects["runner"]).digest)
    path.rename(path.with_name(f"{'0' * 64}.cbor"))

    with pytest.raises(ProofError, match="holds another agreement"):
        stores.shelf.open(NOW_S)


def test_what_changes_in_the_folder_holds_from_the_next_look_on(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    stores = box.open()
    urn, shelf = stores.subjects["runner"], stores.shelf
    shelf.open(NOW_S)
    seen = [(shelf.look(NOW_S), shelf.governs(urn, NOW_S))]

    deed = licence_for(box, urn)
    path = agreed.path_of(stores.home, deed.digest)
    seen += [(shelf.look(NOW_S), shelf.governs(urn, NOW_S)) for _ in range(2)]
    ended = deed.joined([contracts.act(contracts.WEARER, deed.agreement, Act.WITHDRAW).signed])
    path.write_bytes(ended.encode())
    seen.append((shelf.look(NOW_S), shelf.governs(urn, NOW_S)))
    path.write_bytes(b"torn")
    seen += [(shelf.look(NOW_S), shelf.governs(urn, NOW_S)) for _ in range(2)]
    path.unlink()
    seen.append((shelf.look(NOW_S), shelf.governs(urn, NOW_S)))

    changed, held = (True, deed.digest), (False, deed.digest)
    assert seen == [
        (False, None), changed, held, (True, None), (True, None), (False, None), (True, None)
    ]  # fmt: skip
    assert shelf.holdings() == []
    assert caplog.text.count("no deed is taken from it") == 1
    acts = [statements.verify(each.statement) for each in stores.log.entries()]
    assert [each.kind for each in acts].count(consents.KIND) == len(ended.acts)


def test_erasing_a_subject_takes_its_agreements(box: Box) -> None:
    stores = box.open()
    deed = licence_for(box, stores.subjects["runner"])
    other = licence_for(box, stores.subjects["car"])
    box.close()
    offer = agreed.path_of(Home(box.path), deed.digest).with_suffix(".offer")
    offer.write_bytes(b"what it came from")

    erased = erase_subject(box.path, "runner", NOW_S)

    assert f"agreements/{deed.digest.hex()}.cbor" in erased.files
    assert not offer.exists()
    assert [each.digest for each in agreed.kept(Home(box.path))] == [other.digest]


def test_another_owners_certificate_voids_what_was_agreed(box: Box) -> None:
    stores = box.open()
    first, second = SigningKey.generate(), SigningKey.generate()
    deed = licence_for(box, stores.subjects["runner"])
    governs = []
    for at_s, owner in ((NOW_S - 600, first), (NOW_S + 600, first), (NOW_S + 1_200, second)):
        request = keyring_request(stores.signer, at_s)
        certificates = grant(owner, request, Terms(days=900), at_s)
        at = keyring.moment(stores.log, at_s, clock_set=True)
        keyring.accept(stores.home, stores.log, certificates, at, new_owner=True)
        keyring.publish(stores.home, stores.log, at_s)
        stores.shelf.look(NOW_S)
        governs.append(stores.shelf.governs(stores.subjects["runner"], NOW_S + 1_800))

    assert governs == [deed.digest, deed.digest, None]
    assert agreed.owner_changes_s(LogReader(stores.connection)) == [NOW_S + 1_200]
    assert (
        consents.standing(deed.agreement, deed.acts, NOW_S + 1_800, [NOW_S + 1_200]).state
        is consents.State.VOID
    )
    assert Act.SIGN in {consents.parse_act(act)[1] for act in deed.acts}
    assert agreements.digest(deed.agreement) == deed.digest


def keyring_request(key: SigningKey, at_s: int) -> Request:
    return enrolment.asked(
        statements.verify(enrolment.ask(key, "gateway", ("log", "pay", "stream"), Limits(1), at_s))
    )
