"""A byte limit on what sessions that are away may collect, set over NATS's own protocol.

Without it one observer that never comes back fills the store, and then nobody may connect. With it
the oldest message goes first; messages are on their way here, not kept: the journal keeps them.
Source: https://docs.nats.io/reference/reference-protocols/nats-protocol and .../nats_api_reference
"""

import asyncio
import json
from typing import Any

from agent.broker import BrokerError

STREAM = "$MQTT_msgs"  # where nats-server keeps QoS 1 messages until every session has them
INFO, CREATE, UPDATE = (f"$JS.API.STREAM.{verb}.{STREAM}" for verb in ("INFO", "CREATE", "UPDATE"))
ANSWERS = "_INBOX.milepost"
USER = "supervisor.milepost"  # no component can be called that: the dot is no part of a topic level
ABSENT = 10059  # JSStreamNotFoundErr
TAKEN = 10058  # JSStreamNameExistErr
TOO_LITTLE = 10047  # JSStorageResourcesExceededErr
ANSWER_MAX_S = 5.0
ANSWER_BYTES_MAX = 64 << 10


def supervisor(password: str) -> dict[str, object]:
    """Return the entry of the user that may set the limit, and nothing else."""
    return {
        "user": USER,
        "password": password,
        "allowed_connection_types": ["STANDARD"],
        "permissions": {"publish": [INFO, CREATE, UPDATE], "subscribe": [ANSWERS]},
    }


async def limit(host: str, port: int, password: str, bytes_max: int) -> None:
    """Let the store of messages hold `bytes_max`, dropping the oldest; BrokerError if refused.

    Best done before the first MQTT client connects: nats-server takes the store that is there, and
    one that it made meanwhile gets the limit as well.
    """
    stream = {
        "name": STREAM,
        "subjects": ["$MQTT.msgs.>"],
        "retention": "interest",
        "storage": "file",
        "num_replicas": 1,
        "max_bytes": bytes_max,
        "discard": "old",
    }
    try:
        async with asyncio.timeout(ANSWER_MAX_S):
            reader, writer = await asyncio.open_connection(host, port, limit=ANSWER_BYTES_MAX)
            try:
                login = json.dumps({"verbose": False, "user": USER, "pass": password})
                writer.write(f"CONNECT {login}\r\nSUB {ANSWERS} 1\r\n".encode())
                answer = await _ask(reader, writer, INFO, {})
                if _code(answer) == ABSENT:
                    answer = await _ask(reader, writer, CREATE, stream)
                if _code(answer) == TAKEN or _bytes_max(answer) not in {None, bytes_max}:
                    answer = await _ask(reader, writer, UPDATE, stream)  # a client was faster
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, EOFError, TimeoutError, ValueError) as error:
        raise BrokerError(f"the broker does not answer on {host}:{port}: {error!r}") from error
    if _code(answer) == TOO_LITTLE:
        raise BrokerError(
            "the broker's store was made for more bytes than it may have now: set bytes_max of"
            " [broker] back, or delete its folder store, which holds only messages on their way"
        )
    if "error" in answer:
        raise BrokerError(f"the broker refuses the limit of {bytes_max} bytes: {answer['error']}")


def _code(answer: dict[str, Any]) -> int | None:
    code: int | None = answer.get("error", {}).get("err_code")
    return code


def _bytes_max(answer: dict[str, Any]) -> int | None:
    limit_now: int | None = answer.get("config", {}).get("max_bytes")
    return limit_now


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, subject: str, question: object
) -> dict[str, Any]:
    body = json.dumps(question)
    writer.write(f"PUB {subject} {ANSWERS} {len(body)}\r\n{body}\r\n".encode())
    while True:
        line = (await reader.readline()).decode().split()
        match line:
            case ["MSG", _, _, size]:
                answer = json.loads(await reader.readexactly(int(size)))
                await reader.readexactly(2)
                return dict(answer)
            case ["PING"]:
                writer.write(b"PONG\r\n")
            case ["-ERR", *words]:
                raise ValueError(" ".join(words))
            case []:
                raise ConnectionError("the broker hung up")
            case _:
                pass
