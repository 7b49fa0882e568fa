"""Cards and tokens of the sandbox's Omise, and what its failure codes are called. Sheet B8, B10."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dunning.sandbox.book import PaymentMethod, machine_now, new_id
from dunning.sandbox.omise_bodies import whole
from dunning.sandbox.omise_errors import OmiseError

ADVICE = "Do not retry transaction with same card"
ADVICE_CODE = "9101"
REJECTED = "payment_rejected"

CODES = {
    "INSUFFICIENT_FUNDS": "insufficient_fund",
    "STOLEN_CARD": "stolen_or_lost_card",
    "LOST_CARD": "stolen_or_lost_card",
    "PICKUP_CARD": "stolen_or_lost_card",
    "FRAUDULENT": "failed_fraud_check",
    "DO_NOT_HONOR": REJECTED,
    "PROCESSING_ERROR": "failed_processing",
}
"""What words of scripts that were written for another provider are called here."""

MESSAGES = {
    "insufficient_fund": "insufficient funds in the account or the card has reached the credit limit",
    "stolen_or_lost_card": "card is stolen or lost",
    "failed_fraud_check": "card was marked as fraudulent",
    "failed_processing": "the card processing has failed",
    REJECTED: "Issuer Declined: By Issuing Bank",
}

TEST_CARDS = {
    "4111111111140011": "insufficient_fund",
    "5555551111110011": "insufficient_fund",
    "3530111111190011": "insufficient_fund",
    "4111111111130012": "stolen_or_lost_card",
    "5555551111100012": "stolen_or_lost_card",
    "3530111111180012": "stolen_or_lost_card",
    "4111111111120013": "failed_processing",
    "5555551111190013": "failed_processing",
    "3530111111170013": "failed_processing",
    "4111111111110014": REJECTED,
    "5555551111180014": REJECTED,
    "3530111111160014": REJECTED,
    "4111111111170018": "DO_NOT_HONOR",
}
"""Numbers that are always declined, and how. The last one comes with an advice not to retry."""


@dataclass
class Token:
    """A card on its way: good for one use."""

    token_id: str
    card: PaymentMethod
    is_used: bool = False


def failure_code(word: str) -> str:
    """A scripted decline as Omise calls it; its own codes stay as they are."""
    return CODES.get(word, word.lower())


def new_card(number: str = "4242424242424242", month: int = 6, year: int = 2032) -> PaymentMethod:
    """A card as the vault keeps it; the number itself is not kept."""
    network = {"4": "Visa", "5": "MasterCard", "3": "JCB"}.get(number[:1], "Visa")
    return PaymentMethod(
        new_id("card_test"),
        last4=number[-4:],
        network=network,
        expiry_month=f"{month:02}",
        expiry_year=str(year),
        declines_as=TEST_CARDS.get(number),
    )


def card_of(fields: dict[str, Any]) -> PaymentMethod:
    """The card that a request to the vault describes; raises `invalid_card`."""
    number = "".join(one for one in str(fields.get("number", "")) if one.isdigit())
    if not 13 <= len(number) <= 19:
        raise OmiseError("invalid_card", "number is invalid")
    month = whole(fields.get("expiration_month"), "expiration_month")
    year = whole(fields.get("expiration_year"), "expiration_year")
    now = machine_now()
    if not 1 <= month <= 12 or (year, month) < (now.year, now.month):
        raise OmiseError("invalid_card", "expiration date cannot be in the past")
    return new_card(number, month, year)
