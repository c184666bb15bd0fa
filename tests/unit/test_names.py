"""File names, extensions, keys and Content-Disposition."""

from __future__ import annotations

import re
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.content_disposition import attachment
from gateway.domain.object_key import new_object_key, new_post_key, new_upload_id
from gateway.domain.policy import extension_of


@pytest.mark.parametrize(
    ("filename", "extension"),
    [
        ("a.mp3", "mp3"),
        ("a.MP3", "mp3"),
        ("a.tar.mp3", "mp3"),
        ("a", ""),
        (".mp3", ""),
        ("a.", ""),
        ("a.mp3.", "mp3"),
        ("a.mp3 ", "mp3"),
        ("a.m p3", ""),
        ("a.mp3/", ""),
        ("a.\uff4d\uff50\uff13", ""),
        ("a.mp3\u202e", ""),
        ("a." + "x" * 17, ""),
    ],
)
def test_an_extension_is_plain_or_none(filename: str, extension: str) -> None:
    """Only ASCII letters and digits after the last dot are an extension; look-alikes are none."""
    assert extension_of(filename) == extension


@given(st.text(max_size=300))
def test_no_name_ends_its_header(name: str) -> None:
    """Whatever the name, the header is one line of printable ASCII with one quoted name."""
    header = attachment(name)
    assert re.fullmatch(
        r'attachment; filename="[^"\\\x00-\x1f\x7f-\U0010ffff]+"(; filename\*=UTF-8\'\'[!-~]+)?', header
    )


@pytest.mark.parametrize("name", ["ä ö.mp3", "日本語.mp3", "100%.mp3", "a'b(1).mp3", 'q"uote.mp3', "a;b.mp3"])
def test_the_true_name_comes_back(name: str) -> None:
    """The RFC 8187 form decodes to the name that was given."""
    _, _, encoded = attachment(name).partition("filename*=UTF-8''")
    if encoded:
        assert unquote(encoded) == name
    else:
        assert f'filename="{name}"' in attachment(name)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/passwd", "file.._.._etc_passwd"),
        ("\u202egnp.exe", "gnp.exe"),
        ("", "file"),
        ("\r\n", "file"),
        (".bashrc", "file.bashrc"),
        ("日本語", "file"),
    ],
)
def test_old_clients_get_a_harmless_name(name: str, plain: str) -> None:
    """The plain form names no folder, no hidden file and nothing backwards."""
    assert f'filename="{plain}"' in attachment(name)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.mp3",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.mp3",
        ),
        ("\U0001f469\u200d\U0001f3a4.mp3", "\U0001f469\u200d\U0001f3a4.mp3"),
        ("talk\u202e3pm.mp3", "talk3pm.mp3"),
        ("\u2066talk\u2069\u200e.mp3", "talk.mp3"),
    ],
)
def test_h14_joiners_stay_in_downloads_and_direction_marks_go(name: str, kept: str) -> None:
    """Persian words and emoji of several parts keep U+200C and U+200D; marks that reverse the writing are dropped."""
    encoded = attachment(name).partition("filename*=UTF-8''")[2]
    assert (unquote(encoded) if encoded else attachment(name).split('"')[1]) == kept


def test_upload_ids_are_uuids_of_version_7_in_order() -> None:
    """Ids are of version 7 and variant 1, and later ones sort later."""
    ids = [new_upload_id() for _ in range(50)]
    assert {identity.version for identity in ids} == {7}
    assert {identity.variant for identity in ids} == {UUID(int=0x8 << 60).variant}
    assert [i.int >> 80 for i in ids] == sorted(i.int >> 80 for i in ids)
    assert len(set(ids)) == 50


@pytest.mark.parametrize(("prefix", "key"), [("uploads", "uploads/"), ("/a/b/", "a/b/"), ("", ""), ("/", "")])
def test_a_key_has_no_empty_segment(prefix: str, key: str) -> None:
    """Slashes around the prefix make no `//`: one store drops bodies of such keys."""
    identity = new_upload_id()
    assert re.fullmatch(f"{key}{identity}-[0-9a-f]{{32}}\\.mp3", new_object_key(prefix, identity, "mp3"))


def test_i1_an_upload_id_does_not_reveal_its_keys() -> None:
    """Each key of one upload id has 128 random bits of its own: neither key follows from the id or from the other."""
    identity = new_upload_id()
    keys = [make("uploads", identity, "mp3") for make in (new_object_key, new_post_key) for _ in range(100)]
    secrets = [re.findall(r"-([0-9a-f]{32})\.mp3$", key)[0] for key in keys]
    assert len(set(secrets)) == len(secrets)
