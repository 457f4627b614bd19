"""The one error that the sandbox raises."""

from __future__ import annotations


class SandboxError(RuntimeError):
    """Something the operator can act on: what happened, where, and the remedy."""
