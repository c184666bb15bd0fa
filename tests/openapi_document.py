"""The OpenAPI document as it is committed: `make openapi` writes it, a test holds it to the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.api.app import create_app
from gateway.settings import Settings

PATH = Path(__file__).parents[1] / "docs/openapi.json"


def document() -> dict[str, Any]:
    """Give the document of an application with default settings."""
    return create_app(Settings(_env_file=None)).openapi()


def text() -> str:
    """Give the document as it is written."""
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
