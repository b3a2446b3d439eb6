"""Sends to the new worker, from a program that isn't async: `python -m examples.from_dramatiq.send`."""

from examples.from_dramatiq.after import app, charge


def main() -> None:
    with app.blocking() as call:
        handle = call(charge.send, "ann", 250)
        print(call(handle.result))


if __name__ == "__main__":
    main()
