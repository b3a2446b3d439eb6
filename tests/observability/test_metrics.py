"""What Prometheus reads, from figures in the form of INFO."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker.observability import metrics
from broker.observability.metrics import CommandStat, registry_of, render


class Figures:
    """A server's figures, to be set by hand."""

    def __init__(self, **info):
        self.fields = info
        self.commands = []
        self.databases = []

    def info(self):
        return self.fields

    def command_stats(self):
        return self.commands

    def keyspace(self):
        return self.databases


def samples(figures):
    body, content_type = render(registry_of(figures), "")
    assert content_type.startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_figures_become_samples():
    figures = Figures(
        connected_clients=3, blocked_clients=1, total_commands_processed=10, aof_current_size=99,
        aof_last_fsync_usec=2500, aof_last_write_status="ok", client_output_buffer_limit_disconnections=2,
        redis_version="8.2.0", used_memory_rss=4096, pubsub_messages_dropped=5, lazyfree_pending_objects=6,
    )  # fmt: skip
    figures.commands = [CommandStat("get", 7, 1500000, 1, 2), CommandStat("xgroup|create", 1, 10, 0, 0)]
    figures.databases = [(0, 5, 2), (9, 1, 0)]
    found = samples(figures)
    assert found["millstream_connected_clients",] == 3
    assert found["millstream_commands_total",] == 10
    assert found["millstream_aof_last_fsync_seconds",] == 0.0025
    assert found["millstream_aof_last_write_ok",] == 1
    assert found["millstream_slow_client_disconnections_total",] == 2
    assert found["millstream_memory_rss_bytes",] == 4096
    assert found["millstream_pubsub_messages_dropped_total",] == 5
    assert found["millstream_lazyfree_pending",] == 6
    assert found["millstream_server_info", "8.2.0"] == 1
    assert found["millstream_command_calls_total", "get"] == 7
    assert found["millstream_command_seconds_total", "get"] == 1.5
    assert found["millstream_command_rejected_total", "get"] == 1
    assert found["millstream_command_failed_total", "get"] == 2
    assert found["millstream_command_calls_total", "xgroup|create"] == 1
    assert found["millstream_database_keys", "9"] == 1
    assert found["millstream_database_expiring_keys", "0"] == 2


def test_the_figures_are_read_at_scrape_time():
    figures = Figures(connected_clients=1)
    registry = registry_of(figures)
    figures.fields["connected_clients"] = 2
    assert b"millstream_connected_clients 2.0" in render(registry, "")[0]


def test_a_figure_that_is_missing_is_left_out_and_not_zero():
    found = samples(Figures())
    assert not [key for key in found if key[0] in ("millstream_connected_clients", "millstream_commands_total")]


def test_a_failed_write_of_the_log_shows():
    assert samples(Figures(aof_last_write_status="err"))["millstream_aof_last_write_ok",] == 0


def test_the_figures_of_the_process_are_there():
    assert samples(Figures())["process_resident_memory_bytes",] > 1e6


def test_open_metrics_are_given_to_those_who_ask():
    body, content_type = render(
        registry_of(Figures(connected_clients=1)), "application/openmetrics-text; version=1.0.0"
    )
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("row", [*metrics.GAUGES, *metrics.COUNTERS, *metrics.STATES], ids=lambda row: row.name)
def test_names_follow_the_rules_of_prometheus(row):
    assert re.fullmatch("[a-z][a-z_]*", row.name)
    assert not row.name.endswith("_total")
    assert row.help.endswith(".")


def test_no_name_and_no_field_is_there_twice():
    rows = [*metrics.GAUGES, *metrics.COUNTERS, *metrics.STATES]
    assert len({row.name for row in rows}) == len({row.field for row in rows}) == len(rows)
