"""Fields of INFO that tell of what does not exist here: threads of I/O, moving data to tidy memory, spare buffers.

Exporters and dashboards that know them find them, and 0, which is true.
"""

from typing import Final

MEMORY: Final[dict[str, str | int | float]] = {
    "allocator_muzzy": 0,
    "mem_replica_full_sync_buffer": 0,
    "mem_clients_normal_shared": 0,
    "mem_cluster_slot_migration_output_buffer": 0,
    "mem_cluster_slot_migration_input_buffer": 0,
    "mem_cluster_slot_migration_input_buffer_peak": 0,
}
STATS: Final[dict[str, str | int | float]] = {
    "expired_stale_perc": "0.00",  # what has expired is known, not guessed from samples
    "expired_time_cap_reached_count": 0,
    "total_eviction_exceeded_time": 0,  # maxmemory is kept before a request is executed
    "current_eviction_exceeded_time": 0,
    "active_defrag_hits": 0,
    "active_defrag_misses": 0,
    "active_defrag_key_hits": 0,
    "active_defrag_key_misses": 0,
    "total_active_defrag_time": 0,
    "current_active_defrag_time": 0,
    "dump_payload_sanitizations": 0,
    "io_threaded_reads_processed": 0,
    "io_threaded_writes_processed": 0,
    "io_threaded_total_prefetch_batches": 0,
    "io_threaded_total_prefetch_entries": 0,
    "reply_buffer_shrinks": 0,
    "reply_buffer_expands": 0,
}
