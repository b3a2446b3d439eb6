"""The broker. `open_broker` starts one inside a Trio program; it is imported only when somebody asks for it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.embedded import EmbeddedBroker, open_broker

__all__ = ["EmbeddedBroker", "open_broker"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'broker' has no attribute {name!r}")
    from broker import embedded

    return getattr(embedded, name)
