"""What docs/client.md shows is run as it is written, and what it lists is complete."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import gateway.client as package
from gateway.cli.upload import Exit, app
from gateway.dev.store import StoreServer
from tests.e2e.stack import Stack, client_environment, running_gateway
from tests.processes import make_mp3

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def stack(
    make_database: Callable[[], str], store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run the gateway."""
    with running_gateway(make_database(), store_server, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_run(stack: Stack, tmp_path: Path, example: str) -> None:
    """Each example runs against a real gateway once it has a real address and key."""
    make_mp3(tmp_path / "interview.mp3")
    program = example.replace("https://uploads.example.com", stack.url).replace("gw_…", stack.key)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=client_environment(stack, tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_every_option_is_described() -> None:
    """The page has every option of the command."""
    shown = CliRunner().invoke(app, ["--help"]).output
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help"}
    assert options == set(re.findall(r"`(--[a-z-]+)", PAGE.split("### Exit codes")[0]))


def test_every_exit_code_is_described() -> None:
    """The page and the help text have every exit code."""
    table = PAGE.split("### Exit codes")[1].split("### `--json`")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [code.value for code in Exit]
    shown = " ".join(CliRunner().invoke(app, ["--help"]).output.split()).split("Exit codes: ")[1]
    assert all(f"{code.value} " in shown for code in Exit)


def test_every_error_is_described() -> None:
    """The page has every error class of the package."""
    for name in package.__all__:
        with contextlib.suppress(TypeError):
            if issubclass(getattr(package, name), Exception):
                assert re.search(rf"\b{name}\b", PAGE.split("### Errors")[1])
