"""Compiles the hot packages with mypyc where a C compiler is; elsewhere, or with MILLSTREAM_PURE=1, they run as is."""

import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup

HOT = ["protocol", "datatypes", "keyspace", "rdb", "commands", "engine"]
HOT_FILES = ["broker/server/hub.py", "broker/server/connection.py", "broker/persistence/rdb_writer.py"]
HOT_FILES += [
    f"broker/scripting/{name}.py"
    for name in ("bit_operations", "cache", "calls", "errors", "interpreter", "json_text", "message_pack", "room")
    + ("rows", "scripts", "shapes", "struct_format", "tail_calls", "values")
]
HOT_FILES += ["broker/persistence/rdb_reader.py", "broker/persistence/rdb_state.py"]
HOT_FILES += ["broker/persistence/snapshot_bytes.py", "broker/persistence/snapshot_commands.py"]
HOT_FILES += ["broker/persistence/as_commands.py", "broker/persistence/stream_commands.py"]
HOT_FILES += ["broker/persistence/log_records.py", "broker/persistence/log_reader.py"]


def hot_files() -> list[str]:
    files = [str(path) for name in HOT for path in sorted(Path("broker", name).glob("*.py"))]
    return [file for file in files if not file.endswith("__init__.py")] + HOT_FILES


def has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CC", "cc").split()[0], "gcc", "clang"))


def extensions() -> list[Extension]:
    if os.environ.get("MILLSTREAM_PURE") == "1" or not has_compiler():
        print("millstream: installing without the compiled core", file=sys.stderr)
        return []
    from mypyc.build import mypycify

    modules: list[Extension] = mypycify(
        ["--config-file", "mypyc.ini", *hot_files()],
        opt_level=os.environ.get("MILLSTREAM_OPT", "3"),
        debug_level="0",
        multi_file=True,
    )
    for module in modules:
        module.optional = True  # a compiler that fails leaves a working, uncompiled installation
    return modules


setup(ext_modules=extensions())
