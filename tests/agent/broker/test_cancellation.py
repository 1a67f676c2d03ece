"""Ending a connection at any moment of its start."""
# ruff: noqa: ANN401  # what a conftest yields cannot be imported in importlib mode

import asyncio
from random import Random
from typing import Any

from agent import topics
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker

MOMENTS = 80


async def test_a_connection_ends_at_whatever_moment_of_its_start_it_is_cancelled(
    open_nats: Any, run_all: Any
) -> None:
    server = open_nats()
    async with run_all(server):
        await server.ready.wait()
        for moment in range(MOMENTS):
            endpoint = Endpoint(server.url, "brand", "brand", "secret-brand")
            broker = MqttBroker(
                endpoint,
                random=Random(1),
                hello=lambda: (topics.status("brand"), b"{}"),
            )
            async with (
                asyncio.timeout(10),
                asyncio.TaskGroup() as tasks,
                broker.subscribe(topics.said_to("brand")),
            ):
                running = tasks.create_task(broker.run())
                await asyncio.sleep(moment * 0.0003)

                running.cancel()
