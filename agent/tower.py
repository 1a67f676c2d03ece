"""A watchtower's papers: a voucher with its channel's terms, which anybody may claim with.

A file holds CBOR [terms, total, signature], the form in which the ledger keeps what it paid. There
is no secret in it: it can only pay whom the terms name.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from agent.home import Home, HomeError
from agent.till import Till
from ledger_client.channels import State
from ledger_client.database import open_database
from ledger_client.settlement import Claim
from ledger_client.settlement.movements import EVIDENCE_BYTES_MAX, evidence, parse_evidence

FILES_MAX = 1_000


def open_vouchers(home: Home) -> Iterator[tuple[str, bytes]]:
    """What was promised to parties of this home and not claimed yet: a name and the paper."""
    with closing(open_database(home.ledger_db, create=False)) as connection:
        for sale in Till(connection).sales():
            worth_it = sale.side.best > sale.side.claimed and sale.side.state is not State.CLOSED
            if sale.voucher is not None and worth_it:
                yield f"{sale.terms.channel.hex()[:16]}.voucher", evidence(sale.terms, sale.voucher)


def read(paths: Sequence[Path]) -> list[Claim]:
    """The claims in these files, each signed by whom its terms name.

    Raises:
        HomeError: one cannot be read, or there are too many.
        RemoteError: one is no voucher with its terms, or not signed by its payer.
    """
    if len(paths) > FILES_MAX:
        raise HomeError(f"expected at most {FILES_MAX} vouchers, got {len(paths)}")
    claims = []
    for path in paths:
        try:
            with path.open("rb") as file:
                terms, voucher = parse_evidence(file.read(EVIDENCE_BYTES_MAX + 1))
        except OSError as error:
            raise HomeError(f"{path}: expected a voucher: {error.strerror}") from error
        voucher.verify(terms.signer)
        claims.append(Claim(terms, voucher))
    return claims
