"""`python -m broker` is `millstream`."""

from broker.cli import main

if __name__ == "__main__":
    main()
