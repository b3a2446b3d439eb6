"""Web-hook fan-out: each event goes to all who subscribed to it. README.md has the steps."""
