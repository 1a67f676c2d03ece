"""The whole configuration as typed structs, read from one TOML file. See configs/ for examples.

Every limit of the running gateway is here, named `_max`, with its unit before that.
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import msgspec.inspect
from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400 * 30)]
Bytes = Annotated[int, Meta(ge=1 << 16, le=1 << 44)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Money = Annotated[int, Meta(ge=0, le=1 << 62)]
Price = Annotated[int, Meta(ge=1, le=1 << 62)]
Did = Annotated[str, Meta(pattern=r"^did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}$")]
Alias = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Address = Annotated[str, Meta(pattern=r"^([0-9A-F]{2}:){5}[0-9A-F]{2}$")]


class ConfigError(Exception):
    """The configuration names something that is not so: the key, what was expected, what came."""


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: a key that it does not know is an error."""


class Gateway(Strict, frozen=True):
    """Who this box is and where it keeps its keys, log and journal."""

    home: str
    alias: Alias = "gateway"
    demo: bool = False
    log_level: Literal["debug", "info", "warning"] = "info"


class Radio(Strict, frozen=True):
    """Which radio to listen with, and how much may wait behind it.

    `auto` takes BlueZ where an adapter answers and never the virtual radio. `none` hears nothing: a
    gateway that only keeps a log for others.
    """

    kind: Literal["auto", "bluez", "virtual", "replay", "none"] = "auto"
    adapter: str = "hci0"
    connections_max: Annotated[int, Meta(ge=1, le=64)] = 8
    packets_max: Count = 10_000
    scanner_silence_max_s: Seconds = 90.0
    replay_file: str = ""
    replay_as_fast_as_possible: bool = False


class Admission(Strict, frozen=True):
    """What a component may say: how often, and how long an equal advert is the same measurement."""

    readings_per_s_max: Count = 200
    repeat_s: Seconds = 10.0


class Journal(Strict, frozen=True):
    """The store between hearing and proof. A commit happens at whichever limit comes first."""

    commit_age_max_s: Annotated[float, Meta(gt=0, le=0.25)] = 0.25
    commit_readings_max: Annotated[int, Meta(ge=1, le=500)] = 500
    bytes_max: Bytes = 256 << 20


class Batch(Strict, frozen=True):
    """When one subject's readings become one statement."""

    readings_max: Annotated[int, Meta(ge=1, le=65_536)] = 4_096
    age_max_s: Seconds = 30.0
    batches_per_head_max: Annotated[int, Meta(ge=1, le=1_024)] = 64


class Broker(Strict, frozen=True):
    """`embedded` runs a broker on loopback; any other MQTT broker goes by its url."""

    url: Annotated[str, Meta(pattern=r"^(embedded|mqtts?://.+)$")] = "embedded"
    port: Port = 1883
    websocket_port: Port = 8083
    bytes_max: Bytes = 256 << 20
    in_flight_max: Annotated[int, Meta(ge=1, le=1_000)] = 32
    inbox_max: Count = 1_000
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    observers: tuple[Alias, ...] = ()
    personal_tele: bool = False


class LogService(Strict, frozen=True):
    """The log over HTTP: statements of `issuers` are taken, receipts and tiles given to anybody."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 8484
    issuers: tuple[Did, ...] = ()
    body_bytes_max: Annotated[int, Meta(ge=1_024, le=65_536)] = 65_536
    requests_per_s_max: Annotated[int, Meta(ge=1, le=10_000)] = 20
    connections_max: Annotated[int, Meta(ge=1, le=1_000)] = 32


class Cosigner(Strict, frozen=True):
    """A witness of our log: its verifier key, and "mqtt" or the prefix of its HTTP paths."""

    vkey: str
    url: Annotated[str, Meta(pattern=r"^(mqtt|https?://.+)$")] = "mqtt"


class Witness(Strict, frozen=True):
    """Whom `milepost witness` cosigns for, as `name`: verifier keys of logs; HTTP if `enabled`."""

    name: str = ""
    logs: tuple[str, ...] = ()
    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 8485
    requests_per_s_max: Annotated[int, Meta(ge=1, le=10_000)] = 20
    connections_max: Annotated[int, Meta(ge=1, le=1_000)] = 32
    watch: bool = True


class Ledger(Strict, frozen=True):
    """The log's name, the engine that settles, whether it serves HTTP, and who witnesses it."""

    name: str = "milepost.local/log"
    settlement: Literal["embedded"] = "embedded"
    asset: Annotated[str, Meta(pattern=r"^[A-Z]{3}/[0-9]$")] = "EUR/6"
    service: LogService = LogService()
    witnesses: tuple[Cosigner, ...] = ()


class Component(Strict, frozen=True):
    """A thing that is heard: its alias in records, its address on the air, its subject.

    After `silence_max_s` (the profile's own, if it is not set) it counts as silent.
    """

    alias: Alias
    kind: str
    address: Address
    profile: str
    subject: Alias
    pair: bool = False
    bind_key_file: str = ""
    silence_max_s: Seconds | None = None


