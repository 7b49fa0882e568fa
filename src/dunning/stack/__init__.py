"""The development stack: the services of `temporal-dev.yml` as local processes. SPEC 16, 17.

Without Docker, root or an account: Temporal and PostgreSQL come out of Python packages.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dunning.stack.stack import Stack

__all__ = ["Stack"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: health checks start this package's small programs many times.
    if name == "Stack":
        from dunning.stack.stack import Stack

        return Stack
    raise AttributeError(name)
