"""The topic tree of FORMATS.md section 8: one function a topic, and who may use which.

What a thing says is under `c/{itself}`; what is said to it is under `in/{it}/{kind}/{speaker}`. So
four rules per user make forgery impossible on any broker that has rules for each user:
write c/self/#, write in/+/+/self, read in/self/#, read c/+/offer/#.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

ROOT = "milepost/v1"
LEVEL_CHARACTERS_MAX = 64
INBOX_KINDS = frozenset({"pay", "cmd", "res"})
# A NATS server keeps a persistent MQTT session's QoS 1 messages under these; it lets nobody
# subscribe to them by hand, but asks for the permission.
NATS_SESSION = "$MQTT.sub.>"

_LEVEL = re.compile(rf"[A-Za-z0-9_-]{{1,{LEVEL_CHARACTERS_MAX}}}")


def level(name: str) -> str:
    """Return `name` if it can be one level of a topic on every broker; ValueError otherwise."""
    if not _LEVEL.fullmatch(name):
        raise ValueError(
            f"a topic level is 1 to {LEVEL_CHARACTERS_MAX} of A-Z a-z 0-9 _ -, not {name[:80]!r}"
        )
    return name


def status(component: str) -> str:
    """State, boot, version and clock in JSON, retained; the last will says offline."""
    return f"{ROOT}/c/{level(component)}/status"


def tele(component: str, quantity: str) -> str:
    """SenML packs of one quantity, from the journal; never retained."""
    return f"{ROOT}/c/{level(component)}/tele/{level(quantity)}"


def receipt(component: str) -> str:
    """What the log said of a batch, in JSON."""
    return f"{ROOT}/c/{level(component)}/receipt"


def offer(component: str, name: str) -> str:
    """An offer in JSON, retained until it lapses."""
    return f"{ROOT}/c/{level(component)}/offer/{level(name)}"


def offers_of_all() -> str:
    """Return the filter of every offer: what everybody may read."""
    return f"{ROOT}/c/+/offer/#"


def alert(component: str, code: str) -> str:
    """An alert in JSON, retained until it is cleared with an empty payload."""
    return f"{ROOT}/c/{level(component)}/alert/{level(code)}"


def checkpoint(gateway: str) -> str:
    """The newest C2SP note as text, retained."""
    return f"{ROOT}/c/{level(gateway)}/checkpoint"


def checkpoint_of_all() -> str:
    """Return the filter of every checkpoint: what a witness compares with what it cosigned."""
    return f"{ROOT}/c/+/checkpoint"


def pay(to: str, speaker: str) -> str:
    """Tally messages in CBOR; vouchers are retained."""
    return f"{ROOT}/in/{level(to)}/pay/{level(speaker)}"


def command(to: str, speaker: str) -> str:
    """A command in JSON; drop a retained one."""
    return f"{ROOT}/in/{level(to)}/cmd/{level(speaker)}"


def result(to: str, speaker: str) -> str:
    """What became of a command, in JSON."""
    return f"{ROOT}/in/{level(to)}/res/{level(speaker)}"


def discovery(component: str) -> str:
    """Home Assistant's description of a device, retained."""
    return f"homeassistant/device/{level(component)}/config"


def said_by_all() -> str:
    """Return the filter of everything that anybody says: what a dashboard reads."""
    return f"{ROOT}/c/#"


def said_to(component: str, kind: str = "+") -> str:
    """Return the filter of what is said to a component: one kind, or each of them."""
    if kind != "+" and kind not in INBOX_KINDS:
        raise ValueError(f"an inbox holds one of {', '.join(sorted(INBOX_KINDS))}, not {kind!r}")
    return f"{ROOT}/in/{level(component)}/{kind}/+"


class Inbox(NamedTuple):
    """A topic under `in/`, taken apart. A broker that keeps the rules vouches for `speaker`."""

    to: str
    kind: str
    speaker: str


