"""Write `.env.example` and `docs/settings.md` from the settings class: `make settings`."""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway.settings import GROUPS
from gateway.settings.common import environment_names

ROOT = Path(__file__).parents[1]
TEMPORARY = "the system's temporary folder"


@dataclass(frozen=True)
class Entry:
    """One setting as a person sees it."""

    group: str
    name: str
    other_name: str | None
    default: str
    description: str


def entries() -> Iterator[Entry]:
    """Return every setting in the order of the groups."""
    for group in GROUPS:
        for field in group.__annotations__:
            if field not in group.model_fields:
                continue
            info = group.model_fields[field]
            names = environment_names(field, info)
            other = names[1] if len(names) > 1 else None
            yield Entry(group.title, names[0], other, _shown(info.default), info.description or "")


def _shown(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, tuple):
        return ",".join(default)
    if default == Path(tempfile.gettempdir()):
        return TEMPORARY
    return str(default)


def example() -> str:
    """Give the text of `.env.example`: every setting at its default, commented out."""
    lines = ["# Every setting with its default. Copy to .env and take away the # of what you change."]
    group = ""
    for entry in entries():
        if entry.group != group:
            group = entry.group
            lines += ["", f"# == {group} =="]
        words = entry.description + (f" Also {entry.other_name}." if entry.other_name else "")
        lines += ["", *textwrap.wrap(words, 118, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"#{entry.name}={'' if entry.default == TEMPORARY else entry.default}")
    return "\n".join(lines) + "\n"


def table() -> str:
    """Give the text of `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Settings come from the environment, or from a file `.env` in the folder the program is started in. The",
        "environment wins. Sizes are bytes; `5GiB` and `512MB` are read too. Times are seconds; `90s` and `1h30m` are",
        "read too. This page is written by `make settings`.",
    ]
    group = ""
    for entry in entries():
        if entry.group != group:
            group = entry.group
            lines += ["", f"## {group}", "", "| name | default | what it does |", "| --- | --- | --- |"]
        default = entry.default if entry.default in ("", TEMPORARY) else f"`{entry.default.replace(',', ', ')}`"
        also = f" Also `{entry.other_name}`." if entry.other_name else ""
        lines.append(f"| `{entry.name}` | {default} | {entry.description.replace('|', chr(92) + '|')}{also} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / ".env.example").write_text(example())
    (ROOT / "docs" / "settings.md").write_text(table())
