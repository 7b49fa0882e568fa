"""Keys of the tests."""

from __future__ import annotations

import base64

from pydantic import SecretStr

OLD = base64.b64encode(bytes(range(32))).decode()
NEW = base64.b64encode(bytes(range(32, 64))).decode()
_KEYS = {"old": OLD, "new": NEW}


def ring(*names: str) -> dict[str, SecretStr]:
    """The named keys, the first of which seals."""
    return {name: SecretStr(_KEYS[name]) for name in names}
