"""What the documentation prints, taken out of it and made into pages and backends."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from gateway.dev.processes import accepts
from tests.conftest import missing
from tests.e2e.browser.harness import HERE, Gateway

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLE_ADDRESS = "https://uploads.example.com"
STOP_SECONDS = 20
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HTML = """<!doctype html><meta charset="utf-8"><title>{name}</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="{name}.css"><input type="file" id="file"><div id="root"></div>
<script type="module" src="{name}.js"></script>"""


def blocks(page: str, language: str, section: str = "") -> list[str]:
    """Give the code blocks of one language on a page of the documentation, or in one section of it."""
    text = (DOCS / page).read_text()
    if section:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [body for name, body in BLOCK.findall(text) if name == language]


def bundle(entry: Path, packages: str, folder: Path) -> None:
    """Bundle *entry*, whose name the page gets, with what npm put into a folder beside this file."""
    modules = HERE / packages / "node_modules"
    if not (modules / ".bin" / "esbuild").exists():
        missing(f"Packages are not installed: npm ci in tests/e2e/browser/{packages}.")
    options = ["--bundle", "--format=esm", "--target=es2022", "--jsx=automatic", "--log-level=error"]
    subprocess.run(
        [modules / ".bin" / "esbuild", entry, *options, f"--outfile={folder / f'{entry.stem}.js'}"],
        env={**os.environ, "NODE_PATH": str(modules)},
        check=True,
    )
    (folder / f"{entry.stem}.html").write_text(HTML.format(name=entry.stem))


@contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    gateway: Gateway,
    port: int,
    more: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> Iterator[httpx.Client]:
    """Run a backend until it listens, and give a client of it; what it prints can be had in a file."""
    environment = {"GATEWAY_URL": gateway.address, "GATEWAY_API_KEY": gateway.key, "PORT": str(port), **(more or {})}
    with ExitStack() as parts:
        printed = parts.enter_context(output.open("wb")) if output else None
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=printed)
        parts.callback(_stop, process)
        deadline = time.monotonic() + 60
        while not accepts(port):
            assert process.poll() is None, "the program ended"
            assert time.monotonic() < deadline, "the program does not listen"
            time.sleep(0.05)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield client


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
