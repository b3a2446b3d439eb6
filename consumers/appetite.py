"""How many messages a worker fetches ahead of those that run. Pure.

As many as its handlers do in a moment: hundreds where they take microseconds, so that a read and an acknowledgement
serve many; none where they take seconds, so that no message waits here while another worker has nothing to do. And as
many as fit into some memory, by what they weighed so far.
"""

import attrs

_MOMENT = 0.1  # seconds of work
_MOST = 1000
_MOST_BYTES = 16 * 1024 * 1024
_WEIGHT = 0.1  # of the newest duration, or size, in the mean


@attrs.define
class Appetite:
    running: int  # messages that run at a time
    fixed: int | None = None  # fetched ahead, as the options have it
    rate: float = float("inf")  # messages a second that may begin at all
    _mean: float | None = None
    _size: float = 0.0

    def weighed(self, size: int) -> None:
        """A message that came: its bytes."""
        self._size += (1.0 if size > self._size else _WEIGHT) * (size - self._size)

    def took(self, duration: float) -> None:
        """A handler did, for one message."""
        mean = self._mean
        self._mean = duration if mean is None else mean + _WEIGHT * (duration - mean)

    @property
    def ahead(self) -> int:
        if self.fixed is not None:
            return self.fixed
        if self._mean is None:
            return 0
        by_size = _MOST_BYTES / max(self._size, 1.0)
        return int(min(_MOST, by_size, self.rate * _MOMENT, self.running * _MOMENT / max(self._mean, 1e-6)))

    @property
    def capacity(self) -> int:
        return self.running + self.ahead
