"""How often something may happen. Time is an argument, in seconds of any one clock."""


class Bucket:
    """At most so many events a second on average, and no more than that at once."""

    def __init__(self, per_s_max: int) -> None:
        self._per_s_max = per_s_max
        self._left = float(per_s_max)
        self._at_s = 0.0

    def take(self, now_s: float) -> float:
        """0 when an event may happen now; else how many seconds to wait, and nothing is taken."""
        grown = max(0.0, now_s - self._at_s) * self._per_s_max
        self._left = min(self._left + grown, float(self._per_s_max))
        self._at_s = max(now_s, self._at_s)
        if self._left < 1:
            return (1 - self._left) / self._per_s_max
        self._left -= 1
        return 0.0
