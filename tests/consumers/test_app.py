from collections.abc import AsyncIterator

import pytest

from consumers import App, ConfigurationError, Message


async def handle(message: Message) -> None: ...


def test_a_consumer_is_registered_and_its_handler_stays_callable() -> None:
    app = App()
    assert app.consumer("orders", group="billing", concurrency=4)(handle) is handle
    (consumer,) = app.consumers
    assert (consumer.options.stream, consumer.options.group, consumer.options.concurrency) == ("orders", "billing", 4)
    assert consumer.options.dead_stream == "orders.dead"


def test_the_same_stream_and_group_twice_is_refused() -> None:
    app = App()
    app.consumer("orders", group="billing")(handle)
    app.consumer("orders", group="shipping")(handle)
    with pytest.raises(ConfigurationError, match="two consumers"):
        app.consumer("orders", group="billing")(handle)


def test_a_handler_that_yields_is_refused() -> None:
    async def generator(message: Message) -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigurationError, match="not one that yields"):
        App().consumer("orders", group="billing")(generator)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"prefetch": -1}, "prefetch"),
        ({"max_deliveries": 0}, "max_deliveries"),
        ({"timeout": 0}, "timeout"),
        ({"claim_idle": 0}, "claim_idle"),
        ({"block": 0}, "block"),
        ({"consumer_expiry": 1}, "consumer_expiry"),
        ({"dead_letter": "orders"}, "dead_letter"),
        ({"retries": 3}, "retries"),
    ],
)
def test_a_senseless_or_unknown_option_is_named(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        App().consumer("orders", group="billing", **options)
