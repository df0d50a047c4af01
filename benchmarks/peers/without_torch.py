"""imagededup's hashes without torch: two of its packages ask for it on behalf of its neural network."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import imagededup


def open_packages() -> None:
    """Stand in for what these packages import when they open; their modules are found as ever."""
    for name in ("methods", "utils"):
        package = ModuleType(f"imagededup.{name}")
        package.__path__ = [str(Path(imagededup.__file__).with_name(name))]
        sys.modules[package.__name__] = package
