"""Every code block of the documents, and the way in which each is run.

A block in a language that is not in `RUN` has to be in `ELSEWHERE`, with its reason and its test. So a new block is
run, or somebody says why it is not.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<language>[^\n]*)\n(?P<text>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
RUN = frozenset({"sh", "python", "sql", "json", "nginx"})
"""Languages that tests/e2e/test_docs_pages.py and tests/e2e/test_readme.py run."""


@dataclass(frozen=True)
class Block:
    """One code block of a page: where it begins, its language, its text without the indentation of a list."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Elsewhere:
    """The blocks of a page that contain *mark*, and the test that covers them."""

    page: str
    mark: str
    reason: str
    test: str
    language: str = ""
    every: bool = False
    """Many blocks are meant, because the test itself reads every block of this language."""

    def covers(self, block: Block) -> bool:
        """Say whether the block is one of those."""
        return block.page == self.page and self.mark in block.text and self.language in ("", block.language)


START = "tests/dev/test_dev_command.py::test_whole_life"
MAKE = "tests/unit/test_docs.py::test_every_make_target_and_test_of_a_block_exists"
EXPORTS = "tests/unit/test_settings_docs.py::test_every_block_of_settings_is_accepted"
FRAGMENT = "tests/unit/test_docs.py::test_every_name_of_a_recipe_is_in_its_module"
PICTURE = "tests/unit/test_docs.py::test_pictures_have_no_commands"
PAGES_TEST = "tests/e2e/test_docs_pages.py"
CLIENT = "tests/e2e/test_client_docs.py"
PREPARED = "tests/store/test_keys.py"
EVENTS = "tests/e2e/test_store_events.py::test_b12_a_real_event_makes_a_form_ready"
EMBEDDING = "tests/api/test_embedding.py::test_the_gateway_runs_in_an_application"
WITHOUT_HTTP = "tests/api/test_embedding.py::test_use_cases_run_without_http"
RECEIVER = "tests/e2e/test_webhook_docs.py::test_fastapi_receiver_keeps_each_ready_upload_once"
EXAMPLES = "tests/e2e/browser/test_examples.py"
UPPY = "tests/e2e/browser/test_uppy_docs.py"

PROGRAM = "A program of a server or a page: its own test starts it."