def parse_inbox(topic: str) -> Inbox:
    """Take a topic under `in/` apart; ValueError if it is not exactly one of ours."""
    levels = topic.split("/")
    if levels[:-3] != [*ROOT.split("/"), "in"]:
        raise ValueError(f"expected {ROOT}/in/TO/KIND/FROM, got {topic[:160]!r}")
    to, kind, speaker = levels[-3:]
    if kind not in INBOX_KINDS:
        raise ValueError(f"an inbox holds one of {', '.join(sorted(INBOX_KINDS))}, not {kind!r}")
    return Inbox(level(to), kind, level(speaker))


class Rules(NamedTuple):
    """The MQTT filters that a user may publish to and subscribe to; nothing else is allowed."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


DASHBOARD = Rules(publish=(), subscribe=(said_by_all(), "homeassistant/#"))


def component_rules(component: str) -> Rules:
    """Return the four rules of a component that speaks for itself."""
    name = level(component)
    return Rules(
        publish=(f"{ROOT}/c/{name}/#", f"{ROOT}/in/+/+/{name}"),
        subscribe=(f"{ROOT}/in/{name}/#", offers_of_all()),
    )


def witness_rules(witness: str) -> Rules:
    """Return the rules of a witness: a component's, and every checkpoint that is shown to all."""
    rules = component_rules(witness)
    return Rules(rules.publish, (*rules.subscribe, checkpoint_of_all()))


def gateway_rules(gateway: str, components: Iterable[str]) -> Rules:
    """Return the rules of a gateway that relays for components that cannot speak MQTT.

    The four rules once for itself and once for each component, and their Home Assistant pages.
    """
    names = list(dict.fromkeys((gateway, *components)))
    each = [component_rules(name) for name in names]
    publish = [topic for rules in each for topic in rules.publish]
    subscribe = [topic for rules in each for topic in rules.subscribe]
    return Rules(
        publish=(*publish, *(discovery(name) for name in names)),
        subscribe=tuple(dict.fromkeys(subscribe)),
    )


def nats_subjects(filters: Iterable[str]) -> tuple[str, ...]:
    """Translate MQTT filters to NATS subjects; `x/#` includes `x`, which is a subject of its own.

    Source: https://docs.nats.io/running-a-nats-service/configuration/mqtt
    """
    subjects: list[str] = []
    for text in filters:
        subject = text.replace("/", ".").replace("+", "*")
        if subject.endswith(".#"):
            subjects.append(subject[:-2])
            subject = subject[:-1] + ">"
        subjects.append(subject)
    return tuple(subjects)


def mosquitto_acl(
    gateways: Mapping[str, Iterable[str]],
    dashboards: Iterable[str] = (),
    witnesses: Iterable[str] = (),
) -> str:
    """Write Mosquitto's access file: the four rules as patterns, then who relays and who watches.

    `gateways` maps a gateway to the components that it relays for. Patterns apply to every user,
    so a dashboard is denied the two trees in which they would let it write.
    """
    lines = [
        f"pattern write {ROOT}/c/%u/#",
        f"pattern write {ROOT}/in/+/+/%u",
        f"pattern read {ROOT}/in/%u/#",
        f"pattern read {offers_of_all()}",
    ]
    for gateway, components in gateways.items():
        rules = gateway_rules(gateway, components)
        lines += ["", f"user {level(gateway)}"]
        lines += [f"topic write {topic}" for topic in rules.publish]
        lines += [f"topic read {topic}" for topic in rules.subscribe]
    for dashboard in dashboards:
        lines += ["", f"user {level(dashboard)}"]
        lines += [f"topic deny {ROOT}/c/{dashboard}/#", f"topic deny {ROOT}/in/#"]
        lines += [f"topic read {topic}" for topic in DASHBOARD.subscribe]
    for witness in witnesses:
        lines += ["", f"user {level(witness)}", f"topic read {checkpoint_of_all()}"]
    return "\n".join(lines) + "\n"
