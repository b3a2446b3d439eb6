"""The section Persistence of INFO."""

from typing import TypeAlias

from broker.engine.engine import Engine
from broker.persistence.aof import AppendOnlyLog
from broker.server.loading import Loading
from broker.server.rewriting import Rewriting
from broker.server.saving import Saving

Value: TypeAlias = str | int | float


def persistence_fields(
    engine: Engine, log: AppendOnlyLog | None, saving: Saving, rewriting: Rewriting, loading: Loading
) -> dict[str, Value]:
    """Nothing is forked here, so what Redis tells of its children's memory is 0."""
    begins = rewriting.is_about_to_begin()
    taken, total = (rewriting if rewriting.is_active else saving).job.progress()
    fields: dict[str, Value] = {
        "loading": 1 if loading.is_active else 0,
        "async_loading": 0,
        "current_cow_peak": 0,
        "current_cow_size": 0,
        "current_cow_size_age": 0,
        "current_fork_perc": f"{100 * taken / max(total, 1):.2f}",
        "current_save_keys_processed": taken,
        "current_save_keys_total": total,
        "rdb_changes_since_last_save": saving.changes,
        "rdb_bgsave_in_progress": 1 if saving.is_active else 0,
        "rdb_last_save_time": saving.last_save,
        "rdb_last_bgsave_status": "ok" if saving.job.works else "err",
        "rdb_last_bgsave_time_sec": saving.job.last_seconds,
        "rdb_current_bgsave_time_sec": saving.job.active_seconds(),
        "rdb_saves": saving.job.done,
        "rdb_saves_consecutive_failures": saving.job.failures,
        "rdb_last_cow_size": 0,
        "rdb_last_load_keys_expired": loading.expired,
        "rdb_last_load_keys_loaded": loading.keys,
        "aof_enabled": 1 if log or begins else 0,
        "aof_rewrite_in_progress": 1 if rewriting.is_active or begins else 0,
        "aof_rewrite_scheduled": 1 if rewriting.job.is_scheduled else 0,
        "aof_last_rewrite_time_sec": rewriting.job.last_seconds,
        "aof_current_rewrite_time_sec": rewriting.job.active_seconds(),
        "aof_last_bgrewrite_status": "ok" if rewriting.job.works else "err",
        "aof_rewrites": rewriting.job.done,
        "aof_rewrites_consecutive_failures": rewriting.job.failures,
        "aof_last_write_status": "err" if log and log.last_error else "ok",
        "aof_last_cow_size": 0,
        "module_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
    }
    if log:
        fields |= {
            "aof_current_size": log.size,
            "aof_base_size": log.base_size,
            "aof_pending_rewrite": 0,
            "aof_buffer_length": log.held_bytes,
            "aof_pending_bio_fsync": 0,
            "aof_delayed_fsync": 0,
            "aof_fsyncs": log.syncs,
            "aof_last_fsync_usec": int(log.last_sync_seconds * 1e6),
        }
    if loading.is_active:
        fields |= loading.fields()
    return fields
