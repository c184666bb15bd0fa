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


EXAMPLES = {
    "GATEWAY_PUBLIC_URL": "https://uploads.example.com",
    "GATEWAY_ALLOWED_ORIGINS": "https://app.example.com,https://*.example.org",
    "GATEWAY_TRUSTED_PROXIES": "10.0.0.7,fd00::/8",
    "GATEWAY_DATABASE_DIRECT_URL": "postgresql://gateway@10.0.0.5:5432/gateway",
    "GATEWAY_S3_PUBLIC_ENDPOINT": "https://store.example.com",
    "GATEWAY_CLAMD_ADDRESS": "tcp://127.0.0.1:3310",
    "GATEWAY_MIN_DURATION_SECONDS": "1",
    "GATEWAY_MAX_DURATION_SECONDS": "14400",
    "GATEWAY_KEEP_ENDED_SECONDS": "30d",
    "GATEWAY_UPLOAD_STREAM_TENANT_FILES": "8",
    "GATEWAY_DEV_KEY": "a-key-for-development",
    "UPLOAD_DIR": "/srv/uploads",
    "MAX_FILE_SIZE": "2GiB",
    "ALLOWED_UPLOAD_EXTENSIONS": "mp3,wav,flac",
}
"""Values that show how to write a setting whose default does not."""


def command(entry: Entry) -> str:
    """Give the shell command that sets one setting, to its example, a new secret, or its default."""
    if entry.name in EXAMPLES:
        value = f"'{EXAMPLES[entry.name]}'"
    elif entry.name.endswith("_SECRET"):
        value = "$(openssl rand -hex 32)"
    elif entry.name.endswith("_PREVIOUS"):
        value = f'"${entry.name.removesuffix("_PREVIOUS")}"'
    elif entry.name.endswith(("_KEY_ID", "_ACCESS_KEY", "SESSION_TOKEN")):
        value = "…"
    else:
        value = entry.default
    return f"export {entry.name}={value}"


def page() -> str:
    """Give the text of `docs/settings.md`: a heading, a command, the default and a description for each setting."""
    lines = [
        "# Settings",
        "",
        "```sh",
        "export MAX_FILE_SIZE=2GiB GATEWAY_UPLOAD_SECONDS=2d",
        "```",
        "",
        "Settings come from the environment, or from a file `.env` in the folder where the program starts. The",
        "environment takes precedence. Sizes are bytes or `5GiB`, `512MB`. Times are seconds or `90s`, `1h30m`.",
        "`make settings` writes this page.",
    ]
    group = ""
    for entry in entries():
        if entry.group != group:
            group = entry.group
            lines += ["", f"## {group}"]
        lines += ["", f"### `{entry.name}`", "", "```sh", command(entry), "```", "", entry.description]
        if entry.default:
            shown = entry.default if entry.default == TEMPORARY else f"`{entry.default.replace(',', ', ')}`"
            lines += ["", f"Default: {shown}."]
        if entry.other_name:
            lines += ["", f"Other name: `{entry.other_name}`."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / ".env.example").write_text(example())
    (ROOT / "docs" / "settings.md").write_text(page())
