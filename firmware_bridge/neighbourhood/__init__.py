"""Virtual things with behaviour: what a demo, a test and a soak hear instead of hardware."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from firmware_bridge.neighbourhood import payloads
from firmware_bridge.neighbourhood.behaviour import TYRES, Car, Drift, Runner
from firmware_bridge.neighbourhood.ecu import Ecu
from firmware_bridge.neighbourhood.things import Acting, Peripheral, Uart, repeat
from firmware_bridge.radio import Clock
from firmware_bridge.radio.virtual.air import Air

STEP_S = 0.25
SIGNAL_DBM = (-82.0, -48.0)
COUNTER_EPOCH_MS = 1_577_836_800_000  # 2020: quarters of a second since then fit in 32 bits to 2054
TYRE_COMPANY = 0x0100


@dataclass(frozen=True, slots=True)
class Thing:
    """One virtual peripheral, as somebody would write it into a configuration.

    `subject` is `runner` or `car`; `key` is the 16-byte bind key of an encrypted broadcast.
    """

    alias: str
    kind: str
    address: str
    profile: str
    subject: str
    key: bytes | None = field(default=None, repr=False)
    pair: bool = False
    silence_max_s: float = 30.0


class Neighbourhood(Acting):
    """A runner and a car within reach of the gateway: `async with` it on an open `Air`.

    The same seed gives the same people, things and keys. `meter_j` is what the charger's meter
    shows at the start. The replay counters of the encrypted broadcasts come from the clock, so
    that they rise across restarts.
    """

    def __init__(self, air: Air, clock: Clock, *, seed: int = 1, meter_j: float = 0.0) -> None:
        super().__init__()
        self._air = air
        self._clock = clock
        dice = random.Random(seed)  # noqa: S311  # a simulation repeats by its seed
        self.runner = Runner(random.Random(dice.random()))  # noqa: S311  # same
        self.car = Car(random.Random(dice.random()), delivered_j=meter_j)  # noqa: S311  # same
        self._keys = {alias: dice.randbytes(16) for alias in ("battery-12v", "charger")}
        self._signals = {
            thing.address: (dice.uniform(*SIGNAL_DBM), Drift(dice, 6.0, 40.0))
            for thing in self.things
        }
        self._counters: dict[str, int] = {}
        self.wearer = self.runner
        """Who wears the heart strap."""
        self.said: dict[str, bytes] = {}
        """The newest bytes of each thing on the air, by alias; what anybody near can overhear."""

    @property
    def things(self) -> tuple[Thing, ...]:
        """Everything that can be heard, ready to be configured."""
        return (
            Thing("shoe-left", "shoe", "F0:00:00:00:01:01", "running", "runner"),
            Thing("shoe-right", "shoe", "F0:00:00:00:01:02", "running", "runner"),
            Thing("heart-strap", "heart strap", "F0:00:00:00:01:03", "heart-rate", "runner"),
            Thing("glucose", "glucose sensor", "F0:00:00:00:01:04", "cgm", "runner", pair=True),
            *(
                Thing(f"tyre-{corner}", "tyre sensor", address, "tyre", "car")
                for corner, address in TYRES.items()
            ),
            Thing("obd", "OBD adapter", "F0:00:00:00:02:05", "obd", "car"),
            self._bthome("battery-12v", "12 V battery", "F0:00:00:00:02:06"),
            self._bthome("charger", "charger", "F0:00:00:00:02:07"),
        )

    def _bthome(self, alias: str, kind: str, address: str) -> Thing:
        return Thing(alias, kind, address, "bthome", "car", key=self._keys[alias])

    async def __aenter__(self) -> Self:
        self._at = {thing.alias: thing.address for thing in self.things}
        await super().__aenter__()
        self._start(STEP_S, self._live)
        await self._shoe("shoe-left", left=True)
        await self._shoe("shoe-right", left=False)
        await self._strap()
        await self._glucose()
        await self._obd()
        for corner in range(len(TYRES)):
            self._start(2.0, self._tyre(corner))
        self._start(2.0, self._battery)
        self._start(1.0, self._charger)
        return self

    def _start(self, period_s: float, act: Callable[[], Awaitable[None]]) -> None:
        self._act(repeat(period_s, act))

    async def _live(self) -> None:
        self.runner.advance(STEP_S)
        if self.wearer is not self.runner:
            self.wearer.advance(STEP_S)
        self.car.advance(STEP_S)
        now_s = self._clock().boottime_ms / 1000
        for address, (middle, drift) in self._signals.items():
            self._air.rssi_dbm[address] = round(middle + drift.at(now_s))

    async def _shoe(self, alias: str, *, left: bool) -> None:
        shoe = Peripheral(self._air, alias, self._at[alias], service=0x1814, stream=0x2A53)
        await shoe.switch_on(lambda: 91 if left else 88)

        async def stride() -> None:
            runner = self.runner
            strides = runner.strides_per_min(left=left)
            await shoe.say(payloads.running(runner.speed_m_s, strides, runner.distance_m))

        self._start(1.0, stride)

    async def _strap(self) -> None:
        self.strap = Peripheral(
            self._air, "heart-strap", self._at["heart-strap"], service=0x180D, stream=0x2A37
        )
        await self.strap.switch_on(lambda: 87)

        async def beat() -> None:
            wearer = self.wearer
            beats = wearer.beats_s(1.0)
            rate = wearer.heart_rate_per_min
            self.said["heart-strap"] = payloads.heart_rate(rate, wearer.energy_j, beats)
            await self.strap.say(self.said["heart-strap"])

        self._start(1.0, beat)

    async def _glucose(self) -> None:
        sensor = Peripheral(
            self._air,
            "glucose",
            self._at["glucose"],
            service=0x181F,
            stream=0x2AA7,
            encrypted=True,
        )
        await sensor.switch_on()

        async def measure() -> None:
            offset_min = int(self.runner.time_s // 60)
            await sensor.say(payloads.glucose(self.runner.glucose_mg_dl, offset_min))

        self._start(5.0, measure)

    async def _obd(self) -> None:
        adapter = Uart(self._air, "OBDII", self._at["obd"], Ecu(self.car).answer)
        await adapter.switch_on()
        self._act(adapter.serve())

    def _tyre(self, corner: int) -> Callable[[], Awaitable[None]]:
        address = list(TYRES.values())[corner]
        identity = tyre_identity(corner)

        async def advertise() -> None:
            tyre = self.car.tyres[corner]
            payload = payloads.tyre(identity, tyre.pressure_pa, tyre.temperature_cel, 78 - corner)
            company = TYRE_COMPANY.to_bytes(2, "little")
            data = payloads.advertising(f"TPMS{corner + 1}", manufacturer=company + payload)
            self._air.broadcast(address, data)

        return advertise

    async def _battery(self) -> None:
        car = self.car
        percent = round(car.battery_share * 100)
        self._seal("battery-12v", payloads.battery_objects(percent, car.battery_v, car.battery_a))

    async def _charger(self) -> None:
        car = self.car
        self._seal("charger", payloads.charger_objects(car.delivered_j, car.charge_w, car.CHARGE_V))

    def _seal(self, alias: str, objects: bytes) -> None:
        quarters = (self._clock().wall_ms - COUNTER_EPOCH_MS) // 250
        counter = max(self._counters.get(alias, 0) + 1, quarters)
        self._counters[alias] = counter
        address = self._at[alias]
        sealed = payloads.bthome(objects, address, self._keys[alias], counter)
        uuid = payloads.BTHOME_UUID.to_bytes(2, "little")
        self.said[alias] = payloads.advertising("", service_data=uuid + sealed)
        self._air.broadcast(address, self.said[alias])


def tyre_identity(corner: int) -> bytes:
    """The six bytes by which the sensor of a corner, 0 to 3, names itself in every advert."""
    return bytes([0x80 + corner]) + bytes.fromhex("eaca") + bytes([0x10, corner, 0x55])
