"""The inspector in the browser: a page, what it asks for, and the events that keep it alive. docs/inspector.md.

It is a client like any other: it asks the server over a connection inside the process (`link`), so that passwords and
limits hold for it, too. `sampling` gathers while somebody looks; `sessions` says who may; `web` speaks HTTP.
"""
