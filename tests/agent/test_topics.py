"""The topic tree and its rules."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import topics

ACL = Path(__file__).parents[2] / "configs" / "mosquitto" / "acl"

names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


def test_every_topic_of_the_contract_is_spelt_as_in_the_contract() -> None:
    assert [
        topics.status("a"),
        topics.tele("a", "heart_rate"),
        topics.receipt("a"),
        topics.offer("a", "best"),
        topics.alert("a", "silent"),
        topics.checkpoint("g"),
        topics.pay("b", "a"),
        topics.command("b", "a"),
        topics.result("b", "a"),
        topics.discovery("a"),
        topics.said_by_all(),
        topics.said_to("a"),
        topics.said_to("a", "pay"),
    ] == [
        "milepost/v1/c/a/status",
        "milepost/v1/c/a/tele/heart_rate",
        "milepost/v1/c/a/receipt",
        "milepost/v1/c/a/offer/best",
        "milepost/v1/c/a/alert/silent",
        "milepost/v1/c/g/checkpoint",
        "milepost/v1/in/b/pay/a",
        "milepost/v1/in/b/cmd/a",
        "milepost/v1/in/b/res/a",
        "homeassistant/device/a/config",
        "milepost/v1/c/#",
        "milepost/v1/in/a/+/+",
        "milepost/v1/in/a/pay/+",
    ]


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a.b", "a b", "$SYS", "é", "a\n", "x" * 65])
def test_a_name_that_is_not_one_plain_level_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="topic level"):
        topics.status(name)


@given(to=names, kind=st.sampled_from(sorted(topics.INBOX_KINDS)), speaker=names)
def test_an_inbox_topic_comes_apart_as_it_was_put_together(
    to: str, kind: str, speaker: str
) -> None:
    make = {"pay": topics.pay, "cmd": topics.command, "res": topics.result}[kind]

    assert topics.parse_inbox(make(to, speaker)) == (to, kind, speaker)


@given(st.text(max_size=80) | st.from_regex(r"milepost/v1/in(/[a-z+.]{0,3}){0,5}", fullmatch=True))
def test_any_other_text_is_refused_or_prints_back_the_same(text: str) -> None:
    try:
        inbox = topics.parse_inbox(text)
    except ValueError:
        return

    assert text == f"{topics.ROOT}/in/{inbox.to}/{inbox.kind}/{inbox.speaker}"


@pytest.mark.parametrize(
    "topic",
    [
        "milepost/v1/c/a/pay/b",
        "milepost/v1/in/a/pay",
        "milepost/v1/in/a/pay/b/c",
        "/milepost/v1/in/a/pay/b",
        "milepost/v1/in/a/mail/b",
        "milepost/v1/in/a/pay/+",
        "",
    ],
)
def test_a_topic_that_is_no_inbox_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match=r"expected|holds one of|topic level"):
        topics.parse_inbox(topic)


def test_an_inbox_has_no_other_kinds() -> None:
    with pytest.raises(ValueError, match="cmd, pay, res"):
        topics.said_to("a", "mail")


def test_a_component_has_four_rules() -> None:
    assert topics.component_rules("a") == (
        ("milepost/v1/c/a/#", "milepost/v1/in/+/+/a"),
        ("milepost/v1/in/a/#", "milepost/v1/c/+/offer/#"),
    )


def test_a_gateway_has_the_rules_of_each_for_which_it_relays() -> None:
    rules = topics.gateway_rules("g", ["a", "g"])

    assert set(rules.publish) == {
        "milepost/v1/c/g/#",
        "milepost/v1/in/+/+/g",
        "milepost/v1/c/a/#",
        "milepost/v1/in/+/+/a",
        "homeassistant/device/g/config",
        "homeassistant/device/a/config",
    }
    assert len(rules.publish) == 6
    assert set(rules.subscribe) == {
        "milepost/v1/in/g/#",
        "milepost/v1/in/a/#",
        "milepost/v1/c/+/offer/#",
    }


def test_a_filter_of_everything_below_includes_the_topic_itself_on_nats() -> None:
    assert topics.nats_subjects(["milepost/v1/c/a/#", "milepost/v1/in/+/+/a"]) == (
        "milepost.v1.c.a",
        "milepost.v1.c.a.>",
        "milepost.v1.in.*.*.a",
    )


def test_the_access_file_for_mosquitto_is_the_one_that_the_rules_make() -> None:
    rules = [line for line in ACL.read_text().splitlines() if not line.startswith("#")]

    made = topics.mosquitto_acl({"gateway": ["component"]}, ["dashboard"], ["witness"])

    assert "\n".join(rules) + "\n" == made
