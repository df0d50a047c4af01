"""The command line: `gleanset`."""

import os

# numpy's linear algebra starts a thread a core, which spins at first and has nothing to do here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from backend.cli.main import app, main

__all__ = ["app", "main"]
