"""The settings class, `.env.example` and `docs/settings.md` say the same."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.docs_blocks import elsewhere, every_block
from tests.settings_docs import EXAMPLES, ROOT, command, entries, example, page


def test_example_lists_every_setting() -> None:
    """`.env.example` is what `make settings` writes."""
    assert (ROOT / ".env.example").read_text() == example()


def test_page_lists_every_setting() -> None:
    """`docs/settings.md` is what `make settings` writes."""
    assert (ROOT / "docs" / "settings.md").read_text() == page()


def test_every_setting_has_a_group_and_a_reason() -> None:
    """Every setting stands under a heading and is described by a sentence."""
    for entry in entries():
        assert entry.group, entry.name
        assert entry.description.endswith("."), entry.name


def test_every_setting_has_a_command_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of each setting sets something, and the settings class accepts every example."""
    assert [entry.name for entry in entries() if command(entry).endswith("=")] == []
    for name, value in EXAMPLES.items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None).max_file_size == 2 * 1024**3


def test_example_is_a_working_env_file(tmp_path: Path) -> None:
    """Taking away every # changes nothing: the values shown are the defaults, in a form that is read."""
    lines = [line[1:] for line in example().splitlines() if re.match(r"#[A-Z_0-9]+=.", line)]
    file = tmp_path / "settings.env"
    file.write_text("\n".join(lines))
    assert len(lines) >= 30
    assert Settings(_env_file=file) == Settings(_env_file=None)


def test_every_block_of_settings_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page exports in a shell is what the settings class reads, block by block."""
    exports = [block for block in every_block() if (entry := elsewhere(block)) and entry.test.endswith("is_accepted")]
    for block in exports:
        for line in block.text.splitlines():
            assert re.match(r"export [A-Z_0-9]+=", line), f"{block} does not only export settings"
    script = "".join(f"( {block.text}env -0; printf '@@\\0' )\n" for block in exports)
    shell = {"PATH": os.environ["PATH"], **dict.fromkeys(("GATEWAY_TOKEN_SECRET", "GATEWAY_WEBHOOK_SECRET"), "t" * 32)}
    printed = subprocess.run(["bash", "-euc", script], env=shell, capture_output=True, text=True, check=True).stdout
    environments = printed.split("@@\0")[:-1]
    assert len(environments) == len(exports) > 80
    for block, environment in zip(exports, environments, strict=True):
        values = dict(line.split("=", 1) for line in environment.split("\0")[:-1])
        named = re.findall(r"([A-Z_0-9]+)=", block.text)
        with monkeypatch.context() as patch:
            for name in named:
                patch.setenv(name, values[name])
                # An id without its secret is refused; the page shows each by itself.
                for one, other in (("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"), ("SECRET_ACCESS_KEY", "ACCESS_KEY_ID")):
                    if name.endswith(f"_{one}"):
                        patch.setenv(name.removesuffix(one) + other, values[name])
            found = Settings(_env_file=None)
        assert found.model_fields_set, f"{block} sets nothing"


@pytest.mark.parametrize("name", ["MAX_FILE_SIZE", "GATEWAY_MAX_FILE_SIZE"])
def test_seed_names_work_with_and_without_prefix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The four seed settings are read under their bare names too."""
    monkeypatch.setenv(name, "7")
    assert Settings(_env_file=None).max_file_size == 7
