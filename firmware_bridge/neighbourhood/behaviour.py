"""How the runner and the car behave: values that hang together, from a seed.

A model is stepped with `advance`; peripherals read it at any time. Units are in the names.
"""

import math
import random
from dataclasses import dataclass, field
from itertools import product

ABSOLUTE_ZERO_CEL = -273.15
TYRES = {
    f"{row}-{side}": f"F0:00:00:00:02:0{n}"
    for n, (row, side) in enumerate(product(("front", "rear"), ("left", "right")), 1)
}


class Drift:
    """A slow wander around zero, at most about `amplitude`: three sines of unrelated periods."""

    def __init__(self, dice: random.Random, amplitude: float, period_s: float) -> None:
        self._waves = [
            (
                amplitude / (1.5 + n),
                math.tau * (1 + n * 0.618) / period_s,
                dice.uniform(0, math.tau),
            )
            for n in range(3)
        ]

    def at(self, time_s: float) -> float:
        """Where it is after `time_s` seconds."""
        return sum(size * math.sin(rate * time_s + phase) for size, rate, phase in self._waves)


class Runner:
    """A person on an endurance run: pace leads, strides, heart and glucose follow."""

    REST_HEART_RATE = 62.0
    HEART_LAG_S = 25.0

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._pace = Drift(dice, 0.7, 150)
        self._meal = Drift(dice, 6, 1_800)
        self.time_s = 0.0
        self.speed_m_s = 2.9
        self.heart_rate_per_min = 128.0
        self.energy_j = 0.0
        self.distance_m = 0.0
        self.glucose_mg_dl = 112.0
        self._fuel_mg_dl = 112.0

    def advance(self, step_s: float) -> None:
        """Let `step_s` pass."""
        self.time_s += step_s
        self.speed_m_s = max(1.2, 2.9 + self._pace.at(self.time_s) + self._dice.gauss(0, 0.03))
        self.distance_m += self.speed_m_s * step_s
        effort = self.REST_HEART_RATE + 30 * self.speed_m_s
        self.heart_rate_per_min += (effort - self.heart_rate_per_min) * step_s / self.HEART_LAG_S
        self.energy_j += 72 * 4_184 * self.speed_m_s / 1_000 * step_s  # 1 kcal a kg and km, 72 kg
        self._fuel_mg_dl = max(78.0, self._fuel_mg_dl - 0.3 * self.speed_m_s * step_s / 60)
        self.glucose_mg_dl = self._fuel_mg_dl + self._meal.at(self.time_s)

    def strides_per_min(self, *, left: bool) -> float:
        """Strides of one foot; the feet differ a little, as they do."""
        return 68 + 5 * self.speed_m_s + (0.4 if left else -0.4) + self._dice.gauss(0, 0.3)

    def beats_s(self, window_s: float) -> list[float]:
        """The intervals between the heart beats of the last `window_s`."""
        mean_s = 60 / self.heart_rate_per_min
        count = max(1, round(window_s / mean_s))
        return [max(0.3, self._dice.gauss(mean_s, mean_s * 0.02)) for _ in range(count)]


@dataclass
class Tyre:
    """Air in a closed volume: its pressure follows its temperature, and one leaks."""

    temperature_cel: float
    cold_pressure_pa: float  # gauge, at 20 Cel
    leak_pa_per_s: float = 0.0

    ATMOSPHERE_PA = 101_325

    @property
    def pressure_pa(self) -> float:
        """Gauge pressure by Gay-Lussac's law."""
        absolute_pa = self.cold_pressure_pa + self.ATMOSPHERE_PA
        ratio = (self.temperature_cel - ABSOLUTE_ZERO_CEL) / (20 - ABSOLUTE_ZERO_CEL)
        return absolute_pa * ratio - self.ATMOSPHERE_PA

    def advance(self, step_s: float, speed_m_s: float, ambient_cel: float) -> None:
        """Warm up with speed, cool down without."""
        target_cel = ambient_cel + 1.1 * speed_m_s
        self.temperature_cel += (target_cel - self.temperature_cel) * step_s / 400
        self.cold_pressure_pa -= self.leak_pa_per_s * step_s


@dataclass
class Car:
    """A plug-in hybrid that rolls in, charges for a quarter of an hour, drives, and comes back."""

    dice: random.Random
    delivered_j: float = 0.0  # what the charger's meter shows
    time_s: float = 0.0
    speed_m_s: float = 8.0
    engine_per_min: float = 1_200.0
    coolant_cel: float = 86.0
    intake_cel: float = 24.0
    fuel_share: float = 0.58
    odometer_m: float = 48_213_400.0
    run_time_s: float = 1_260.0
    battery_v: float = 13.9
    battery_a: float = 6.0
    battery_share: float = 0.83
    charge_w: float = 0.0
    tyres: list[Tyre] = field(default_factory=list)

    PARKED_S, DRIVING_S = 906.0, 300.0
    CHARGE_W, CHARGE_V = 22_000.0, 400.0
    AMBIENT_CEL = 17.0

    def __post_init__(self) -> None:
        self._traffic = Drift(self.dice, 9, 70)
        self.tyres = [
            Tyre(31 + self.dice.uniform(-2, 2), 232_000 + self.dice.uniform(-3_000, 3_000))
            for _ in TYRES
        ]
        self.tyres[2].leak_pa_per_s = 6.0  # a nail: 1 bar in five hours

    @property
    def parked(self) -> bool:
        """Whether it is where the charger is, or about to stop there."""
        cycle_s = self.time_s % (self.PARKED_S + self.DRIVING_S)
        return cycle_s < self.PARKED_S

    @property
    def charging(self) -> bool:
        """Whether the cable is in and power flows."""
        return self.parked and self.speed_m_s == 0

    def advance(self, step_s: float) -> None:
        """Let `step_s` pass."""
        self.time_s += step_s
        target_m_s = 0.0 if self.parked else max(0.0, 13 + self._traffic.at(self.time_s))
        change_m_s = target_m_s - self.speed_m_s
        self.speed_m_s += math.copysign(min(abs(change_m_s), 2.2 * step_s), change_m_s)
        self.odometer_m += self.speed_m_s * step_s
        self._charge(step_s)
        self._engine(step_s)
        for tyre in self.tyres:
            tyre.advance(step_s, self.speed_m_s, self.AMBIENT_CEL)

    def _charge(self, step_s: float) -> None:
        target_w = self.CHARGE_W + self.dice.gauss(0, 60) if self.charging else 0.0
        self.charge_w += (target_w - self.charge_w) * min(1.0, step_s / 1.5)
        if not self.charging and self.charge_w < 1:
            self.charge_w = 0.0
        self.delivered_j += self.charge_w * step_s

    def _engine(self, step_s: float) -> None:
        running = not self.charging
        self.engine_per_min = (
            max(780, 820 + 110 * self.speed_m_s + self.dice.gauss(0, 12)) if running else 0.0
        )
        self.run_time_s = self.run_time_s + step_s if running else self.run_time_s
        self.fuel_share = max(0.0, self.fuel_share - 2e-7 * self.engine_per_min / 1_000 * step_s)
        warm_cel = 90.0 if running else self.AMBIENT_CEL
        self.coolant_cel += (warm_cel - self.coolant_cel) * step_s / (120 if running else 2_400)
        self.battery_share = min(1.0, self.battery_share + 1e-5 * step_s)
        self.battery_a = 24 * (1.02 - self.battery_share) + self.dice.gauss(0, 0.05)
        self.battery_v = 13.55 + 0.12 * self.battery_a + self.dice.gauss(0, 0.01)
