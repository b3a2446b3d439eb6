"""Which version this is, which Redis it stands in for, and which of the two builds runs."""

from typing import Final

from broker.protocol import encoder

VERSION: Final = "0.1.0"
COMPATIBLE_WITH: Final = "8.2.0"  # INFO redis_version and HELLO version: clients choose features by it


def is_compiled() -> bool:
    """Whether the hot packages were compiled by mypyc."""
    return not encoder.__file__.endswith(".py")
