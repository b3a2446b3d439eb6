"""A task queue that computes: words of many files, counted in processes. README.md has the steps."""
