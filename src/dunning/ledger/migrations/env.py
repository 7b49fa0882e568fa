"""Alembic's entry: `dunning.ledger.migrate` hands the connection over."""

from __future__ import annotations

from alembic import context

from dunning.ledger.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
