"""What may be granted to an app, in which words, and what comes of it on disk."""

import json
import os
from dataclasses import replace

import msgspec
import pytest
from box import Box

from agent import apps, granting, topics
from agent.broker import BrokerError
from agent.granting import Wanted
from agent.home import Home, HomeError
from ledger_client import certificates, trust
from ledger_client.certificates import Grant, Limits
from ledger_client.errors import SignatureError
from ledger_client.keys import SigningKey

OWNER = SigningKey(b"o" * 32)
NOW_S = 1_767_225_700
ASKED = Wanted("tyres", ("tyre_pressure", "c/+/receipt"), 1_500_000, 86_400, "EUR/6", 50, 30)
URL = "mqtts://broker.example:8883"


@pytest.fixture
def home(box: Box) -> Home:
    """A home that a gateway ran on, with a broker of its own."""
    stores = box.open()
    found = stores.home
    box.close()
    found.broker.mkdir(exist_ok=True)
    text = json.dumps({"mqtt": {"listen": "127.0.0.1:1884"}})
    (found.broker / "nats.json").write_text(text, encoding="ascii")
    return found


@pytest.mark.parametrize(
    ("text", "asset", "expected"),
    [
        ("1.50/day", "EUR/6", (1_500_000, 86_400)),
        ("20/week", "EUR/2", (2_000, 604_800)),
        ("0.000001/90s", "EUR/6", (1, 90)),
        ("3/12h", "USD/0", (3, 43_200)),
        ("3/7d", "EUR/6", (3_000_000, 604_800)),
        ("1/month", "EUR/6", (1_000_000, 2_592_000)),
        ("1e2/5m", "EUR/6", (100_000_000, 300)),
    ],
)
def test_a_budget_is_an_exact_amount_and_a_period(
    text: str, asset: str, expected: tuple[int, int]
) -> None:
    assert apps.budget(text, asset) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "1.50", "/day", "0/day", "-1/day", "0.0000001/day", "x/day", "1.5/", "1.5/fortnight"),
        *(
            "NaN/day",
            "Infinity/day",
            "1e99/day",
            "1e9999999999/day",
            "1" * 40 + "/day",
            "1/0d",
            "1/9999d",
            "1/1 d",
        ),
    ],
)
def test_what_is_no_budget_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(HomeError, match="such as"):
        apps.budget(text, "EUR/6")


def test_an_asset_that_is_none_is_refused() -> None:
    with pytest.raises(HomeError, match="shells"):
        apps.budget("1/day", "shells")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "1 to 32"),
        (["tyre_pressure"] * 33, "1 to 32"),
        (["tyre pressure"], "no quantity"),
        (["heart_rate"], "about a person"),
        (["c/+/tele/heart_rate"], "about a person"),
        (["c/+/tele/+"], "expected a topic"),
        (["c/#"], "expected a topic"),
        (["c/+/status/x"], "expected a topic"),
        (["in/+/pay/+/c/a/receipt"], "expected a topic"),
        (["c/a.b/receipt"], "expected a topic"),
        (["c/>/receipt"], "expected a topic"),
    ],
)
def test_nobody_is_granted_what_is_personal_or_no_topic_of_telemetry(
    words: list[str], complaint: str
) -> None:
    with pytest.raises(HomeError, match=complaint):
        apps.wanted(words)


def test_a_grant_is_a_certificate_rules_and_credentials_that_only_the_app_has(home: Home) -> None:
    told = granting.grant(home, ASKED, NOW_S)

    (granted,) = apps.kept(home)
    limits = granted.certificate.grant.limits
    own = told["id"]
    assert SigningKey(bytes.fromhex(told["seed"])).public == granted.key
    assert granted.certificate.grant.scope == ("read", "pay")
    assert (limits.minor_units_max, limits.period_s, limits.depth) == (1_500_000, 86_400, 0)
    assert granted.rules == topics.Rules(
        (f"milepost/v1/c/{own}/#", f"milepost/v1/in/+/+/{own}"),
        (
            f"milepost/v1/in/{own}/#",
            "milepost/v1/c/+/offer/#",
            "milepost/v1/c/+/tele/tyre_pressure",
            "milepost/v1/c/+/receipt",
        ),
    )
    assert (told["host"], told["port"], told["tls"]) == ("127.0.0.1", 1884, False)
    password = home.broker_users / own
    assert password.read_text().strip() == told["password"]
    assert password.stat().st_mode & 0o777 == 0o600
    assert told["seed"] not in apps.path_of(home, "tyres").read_text()
    assert granted.active(NOW_S)
    assert not granted.active(NOW_S + 30 * 86_400)
    assert not granting.on_log(home, granted), "no gateway has seen it"
    assert not granting.running(home)


