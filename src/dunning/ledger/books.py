"""The book of orders that a provider collected by itself. SPEC 12, "Books"."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from dunning.domain.books import BookRow, RowKind
from dunning.ledger.base import Part
from dunning.ledger.schema import book_rows


class Books(Part):
    """Rows per item and order; writing one again changes nothing but a late fee."""

    async def book(self, account: str, rows: Sequence[BookRow], *, subscription: str | None) -> None:
        """Write rows down; those that are known stay, with the amount that was told last."""
        if not rows:
            return
        # One statement may name a row once: the last counts.
        unique = {(row.order_id, row.product_id, row.kind, row.number): row for row in rows}
        values = [
            {**row.model_dump(mode="python"), "kind": row.kind.value, "account": account, "subscription": subscription}
            for row in unique.values()
        ]
        statement = insert(book_rows).values(values)
        keys = [book_rows.c.account, book_rows.c.order_id, book_rows.c.product_id, book_rows.c.kind, book_rows.c.number]
        statement = statement.on_conflict_do_update(
            index_elements=keys, set_={"amount": statement.excluded.amount, "at": statement.excluded.at}
        )
        async with self._begin() as connection:
            await connection.execute(statement)

    async def booked(self, account: str, *, subscription: str | None = None) -> list[BookRow]:
        """All rows of an account, or of one subscription, by order."""
        query = select(book_rows).where(book_rows.c.account == account)
        if subscription is not None:
            query = query.where(book_rows.c.subscription == subscription)
        query = query.order_by(book_rows.c.order_id, book_rows.c.product_id, book_rows.c.kind, book_rows.c.number)
        async with self._begin() as connection:
            rows = (await connection.execute(query)).all()
        return [
            BookRow(
                order_id=row.order_id,
                product_id=row.product_id,
                kind=RowKind(row.kind),
                number=row.number,
                amount=row.amount,
                currency=row.currency,
                at=row.at,
            )
            for row in rows
        ]
