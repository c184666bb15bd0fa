"""puremagic is a second opinion: it must not be able to say no to what it does not know, nor yes alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from puremagic import main

from gateway.detection import inspect_bytes, magic
from gateway.detection.verdict import Refused
from gateway.domain.media_types import FAMILIES
from tests.unit.detection import media


@pytest.mark.parametrize("recipe", media.RECIPES, ids=lambda recipe: recipe.name)
def test_puremagic_agrees_with_every_container(recipe: media.Recipe) -> None:
    """The installed version's candidates hold the family of each genuine file, or may rightly be silent about it."""
    data = media.genuine(recipe.name)
    magic.agree(recipe.family, "file", data[:16_384], data[-4096:])


@pytest.mark.parametrize(
    "recipe", [*media.RECIPES, *media.UNKNOWN, *media.IMAGES.values()], ids=lambda recipe: recipe.name
)
def test_the_index_answers_as_puremagic_does(recipe: media.Recipe) -> None:
    """Looking rows up by place finds exactly the rows that puremagic's own matcher finds."""
    data = media.genuine(recipe.name)
    for payload in (b"", b"TAG" + bytes(125), *media.PAYLOADS.values()):
        for head, tail in ((data[:4096], (data + payload)[-516:]), (data[:64] + payload, payload[-516:])):
            assert {(row.extension, row.mime_type) for row, _ in magic.matches(head, tail)} == _own(head, tail)


def _own(head: bytes, tail: bytes) -> set[tuple[str, str]]:
    identify = getattr(main, "identify_all", None) or main._identify_all
    try:
        return {(row.extension, row.mime_type) for row in identify(head, tail)}
    except main.PureError:
        return set()


def test_silence_is_allowed_with_a_reason_only() -> None:
    """Every family that puremagic may not know says why."""
    assert set(magic.MAY_BE_SILENT) <= set(magic.NAMES)
    assert all(len(reason) > 20 for reason in magic.MAY_BE_SILENT.values())


def test_every_family_has_names_on_both_sides() -> None:
    """A family that can be detected can be matched with an extension, and the other way round."""
    assert set(magic.NAMES) | {"pdf", "zip"} == {family.name for family in FAMILIES}


@pytest.mark.parametrize("family", sorted(set(magic.NAMES) - set(magic.MAY_BE_SILENT)))
def test_a_family_that_puremagic_knows_needs_its_voice(family: str) -> None:
    """Silence, or another family's name, is disagreement."""
    for head in (b"\x01\x02\x03\x04nothing", media.genuine("x.wmv" if family != "asf" else "x.ogg")[:4096]):
        with pytest.raises(Refused) as refusal:
            magic.agree(family, family, head, b"")
        assert refusal.value.check == "magic"


def test_a_telling_row_denies_a_family_that_may_be_silent() -> None:
    """Not knowing is one thing; knowing better is another."""
    with pytest.raises(Refused, match="do not agree"):
        magic.agree("mpeg-ts", "ts", media.genuine("x.wmv")[:4096], b"")


@pytest.mark.parametrize("head", [b"\0\0" + b"\x80" * 100, b"", b"\0"])
def test_neither_an_empty_answer_nor_sounder_is_an_answer(head: bytes) -> None:
    """What 2.x says of every file that begins with two zeros is noise; no input raises."""
    assert not magic.candidates(head, b"").keys() & {"", ".sndr", "audio/x-sndr"}


def test_the_deep_scan_is_off_and_no_name_is_ever_passed(tmp_path: os.PathLike[str]) -> None:
    """puremagic opens files by name in its deep scan: a fresh process that detects has opened none."""
    program = (
        "import sys, os\n"
        "opened = []\n"
        "from gateway.detection import inspect_bytes\n"
        "inspect_bytes(b'a=b\\n' * 10)\n"
        "import puremagic\n"
        "sys.addaudithook(lambda event, args: opened.append(args) if event == 'open' else None)\n"
        "inspect_bytes(b'RIFF' + bytes(100)); inspect_bytes(b'ID3' + bytes(500)); inspect_bytes(b'z' * 500)\n"
        "assert os.environ['PUREMAGIC_DEEPSCAN'] == '0' or 'puremagic.scanners' not in sys.modules\n"
        "assert opened == [], opened\n"
    )
    data = media.genuine("x.mp3")
    assert inspect_bytes(data).accepted
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
