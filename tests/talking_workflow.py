"""A workflow that does nothing but talk; in a module of its own, because the sandbox loads it anew each run."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from dunning.log import workflow_logger

log = workflow_logger()


@workflow.defn(name="TalkingWorkflow")
class TalkingWorkflow:
    """Says one sentence before and one after a timer; `name` and `args` are taken on a log record."""

    @workflow.run
    async def run(self) -> None:
        """Talk, wait, talk."""
        log.info("before", name="base", args=[1], phone="+6281234567890")
        await workflow.sleep(timedelta(days=1))
        try:
            raise ValueError("ana@shop.example")
        except ValueError:
            log.exception("after")
        log.debug("whispered")
