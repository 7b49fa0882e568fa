"""No decision on a stale clock: a guard around every workflow of a worker.

A query can reach a worker that does not hold the run while events wait for their workflow task (a timer that fired,
an activity that ended, a signal). The SDK (1.35) then replays the run and applies those events too, though their task
has not started; `workflow.now()` still reads the task before, days ago perhaps. A run that decides there ("not due
yet") commits to it, and every later replay, which knows the right time, contradicts it and fails for ever.
`tests/workers/test_fresh_time.py` shows it on a real server; docs/decisions/0008 tells the whole story.

The guard refuses such an activation: the query fails and may be asked again, the run leaves the cache, and its
workflow task replays it with the right time. Nothing reaches the history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

REFUSAL = "events were shown by a query before their workflow task started: the run is replayed with the right time"


class FreshTimeRunner(WorkflowRunner):
    """Another runner whose instances never act on a stale clock."""

    def __init__(self, inner: WorkflowRunner) -> None:
        self._inner = inner

    def prepare_workflow(self, defn: Any) -> None:
        """As the inner runner does."""
        self._inner.prepare_workflow(defn)

    def set_worker_level_failure_exception_types(self, types: Any) -> None:
        """As the inner runner does."""
        self._inner.set_worker_level_failure_exception_types(types)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """The inner runner's instance, guarded."""
        return _Guarded(self._inner.create_instance(det))


class _Guarded(WorkflowInstance):
    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner
        self._length = 0
        self._time_ns = 0
        self._last_command: Any = None
        self._of_command: dict[str, Any] = {}
        self._of_run: dict[str, Any] = {}

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        if self._is_stale(act):
            refused = WorkflowActivationCompletion(run_id=act.run_id)
            refused.failed.failure.message = REFUSAL
            return refused
        self._length = act.history_length
        self._time_ns = act.timestamp.ToNanoseconds()
        return self._inner.activate(act)

    def _is_stale(self, act: WorkflowActivation) -> bool:
        """New events of the history, and no new time: every workflow task brings its own.

        A replay is never refused, so a server whose clock stepped back costs one more workflow task at most.
        """
        if act.is_replaying or self._length == 0 or act.history_length <= self._length:
            return False
        return act.timestamp.ToNanoseconds() <= self._time_ns and any(_is_of_history(job) for job in act.jobs)

    def get_serialization_context(self, command_info: Any) -> Any:
        """As the inner instance says. See `_remembered`."""
        return self._remembered(self._inner.get_serialization_context, command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        """As the inner instance says. See `_remembered`."""
        return self._remembered(self._inner.get_external_store_context, command_info)

    def _remembered(self, ask: Callable[[Any], Any], command_info: Any) -> Any:
        """What is said of one command, or (None) of the run itself, does not change while it is asked.

        The SDK asks some thirty times a cycle, and each asking enters the sandbox: a tenth of a cycle's time.
        """
        if command_info != self._last_command:
            self._of_command.clear()
            self._last_command = command_info
        known = self._of_run if command_info is None else self._of_command
        if ask.__name__ not in known:
            known[ask.__name__] = ask(command_info)
        return known[ask.__name__]

    def get_info(self) -> workflow.Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


def _is_of_history(job: Any) -> bool:
    """Queries, evictions and local activities are the worker's own; everything else is an event."""
    kind = job.WhichOneof("variant")
    if kind == "resolve_activity":
        return not job.resolve_activity.is_local
    return kind not in ("query_workflow", "remove_from_cache")
