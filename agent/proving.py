"""What works over a gateway's open stores: the uplink that proves, and the publisher that tells."""

from agent.agreed import Governing, ungoverned
from agent.batching import BatchLimits
from agent.broker import Broker
from agent.publisher import Names, Publisher
from agent.stores import Stores
from agent.uplink import Uplink


def uplink(
    stores: Stores, limits: BatchLimits, batches_max: int, governing: Governing = ungoverned
) -> Uplink:
    """From the journal of `stores` to their log, at most so many batches to a head."""
    return Uplink(
        journal=stores.journal,
        log=stores.log,
        vault=stores.vault,
        signer=stores.signer,
        log_key=stores.log_key,
        streams=stores.streams,
        boots=stores.registry,
        limits=limits,
        batches_max=batches_max,
        governing=governing,
    )


def publisher(stores: Stores, broker: Broker, *, personal: bool) -> Publisher:
    """From journal and log of `stores` to the broker; `personal`: values of people's bodies too."""
    return Publisher(
        journal=stores.journal,
        log=stores.log,
        vault=stores.vault,
        broker=broker,
        names=Names(
            stores.signer.public.short_id,
            {alias: each.id for alias, each in stores.components.items()},
            stores.subjects,
        ),
        personal=personal,
    )
