"""Follow a page of the documents from top to bottom: its commands in one shell, its programs beside them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from tests.docs_blocks import ROOT, Block, blocks_of, elsewhere, is_output
from tests.e2e.stack import Stack, client_environment
from tests.processes import make_mp3

PAGE_SECONDS = 100
ADDRESS = "https://uploads.example.com"
CHECKOUT = ("gateway", "README.md")
# What a shell does with a page: it stops at the first command that fails, and a program that does not end gets a place
# of its own, as a reader gives it another terminal.
PROLOGUE = """set -euo pipefail
begin() { printf '\\n@@ %s\\n' "$1"; }
listens() {
  for _ in $(seq 600); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    kill -0 "$2" 2>/dev/null || { cat "server-$1.log"; return 1; }
    sleep 0.1
  done
  echo "nothing listens on port $1"
  return 1
}
"""


def checkout(folder: Path) -> Path:
    """Make *folder* a checkout after `make dev`, with the recordings that the pages name."""
    for name in CHECKOUT:
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    make_mp3(folder / "talk.mp3")
    shutil.copy(folder / "talk.mp3", folder / "interview.mp3")
    # curl ends with an error when an answer is one, so that no block passes with a refusal.
    (folder / ".curlrc").write_text("fail-with-body\n")
    return folder


def reader_environment(stack: Stack, folder: Path, *, installed: bool = False) -> dict[str, str]:
    """Give a reader's environment; `gateway` is on its PATH only where the page says that it is installed."""
    environment = client_environment(stack, folder)
    scripts = Path(sys.prefix) / "bin"
    others = [part for part in environment["PATH"].split(os.pathsep) if part and Path(part) != scripts]
    environment["PATH"] = os.pathsep.join([*([str(scripts)] if installed else []), *others])
    return environment


def follow(
    page: str,
    folder: Path,
    environment: Mapping[str, str],
    replace: Mapping[str, str] | None = None,
    servers: Mapping[str, int] | None = None,
) -> dict[Block, str]:
    """Run the blocks of a page and return what each printed; *servers* names programs that do not end, and their ports.

    Raises:
        AssertionError: A block fails, or prints something else than the page shows after it.
    """
    script = [PROLOGUE]
    ran = [block for block in blocks_of(page) if block.language in ("sh", "python") and elsewhere(block) is None]
    for block in ran:
        script += [f"begin {block}", _command(block, folder, replace or {}, servers or {})]
    with (folder / "terminal").open("w") as terminal:
        process = subprocess.Popen(
            ["bash", "-c", "\n".join(script)],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(PAGE_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    printed = dict(
        re.findall(r"^@@ (\S+)\n(.*?)(?=\n@@ |\Z)", (folder / "terminal").read_text(), re.MULTILINE | re.DOTALL)
    )
    last = [*printed][-1]
    assert code == 0, f"{last} ended with {code}:\n{printed[last]}"
    outputs = {block: printed[str(block)] for block in ran}
    _compare(page, outputs)
    return outputs


def _command(block: Block, folder: Path, replace: Mapping[str, str], servers: Mapping[str, int]) -> str:
    text = block.text
    for shown, here in replace.items():
        text = text.replace(shown, here)
    if block.language == "python":
        program = folder / f"line-{block.line}.py"
        program.write_text(text)
        return f"{sys.executable} {program}"
    port = next((port for mark, port in servers.items() if mark in block.text), None)
    if port is None:
        return text
    return f"( export GATEWAY_PORT={port}\n{text}) >server-{port}.log 2>&1 &\nlistens {port} $!"


def _compare(page: str, outputs: Mapping[Block, str]) -> None:
    """Compare what a block printed with what the page shows after it."""
    for before, shown in pairwise(blocks_of(page)):
        if is_output(shown):
            printed = outputs[before]
            assert shows(shown.text, printed), f"{shown} shows something else than this:\n{printed}"


def shows(shown: str, printed: str) -> bool:
    """Say whether *shown* is what was printed: … stands for any text in a line, and alone in a line for any lines."""
    lines = (".*" if line == "…" else re.escape(line).replace("…", "[^\n]*") + "\n" for line in shown.splitlines())
    return re.fullmatch("".join(lines), re.sub(r" *\n", "\n", f"{printed.rstrip()}\n"), re.DOTALL) is not None
