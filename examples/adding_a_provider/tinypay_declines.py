"""TinyPay's codes: one row each, with the class that is ours and where the code is documented."""

from __future__ import annotations

from dunning.domain.declines import DeclineClass, DeclineRow, DeclineTable

_SOURCE = "TinyPay's page of failure codes"


def _row(field: str, code: str, klass: DeclineClass) -> DeclineRow:
    return DeclineRow(field=field, code=code, klass=klass, source=_SOURCE)


TINYPAY_DECLINES = DeclineTable(
    provider="tinypay",
    version="1",
    rows=(
        _row("error_code", "insufficient_fund", DeclineClass.SOFT),
        _row("error_code", "failed_processing", DeclineClass.SOFT),
        _row("error_code", "timeout", DeclineClass.TECHNICAL),
        _row("error_code", "stolen_or_lost_card", DeclineClass.HARD),
        _row("error_code", "invalid_security_code", DeclineClass.ACTION),
        _row("api_code", "invalid_charge", DeclineClass.MERCHANT),
        _row("api_code", "not_found", DeclineClass.ACTION),
    ),
)
