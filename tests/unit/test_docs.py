"""What the code can say, the documents explain."""

from __future__ import annotations

import ast
import builtins
import importlib
import pkgutil
import re
from pathlib import Path

import gateway
from gateway.cli.main import COMMANDS
from gateway.domain.errors import GatewayError
from gateway.domain.rejection import RejectionCode
from tests.docs_blocks import ELSEWHERE, FRAGMENT, MAKE, PICTURE, elsewhere, every_block, has_a_way

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _every_error() -> set[type[GatewayError]]:
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not module.name.startswith(("gateway.database.migrations", "gateway.__main__")):
            importlib.import_module(module.name)
    found: set[type[GatewayError]] = set()
    waiting = [GatewayError]
    while waiting:
        error = waiting.pop()
        found.add(error)
        waiting += error.__subclasses__()
    return found


def test_every_problem_code_is_in_the_api_document() -> None:
    """A code that a client may meet has a line that says what to do."""
    table = (ROOT / "docs/api.md").read_text().partition("## Problems")[2]
    codes = {error.code for error in _every_error() if error.__module__.startswith("gateway.")}
    assert {code for code in codes if f"`{code}`" not in table} == set()


def test_every_rejection_code_is_in_the_api_document() -> None:
    """Every reason for which a file is rejected has a line."""
    text = (ROOT / "docs/api.md").read_text()
    codes = {code.value for code in RejectionCode}
    assert {name for name in codes if f"`{name}`" not in text} == set()


def test_every_link_between_documents_leads_somewhere() -> None:
    """A relative link names a file that is there."""
    links = r"\]\(([^)#:]+)(?:#[^)]*)?\)"
    broken = [
        f"{document.name}: {target}"
        for document in DOCUMENTS
        for target in re.findall(links, document.read_text())
        if not (document.parent / target).exists()
    ]
    assert broken == []


def test_every_path_of_the_code_exists() -> None:
    """A path of a module in a document names a file of the repository; a block of code may name a file to write."""
    documents = [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]
    named = {(document, path) for document in documents for path in _code_paths(document)}
    assert len(named) > 20
    assert sorted(f"{document.name}: {path}" for document, path in named if not (ROOT / path).exists()) == []


def _code_paths(document: Path) -> set[str]:
    text = document.read_text()
    paths = set(re.findall(r"\bgateway/[\w/-]+\.py\b", text))
    if document.name == "stores.md":
        paths |= {f"gateway/{path}" for path in re.findall(r"`([a-z_]+/[\w/]+\.py)`", text)}
    to_write = set(re.findall(r"^# (gateway/[\w/-]+\.py)$", text, re.MULTILINE))
    return paths - to_write


def test_every_name_in_the_stores_document_is_in_its_file() -> None:
    """The table of quirks names, after each path, a function or class that the file has."""
    pairs = re.findall(r"`([a-z_]+/[\w/]+\.py)`, `([\w.]+)`", (ROOT / "docs/stores.md").read_text())
    assert len(pairs) > 10
    missing = [
        f"{path}: {name}"
        for path, name in pairs
        if not re.search(rf"\b(def|class) {name.rpartition('.')[2]}\b|^{name} ?[:=]", _source(path), re.MULTILINE)
    ]
    assert missing == []


def _source(path: str) -> str:
    return (ROOT / "gateway" / path).read_text()


def test_every_command_is_in_a_document() -> None:
    """A command nobody wrote about is a command nobody finds."""
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    assert [name for name in COMMANDS if f"gateway {name}" not in text] == []


def test_every_decision_has_its_four_parts() -> None:
    """A decision says its context, its options, what was decided and what follows."""
    decisions = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert decisions
    for decision in decisions:
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", decision.name)
        headings = re.findall(r"^## (.+)$", decision.read_text(), re.MULTILINE)
        assert headings[:4] == ["Context", "Options", "Decision", "Consequences"], decision.name


def test_decisions_are_numbered_without_holes_and_listed() -> None:
    """The numbers of the decisions have no hole, and the index links every decision."""
    names = sorted(path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    index = (ROOT / "docs/decisions/index.md").read_text()
    assert [name for name in names if f"({name})" not in index] == []


def test_every_block_is_run_or_listed() -> None:
    """A block in a language that nothing runs is listed with the test that covers it."""
    assert [f"{block} {block.language}" for block in every_block() if not has_a_way(block)] == []


def test_every_listed_block_and_its_test_exist() -> None:
    """An entry of the list names one block (or says that it means many), and a test that is there."""
    for entry in ELSEWHERE:
        found = [block for block in every_block() if entry.covers(block)]
        assert len(found) == 1 or (entry.every and found), f"{entry} covers {len(found)} blocks"
        path, _, name = entry.test.partition("::")
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), entry.test
        assert entry.reason.endswith("."), entry


def test_pictures_have_no_commands() -> None:
    """A block that is listed as a picture is drawn with lines, and nobody can type it."""
    pictures = [block for block in every_block() if (entry := elsewhere(block)) and entry.test == PICTURE]
    assert pictures
    for block in pictures:
        assert block.language == "text", f"{block} is labelled {block.language}"
        assert re.search("[─│├└▶┌]", block.text), f"{block} is no picture"
        assert not re.search(r"^ *(\$ |make |curl |gateway \w|pip )", block.text, re.MULTILINE), f"{block} has commands"


def test_every_make_target_and_test_of_a_block_exists() -> None:
    """A block that runs tests or writes files names targets of the Makefile and tests that are there."""
    listed = [block for block in every_block() if (entry := elsewhere(block)) and entry.test == MAKE]
    lines = {(str(block), line.partition("#")[0].strip()) for block in listed for line in block.text.splitlines()}
    targets = {line.split()[1] for _, line in lines if line.startswith("make ")}
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets <= set(known), targets - set(known)
    for block, line in lines:
        assert line.startswith(("make ", ".venv/bin/python -m pytest ")), f"{block}: {line}"
        for path in re.findall(r"\btests/[\w/.]+", line):
            assert (ROOT / path).exists(), f"{block}: {path}"


def test_every_name_of_a_recipe_is_in_its_module() -> None:
    """A fragment uses names of the module that it is for, of the named function, or its own."""
    fragments = [block for block in every_block() if (entry := elsewhere(block)) and entry.test == FRAGMENT]
    assert len(fragments) > 5
    for block in fragments:
        place = re.match(r"# (gateway/[\w/]+)\.py(?:, in (\w+))?", block.text)
        assert place is not None, block
        tree = ast.parse(f"{{\n{block.text}}}" if re.search(r'^"\w+": ', block.text, re.MULTILINE) else block.text)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        own |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        missing = names - own - set(dir(builtins)) - _names_for(place[1], place[2])
        assert missing == set(), f"{block}: {place[1]} has no {missing}"


def _names_for(module: str, function: str | None) -> set[str]:
    """Return the names of a module and of one of its functions; a new module imports as its neighbours do."""
    path = ROOT / f"{module}.py"
    modules = [path] if path.exists() else [*path.parent.glob("*.py")]
    found: set[str] = set()
    for one in modules:
        module_name = ".".join(one.relative_to(ROOT).with_suffix("").parts)
        found |= set(vars(importlib.import_module(module_name)))
    if function:
        value = getattr(importlib.import_module(module.replace("/", ".")), function)
        code = getattr(value, "__code__", None)
        found |= set(code.co_varnames) if code else set(dir(value))
    return found