class Trading(Strict, frozen=True):
    """What no agreement says about money; the amounts are minor units of the ledger's asset.

    `funded_minor_units` is the most that our ledger vouches for, for each payer under each
    agreement, and the most that we pay under one of ours. `window_minor_units` is sold on credit
    until a payer's promise comes, or two items if they cost more; `credit_growth_bps` of all that
    it ever paid is added, up to `credit_minor_units_max`. With `prepaid_minor_units` so much is to
    be paid ahead instead (or one item); `prepaid_minor_units_max` is what we pay ahead if asked.
    A channel keeps `reserve_minor_units` back. Below the two `_min` nothing is sold, bought or
    claimed.

    A key of ours that pays spends at most `spend_minor_units_max` in `spend_period_s`; its
    certificate says so. One payee gets at most `spend_payee_day_minor_units_max` a day of it.
    Of `readings_remembered_max` paid readings, 40 bytes each, it is known that they were paid.
    Beyond `messages_per_s_max` from one peer its messages are dropped; each is said again, at least
    every `retry_max_s`.
    """

    funded_minor_units: Money = 10_000_000
    window_minor_units: Price = 200_000
    credit_minor_units_max: Money = 5_000_000
    credit_growth_bps: Annotated[int, Meta(ge=0, le=10_000)] = 1_000
    prepaid_minor_units: Money = 0
    prepaid_minor_units_max: Money = 0
    reserve_minor_units: Money = 0
    item_minor_units_min: Price = 1
    claim_minor_units_min: Price = 1
    spend_minor_units_max: Price = 10_000_000
    spend_period_s: Annotated[int, Meta(ge=60, le=86_400 * 366)] = 86_400
    spend_payee_day_minor_units_max: Price | None = None
    readings_remembered_max: Annotated[int, Meta(ge=1_000, le=100_000_000)] = 1_000_000
    inbox_max: Count = 1_024
    in_flight_max: Annotated[int, Meta(ge=1, le=1_000)] = 32
    messages_per_s_max: Count = 2_000
    retry_max_s: Annotated[float, Meta(ge=2, le=3_600)] = 300.0


class StandingOrder(Strict, frozen=True):
    """Sell a subject's readings to whoever offers the best terms that this allows.

    `least_minor_units` must be left of each reading, or of each `period_s`, after all fees. What
    `never` names is refused as a quantity and as a word of the purpose. Empty `purposes` allow any;
    `provenance_max` is the strictest least provenance that a buyer may ask for. It looks back
    `days` to compare, and ends on the date `lapses`, UTC.
    """

    subject: Alias
    quantities: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
    least_minor_units: Price
    period_s: Annotated[int, Meta(ge=0, le=86_400 * 366)] = 0
    never: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    purposes: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    provenance_max: Annotated[int, Meta(ge=0, le=3)] = 3
    notice_s_max: Annotated[int, Meta(ge=0, le=86_400 * 366)] = 0
    lapses: str = ""
    days: Annotated[int, Meta(ge=1, le=366)] = 7
    acceptances_per_day_max: Annotated[int, Meta(ge=1, le=100)] = 4


class Config(Strict, frozen=True):
    """One file, one gateway."""

    gateway: Gateway
    radio: Radio = Radio()
    admission: Admission = Admission()
    journal: Journal = Journal()
    batch: Batch = Batch()
    broker: Broker = Broker()
    ledger: Ledger = Ledger()
    witness: Witness = Witness()
    components: tuple[Component, ...] = ()
    trading: Trading = Trading()
    standing_orders: tuple[StandingOrder, ...] = ()


def read(path: Path) -> Config:
    """The configuration in `path`; raises ConfigError naming the key and what came."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the configuration: {error.strerror}; name one with --config FILE"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text: {error}") from error
    try:
        return parse(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(tables: dict[str, Any]) -> Config:
    """Typed configuration from TOML tables; raises ConfigError with key, expectation and value."""
    try:
        config = msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), tables)) from error
    for name in ("alias", "address"):
        _refuse_twice("components", name, [getattr(each, name) for each in config.components])
    _refuse_twice("standing_orders", "subject", [each.subject for each in config.standing_orders])
    return config


def _refuse_twice(table: str, name: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(
                f"{table}.{name}: expected each {name} once, got {value!r} more than once"
            )


def _explain(message: str, tables: dict[str, Any]) -> str:
    """The library's sentence as key, expectation and value; of a secret or a table no value."""
    said, _, where = message.partition(" - at `$")
    key = where.rstrip("`").lstrip(".")
    path = [part for part in re.split(r"[.\[\]]+", key) if part]
    if named := re.fullmatch(r"Object (\w+) .* field `(.*)`", said):
        field = ".".join(filter(None, (key, named[2][:80])))
        if named[1] == "missing":
            return f"{field}: expected a value, got none"
        return f"{field}: expected one of {', '.join(_words(path))}, got an unknown key"
    expected = said.partition(", got ")[0]
    if said.startswith("Invalid enum value"):
        expected = f"expected one of {', '.join(_words(path))}"
    return f"{key or 'top level'}: {expected[0].lower()}{expected[1:]}, got {_came(path, tables)}"


def _words(path: Sequence[str]) -> list[str]:
    """What may stand at this place of the configuration: the keys of a table, or the choices."""
    place: Any = msgspec.inspect.type_info(Config)
    for part in path:
        if part.isdigit():
            place = place.item_type
        else:
            place = next(field.type for field in place.fields if field.encode_name == part)
    if isinstance(place, msgspec.inspect.LiteralType):
        return [str(word) for word in place.values]
    return [field.encode_name for field in place.fields]


def _came(path: Sequence[str], tables: dict[str, Any]) -> str:
    came: Any = tables
    for part in path:
        came = came[int(part)] if part.isdigit() else came[part]
    if path and any(word in path[-1] for word in ("key", "password")):
        return "***"
    match came:
        case dict():
            return "a table"
        case list():
            return "an array"
        case _:
            return repr(came)[:80]
