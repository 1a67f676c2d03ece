"""C2SP tlog-tiles: the tree of a log as files of up to 256 hashes that never change.

    checkpoint
    tile/<level>/<index>[.p/<width>]          hashes at tree level 8 * level
    tile/entries/<index>[.p/<width>]          entries, each after its length as uint16

An index is written in path elements of three digits, all but the last with an x before them:
1234067 is x001/x234/067. An entry of our logs is the digest of its statement, 32 bytes.
Source: c2sp.org/tlog-tiles.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ledger_client import merkle
from ledger_client.errors import EncodingError

WIDTH = 256
HEIGHT = 8
LEVEL_MAX = 7  # 256^8 leaves are more than a tree has
ENTRIES = "entries"

_ELEMENT = 1_000
_PATH = re.compile(r"tile/(entries|[0-7])/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class Tile:
    """Hashes `index` * 256 and so on of a tile level, or entries where `level` is None."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it lies, below the prefix of the log."""
        rest, elements = divmod(self.index, _ELEMENT)
        name = f"{elements:03d}"
        while rest:
            rest, elements = divmod(rest, _ELEMENT)
            name = f"x{elements:03d}/{name}"
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{ENTRIES if self.level is None else self.level}/{name}{partial}"

    @property
    def start(self) -> int:
        """The first hash or entry in it, counted within its level."""
        return self.index * WIDTH


def parse(path: str) -> Tile:
    """The tile that lies at `path`.

    Raises:
        EncodingError: not the one path of a tile.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise EncodingError(f"expected the path of a tile, got {path[:80]!a}")
    level, elements, width = found.groups()
    index = int(elements.replace("/", "").replace("x", ""))
    tile = Tile(None if level == ENTRIES else int(level), index, int(width or WIDTH))
    if tile.path != path or tile.width > WIDTH:
        raise EncodingError(f"not the only path of a tile: {path[:80]!a}")
    return tile


def tiles(size: int) -> Iterator[Tile]:
    """Every tile of a tree of `size` leaves: of entries, then of hashes, each level in order."""
    for level in (None, *range(LEVEL_MAX + 1)):
        full, partial = divmod(size >> (HEIGHT * (level or 0)), WIDTH)
        for index in range(full):
            yield Tile(level, index)
        if partial:
            yield Tile(level, full, partial)


def fits(tile: Tile, size: int) -> bool:
    """Whether a tree of `size` leaves has everything that is in the tile."""
    return tile.start + tile.width <= size >> (HEIGHT * (tile.level or 0))


def hashes(tile: Tile, nodes: merkle.Nodes) -> bytes:
    """The content of a tile of hashes."""
    level = HEIGHT * (tile.level or 0)
    return b"".join(nodes(level, tile.start + each) for each in range(tile.width))


def bundle(entries: Iterable[bytes]) -> bytes:
    """The content of a tile of entries, each shorter than 2^16 bytes."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
