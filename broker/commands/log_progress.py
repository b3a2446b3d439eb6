"""How far the log has got, in batches: what one turn journaled is one batch."""

from mypy_extensions import i64


class LogProgress:
    """enabled: there is a log. batch: number of the one being collected; durable: all up to this one are on the disk.

    is_empty: nothing was journaled in this turn so far.
    """

    def __init__(self) -> None:
        self.enabled = False
        self.batch: i64 = 1
        self.durable: i64 = 0
        self.is_empty = True

    def is_durable(self, batch: i64) -> bool:
        """Whether a write that was noted under that number is on the disk. (One that journaled nothing has no need.)"""
        return batch <= self.durable or (batch >= self.batch and self.is_empty)
