"""`millstream version`"""

from broker.version import COMPATIBLE_WITH, VERSION, is_compiled


def version() -> None:
    """Print the version, and whether the core is compiled."""
    build = "compiled" if is_compiled() else "pure Python"
    print(f"millstream {VERSION} ({build}, speaks the protocol of Redis {COMPATIBLE_WITH})")
