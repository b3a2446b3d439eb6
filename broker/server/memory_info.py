"""INFO memory, and what MEMORY STATS makes of it.

used_memory counts keys, values, clients and the server's own tables as engine/memory.py does: it is what maxmemory
bounds. used_memory_rss is the whole process as the system sees it, with the interpreter (some 40 MiB) and with memory
that was freed and is kept for later.
"""

from broker.datatypes.packed_entries import SHARED
from broker.datatypes.trash import TRASH
from broker.engine.engine import Engine
from broker.engine.memory import START_BYTES
from broker.keyspace.memory import EXPIRY_BYTES, KEY_BYTES
from broker.server import absent
from broker.server.hub import Hub
from broker.server.statistics import Statistics, resident_bytes, total_memory_bytes


def used_memory(engine: Engine, hub: Hub) -> int:
    """Bytes in use, of which clients hold a part."""
    if hub.measures:
        return engine.memory.used()
    return engine.memory.used() + clients_bytes(hub)


def clients_bytes(hub: Hub) -> int:
    return sum(connection.memory_bytes() for connection in hub.connections.values())


def memory_fields(engine: Engine, hub: Hub, statistics: Statistics, log_bytes: int) -> dict[str, str | int | float]:
    used, resident, total = used_memory(engine, hub), resident_bytes(), total_memory_bytes()
    statistics.note_memory(used, engine.clock.now_ms())
    peak = statistics.peak_memory
    clients, limit = clients_bytes(hub), engine.config.memory("maxmemory")
    keys = sum(db.size() * KEY_BYTES + len(db.expires) * EXPIRY_BYTES for db in engine.keyspace.databases)
    overhead = min(used, START_BYTES + clients + log_bytes + keys)
    dataset = used - overhead
    ratio = f"{resident / max(used, 1):.2f}"
    fields: dict[str, str | int | float] = {
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_time": statistics.peak_ms // 1000,
        "used_memory_peak_perc": f"{100 * used / max(peak, 1):.2f}%",
        "used_memory_overhead": overhead,
        "used_memory_startup": START_BYTES,
        "used_memory_dataset": dataset,
        "used_memory_dataset_perc": f"{100 * dataset / max(used - START_BYTES, 1):.2f}%",
        "allocator_allocated": used,
        "allocator_active": resident,
        "allocator_resident": resident,
        "total_system_memory": total,
        "total_system_memory_human": human(total),
    }
    fields |= _of_scripts(engine)
    fields |= {
        "maxmemory": limit,
        "maxmemory_human": human(limit),
        "maxmemory_policy": engine.config.text("maxmemory-policy"),
        "allocator_frag_ratio": ratio,
        "allocator_frag_bytes": max(0, resident - used),
        "allocator_rss_ratio": "1.00",
        "allocator_rss_bytes": 0,
        "rss_overhead_ratio": "1.00",
        "rss_overhead_bytes": 0,
        "mem_fragmentation_ratio": ratio,
        "mem_fragmentation_bytes": max(0, resident - used),
        "mem_stream_cache": int(SHARED.cached_bytes),
        "mem_stream_cache_limit": int(SHARED.cache_bytes),
        "mem_retained_channels": sum(rule.bytes for rule in engine.keyspace.channel_log.rules.values()),
        "mem_retained_channels_limit": sum(rule.max_bytes for rule in engine.keyspace.channel_log.rules.values()),
        "mem_not_counted_for_evict": 0,
        "mem_replication_backlog": 0,
        "mem_total_replication_buffers": 0,
        "mem_clients_slaves": 0,
        "mem_clients_normal": clients,
        "mem_clients_normal_unshared": clients,
        "mem_cluster_links": 0,
        "mem_aof_buffer": log_bytes,
        "mem_allocator": "python",
        "mem_overhead_db_hashtable_rehashing": 0,
        "active_defrag_running": 0,
        "lazyfree_pending_objects": int(TRASH.size),
        "lazyfreed_objects": int(TRASH.freed),
    }
    return fields | absent.MEMORY


def human(size: int) -> str:
    """Bytes as INFO's *_human fields show them. Redis: bytesToHuman."""
    if size < 1024:
        return f"{size}B"
    amount = float(size)
    for unit in "KMGTP":
        amount /= 1024
        if amount < 1024:
            return f"{amount:.2f}{unit}"
    return f"{amount:.2f}P"


def _of_scripts(engine: Engine) -> dict[str, str | int | float]:
    """The interpreters' memory, and what is cached and loaded. They are made when first needed."""
    scripts = engine.shared.scripts
    of_eval, of_functions, texts = scripts.memory() if scripts else (0, 0, 0)
    libraries, functions = scripts.function_counts() if scripts else (0, 0)
    sources = sum(map(len, engine.keyspace.libraries.values()))
    return {
        "used_memory_lua": of_eval,
        "used_memory_vm_eval": of_eval,
        "used_memory_lua_human": human(of_eval),
        "used_memory_scripts_eval": texts,
        "number_of_cached_scripts": scripts.cached_count() if scripts else 0,
        "number_of_functions": functions,
        "number_of_libraries": libraries,
        "used_memory_vm_functions": of_functions,
        "used_memory_vm_total": of_eval + of_functions,
        "used_memory_vm_total_human": human(of_eval + of_functions),
        "used_memory_functions": sources,
        "used_memory_scripts": texts + sources,
        "used_memory_scripts_human": human(texts + sources),
    }
