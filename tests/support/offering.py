"""Offers for tests: a brand's licence with the wearer's place open."""

from typing import Any

import contracts

from ledger_client import offers
from ledger_client.keys import SigningKey
from ledger_client.offers import Signed

NOW_S = contracts.BEGINS_S


def template(kind: str = "data-licence", /, **changes: object) -> dict[str, Any]:
    """The document with its first party, the subject and the ledger left open; brand offers."""
    brand = changes.pop("brand", contracts.BRAND)
    assert isinstance(brand, SigningKey)
    document = contracts.plain(kind) | {"ledger": "", "begins_s": 0, "notice_s": 0}
    document["parties"] = [
        {"name": "wearer", "did": "", "share_bps": 8_000},
        {"name": "brand", "did": brand.public.did, "share_bps": 2_000},
    ]
    if kind == "data-licence":
        document["subject"] = ""
    return document | changes


def form(document: dict[str, Any] | None = None, /, **changes: object) -> dict[str, Any]:
    """An offer as its publisher writes it."""
    return {
        "name": "shoes",
        "open": "wearer",
        "document": document or template(),
        "lapses_s": NOW_S + 86_400,
        "places": 2,
        **changes,
    }


def signed(
    document: dict[str, Any] | None = None, /, key: SigningKey = contracts.BRAND, **changes: object
) -> Signed:
    """A verified offer."""
    offer = offers.from_form(form(document, **changes))
    return offers.verify(offers.sign(key, offer, NOW_S))