def test_what_was_taken_back_is_over_and_the_name_is_free_again(home: Home) -> None:
    first = granting.grant(home, ASKED, NOW_S)
    with pytest.raises(HomeError, match="granted already"):
        granting.grant(home, ASKED, NOW_S)

    done = granting.revoke(home, "tyres", NOW_S + 5)

    assert not done.active(NOW_S)
    assert not (home.broker_users / first["id"]).exists()
    with pytest.raises(HomeError, match="taken back before"):
        granting.revoke(home, "tyres", NOW_S)
    assert granting.grant(home, ASKED, NOW_S)["id"] != first["id"]
    with pytest.raises(HomeError, match="expected the grant of an app"):
        granting.revoke(home, "other", NOW_S)


def test_on_another_broker_there_is_no_password_of_ours(home: Home) -> None:
    told = granting.grant(home, replace(ASKED, url=URL), NOW_S)

    assert (told["host"], told["port"], told["tls"]) == ("broker.example", 8883, True)
    assert told["password"] == ""
    assert not (home.broker_users / told["id"]).exists()


@pytest.mark.parametrize("broken", ["{}", "not json", '{"mqtt": {"listen": "0.0.0.0:x"}}', None])
def test_without_a_broker_of_its_own_another_has_to_be_named(
    home: Home, broken: str | None
) -> None:
    path = home.broker / "nats.json"
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken, encoding="ascii")

    with pytest.raises(HomeError, match="--broker"):
        granting.grant(home, ASKED, NOW_S)

    assert apps.kept(home) == []


def test_a_url_that_is_none_is_refused(home: Home) -> None:
    wanted = replace(ASKED, url="https://broker.example")

    with pytest.raises(BrokerError, match="expected mqtt"):
        granting.grant(home, wanted, NOW_S)


def owned(box: Box, limits: Limits, scope: tuple[str, ...]) -> Home:
    """As `home`, but its gateway has an owner, who granted it that much."""
    stores = box.open()
    grant = Grant(stores.signer.public, NOW_S - 700, NOW_S + 20 * 86_400, scope, limits)
    token = certificates.issue(OWNER, grant, os.urandom(16), NOW_S - 700)
    stores.log.append([(bytes(32), trust.certify(stores.signer, [token], NOW_S))], NOW_S)
    box.close()
    return stores.home


@pytest.mark.parametrize(
    ("limits", "scope"),
    [
        (Limits(0, 9_000_000, 86_400, "EUR/6"), ("pay", "read", "stream")),
        (Limits(1, 1_000_000, 86_400, "EUR/6"), ("pay", "read", "stream")),
        (Limits(1, 9_000_000, 604_800, "EUR/6"), ("pay", "read", "stream")),
        (Limits(1, 9_000_000, 86_400, "USD/6"), ("pay", "read", "stream")),
        (Limits(1, 9_000_000, 86_400, "EUR/6"), ("pay", "stream")),
    ],
    ids=["depth", "amount", "period", "asset", "scope"],
)
def test_no_app_gets_more_than_the_owner_gave_the_gateway(
    box: Box, limits: Limits, scope: tuple[str, ...]
) -> None:
    home = owned(box, limits, scope)

    with pytest.raises(HomeError, match="milepost keys request"):
        granting.grant(home, replace(ASKED, url=URL), NOW_S)

    assert apps.kept(home) == []


def test_an_app_of_an_owned_gateway_stands_under_the_owner_and_ends_with_him(box: Box) -> None:
    home = owned(box, Limits(1, 9_000_000, 86_400, "EUR/6"), ("pay", "read", "stream"))

    granting.grant(home, replace(ASKED, url=URL), NOW_S)

    (granted,) = apps.kept(home)
    chain = certificates.verify_chain(certificates.decode_tokens(granted.tokens))
    assert chain[0].issuer == OWNER.public
    assert chain[-1].grant.expires_s == chain[0].grant.expires_s


def test_a_file_that_says_more_than_its_certificate_or_another_name_is_refused(home: Home) -> None:
    granting.grant(home, ASKED, NOW_S)
    path = apps.path_of(home, "tyres")
    granted = apps.read(path)
    other = SigningKey(b"x" * 32).public.did

    for changed in (
        {"did": other},
        {"name": "rims"},
        {"quantities": ["temperature", "c/+/receipt"]},
        {"topics": ["milepost/v1/c/#"]},
        {"price_minor_units": 0},
        {"extra": 1},
    ):
        path.write_bytes(msgspec.json.encode(msgspec.to_builtins(granted) | changed))
        with pytest.raises(HomeError):
            apps.read(path)
    forged = bytearray(granted.tokens)
    forged[-1] ^= 1
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(granted, tokens=bytes(forged))))
    with pytest.raises(SignatureError):
        apps.read(path)


def test_there_are_so_many_apps_and_the_oldest_that_is_over_makes_room(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "APPS_MAX", 2)
    for name in ("one", "two"):
        granting.grant(home, replace(ASKED, name=name), NOW_S)
    with pytest.raises(HomeError, match="the most that there can be"):
        granting.grant(home, replace(ASKED, name="three"), NOW_S)
    granting.revoke(home, "two", NOW_S)

    granting.grant(home, replace(ASKED, name="three"), NOW_S)

    assert [each.name for each in apps.kept(home)] == ["one", "three"]
