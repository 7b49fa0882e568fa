"""One structured log for every process: what structlog and the standard library say, in one form. SPEC 18.

Secrets and contacts are redacted last, after tracebacks have become text, so nothing gets past.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from dunning.redaction import redact
from dunning.settings import Settings

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_CHATTY = ("alembic", "httpx", "httpcore", "uvicorn.access", "asyncio")


def configure_logging(
    settings: Settings | None = None,
    *,
    level: str | None = None,
    form: Literal["json", "console"] | None = None,
    service: str | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set this process's log up; calling it again replaces what was set.

    Args:
        settings: give level and form, unless they are given themselves.
        level: debug, info, warning or error; info when nobody says.
        form: one JSON object a line, or lines for people; JSON when nobody says.
        service: added to every line; it tells processes apart where their logs are merged.
        stream: standard error when not given.
    """
    level = level or (settings.log_level if settings else "info")
    form = form or (settings.log_format if settings else "json")
    structlog.reset_defaults()
    structlog.configure(
        processors=[*_common(service), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(form, service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(_LEVELS[level], logging.WARNING))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for everything but workflow code. Events are short sentences; facts are keyword arguments."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def workflow_logger(name: str = "workflows") -> structlog.stdlib.BoundLogger:
    """A logger for workflow code: silent during replay, and free of clocks and context variables."""
    from temporalio import workflow

    adapter = workflow.LoggerAdapter(logging.getLogger(name), None)
    adapter.workflow_info_on_message = False
    return cast(
        structlog.stdlib.BoundLogger,
        structlog.wrap_logger(
            adapter,
            wrapper_class=structlog.stdlib.BoundLogger,
            processors=[_drop_if_silent, _hand_to_record],
            cache_logger_on_first_use=False,
        ),
    )


def _formatter(form: Literal["json", "console"], service: str | None) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_common(service), _add_record],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _redact,
            _renderer(form),
        ],
    )


def _common(service: str | None) -> list[structlog.typing.Processor]:
    def add_service(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if service is not None:
            event.setdefault("service", service)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        add_service,
        _add_activity,
    ]


def _renderer(form: Literal["json", "console"]) -> structlog.typing.Processor:
    if form == "console":
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="at")
    return structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)


def _redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return cast(EventDict, redact(event))


def _drop_if_silent(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # structlog's own filter asks for attributes that Temporal's adapter does not have; the adapter is what
    # knows of replay.
    level = logging.ERROR if method == "exception" else _LEVELS.get(method, logging.INFO)
    if not logger.isEnabledFor(level):
        raise structlog.DropEvent
    return event


def _hand_to_record(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # One nested field, because names such as `name` or `args` are taken on a log record.
    given: dict[str, Any] = {"msg": event.pop("event", ""), "extra": {"structured": event}}
    for key in ("exc_info", "stack_info"):
        if key in event:
            given[key] = event.pop(key)
    return given


def _add_record(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    for source in ("temporal_workflow", "temporal_activity"):
        details = getattr(record, source, None)
        if isinstance(details, dict):
            event.update(_ids(details))
    structured = getattr(record, "structured", None)
    if isinstance(structured, dict):
        event.update(structured)
    return event


def _add_activity(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # Processes without Temporal never load it just to find out that no activity is running.
    activity = sys.modules.get("temporalio.activity")
    if activity is not None and activity.in_activity():
        info = activity.info()
        for key, value in (
            ("workflow_id", info.workflow_id),
            ("activity_type", info.activity_type),
            ("attempt", info.attempt),
        ):
            event.setdefault(key, value)
    return event


def _ids(details: MutableMapping[str, Any]) -> dict[str, Any]:
    kept = ("workflow_id", "run_id", "workflow_type", "activity_type", "attempt")
    return {key: details[key] for key in kept if key in details}
