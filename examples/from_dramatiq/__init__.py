"""A program on dramatiq, and the same on this framework. README.md has the steps."""
