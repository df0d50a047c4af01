"""The commit that an export names, read from what lies around."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gleanset.export.revision import checked_out


def git(folder: Path, *command: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *who, *command], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    assert checked_out(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert checked_out(tmp_path) is None, "nothing is committed"
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "One")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert checked_out(tmp_path) == head
    git(tmp_path, "worktree", "add", "--quiet", "../beside")
    assert checked_out(tmp_path.parent / "beside") == head
    git(tmp_path, "pack-refs", "--all")
    assert checked_out(tmp_path) == checked_out(tmp_path.parent / "beside") == head
    git(tmp_path, "checkout", "--quiet", "--detach")
    assert checked_out(tmp_path) == head
