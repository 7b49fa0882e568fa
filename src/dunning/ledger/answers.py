"""First answers by `Idempotency-Key`: a repeated request gets them again. SPEC 4, 9."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, select, update
from sqlalchemy.dialects.postgresql import insert

from dunning.domain.base import Value
from dunning.ledger.base import Part
from dunning.ledger.schema import answers


class Answer(Value):
    """What is known of a request with a key.

    Attributes:
        is_conflict: the key was used for another request.
        generation: the life of the subscription that the first request was to begin.
        status, body: the first answer; None while there is none, also when the first request died on its way.
    """

    is_conflict: bool = False
    generation: int
    status: int | None = None
    body: dict[str, Any] | None = None


class Answers(Part):
    """Requests that are done once, however often they are sent."""

    async def begin_request(self, account: str, key: str, *, fingerprint: str, generation: int) -> Answer:
        """Claim a key for a request, or find out what became of the first one.

        Args:
            fingerprint: a hash of everything that the request asks for.
            generation: what the request would begin now; the first request's is kept.
        """
        this = and_(answers.c.account == account, answers.c.key == key)
        new = insert(answers).values(account=account, key=key, fingerprint=fingerprint, generation=generation)
        async with self._begin() as connection:
            await connection.execute(new.on_conflict_do_nothing())
            row = (await connection.execute(select(answers).where(this))).one()
        if row.fingerprint != fingerprint:
            return Answer(is_conflict=True, generation=row.generation)
        return Answer(generation=row.generation, status=row.status, body=row.body)

    async def keep_answer(self, account: str, key: str, *, status: int, body: dict[str, Any]) -> None:
        """Remember the answer; the first one stays."""
        this = and_(answers.c.account == account, answers.c.key == key, answers.c.status.is_(None))
        async with self._begin() as connection:
            await connection.execute(update(answers).where(this).values(status=status, body=body))
