"""The development stack: the services of `temporal-dev.yml` as local processes. SPEC 16, 17.

Without Docker, root or an account: Temporal and PostgreSQL come out of Python packages.
"""

from dunning.stack.stack import Stack

__all__ = ["Stack"]
