"""The words of the upload page: every language has every sentence, and the page asks for no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gateway.domain.rejection import RejectionCode

WEB = Path(__file__).parents[2] / "gateway/web"
WORDS = {path.stem: json.loads(path.read_text()) for path in (WEB / "words").glob("*.json")}
ENGLISH = WORDS["en"]
GAP = re.compile(r"\{\w+\}")


def test_the_promised_languages_are_there() -> None:
    """English and five more."""
    assert sorted(WORDS) == ["ar", "de", "en", "es", "fr", "ja"]


@pytest.mark.parametrize("language", sorted(WORDS))
def test_dictionary_is_whole(language: str) -> None:
    """Each dictionary has the keys of the English one, each sentence its gaps, and none is empty or left in English."""
    words = WORDS[language]
    assert list(words) == list(ENGLISH)
    for key, text in words.items():
        assert text.strip(), key
        assert sorted(GAP.findall(text)) == sorted(GAP.findall(ENGLISH[key])), key
        if language != "en" and " " in ENGLISH[key] and key != "button_of":
            assert text != ENGLISH[key], key
    assert words["direction"] == ("rtl" if language == "ar" else "ltr")


def test_page_and_dictionary_agree() -> None:
    """The page uses no key that is missing, and no key is left over."""
    scripts = "".join(path.read_text() for path in sorted(WEB.glob("page*.js")))
    html = (WEB / "index.html").read_text()
    used = set(re.findall(r'data-(?:words|label)="(\w+)"', html))
    used |= set(re.findall(r'\bt\(\s*"(\w+)"', scripts))
    assert used <= set(ENGLISH)
    families = ("state_", "do_", "fact_", "rejected_", "failed_")
    mentioned = set(re.findall(r"\"(\w+)\"", scripts))
    assert {key for key in ENGLISH if not key.startswith(families)} <= used | mentioned | {"direction"}
    buttons = set(re.findall(r'data-do="(\w+)"', html))
    assert {f"do_{button}" for button in buttons} == {key for key in ENGLISH if key.startswith("do_")}


def test_page_without_script_says_the_same() -> None:
    """The English text in the page is the one of the dictionary."""
    html = (WEB / "index.html").read_text()
    texts = re.findall(r'data-words="(\w+)"[^>]*>\s*([^<]+?)\s*<', html)
    assert len(texts) > 15
    for key, text in texts:
        assert text == ENGLISH[key], key
    for label, key in re.findall(r'aria-label="([^"]+)" data-label="(\w+)"', html):
        assert label == ENGLISH[key]


def test_every_rejection_has_words() -> None:
    """A person reads no code: each has a sentence of its own, or shares one."""
    shared = dict(re.findall(r'^  (\w+): "(\w+)",$', (WEB / "page-words.js").read_text(), re.MULTILINE))
    for code in RejectionCode:
        assert f"rejected_{shared.get(code.value, code.value)}" in ENGLISH
