"""Prints what mlcroissant makes of the documents that are named: records, and every complaint about them, as JSON."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")  # those of other packages; complaints come by the log

import mlcroissant  # noqa: E402 - after the warnings are off
from absl import logging as absl  # noqa: E402

complaints: list[str] = []


class _Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        complaints.append(record.getMessage())


def told(value: Any) -> Any:
    """For JSON; of a picture its size."""
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "getpixel"):
        return list(value.size)
    return value if value is None or isinstance(value, int) else str(value)


for logger in (absl.get_absl_logger(), logging.getLogger()):
    logger.addHandler(_Listener(logging.WARNING))


def read(path: str) -> dict[str, Any]:
    complaints.clear()
    dataset = mlcroissant.Dataset(path)
    sets = {
        one.id: [{name: told(value) for name, value in record.items()} for record in dataset.records(one.id)]
        for one in dataset.metadata.record_sets
    }
    return {"sets": sets, "complaints": [*complaints], "version": dataset.metadata.version}


json.dump([read(path) for path in sys.argv[1:]], sys.stdout)
