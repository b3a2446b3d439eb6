"""What goes wrong in a script's libraries, as the script is told of it."""

from typing import Final

PULSE: Final = 50_000  # steps of something long (a tenth of a second) between two looks at who is waiting


class LibraryError(Exception):
    """Becomes a Lua error with this text. The only exception that a library function lets out."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def bad_argument(index: int, function: str, why: str) -> LibraryError:
    """Lua's own wording (luaL_argerror)."""
    return LibraryError(f"bad argument #{index} to '{function}' ({why})")


def type_name(value: object, missing: str = "no value") -> str:
    """Lua's name of a value's type."""
    if value is None:
        return missing
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, bytes) else "table"


def number(value: object, index: int, function: str, missing: str = "no value") -> float:
    """A number, or a text that spells one, as luaL_checknumber takes it. Integers stay int."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        found = spelled_number(value)
        if found is not None:
            return int(found) if found.is_integer() else found
    raise bad_argument(index, function, f"number expected, got {type_name(value, missing)}")


def text(value: object, index: int, function: str, missing: str = "no value") -> bytes:
    """A string, or a number as Lua prints it."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return b"%.14g" % value
    raise bad_argument(index, function, f"string expected, got {type_name(value, missing)}")


def spelled_number(value: bytes) -> float | None:
    """As C reads it: blanks around, hexadecimal too, up to the first NUL."""
    shown = value.partition(b"\0")[0].strip(b" \t\n\v\f\r").decode("latin-1")
    if "_" in shown:
        return None
    try:
        return float.fromhex(shown) if "x" in shown.lower() else float(shown)
    except (ValueError, OverflowError):
        return None
