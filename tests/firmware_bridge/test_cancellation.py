"""Being cancelled although a library swallowed it."""

import asyncio

import pytest

from firmware_bridge.cancellation import stop_if_cancelled


async def test_a_cancellation_that_meets_a_result_still_ends_the_task() -> None:
    result = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await asyncio.wait_for(result, 60)
        stop_if_cancelled()
        await asyncio.Event().wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        await asyncio.sleep(0.01)

        result.set_result(None)
        working.cancel()

    assert working.cancelled()


async def test_a_task_that_nobody_cancelled_goes_on() -> None:
    stop_if_cancelled()


def test_outside_of_a_task_there_is_nothing_to_ask() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        stop_if_cancelled()
