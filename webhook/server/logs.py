"""Logs on stderr: one JSON object a line, with fixed fields, and nothing of a pod in them."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

LONGEST = 1024
"""Characters of one field."""


class JsonFormatter(logging.Formatter):
    """A record as one line.  Fields come from ``extra={"fields": {…}}``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage()[:LONGEST],
        }
        line |= {key: _cut(value) for key, value in getattr(record, "fields", {}).items()}
        if record.exc_info and record.exc_info[0] is not None:
            # Where it happened and what kind it was; the message of an exception may quote a pod.
            line["error"] = record.exc_info[0].__name__
            line["at"] = [
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, default=str, separators=(",", ":"))  # in ASCII, so that nothing in it steers a terminal


def _cut(value: object) -> object:
    return value[:LONGEST] if isinstance(value, str) else value


def configure(stream: TextIO, level: str) -> logging.Logger:
    """Send our log lines, and asyncio's errors, to *stream*.  Returns our logger."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    for name, wanted in (("gpu_slice", level.upper()), ("asyncio", "ERROR")):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(wanted)
        logger.propagate = False
    return logging.getLogger("gpu_slice")
