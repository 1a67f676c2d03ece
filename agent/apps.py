"""What a third party's program may do here: a grant as one small file of the home, and its words.

`apps/NAME.json` says whose key it is, what it reads and buys, at which price, and what it pays at
most; the certificate in it says the same signed. With a `revocation` it may do nothing any more.
The program's own key and password are in its credentials, never here.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from agent import topics
from agent.home import Home, HomeError
from agent.topics import ROOT, Rules
from firmware_bridge.readings import QUANTITIES
from ledger_client import certificates
from ledger_client.certificates import Certificate
from ledger_client.channels import MONEY_MAX, exponent
from ledger_client.errors import EncodingError
from ledger_client.keys import PublicKey

FOLDER = "apps"
APPS_MAX = 64
READ_MAX = 32
FILE_BYTES_MAX = 1 << 18
PRICE_MAX = 100_000
"""Greatest price of a reading in minor units: one has to fit into the credit of an app."""
SCOPE = ("read", "pay")
PERIODS_S = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000}
PERIOD_S_MAX = 366 * 86_400

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

Name = Annotated[str, Meta(pattern=rf"^{NAME.pattern}$")]
Filter = Annotated[str, Meta(max_length=256)]


class Granted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One grant. `quantities` are for sale and told, `topics` told only; `tokens` certify it."""

    name: Name
    did: str
    quantities: Annotated[tuple[str, ...], Meta(max_length=READ_MAX)]
    topics: Annotated[tuple[Filter, ...], Meta(max_length=READ_MAX)]
    price_minor_units: Annotated[int, Meta(ge=1, le=PRICE_MAX)]
    granted_s: int
    tokens: bytes
    revocation: bytes = b""

    @property
    def key(self) -> PublicKey:
        """Its public key; raises RemoteError if that is none."""
        return PublicKey.from_did(self.did)

    @property
    def certificate(self) -> Certificate:
        """What it was certified for; raises RemoteError if that does not hold."""
        return certificates.verify_chain(certificates.decode_tokens(self.tokens))[-1]

    @property
    def rules(self) -> Rules:
        """What the broker lets it do: the four rules of a component, and what it was granted."""
        own = topics.component_rules(self.key.short_id)
        told = [f"{ROOT}/c/+/tele/{quantity}" for quantity in self.quantities]
        return Rules(own.publish, tuple(dict.fromkeys((*own.subscribe, *told, *self.topics))))

    def active(self, now_s: int) -> bool:
        """Whether it holds at this Unix time."""
        return not self.revocation and self.certificate.current(now_s)


def path_of(home: Home, name: str) -> Path:
    """Where the grant of that name lies, or would."""
    return home.path / FOLDER / f"{name}.json"


def read(path: Path) -> Granted:
    """The grant in a file, checked.

    Raises:
        HomeError: it cannot be read, or it is none.
        RemoteError: its certificate does not hold.
    """
    try:
        with path.open("rb") as file:
            granted = msgspec.json.decode(file.read(FILE_BYTES_MAX), type=Granted)
    except OSError as error:
        raise HomeError(f"{path}: expected the grant of an app: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HomeError(f"{path}: expected the grant of an app: {error}") from error
    quantities, filters = wanted([*granted.quantities, *granted.topics])
    certified = granted.certificate.holder == granted.key and granted.name == path.stem
    if not certified or (quantities, filters) != (granted.quantities, granted.topics):
        raise HomeError(f"{path}: the grant is not what its name, key and certificate say")
    return granted


def kept(home: Home) -> list[Granted]:
    """Every grant of the home, by name; raises as `read`."""
    paths = sorted((home.path / FOLDER).glob("*.json"))
    return [read(path) for path in paths[:APPS_MAX]]


def wanted(words: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The quantities and the topics (below c/) that somebody asks to read.

    Raises:
        HomeError: neither, or personal.
    """
    quantities: list[str] = []
    filters: list[str] = []
    for word in words:
        found = _topic(word) if "/" in word else None
        if found is not None:
            filters.append(found)
        else:
            quantities.append(_quantity(word))
    if not 1 <= len(quantities) + len(filters) <= READ_MAX:
        raise HomeError(f"expected 1 to {READ_MAX} quantities or topics to read")
    return tuple(dict.fromkeys(quantities)), tuple(dict.fromkeys(filters))


def _quantity(word: str) -> str:
    known = QUANTITIES.get(word)
    if known is None:
        raise HomeError(f"{word!r} is no quantity (such as tyre_pressure) and no topic")
    if known.personal:
        raise HomeError(
            f"{word} is about a person: an app gets it by an agreement only; see docs/agreements.md"
        )
    return word


def _topic(word: str) -> str:
    """A tele or receipt topic; the speaker may be +."""
    match = re.fullmatch(
        rf"(?:{ROOT}/)?c/(\+|[A-Za-z0-9_-]{{1,64}})/(receipt|tele/([a-z0-9_]{{1,64}}))", word
    )
    if match is None:
        raise HomeError(f"{word!r}: expected a topic c/ID/tele/QUANTITY or c/ID/receipt")
    if match[3]:
        _quantity(match[3])
    return f"{ROOT}/c/{match[1]}/{match[2]}"


def budget(text: str, asset: str) -> tuple[int, int]:
    """Minor units and seconds in AMOUNT/PERIOD such as 1.50/day, 20/week or 0.5/7d.

    Raises:
        HomeError: it is no such text.
    """
    amount, _, period = text.partition("/")
    return _minor_units(text, amount, asset), _seconds(text, period)


def _minor_units(text: str, amount: str, asset: str) -> int:
    try:
        decimals = exponent(asset)
        units = Decimal(amount).scaleb(decimals) if len(amount) < 32 else Decimal(-1)  # noqa: PLR2004  # longer than any amount
        whole = int(units)
    except (EncodingError, ArithmeticError, ValueError):
        whole, units = 0, Decimal(-1)
    if whole != units or not 0 < whole <= MONEY_MAX:
        raise HomeError(
            f"{text!r}: expected AMOUNT/PERIOD such as 1.50/day, the amount in"
            f" {asset.partition('/')[0]} with no more decimals than {asset} has"
        )
    return whole


def _seconds(text: str, period: str) -> int:
    match = re.fullmatch(r"(\d{1,9})([smhd])", period)
    unit_s = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
    length_s = int(match[1]) * unit_s[match[2]] if match else PERIODS_S.get(period, 0)
    if not 1 <= length_s <= PERIOD_S_MAX:
        names = ", ".join(PERIODS_S)
        raise HomeError(f"{text!r}: expected a period such as {names}, 90s, 12h or 7d")
    return length_s
