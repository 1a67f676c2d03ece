import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.neighbourhood.behaviour import Car, Runner, Tyre

SEEDS = st.integers(0, 2**32)


def correlation(xs: list[float], ys: list[float]) -> float:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    cross = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    square_x = sum((x - mean_x) ** 2 for x in xs)
    square_y = sum((y - mean_y) ** 2 for y in ys)
    return cross / math.sqrt(square_x * square_y)


@given(seed=SEEDS)
def test_a_runner_stays_within_what_a_body_does(seed: int) -> None:
    runner = Runner(random.Random(seed))
    for _ in range(2_400):
        runner.advance(0.25)
        assert 1.2 <= runner.speed_m_s <= 6
        assert 90 <= runner.heart_rate_per_min <= 215
        assert 60 <= runner.glucose_mg_dl <= 140
        assert all(0.25 < beat_s < 0.8 for beat_s in runner.beats_s(1))


def test_the_heart_follows_the_pace_with_its_lag() -> None:
    runner = Runner(random.Random(7))
    speeds, rates = [], []
    for _ in range(4_000):
        runner.advance(0.25)
        speeds.append(runner.speed_m_s)
        rates.append(runner.heart_rate_per_min)

    lag = round(Runner.HEART_LAG_S / 0.25)

    assert correlation(speeds[400:-lag], rates[400 + lag :]) > 0.8
    assert correlation(speeds[400:-lag], rates[400 + lag :]) > correlation(
        speeds[400:-lag], rates[400:-lag]
    )


def test_left_and_right_shoe_are_nearly_but_not_quite_the_same() -> None:
    runner = Runner(random.Random(7))
    left = [runner.strides_per_min(left=True) for _ in range(400)]
    right = [runner.strides_per_min(left=False) for _ in range(400)]

    assert 0.4 < (sum(left) - sum(right)) / 400 < 1.2


@given(seed=SEEDS)
def test_a_charger_delivers_about_22_kw_and_its_meter_never_goes_back(seed: int) -> None:
    car = Car(random.Random(seed), delivered_j=5e6)
    before_j, started_j = car.delivered_j, 0.0
    for step in range(4 * 60):
        car.advance(0.25)
        assert car.delivered_j >= before_j
        before_j = car.delivered_j
        if step == 4 * 20:
            started_j = before_j

    ten_wh_each_s = 36_000 / ((before_j - started_j) / (4 * 60 - 4 * 20 - 1) * 4)

    assert 1.5 < ten_wh_each_s < 1.8
    assert car.speed_m_s == 0
    assert car.engine_per_min == 0


def test_a_car_drives_when_it_has_charged_and_charges_again() -> None:
    car = Car(random.Random(3))
    charging, moving = 0, 0
    for _ in range(4 * 1_300):
        car.advance(0.25)
        charging += car.charging
        moving += car.speed_m_s > 1
        assert not (car.charging and car.speed_m_s > 8)
        assert 0 <= car.speed_m_s < 40

    assert charging > 4 * 900
    assert moving > 4 * 200


def test_a_tyre_follows_the_gas_law_and_a_nail_shows() -> None:
    warm = Tyre(50, 230_000)

    assert Tyre(20, 230_000).pressure_pa == pytest.approx(230_000)
    assert warm.pressure_pa == pytest.approx((230_000 + 101_325) * 323.15 / 293.15 - 101_325)
    nail = Tyre(20, 230_000, leak_pa_per_s=6)
    for _ in range(100):
        nail.advance(1, 0, 20)
    assert nail.pressure_pa == pytest.approx(229_400)


def test_the_same_seed_gives_the_same_life() -> None:
    def life(seed: int) -> list[float]:
        runner = Runner(random.Random(seed))
        values = []
        for _ in range(100):
            runner.advance(0.25)
            values += [runner.speed_m_s, *runner.beats_s(1)]
        return values

    assert life(5) == life(5)
    assert life(5) != life(6)
