"""Draws `docs/images/run.svg`: the terminal at the end of a real `gleanset demo`. Called by `make pictures`.

The command runs in a pseudo-terminal with a data folder of its own; what it wrote is what the picture shows.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from contextlib import suppress
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 112, 50
COMMAND = ["demo", "--out", "drawn.zip"]
PICTURE = Path(__file__).with_name("run.svg")
_CONTROL = re.compile(r"(\r|\n|\x1b\[[0-9;?]*[A-Za-z])")

# Rich's own template loads a web font; a picture must not load anything.
_SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; font-weight: bold }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def recorded(arguments: list[str]) -> str:
    """What the command writes to a terminal."""
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with tempfile.TemporaryDirectory(prefix="gleanset-") as folder:
        # Of its own, too, in a place short enough for a socket; nothing of the person's settings counts.
        environment = {n: v for n, v in os.environ.items() if not n.startswith(("GLEANSET_", "DATABASE_", "COLUMNS"))}
        environment |= {"GLEANSET_HOME": f"{folder}/home", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "backend.cli", *arguments],
            cwd=folder,
            env=environment,
            stdin=side,
            stdout=side,
            stderr=side,
        )
        os.close(side)
        written = bytearray()
        with suppress(OSError):  # how Linux tells that the other side of a terminal is closed
            while block := os.read(terminal, 65536):
                written += block
        os.close(terminal)
        if process.wait():
            sys.exit(f"gleanset {' '.join(arguments)} failed:\n{written.decode()}")
        return written.decode().replace(folder, "~")  # the folder is nobody's home, and another one at every run


def screen(written: str) -> list[str]:
    """The lines that stand there in the end; of the terminal's commands only those that rich uses for its bars."""
    lines, row = [""], 0
    for part in _CONTROL.split(written):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.startswith("\x1b[") and part[-1] == "A":
            row = max(0, row - int(part[2:-1] or 1))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part != "\r" and (not part.startswith("\x1b[") or part.endswith("m")):
            lines[row] += part
    return [line.rstrip() for line in lines]


def drawn(lines: list[str]) -> str:
    """The lines as SVG."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "green"), f"gleanset {' '.join(COMMAND)}"))
    for line in "\n".join(lines).strip("\n").split("\n"):
        console.print(Text.from_ansi(line), soft_wrap=True)
    svg = console.export_svg(title="gleanset demo", code_format=_SVG, unique_id="run")
    return "\n".join(line.strip() for line in svg.splitlines() if line.strip()) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(drawn(screen(recorded(COMMAND))), encoding="utf-8")
