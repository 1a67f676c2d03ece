"""What a radio hands over: bytes, when, from whom, over which kind of link. Nothing is judged."""

import hashlib

import msgspec


class Advert(msgspec.Struct, frozen=True, gc=False):
    """One advertisement: anybody within reach could have sent it.

    Addresses are upper case with colons; uuids are 128-bit, lower case. Times as in `Reading`.
    """

    address: str
    name: str
    manufacturer_data: dict[int, bytes]
    service_data: dict[str, bytes]
    service_uuids: tuple[str, ...]
    rssi_dbm: int
    wall_ms: int
    boottime_ms: int
    simulated: bool = False

    def digest(self) -> bytes:
        """First 8 bytes of the SHA-256 over address and payload: the content identity."""
        state = hashlib.sha256(self.address.encode())
        for company, data in sorted(self.manufacturer_data.items()):
            state.update(b"m%04x" % company + data)
        for uuid, data in sorted(self.service_data.items()):
            state.update(b"s" + uuid.encode() + data)
        return state.digest()[:8]


class Notification(msgspec.Struct, frozen=True, gc=False):
    """One value of one GATT characteristic, notified, indicated or read. Uuids are 128-bit."""

    address: str
    service: str
    characteristic: str
    data: bytes
    bonded: bool
    wall_ms: int
    boottime_ms: int
    simulated: bool = False

    def digest(self) -> bytes:
        """First 8 bytes of the SHA-256 over address, characteristic and value."""
        return hashlib.sha256(
            self.address.encode() + self.characteristic.encode() + self.data
        ).digest()[:8]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What an OBD adapter answered to one request, prompt included, as text of the link."""

    address: str
    request: str
    text: str
    bonded: bool
    wall_ms: int
    boottime_ms: int
    simulated: bool = False

    def digest(self) -> bytes:
        """First 8 bytes of the SHA-256 over address, request and answer."""
        return hashlib.sha256(f"{self.address}{self.request}\n{self.text}".encode()).digest()[:8]


Packet = Advert | Notification | Answer


def uuid128(short: str) -> str:
    """The 128-bit lower-case form of a 4-digit, 8-digit or full Bluetooth uuid."""
    text = short.lower()
    if len(text) in {4, 8}:
        return f"{text:0>8}-0000-1000-8000-00805f9b34fb"
    return text
