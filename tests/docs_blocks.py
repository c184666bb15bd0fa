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
RUN = frozenset({"sh", "python", "sql", "json"})
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
    """Blocks that a test of its own covers: those of a page whose text has *mark* in it."""

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


MAKE = "tests/unit/test_docs.py::test_every_make_target_and_test_path_of_a_block_exists"
START = "tests/dev/test_dev_command.py::test_whole_life"
EXAMPLES = "tests/e2e/browser/test_examples.py"
UPPY = "tests/e2e/browser/test_uppy_docs.py::test_snippet_uploads"
EMBEDDING = "tests/api/test_embedding.py"
FRAGMENTS = "tests/unit/test_docs.py::test_every_name_in_a_recipe_is_in_its_module"
PICTURE = "tests/unit/test_docs.py::test_pictures_have_no_commands"

ELSEWHERE = (
    Elsewhere("README.md", "make dev", "Starts the gateway that the next blocks need, and runs every test.", START),
    Elsewhere("docs/getting-started.md", "make dev", "Starts the gateway that the next blocks need.", START),
    Elsewhere("README.md", "POST /v1/uploads ", "A picture.", PICTURE),
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
    """Return the entry of a block that a test of its own covers."""
    return next((entry for entry in ELSEWHERE if entry.covers(block)), None)


def is_output(block: Block) -> bool:
    """Say whether the block shows what the one before it prints: unlabelled text right after commands or a program."""
    blocks = blocks_of(block.page)
    before = blocks[blocks.index(block) - 1] if block != blocks[0] else None
    if block.language != "text" or before is None or before.language not in ("sh", "python") or elsewhere(before):
        return False
    between = (ROOT / block.page).read_text().split("\n")[before.line + before.text.count("\n") + 1 : block.line - 1]
    return not any(line.startswith("#") for line in between) and len([line for line in between if line]) <= 2


def has_a_way(block: Block) -> bool:
    """Say whether a test runs the block or covers it."""
    return elsewhere(block) is not None or block.language in RUN or is_output(block)