ELSEWHERE = (
    Elsewhere("README.md", "make dev", "Starts the gateway that the next blocks need, and runs every test.", START),
    Elsewhere("docs/getting-started.md", "make dev", "Starts the gateway that the next blocks need.", START),
    Elsewhere("docs/index.md", "make dev", "Starts the gateway.", START),
    Elsewhere("README.md", "POST /v1/uploads ", "A picture.", PICTURE),
    Elsewhere("docs/architecture.md", "presigned PUTs", "A picture.", PICTURE),
    Elsewhere("docs/architecture.md", "bootstrap  ", "A picture of the layers, which import-linter checks.", PICTURE),
    Elsewhere("docs/glossary.md", "(no row)", "A picture.", PICTURE),
    Elsewhere("CONTRIBUTING.md", "make ", "Runs the tests themselves.", MAKE, every=True),
    Elsewhere("docs/how-to-add.md", "make ", "Runs the tests themselves.", MAKE, "sh", every=True),
    Elsewhere("docs/how-to-add.md", ".venv/bin/python -m pytest", "Runs tests.", MAKE, "sh", every=True),
    Elsewhere("docs/how-to-add.md", "# gateway/", "A fragment to add to a module.", FRAGMENT, "python", every=True),
    Elsewhere("docs/settings.md", "export ", "A setting each.", EXPORTS, "sh", every=True),
    Elsewhere("docs/operations.md", "export GATEWAY_PUBLIC_URL", "A setting.", EXPORTS),
    Elsewhere("docs/operations.md", "export GATEWAY_TRUSTED_PROXIES", "Settings.", EXPORTS),
    Elsewhere("docs/operations.md", "export GATEWAY_DATABASE_URL", "Settings for PgBouncer.", EXPORTS),
    Elsewhere("docs/operations.md", "export GATEWAY_RATE_PER_TOKEN", "A setting.", EXPORTS),
    Elsewhere("docs/operations.md", "export GATEWAY_TENANT_OPEN_UPLOADS", "Settings.", EXPORTS),
    Elsewhere(
        "docs/operations.md",
        "gateway store prepare",
        "Needs the root key of a MinIO: the test runs it where TEST_STORE is minio.",
        f"{PAGES_TEST}::test_page_is_followed_from_top_to_bottom",
    ),
    Elsewhere(
        "docs/operations.md",
        "mc version enable",
        "Needs MinIO's command mc; the test enables versions as `gateway store prepare` does.",
        f"{PREPARED}::test_no_gateway_setting_holds_the_root_key",
    ),
    Elsewhere(
        "docs/operations.md",
        "docker compose",
        "Builds images, for which a test needs a Docker daemon; the file itself is checked.",
        "tests/unit/test_infra.py::test_compose_file_follows_the_specification",
    ),
    Elsewhere("docs/client.md", "", "Each block runs by itself.", f"{CLIENT}::test_examples_run", "python", every=True),
    Elsewhere("docs/client.md", "", "Each block runs by itself.", f"{CLIENT}::test_examples_run", "sh", every=True),
    Elsewhere("docs/client.md", "├── NotConfigured", "A tree of classes.", f"{CLIENT}::test_tree_of_errors_is_theirs"),
    Elsewhere("docs/embedding.md", "from fastapi import", PROGRAM, EMBEDDING),
    Elsewhere("docs/embedding.md", "from starlette.applications", PROGRAM, EMBEDDING),
    Elsewhere("docs/embedding.md", "from django", PROGRAM, EMBEDDING),
    Elsewhere("docs/embedding.md", "import asyncio", "Needs the settings of a server.", WITHOUT_HTTP),
    *(
        Elsewhere("docs/backend.md", name, PROGRAM, f"{EXAMPLES}::test_backend_gives_tokens_and_believes_the_gateway")
        for name in ("# fastapi_app.py", "# django_app.py", "// express_app.js")
    ),
    Elsewhere("docs/webhooks.md", "# webhook_receiver.py", PROGRAM, RECEIVER),
    Elsewhere(
        "docs/webhooks.md",
        "// webhook_receiver.js",
        PROGRAM,
        f"{EXAMPLES}::test_express_receiver_of_webhooks_keeps_each_ready_upload_once",
    ),
    Elsewhere(
        "docs/webhooks.md",
        "webhook-signature: ",
        "A request of the gateway.",
        f"{PAGES_TEST}::test_webhook_headers_are_those_of_the_page",
    ),
    Elsewhere("docs/javascript.md", "<!doctype html>", PROGRAM, f"{EXAMPLES}::test_page_of_the_documentation_uploads"),
    Elsewhere("docs/watching.md", "watchUpload", PROGRAM, f"{EXAMPLES}::test_page_watches_an_upload"),
    Elsewhere(
        "docs/watching.md",
        "event: progress",
        "An event that depends on the time of the upload.",
        "tests/api/test_live_progress.py::test_progress_is_what_the_store_holds",
    ),
    Elsewhere("docs/uppy.md", "def upload_token", PROGRAM, f"{UPPY}::test_snippet_uploads"),
    *(
        Elsewhere("docs/uppy.md", mark, PROGRAM, f"{UPPY}::test_snippet_uploads")
        for mark in ("getChunkSize", "signRequest", "AwsS3, { endpoint,", "endpoint: 'https://")
    ),
    Elsewhere("docs/uppy.md", "export function Uploads", PROGRAM, f"{UPPY}::test_react_example_uploads"),
    Elsewhere("docs/uppy.md", "MINIO_NOTIFY_WEBHOOK", "Settings of MinIO.", EVENTS),
)


@cache
def blocks_of(page: str) -> tuple[Block, ...]:
    """Return the blocks of a page in their order."""
    text = (ROOT / page).read_text()
    found = tuple(
        Block(page, text.count("\n", 0, match.start()) + 1, match["language"].strip(), textwrap.dedent(match["text"]))
        for match in FENCE.finditer(text)
    )
    fences = len(re.findall(r"^ *(?:`{3,}|~{3,})", text, re.MULTILINE))
    assert fences == 2 * len(found), f"{page} has a fence that this does not understand"
    return found


def every_block() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in PAGES for block in blocks_of(page)]


def elsewhere(block: Block) -> Elsewhere | None:
    """Return the entry that covers a block, if one does."""
    return next((entry for entry in ELSEWHERE if entry.covers(block)), None)


def is_output(block: Block) -> bool:
    """Say whether the block is the output of the block before it: text directly after commands or a program."""
    blocks = blocks_of(block.page)
    before = blocks[blocks.index(block) - 1] if block != blocks[0] else None
    if block.language != "text" or before is None or before.language not in ("sh", "python") or elsewhere(before):
        return False
    between = (ROOT / block.page).read_text().split("\n")[before.line + before.text.count("\n") + 1 : block.line - 1]
    return not any(line.startswith("#") for line in between) and len([line for line in between if line]) <= 2


def has_a_way(block: Block) -> bool:
    """Say whether a test runs the block or covers it."""
    return elsewhere(block) is not None or block.language in RUN or is_output(block)
