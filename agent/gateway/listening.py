"""From the configuration to a radio and the components on it.

Each engine is imported in its own case, so one that is not chosen costs nothing. The virtual radio
is never a fallback: where no adapter answers, `auto` says what mends it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from agent import gateway
from agent.config import Config, ConfigError
from agent.home import Home
from agent.pipeline import Component
from agent.running import Ears
from firmware_bridge.errors import RadioUnavailableError
from firmware_bridge.packets import Advert
from firmware_bridge.radio import Device, Health, LinkView, Radio, Sink

if TYPE_CHECKING:
    from firmware_bridge.neighbourhood import Neighbourhood

STREET_SEED = 1


@dataclass(frozen=True, slots=True)
class Scene:
    """What is listened to; on the virtual radio also the things themselves, to trade with."""

    ears: Ears
    hood: "Neighbourhood | None" = None


@asynccontextmanager
async def listening(config: Config) -> AsyncIterator[Scene]:
    """The radio of the configuration, not running yet.

    Raises:
        RadioUnavailableError: no adapter answers; the message ends in the command that mends it.
        ConfigError: a component or a file that the configuration names is not so.
    """
    match config.radio.kind:
        case "auto" | "bluez":
            components = gateway.read_components(config)
            yield Scene(Ears(await _bluez(config, components), components))
        case "replay":
            yield Scene(Ears(_replay(config), gateway.read_components(config)))
        case "none":
            _expect_no_components(config, "which hears nothing")
            yield Scene(Ears(NoRadio(), ()))
        case "virtual":
            _expect_no_components(config, "which brings its own")
            from agent.demo.street import UNIT_J, street, units_sold  # noqa: PLC0415  # heavy: bumble

            meter_j = units_sold(Home(Path(config.gateway.home))) * UNIT_J
            connections_max = config.radio.connections_max
            async with street(gateway.clock, STREET_SEED, connections_max, meter_j) as scene:
                yield Scene(scene.ears, scene.neighbourhood)


def _expect_no_components(config: Config, why: str) -> None:
    if config.components:
        raise ConfigError(
            f'components: expected none with radio.kind = "{config.radio.kind}", {why},'
            f" got {len(config.components)}"
        )


class NoRadio:
    """Where there is nothing to be heard: a box that keeps a log for others."""

    kind = "none"
    health = Health(0, 0)

    async def run(self, sink: Sink) -> None:
        """Hear nothing until cancelled."""
        del sink
        await asyncio.Event().wait()

    def links(self) -> tuple[LinkView, ...]:
        """No links."""
        return ()

    async def scan(self, seconds: float) -> list[Advert]:
        """Nobody is there."""
        del seconds
        return []


async def _bluez(config: Config, components: Sequence[Component]) -> Radio:
    from firmware_bridge.radio.adapter import what_is_missing  # noqa: PLC0415  # heavy: dbus_fast
    from firmware_bridge.radio.bluez import BluezBackend  # noqa: PLC0415  # heavy: bleak
    from firmware_bridge.radio.listener import Limits, Listener  # noqa: PLC0415  # heavy: bleak

    settings = config.radio
    if missing := await what_is_missing(settings.adapter):
        raise RadioUnavailableError(missing)
    return Listener(
        BluezBackend(settings.adapter, {each.address for each in components if each.pair}),
        [
            Device(each.address, each.profile, each.pair, each.silence_max_ms / 1000)
            for each in components
        ],
        gateway.clock,
        Random().random,  # noqa: S311  # jitter, not a secret
        Limits(settings.connections_max, scanner_silence_max_s=settings.scanner_silence_max_s),
    )


def _replay(config: Config) -> Radio:
    from firmware_bridge.radio.replay import Replay  # noqa: PLC0415  # only where it is chosen

    file = config.radio.replay_file
    if not Path(file).is_file():
        raise ConfigError(
            'radio.replay_file: expected the file of a recording with radio.kind = "replay",'
            f" got {file!r}, which is none; paths start where milepost was started"
        )
    return Replay(
        Path(file),
        gateway.clock,
        as_fast_as_possible=config.radio.replay_as_fast_as_possible,
    )
