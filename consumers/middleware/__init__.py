"""What surrounds each message: `app.use(middleware)`. One idea per file; `base.py` has the hooks."""

from consumers.middleware.base import CallNext, Middleware

__all__ = ["CallNext", "Middleware"]
