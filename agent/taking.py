"""The accepting side: a subject's agreement and consent in one act, and the change to a better one.

What is signed is in the home's `agreements/` before it is sent, so asking again after a crash sends
the same deed. The new agreement is kept before the old one is ended: a crash between the two leaves
both, of which the one that begins last governs alone, and the next switch ends the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from agent import agreed, topics
from agent.broker import Broker
from agent.export import write_whole
from agent.home import Home, HomeError
from agent.offers import Command, Now, ask, packed
from agent.parties import Party
from ledger_client import consents, handover, offers
from ledger_client.agreements import DataLicence
from ledger_client.consents import Act
from ledger_client.deeds import Deed
from ledger_client.errors import RemoteError
from ledger_client.handover import Held
from ledger_client.offers import Acceptor, Signed

ANSWER_MAX_S = 30.0
AHEAD_MAX_S = 600
OFFER_SUFFIX = ".offer"


@dataclass(frozen=True, slots=True)
class Kept:
    """A deed of the home, where it stands, and the offer that it came from, if one did."""

    deed: Deed
    held: Held
    signed: Signed | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What is agreed now, where it stands, and what was ended for it."""

    deed: Deed
    held: Held
    ended: tuple[Deed, ...]


def present(party: Party, now_s: int) -> list[Kept]:
    """The licences of the subject that hold, will hold or were proposed; the latest comes last."""
    urns = set(party.urns())
    found = []
    for deed in agreed.kept(party.home):
        agreement = deed.agreement
        if not isinstance(agreement, DataLicence) or agreement.subject not in urns:
            continue
        standing = consents.standing(agreement, deed.acts, now_s, party.changes_s)
        held = Held(agreement, standing)
        if held.live(now_s):
            found.append(Kept(deed, held, _origin(party.home, deed)))
    return sorted(found, key=lambda kept: (kept.held.from_s(), kept.deed.digest))


def accepted_since(party: Party, since_s: int) -> int:
    """How many licences of the subject we signed since then, whatever became of them."""
    urns = set(party.urns())
    return sum(
        act.issuer == party.key.public
        and consents.parse_act(act)[1] is Act.SIGN
        and act.issued_s >= since_s
        for deed in agreed.kept(party.home)
        if isinstance(deed.agreement, DataLicence) and deed.agreement.subject in urns
        for act in deed.acts
    )


def expect_free(party: Party, before: Iterable[Kept]) -> None:
    """Raise HomeError if the subject has an agreement that everybody signed."""
    for each in before:
        if not each.held.standing.missing:
            raise HomeError(
                f"{party.alias} has the agreement {each.deed.digest.hex()[:16]} already; milepost"
                " switch ends it and begins another at the same minute"
            )


async def take(
    broker: Broker, me: str, signed: Signed, party: Party, now_s: Now, *, switch: bool
) -> Taken:
    """Accept an offer for the subject, speaking as `me`; with `switch`, instead of what there is.

    Raises:
        HomeError: there is an agreement and `switch` is not set, or the deed cannot be written.
        RemoteError: whoever offers refuses, or answers nonsense.
        TimeoutError: no answer. What was signed is kept, and sent again the next time.
    """
    at_s, before = now_s(), present(party, now_s())
    if not switch:
        expect_free(party, before)
    deed = _proposed_before(signed, before, at_s) or _propose(signed, party, before, at_s)
    keep(party.home, deed, signed)
    deed = await ask(broker, me, signed, deed, ANSWER_MAX_S)
    held = Held(deed.agreement, consents.standing(deed.agreement, deed.acts, at_s))
    from_s = held.from_s()
    if from_s > deed.agreement.begins_s + AHEAD_MAX_S and from_s > at_s + AHEAD_MAX_S:
        raise RemoteError(f"{signed.reference} was signed {from_s - at_s} s in the future")
    keep(party.home, deed, signed)
    others = [each for each in before if each.deed.digest != deed.digest]
    ended = _end(party, others, from_s)
    for kept in ended:
        await _tell(broker, me, kept)
    return Taken(deed, held, tuple(each.deed for each in ended))


def keep(home: Home, deed: Deed, signed: Signed | None = None) -> Deed:
    """Write the deed, joined with what the home has of it, and the offer beside it."""
    path = agreed.path_of(home, deed.digest)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists():
        deed = deed.joined(each.signed for each in agreed.read(path).acts)
    if signed is not None:
        write_whole(path.with_suffix(OFFER_SUFFIX), offers.to_json(signed))
    write_whole(path, deed.encode())
    return deed


def _origin(home: Home, deed: Deed) -> Signed | None:
    path = agreed.path_of(home, deed.digest).with_suffix(OFFER_SUFFIX)
    return offers.from_json(path.read_bytes()) if path.exists() else None


def _proposed_before(signed: Signed, before: Iterable[Kept], at_s: int) -> Deed | None:
    """What we signed for the same offer and got no answer to, if it is not too late for that."""
    others = [each.held for each in before if not each.held.standing.missing]
    for each in before:
        agreement = each.deed.agreement
        same = each.signed is not None and each.signed.digest == signed.digest
        in_time = not others or agreement.begins_s >= handover.begins_s(others, at_s)
        if same and each.held.standing.missing and in_time:
            return each.deed
    return None


def _propose(signed: Signed, party: Party, before: Iterable[Kept], at_s: int) -> Deed:
    offer = signed.offer
    purpose = str(offer.document.get("purpose", ""))
    acceptor = Acceptor(party.key.public.did, party.ledger, party.urn_for(purpose))
    begins_s = handover.begins_s([each.held for each in before], at_s)
    agreement = offers.filled(offer, acceptor, begins_s)
    if agreement.ledger != party.ledger:
        raise HomeError(
            f"{signed.reference} is for the ledger {agreement.ledger!a}, this home has"
            f" {party.ledger!a}"
        )
    deed = Deed(agreement)
    return deed.joined([consents.sign_act(party.key, deed.digest, Act.SIGN, at_s)])


def _end(party: Party, before: Iterable[Kept], from_s: int) -> list[Kept]:
    known = {each.deed.digest: each for each in before}
    ended = []
    for digest, dated_s in handover.endings([each.held for each in known.values()], from_s):
        kept = known[digest]
        act = consents.sign_act(party.key, digest, Act.END, dated_s)
        deed = keep(party.home, kept.deed.joined([act]))
        ended.append(Kept(deed, kept.held, kept.signed))
    return ended


async def _tell(broker: Broker, me: str, kept: Kept) -> None:
    """Let whoever offered the old agreement have its ending; it counts without that, too."""
    if kept.signed is not None:
        issuer, name = kept.signed.issuer.short_id, kept.signed.offer.name
        command = Command(kept.deed.digest.hex()[:16], "tell", name, packed(kept.deed))
        await broker.publish(topics.command(issuer, me), msgspec.json.encode(command))
