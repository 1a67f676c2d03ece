"""How much a payer may owe us: little at first, more as it pays, less for what it never paid."""

from dataclasses import dataclass

BPS = 10_000


@dataclass(frozen=True, slots=True)
class Credit:
    """Minor units: `first` for a stranger, never above `most`; negative means prepaid by so much.

    `growth_bps` of everything that was ever paid is added; what was left unpaid is taken away, over
    all channels of the pair, so that a new salt is no new credit. With a growth of 0 the window is
    `first` for ever, whatever happened.
    """

    first: int
    most: int
    growth_bps: int = 1_000

    def window(self, paid: int, lost: int) -> int:
        """The credit window after this history."""
        if self.growth_bps == 0:
            return self.first
        return min(self.most, self.first + paid * self.growth_bps // BPS - lost)
