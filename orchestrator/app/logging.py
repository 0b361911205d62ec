"""structlog for the daemon: text on a terminal, one JSON object a line elsewhere; the level may change as it runs."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

from orchestrator.core.traffic_views import LogLevel
from orchestrator.settings import LogSettings

_LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "exception": 40, "critical": 50}


class _Level:
    """The one level of the process. Loggers are cached, so they ask here."""

    least: LogLevel = "info"


def set_level(level: LogLevel) -> None:
    """From now on, for everything the daemon logs."""
    _Level.least = level


def level() -> LogLevel:
    return _Level.least


def _enough(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if _LEVELS.get(method, 50) < _LEVELS[_Level.least]:
        raise structlog.DropEvent
    return event


class _Steady:
    """A stream whose lines are lost where it takes none: a disk that is full, or a reader that has gone, is no reason
    for what is being told not to be done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure(settings: LogSettings) -> None:
    text = settings.format == "text" or (settings.format == "auto" and sys.stderr.isatty())
    set_level(settings.level)
    renderer = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            _enough,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([] if text else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Steady(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
