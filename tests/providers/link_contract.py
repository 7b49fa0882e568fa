"""What an adapter must do where the customer authorises on the provider's own page: derive it besides."""

from __future__ import annotations

from typing import Protocol

import pytest

from dunning.providers.base import MandateStatus
from tests.providers.ordering import Rig


class LinkRig(Rig, Protocol):
    """One whose provider lets the customer authorise on a page of its own."""

    async def visit(self, link: str, *, approves: bool = True) -> None:
        """The customer opens a hosted page and answers."""
        ...


@pytest.mark.server
class LinkContract:
    """Where the customer authorises on the provider's own page: derive it besides."""

    async def test_a_link_waits_for_the_customer_and_authorises_once_completed(self, rig: LinkRig) -> None:
        made = await rig.provider.create_mandate(rig.mandate_request())
        assert made.status is MandateStatus.WAITING
        assert made.link is not None
        await rig.visit(made.link)
        assert (await rig.provider.read_mandate(made.reference)).status is MandateStatus.AUTHORIZED

    async def test_a_link_that_nobody_opens_waits_and_can_be_given_back(self, rig: LinkRig) -> None:
        made = await rig.provider.create_mandate(rig.mandate_request())
        assert (await rig.provider.read_mandate(made.reference)).status is MandateStatus.WAITING
        await rig.provider.end_mandate(made.reference, reason="nobody came")

    async def test_a_declined_link_is_a_failed_mandate(self, rig: LinkRig) -> None:
        made = await rig.provider.create_mandate(rig.mandate_request())
        assert made.link is not None
        await rig.visit(made.link, approves=False)
        assert (await rig.provider.read_mandate(made.reference)).status is MandateStatus.FAILED
