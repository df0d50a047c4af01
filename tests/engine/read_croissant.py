"""Prints what mlcroissant makes of the document that is named: its records, and every complaint about it, as JSON."""

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
dataset = mlcroissant.Dataset(sys.argv[1])
about = dataset.metadata
sets = {
    one.id: [{name: told(value) for name, value in record.items()} for record in dataset.records(one.id)]
    for one in about.record_sets
}
json.dump({"sets": sets, "complaints": complaints, "version": about.version, "about": about.to_json()}, sys.stdout)
