"""A crowd for the soak: many foot pods at a steady rate, each of which counts what it said."""

import asyncio
from typing import Self

from firmware_bridge.neighbourhood import Thing, payloads
from firmware_bridge.neighbourhood.things import Acting, Peripheral
from firmware_bridge.radio.virtual.air import Air

COUNT_MAX = 250
STRIDES_PER_MIN = 80


class Crowd(Acting):
    """`count` foot pods that notify `hz` times a second once told to `start`.

    Needs an open `Air`; `async with` it.

    The total distance in the payload is the sequence number, in tenths of a metre: a notification
    that is lost, doubled or out of order can be seen from the readings alone. `said` counts by
    address what went out to a subscriber.
    """

    def __init__(self, air: Air, count: int, hz: float) -> None:
        if not 0 < count <= COUNT_MAX:
            raise ValueError(f"expected 1 to {COUNT_MAX} pods, got {count}")
        super().__init__()
        self._period_s = 1 / hz
        self._pods = {
            f"F1:00:00:00:00:{number:02X}": Peripheral(
                air,
                f"pod-{number:03}",
                f"F1:00:00:00:00:{number:02X}",
                service=0x1814,
                stream=0x2A53,
            )
            for number in range(count)
        }
        self.said = dict.fromkeys(self._pods, 0)
        self._go = asyncio.Event()

    @property
    def things(self) -> tuple[Thing, ...]:
        """All of them, ready to be configured."""
        return tuple(
            Thing(f"pod-{number:03}", "shoe", address, "running", "runner")
            for number, address in enumerate(self._pods)
        )

    def start(self) -> None:
        """Let them speak: when everybody is subscribed, so that nothing is said to nobody."""
        self._go.set()

    def stop(self) -> None:
        """Let them be silent again."""
        self._go.clear()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        for address, pod in self._pods.items():
            await pod.switch_on()
            self._act(self._speak(address, pod))
        return self

    async def _speak(self, address: str, pod: Peripheral) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            if not self._go.is_set():
                await self._go.wait()
                due_s = loop.time()
            self.said[address] += 1
            await pod.say(payloads.running(3.0, STRIDES_PER_MIN, self.said[address] / 10))
            due_s += self._period_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))
