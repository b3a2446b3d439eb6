"""The parts of a stream in the form of RDB, in their order: what is being written, or read."""

from typing import Final

BLOCKS: Final = 0
FACTS: Final = 1
GROUP: Final = 2
PENDING: Final = 3
CONSUMER: Final = 4
CONSUMER_IDS: Final = 5

U64: Final = (1 << 64) - 1
