"""What surrounds each message: `app.use(middleware)`. One idea per file; `base.py` has the hooks.

Tracing isn't imported here, as it needs a package that need not be there: `from consumers.middleware.tracing import
Tracing`.
"""

from consumers.middleware.base import CallBatch, CallNext, Middleware

__all__ = ["CallBatch", "CallNext", "Middleware"]
