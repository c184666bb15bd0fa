"""Images, documents and archives pass only where the policy takes their kind, and are looked into where they can be."""

from __future__ import annotations

import io
import tarfile

import pytest

from gateway.detection import Kind, inspect_bytes
from tests.unit.detection import media

ALL: frozenset[Kind] = frozenset(("audio", "video", "image", "document", "archive"))


@pytest.mark.parametrize("family", media.IMAGES)
def test_images_are_proven_and_refused_by_default(family: str) -> None:
    """An image is named as one, and accepted only where images are taken."""
    recipe = media.IMAGES[family]
    data = media.made(recipe)
    by_default, allowed = inspect_bytes(data), inspect_bytes(data, allowed_kinds=ALL)
    assert (by_default.accepted, by_default.check, by_default.media_type) == (False, "kind", recipe.media_type)
    assert (allowed.accepted, allowed.family, allowed.kind) == (True, family, "image")
    assert not allowed.by_magic_alone


@pytest.mark.parametrize("family", media.IMAGES)
def test_a_cut_or_extended_image_is_refused(family: str) -> None:
    """Half an image, its first bytes with a page behind them, and an image with a payload behind it are no images."""
    data = media.made(media.IMAGES[family])
    broken = {"begin": data[:16], "page": data[:12] + media.HTML}
    broken |= {kind: data + payload for kind, payload in media.PAYLOADS.items()}
    assert [name for name, bad in broken.items() if inspect_bytes(bad, allowed_kinds=ALL).accepted] == []


def test_a_policy_for_images_takes_no_sound() -> None:
    """The kinds of a policy are the only ones that pass."""
    verdict = inspect_bytes(media.genuine("x.wav"), allowed_kinds=frozenset(("image",)))
    assert (verdict.accepted, verdict.check, verdict.kind) == (False, "kind", "audio")


def test_pdf_and_zip_have_a_structure() -> None:
    """Their ends must belong to their beginnings."""
    pdf = inspect_bytes(media.PDF, allowed_kinds=ALL)
    archive = inspect_bytes(media.zip_archive(), allowed_kinds=ALL)
    assert (pdf.accepted, pdf.kind, pdf.media_type, pdf.by_magic_alone) == (True, "document", "application/pdf", False)
    assert (archive.accepted, archive.kind, archive.by_magic_alone) == (True, "archive", False)
    assert inspect_bytes(media.PDF[:30], allowed_kinds=ALL).check == "truncated"
    assert inspect_bytes(media.zip_archive()[:60], allowed_kinds=ALL).check == "truncated"
    moved = media.zip_archive()[:40] + b"junk" + media.zip_archive()[40:]
    assert inspect_bytes(moved, allowed_kinds=ALL).check == "structure"


def test_the_rest_is_marked_as_known_by_magic_bytes_alone() -> None:
    """A TIFF, a 7-Zip and an RTF pass where their kind is taken, with the mark that nobody looked inside."""
    samples: dict[Kind, bytes] = {
        "image": b"II*\0\x08\0\0\0" + bytes(100),
        "archive": media.SEVEN_ZIP,
        "document": b"{\\rtf1\\ansi hello}",
    }
    for kind, data in samples.items():
        verdict = inspect_bytes(data, allowed_kinds=ALL)
        assert (verdict.accepted, verdict.kind, verdict.by_magic_alone) == (True, kind, True), kind
        assert not inspect_bytes(data).accepted


@pytest.mark.parametrize("payload", ["html", "svg", "php", "shell", "windows", "linux"])
def test_no_policy_takes_what_runs(payload: str) -> None:
    """Pages, scripts and programs are refused where everything else passes."""
    verdict = inspect_bytes(media.PAYLOADS[payload], allowed_kinds=ALL)
    assert (verdict.accepted, verdict.check) == (False, "beginning")


def test_a_kind_that_is_not_taken_is_refused_in_its_own_words() -> None:
    """A policy for documents does not open the door for archives."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    assert inspect_bytes(buffer.getvalue(), allowed_kinds=frozenset(("document",))).check == "beginning"
