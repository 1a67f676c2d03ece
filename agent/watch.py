"""Takes the snapshot of a running gateway that every view shows."""

from collections.abc import Sequence

import msgspec

from agent import __version__, governed
from agent.running import Running
from agent.status import AccountView, ComponentView, Snapshot, printable


def snapshot(
    running: Running,
    started_ms: int,
    asset: str,
    money: Sequence[AccountView],
    traffic: Sequence[str],
) -> Snapshot:
    """What is so now; cheap enough for four times a second."""
    now = running.now()
    links = {link.address: link for link in running.radio.links()}
    components = []
    for each in running.stores.components.values():
        view = running.board.view(each.alias, each.id, each.kind, each.subject)
        link = links.get(each.address)
        if link is not None:
            view = msgspec.structs.replace(
                view,
                state=link.state,
                rssi_dbm=link.rssi_dbm,
                error=printable(link.error),
            )
        components.append(view)
    return Snapshot(
        version=__version__,
        gateway=running.stores.signer.public.short_id,
        started_ms=started_ms,
        now_ms=now.stamp.boottime_ms,
        radio="; it ".join(filter(None, (running.radio.kind, running.radio.health.words))),
        broker_connected=running.broker is not None and running.broker.connected.is_set(),
        clock=now.clock.state.name.lower(),
        readings=running.pipeline.readings,
        repeats=running.pipeline.repeats,
        dropped=running.intake.dropped,
        refused={str(reason): count for reason, count in running.pipeline.refused.items()},
        batches=running.proved,
        receipts_verified=running.proved,
        log_size=running.stores.log.head.size,
        journal_bytes=running.stores.journal.bytes_used,
        published=running.telling.published if running.telling else 0,
        components=tuple(_ordered(components)),
        latest=tuple(running.latest),
        money=tuple(money),
        asset=asset,
        traffic=tuple(traffic),
        orders=dict(running.board.orders),
        governed=tuple(
            governed.view(each, running.stores.streams, now.stamp.wall_ms // 1000)
            for each in running.stores.shelf.holdings()
        ),
    )


def _ordered(components: Sequence[ComponentView]) -> list[ComponentView]:
    return sorted(components, key=lambda each: (each.subject, each.alias))
