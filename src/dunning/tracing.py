"""The id of the request that caused something, in the history of the run that it was about. SPEC 15.

The gateway binds it to the log of a request; here it goes on as a header of what is sent to Temporal because of it. A
header is no argument: no rule sees it, and a repeat of a command stays the same command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.converter import PayloadConverter

HEADER = "request_id"
"""Its name in histories, as in the log."""


class RequestIds(Interceptor):
    """Marks starts and updates with the request's id, where there is one."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        """As the SDK asks for it."""
        return _Marking(next)


class _Marking(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        input.headers = _marked(input.headers)
        return await super().start_workflow(input)

    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002
    ) -> WorkflowUpdateHandle[Any]:
        for part in (input.start_workflow_input, input.update_workflow_input):
            part.headers = _marked(part.headers)
        return await super().start_update_with_start_workflow(input)


def _marked(headers: Mapping[str, Payload]) -> Mapping[str, Payload]:
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if request_id is None:
        return headers
    return {**headers, HEADER: PayloadConverter.default.to_payload(str(request_id))}
