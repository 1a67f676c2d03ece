"""genesis: what a log says about itself holds together."""

from typing import Any

import pytest

from ledger_client import cbor, checkpoints, genesis, statements
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.keys import SigningKey

LOG, NOTE = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
NAME = "milepost.example/gw"
PAYLOAD: dict[int, Any] = {
    1: 1,
    2: NAME,
    3: "RFC9162_SHA256",
    4: LOG.public.cose_key(),
    5: checkpoints.Verifier(NAME, NOTE.public).vkey,
    6: True,
}


@pytest.mark.parametrize("demo", [True, False])
def test_a_genesis_names_log_keys_and_whether_it_is_play(demo: bool) -> None:
    data = genesis.sign(LOG, NOTE.public, NAME, 5, demo=demo)

    first = genesis.verify(statements.verify(data))

    assert first == genesis.Genesis(NAME, LOG.public, NOTE.public, demo)
    assert first.verifier.vkey == PAYLOAD[5]


@pytest.mark.parametrize(
    "changes",
    [
        {1: 2},
        {2: "another name"},
        {3: "RFC9162_SHA512"},
        {4: NOTE.public.cose_key()},
        {5: checkpoints.Verifier("another", NOTE.public).vkey},
        {5: checkpoints.Verifier(NAME, NOTE.public, checkpoints.COSIGNATURE).vkey},
        {5: "no key"},
        {6: 1},
        {7: 0},
    ],
    ids=str,
)
def test_a_genesis_that_contradicts_itself_is_refused(changes: dict[int, object]) -> None:
    payload = cbor.encode({**PAYLOAD, **changes})

    with pytest.raises(RemoteError):
        genesis.verify(statements.verify(statements.sign(LOG, "genesis", NAME, payload, 5)))


def test_another_kind_of_statement_is_no_genesis() -> None:
    data = statements.sign(LOG, "batch", NAME, cbor.encode(PAYLOAD), 5)

    with pytest.raises(EncodingError, match="batch statement"):
        genesis.verify(statements.verify(data))
