"""The composition root: configuration to parts. The only reader of the clock."""

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from agent import proving
from agent.admission import Admission, Limits
from agent.attendance import Attendance, Member, Roll
from agent.batching import BatchLimits
from agent.clock import ClockState, Steps, minute_s, quality, stamp
from agent.config import Config, ConfigError
from agent.gateway.agreeing import Rereading
from agent.gateway.apps import outsiders
from agent.gateway.certifying import Renewal, certify, paying
from agent.gateway.connection import Users, connector
from agent.gateway.evidence import cosigner, log_service, witness_rules
from agent.gateway.ordering import orders
from agent.pipeline import CommitLimits, Committer, Component, Intake, Pipeline
from agent.presence import Presence
from agent.registry import Registered
from agent.running import Ears, Running, Trade
from agent.status import Board
from agent.stores import Stores, Wanted, open_stores
from agent.uplink import Now
from firmware_bridge.profiles import by_name
from firmware_bridge.radio import Clock, Stamp

_log = logging.getLogger(__name__)


def clock() -> Stamp:
    """The two clocks, now: Unix and boot time in milliseconds."""
    return stamp(time.time_ns())


def read_components(config: Config) -> list[Component]:
    """What is to be heard; raises ConfigError for a profile or a key file that is not there."""
    components = []
    for number, each in enumerate(config.components):
        where = f"components[{number}]"
        try:
            profile = by_name(each.profile)
        except KeyError as error:
            raise ConfigError(f"{where}.profile: {error.args[0]}") from error
        components.append(
            Component(
                alias=each.alias,
                kind=each.kind,
                address=each.address,
                subject=each.subject,
                profile=profile,
                key=_bind_key(where, each.bind_key_file),
                silence_max_ms=int((each.silence_max_s or profile.silence_max_s) * 1000),
                pair=each.pair,
            )
        )
    return components


def _bind_key(where: str, file: str) -> bytes | None:
    if not file:
        return None
    try:
        mode = Path(file).stat().st_mode & 0o777
        if mode & 0o077:
            raise ConfigError(
                f"{where}.bind_key_file: expected {file} for its owner alone, got mode {mode:04o};"
                f" run: chmod 600 {file}"
            )
        key = bytes.fromhex(Path(file).read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{where}.bind_key_file: expected a readable file of 32 hex digits at {file}"
        ) from error
    if len(key) != 16:  # noqa: PLR2004  # AES-128
        raise ConfigError(
            f"{where}.bind_key_file: expected 32 hex digits in {file}, got {len(key)} bytes"
        )
    return key


def open_home(config: Config, components: Iterable[Component]) -> Stores:
    """The stores of this gateway, its keys certified; raises what `open_stores` raises."""
    now = clock()
    stores = open_stores(
        Wanted(
            home=Path(config.gateway.home),
            log_name=config.ledger.name,
            demo=config.gateway.demo,
            journal_bytes_max=config.journal.bytes_max,
            components=tuple(
                Registered(
                    each.alias, each.kind, each.address, each.profile.name, each.subject, id=""
                )
                for each in components
            ),
        ),
        now,
    )
    try:
        stores.shelf.open(minute_s(now.wall_ms))
        for warning in _certify(config, stores):
            _log.warning("%s", warning)
    except BaseException:
        stores.close()
        raise
    return stores


def _certify(config: Config, stores: Stores) -> list[str]:
    wall_ms = clock().wall_ms
    clock_set = quality(wall_ms / 1000).state is not ClockState.UNSET
    return certify(stores, paying(config, stores), wall_ms // 1000, clock_set=clock_set)


def compose(  # the parts of a gateway
    config: Config,
    stores: Stores,
    ears: Ears,
    board: Board,
    trade: Trade,
    clock: Clock = clock,
) -> Running:
    """Join the parts of one gateway; `clock` is what it goes by, the box's own by default."""
    radio = ears.radio
    heard = {each.address: each for each in ears.components}
    steps = Steps()
    limits = Limits(
        config.admission.readings_per_s_max, repeat_ms=int(config.admission.repeat_s * 1000)
    )
    intake = Intake(config.radio.packets_max)
    pipeline = Pipeline(heard, Admission(limits, stores.journal.counters()), board.heard)

    def now() -> Now:
        at = clock()
        return Now(at, quality(at.wall_ms / 1000), stores.boot, steps.seen(at))

    shelf = stores.shelf
    shelf.look(minute_s(clock().wall_ms))

    def stream(subject: str) -> str:
        return stores.streams.now(subject, shelf.governs, minute_s(clock().wall_ms))

    asking = cosigner(config, stores)
    outside = outsiders(config, stores, lambda: minute_s(clock().wall_ms))
    return Running(
        stores=stores,
        radio=radio,
        intake=intake,
        pipeline=pipeline,
        committer=Committer(
            intake,
            pipeline,
            stores.journal,
            CommitLimits(config.journal.commit_age_max_s, config.journal.commit_readings_max),
            stores.vault.seal_pack,
            stream,
        ),
        uplink=proving.uplink(
            stores,
            BatchLimits(config.batch.readings_max, int(config.batch.age_max_s * 1000)),
            config.batch.batches_per_head_max,
            shelf.governs,
        ),
        board=board,
        now=now,
        connect=connector(
            config,
            stores,
            _presence(config, stores),
            Users(
                lambda: (*trade.relayed, outside.seller),
                lambda: {**trade.guests, **witness_rules(config)},
                outside.apps.rules(),
            ),
        ),
        deals=(
            *trade.deals,
            *orders(config, stores, board, lambda: clock().wall_ms // 1000),
            outside.counting,
            outside.apps,
            _attendance(config, stores, ears, board),
            Rereading(stores, lambda: clock().wall_ms // 1000),
            Renewal(lambda: _certify(config, stores)),
            *log_service(config, stores, lambda: minute_s(clock().wall_ms), asking),
        ),
        guard=asking,
        publisher=lambda broker: proving.publisher(
            stores, broker, personal=config.broker.personal_tele
        ),
    )


def _presence(config: Config, stores: Stores) -> Presence:
    gateway = stores.signer.public.short_id
    state = quality(clock().wall_ms / 1000).state.name.lower()
    return Presence(gateway, config.gateway.alias, "gateway", gateway, stores.boot, clock=state)


def _attendance(config: Config, stores: Stores, ears: Ears, board: Board) -> Attendance:
    gateway = _presence(config, stores)
    members = [
        Member(
            replace(gateway, id=stores.components[each.alias].id, alias=each.alias, kind=each.kind),
            each.address,
            each.silence_max_ms,
        )
        for each in ears.components
    ]
    return Attendance(Roll(gateway.id, members), ears.radio, board, clock)
