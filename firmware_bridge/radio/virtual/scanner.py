"""The scanner half of the virtual bleak backend."""

from bleak.backends.scanner import (
    AdvertisementData,
    AdvertisementDataCallback,
    BaseBleakScanner,
)
from bumble import core
from bumble.device import Advertisement

from firmware_bridge.packets import uuid128
from firmware_bridge.radio.virtual.air import Air

_AD = core.AdvertisingData


def uuid_text(uuid: core.UUID) -> str:
    """The 128-bit lower-case text of one of bumble's uuids."""
    data = uuid.to_bytes()
    return uuid.to_hex_str("-").lower() if len(data) == 16 else uuid128(data[::-1].hex())  # noqa: PLR2004  # bytes of a full uuid


class VirtualScanner(BaseBleakScanner):
    """Gives every advert to bleak's callbacks, merged with what the device said before."""

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str,
        *,
        air: Air,
        **_other_backends: object,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._air = air
        self._active = scanning_mode != "passive"
        self._merged: dict[str, AdvertisementData] = {}

    async def start(self) -> None:
        """Start scanning."""
        self.seen_devices = {}
        await self._air.add_scanner(self._heard, active=self._active)

    async def stop(self) -> None:
        """Stop scanning."""
        await self._air.remove_scanner(self._heard)

    def _heard(self, advertisement: Advertisement) -> None:
        """Merge what a device said so far, as BlueZ does, and tell the callbacks."""
        address = advertisement.address.to_string(False)  # noqa: FBT003  # bumble's signature
        known = self._merged.get(address, AdvertisementData(None, {}, {}, [], None, 0, ()))
        rssi_dbm = self._air.rssi_dbm.get(address, advertisement.rssi)
        merged = _merge(known, advertisement)._replace(rssi=rssi_dbm)
        self._merged[address] = merged
        details = {"air": self._air, "address": advertisement.address}
        device = self.create_or_update_device(address, address, merged.local_name, details, merged)
        if self.is_allowed_uuid(merged.service_uuids):
            self.call_detection_callbacks(device, merged)


def _merge(known: AdvertisementData, advertisement: Advertisement) -> AdvertisementData:
    """Core Specification Supplement, part A: the AD types that bleak shows."""
    name, tx_power = known.local_name, known.tx_power
    uuids = list(known.service_uuids)
    service_data, company_data = dict(known.service_data), dict(known.manufacturer_data)
    for kind, value in advertisement.data.ad_structures:
        if kind in {_AD.COMPLETE_LOCAL_NAME, _AD.SHORTENED_LOCAL_NAME}:
            name = value.decode("utf-8", "replace")
        elif kind in _UUID_BYTES:
            size = _UUID_BYTES[kind]
            parts = (value[at : at + size] for at in range(0, len(value) - size + 1, size))
            uuids += [uuid_text(core.UUID.from_bytes(part)) for part in parts]
        elif kind in _SERVICE_DATA_UUID_BYTES:
            size = _SERVICE_DATA_UUID_BYTES[kind]
            service_data[uuid_text(core.UUID.from_bytes(value[:size]))] = bytes(value[size:])
        elif kind == _AD.MANUFACTURER_SPECIFIC_DATA:
            company_data[int.from_bytes(value[:2], "little")] = bytes(value[2:])
        elif kind == _AD.TX_POWER_LEVEL:
            tx_power = int.from_bytes(value[:1], "little", signed=True)
    uuids = list(dict.fromkeys(uuids))
    return AdvertisementData(name, company_data, service_data, uuids, tx_power, 0, ())


_UUID_BYTES = {
    _AD.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
    _AD.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
    _AD.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
    _AD.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
}
_SERVICE_DATA_UUID_BYTES = {_AD.SERVICE_DATA_16_BIT_UUID: 2, _AD.SERVICE_DATA_128_BIT_UUID: 16}
