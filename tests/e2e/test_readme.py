"""The README and the tutorial are followed from top to bottom, as they are printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.dev.store import StoreServer
from tests.docs_blocks import ROOT, blocks_of, has_a_way
from tests.e2e.docs_runner import checkout, follow, reader_environment
from tests.e2e.stack import Stack, running_gateway


@pytest.fixture(scope="module")
def stack(
    make_database: Callable[[], str], store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run the gateway that `make dev` runs."""
    with running_gateway(make_database(), store_server, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_page_is_followed_from_top_to_bottom(page: str, stack: Stack, tmp_path: Path) -> None:
    """Every command and program works as it is typed; only the address and the key are those of this gateway."""
    assert [str(block) for block in blocks_of(page) if not has_a_way(block)] == []
    folder = checkout(tmp_path)
    replace = {"http://127.0.0.1:8080": stack.url, "gw_…": stack.key}
    outputs = follow(page, folder, reader_environment(stack, folder), replace)
    assert any("ready" in printed for printed in outputs.values())


def test_readme_begins_with_what_a_new_user_needs() -> None:
    """Before the first section stand three sentences, the two commands, the sample's upload, and links."""
    first = (ROOT / "README.md").read_text().partition("\n## ")[0]
    prose = first.partition("\n\n")[2].partition("\n\n```")[0]
    assert len(re.findall(r"\.(?:\*\*)?(?=\s|$)", prose)) == 3
    commands, upload, *_ = blocks_of("README.md")
    assert [line.split("#")[0].strip() for line in commands.text.splitlines()] == ["make dev", "make test"]
    assert upload.text.endswith(".venv/bin/gateway upload gateway/dev/sample.mp3\n")
