"""Xendit's adapter: the contract of all adapters, and what is Xendit's own."""

from __future__ import annotations

from tests.providers.contract import ProviderContract
from tests.providers.link_contract import LinkContract


class TestContract(ProviderContract, LinkContract):
    """Everything that is asked of every adapter."""
