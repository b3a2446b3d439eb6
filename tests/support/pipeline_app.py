"""A pipeline for tests that kill the worker which runs it: sums of `n` in windows of 100 ms, for each key."""

from consumers import App
from consumers.processing import count, total, tumbling

app = App()
(
    app.stream("events", time="at", watermark="50ms")
    .key_by("k")
    .window(tumbling("100ms"))
    .aggregate(seen=count(), sum=total("n"))
    .to("sums", batch=20, lease=1)
)
