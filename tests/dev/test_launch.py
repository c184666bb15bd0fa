"""The launcher changes the user, ties the child to its parent, and becomes the command."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.dev import launch

SHOW = "import os; print(os.getuid(), os.getpgid(0) == os.getpid())"


def _launch(*arguments: str, code: str = SHOW, parent: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, launch.__file__, str(parent or os.getpid()), str(int(signal.SIGKILL)), *arguments]
    return subprocess.run([*command, sys.executable, "-c", code], capture_output=True, text=True)


def test_command_runs_in_its_own_group() -> None:
    """The command stays the same user and leaves the terminal's group, where Ctrl-C would reach it."""
    assert _launch("-", "-").stdout.split() == [str(os.getuid()), "True"]


def test_command_of_a_dead_parent_does_not_start() -> None:
    """A parent that died before the kernel knew is noticed, and nothing is left running."""
    if sys.platform != "linux":
        pytest.skip("PR_SET_PDEATHSIG is Linux's")
    result = _launch("-", "-", parent=1)
    assert (result.returncode, result.stdout) == (1, "")


def test_root_becomes_another_user_that_still_reaches_its_files(tmp_path: Path) -> None:
    """As root the command runs as the other user, and works in a folder that only root may enter."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    nobody = pwd.getpwnam("nobody")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    code = f"import os, pathlib; pathlib.Path({str(closed / 'file')!r}).write_text('here'); print(os.getuid())"
    result = _launch(str(nobody.pw_uid), str(nobody.pw_gid), code=code)
    assert result.stdout.split() == [str(nobody.pw_uid)], result.stderr
    assert (closed / "file").read_text() == "here"


def test_former_root_cannot_come_back() -> None:
    """What became another user has no way to become root again."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    nobody = pwd.getpwnam("nobody")
    code = "import os; os.setuid(0)"
    assert "PermissionError" in _launch(str(nobody.pw_uid), str(nobody.pw_gid), code=code).stderr
