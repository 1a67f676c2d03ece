"""Being cancelled although a library swallowed it.

`asyncio.wait_for` of Python 3.11 drops a cancellation that arrives in the same turn as its result
(https://github.com/python/cpython/issues/86296). bleak's stacks and aiomqtt wait by it, so whoever
goes on from one of their calls into a wait without end asks first.
"""

import asyncio


def stop_if_cancelled() -> None:
    """Raise CancelledError if the running task was asked to end and nothing has ended it yet."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
