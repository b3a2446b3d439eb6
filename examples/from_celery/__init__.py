"""A program on Celery, and the same on this framework. README.md has the steps."""
