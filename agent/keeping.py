"""Who keeps the ledger of an agreement: the payee's gateway says so, the payer pins it in its home.

The payer asks in the payee's inbox, `in/{payee}/cmd/{payer}`. The answer counts because the payee
signed it, whom the agreement names by its key; it lies beside the deed, as `<digest>.keeper`, from
then on. A later one may name another key of the gateway, never another ledger or log.
"""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from agent import agreed, commands, topics
from agent.agreed import Holding
from agent.broker import Broker, Message
from agent.commands import Answer
from agent.home import Home, HomeError
from agent.partners import Office, Paid, collector_of
from agent.rate import Bucket
from agent.remote import ID_BYTES, Limits, Line
from ledger_client import consents, durable, keepers
from ledger_client.consents import Act
from ledger_client.deeds import Deed
from ledger_client.errors import ProofError, RemoteError
from ledger_client.keepers import Keeper, Said
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.settlement import AwayError

SUFFIX = ".keeper"
QUESTIONS_PER_S_MAX = 4
PATIENCE = Limits(answer_max_s=5.0)

_log = logging.getLogger(__name__)


def path_of(home: Home, digest: bytes) -> Path:
    """Where it is pinned who keeps the ledger of that agreement."""
    return agreed.path_of(home, digest).with_suffix(SUFFIX)


def pinned(home: Home, agreement: Paid, digest: bytes) -> Said | None:
    """Who keeps the ledger, if we were told.

    Raises:
        HomeError: the file cannot be read.
        RemoteError: it is not what this agreement's payee signed.
    """
    path = path_of(home, digest)
    try:
        with path.open("rb") as file:
            data = file.read(commands.STATEMENT_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeError(f"{path}: expected who keeps a ledger: {error.strerror}") from error
    return _checked(data, agreement, digest)


def learn(home: Home, agreement: Paid, digest: bytes, data: bytes) -> Said:
    """Who keeps the ledger by now: what the payee says is pinned, if it may be believed.

    Raises:
        HomeError: it cannot be read or written.
        RemoteError: not the payee's word about this agreement, or not what it said before.
    """
    said, before = _checked(data, agreement, digest), pinned(home, agreement, digest)
    if before is not None and said.keeper == before.keeper:
        return before
    if before is not None and not (
        said.keeper.follows(before.keeper) and said.issued_s > before.issued_s
    ):
        raise ProofError(
            f"agreement {digest.hex()[:16]}: its payee names another log or an older gateway than"
            f" before; if that is right, remove {path_of(home, digest).name} from agreements/"
        )
    try:
        durable.write(path_of(home, digest), said.signed)
    except OSError as error:
        raise HomeError(f"{path_of(home, digest)}: cannot be written: {error.strerror}") from error
    _log.info(
        "agreement %s: its ledger %r is kept by gateway %s",
        digest.hex()[:16],
        said.keeper.ledger,
        said.keeper.gateway.short_id,
    )
    return said


def _checked(data: bytes, agreement: Paid, digest: bytes) -> Said:
    said = keepers.verify(data, collector_of(agreement))
    keeper = said.keeper
    if (keeper.agreement, keeper.ledger, keeper.asset) != (
        digest,
        agreement.ledger,
        agreement.asset,
    ):
        raise ProofError("what the payee says is about another agreement, ledger or asset")
    return said


async def ask(
    broker: Broker, payer: PublicKey, payee: PublicKey, digest: bytes, limits: Limits = PATIENCE
) -> commands.Kept:
    """What the payee's gateway says, nothing of it proved; raises AwayError without an answer."""
    line = Line(payer.short_id, payee.short_id, limits)
    asked = commands.Keeper(os.urandom(ID_BYTES).hex(), digest)
    answer: Answer | None = None
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(line.run(broker))
        with suppress(RemoteError):
            answer = await line.ask(asked)
        listening.cancel()
    if answer is None or answer.kept is None:
        raise AwayError(f"{payee.short_id} does not say who keeps the ledger")
    return answer.kept


def ended(deed: Deed, endings: tuple[bytes, ...]) -> Deed | None:
    """The deed with endings that it did not have; None when there is none.

    Raises:
        RemoteError: something else among them.
    """
    fuller = deed.joined(endings)
    return None if len(fuller.acts) == len(deed.acts) else fuller


class Telling:
    """Answers those who pay `key` under an agreement of this home."""

    def __init__(self, key: SigningKey, office: Office) -> None:
        self._key = key
        self._office = office
        self._buckets: dict[str, Bucket] = {}
        self._signed: dict[bytes, bytes] = {}

    async def run(self, broker: Broker) -> None:
        """Answer until cancelled."""
        me, clock = self._key.public.short_id, asyncio.get_running_loop().time
        async with broker.subscribe(topics.said_to(me, "cmd")) as messages:
            async for message in messages:
                answer = self.answer(message, clock())
                if answer is not None:
                    speaker = topics.parse_inbox(message.topic).speaker
                    await broker.publish(topics.result(speaker, me), commands.encode(answer))

    def answer(self, message: Message, now_s: float) -> Answer | None:
        """What to say, to a party of an agreement under which we are paid; None to all others.

        `now_s` is of any one clock.
        """
        if message.retained or len(message.payload) > commands.BYTES_MAX:
            return None
        try:
            asked = msgspec.json.decode(message.payload, type=commands.Keeper)
        except (ValueError, RecursionError):
            return None  # for whoever offers in our name
        holding = self._office.shelf.find(asked.agreement)
        speaker = topics.parse_inbox(message.topic).speaker
        if holding is None or not self._is_ours(holding) or speaker not in _parties(holding):
            return None
        if self._buckets.setdefault(speaker, Bucket(QUESTIONS_PER_S_MAX)).take(now_s):
            return None
        kept = commands.Kept(self._statement(holding), _endings(holding))
        return Answer("keeper", asked.id, commands.DONE, kept=kept)

    def _is_ours(self, holding: Holding) -> bool:
        agreement, book = holding.agreement, self._office.book
        return (
            isinstance(agreement, Paid)
            and collector_of(agreement) == self._key.public
            and (agreement.ledger, agreement.asset) == (book.name, book.asset)
        )

    def _statement(self, holding: Holding) -> bytes:
        """The same for everybody who asks in this run."""
        if holding.digest not in self._signed:
            stores, book = self._office.stores, self._office.book
            keeper = Keeper(
                agreement=holding.digest,
                ledger=book.name,
                asset=book.asset,
                demo=book.demo,
                gateway=stores.signer.public,
                log_key=stores.log_key,
            )
            said = keepers.sign(self._key, keeper, self._office.now_s())
            self._signed[holding.digest] = said
        return self._signed[holding.digest]


def _parties(holding: Holding) -> set[str]:
    return {PublicKey.from_did(party.did).short_id for party in holding.agreement.parties}


def _endings(holding: Holding) -> tuple[bytes, ...]:
    """Every act that is no signature, the first of them if there are too many."""
    acts = sorted(holding.deed.acts, key=lambda act: act.issued_s)
    found = [act.signed for act in acts if consents.parse_act(act)[1] is not Act.SIGN]
    return tuple(found[: commands.ENDINGS_MAX])
