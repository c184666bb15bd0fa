"""File names and boundaries are read as real clients write them."""

from __future__ import annotations

import base64
import time
from contextlib import suppress
from urllib.parse import quote

import pytest

from gateway.domain.errors import Malformed
from gateway.streaming.form_headers import boundary_of, disposition_of


def filename(parameters: str) -> str | None:
    """Return the file name of a part with these parameters, as their bytes arrive."""
    return disposition_of(f'form-data; name="file"; {parameters}'.encode().decode("latin-1")).filename


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ('filename="talk.mp3"', "talk.mp3"),
        ("filename=talk.mp3", "talk.mp3"),
        ("filename=talk.mp3; filename*=utf-8''talk.mp3", "talk.mp3"),
        ("filename*=utf-8''n%C3%A4ive.mp3; filename=naive.mp3", "näive.mp3"),
        ("filename=\"=?utf-8?B?w7xiZXIubXAz?=\"; filename*=utf-8''%C3%BCber.mp3", "über.mp3"),
        ("FileName*=UTF-8'en'%E2%82%AC%20rates.mp3", "€ rates.mp3"),
        ("filename*=ISO-8859-1''na%EFve.mp3", "naïve.mp3"),
        ("filename=good.mp3; filename*=x-unknown''bad.mp3", "good.mp3"),
        ("filename=good.mp3; filename*=utf-8''%FF.mp3", "good.mp3"),
        ("filename=good.mp3; filename*=nonsense", "good.mp3"),
        ("filename=good.mp3; filename*=utf-8''", "good.mp3"),
        ("filename*=\"utf-8''%C3%BCber.mp3\"; filename=x.mp3", "über.mp3"),
        ('filename = "with blanks.mp3" ;', "with blanks.mp3"),
        ("filename=with blanks.mp3", "with blanks.mp3"),
        (r'filename="say \"hi\".mp3"', 'say "hi".mp3'),
        ('filename="semi;colon.mp3"', "semi;colon.mp3"),
        (r'filename="C:\talks\talk.mp3"', "talk.mp3"),
        (r'filename="\\\\server\share\talk.mp3"', "talk.mp3"),
        ('filename=""', ""),
        ("", None),
    ],
)
def test_h1_names_of_dotnet_and_others(parameters: str, expected: str | None) -> None:
    """Quoted or not, in any order and case; `filename*` wins when it can be read."""
    assert filename(parameters) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=?UTF-8?Q?=C3=BCber.mp3?=", "über.mp3"),
        ("=?utf-8?q?=C3=BCber=20uns.mp3?=", "über uns.mp3"),
        ("=?utf-8?Q?two_words.mp3?=", "two words.mp3"),
        (f"=?utf-8?B?{base64.b64encode('日本語.mp3'.encode()).decode()}?=", "日本語.mp3"),
        ("=?utf-8?B?5pel5pys?= =?utf-8?B?6KqeLm1wMw==?=", "日本語.mp3"),
        ("=?ISO-8859-1?Q?na=EFve.mp3?=", "naïve.mp3"),
        ("=?x-no-such?Q?abc?=", "=?x-no-such?Q?abc?="),
        ("=?utf-8?B?###?=", "=?utf-8?B?###?="),
        ("is 1=?2.mp3", "is 1=?2.mp3"),
        ("Ansicht =?UTF-8?Q?=C3=BCber?= uns.mp3", "Ansicht über uns.mp3"),
        ("=?utf-8?B?5pel5p8=?= =?utf-8?B?rKqeLm1wMw==?=", None),
        ("=?UTF-8?B?5pel5pw=?=  =?utf-8?B?rOiqni5tcDM=?=", "日本語.mp3"),
        ("=?utf-8?Q?=C3=BC?= =?iso-8859-1?Q?=E4.mp3?=", "üä.mp3"),
        ("=?utf-8*de?Q?=C3=BCber uns.mp3?=", "über uns.mp3"),
        ("=?Shift_JIS?B?k/qWew==?=.mp3", "日本.mp3"),
        ("=?utf-8?B?w7xiZXIubXAz=?=", "über.mp3"),
        ("=?idna?Q?xn--a.mp3?=", "=?idna?Q?xn--a.mp3?="),
        ("=?unicode_escape?Q?=5Cx41.mp3?=", "=?unicode_escape?Q?=5Cx41.mp3?="),
    ],
)
def test_h2_encoded_words_are_decoded(text: str, expected: str) -> None:
    """Spring and old .NET write RFC 2047; a text that only looks like it stays as it is."""
    found = filename(f'filename="{text}"')
    # A broken word stays as it came.
    assert found == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%C3%BCbung%20%281%29.mp3", "übung (1).mp3"),
        (quote("日本語 1.mp3", safe=""), "日本語 1.mp3"),
        ("100%.mp3", "100%.mp3"),
        ("50% of %C3%BC.mp3", "50% of %C3%BC.mp3"),
        ("%FF%FE.mp3", "%FF%FE.mp3"),
        ("%C3%BCü.mp3", "%C3%BCü.mp3"),
        ('a%22b "c".mp3'.replace('"', '\\"'), 'a"b "c".mp3'),
        ("line%0D%0Abreak and blank.mp3", "line\r\nbreak and blank.mp3"),
        ("plain.mp3", "plain.mp3"),
    ],
)
def test_h3_percent_encoded_names_are_decoded(text: str, expected: str) -> None:
    """Decoded when the whole name is valid percent-encoded UTF-8; browsers escape three characters only."""
    assert filename(f'filename="{text}"') == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fü", "fü"), ("=?utf-8?B?ZsO8?=", "fü"), ("f%C3%BC", "fü"), ("a%22b", 'a"b')],
)
def test_names_of_fields_are_read_like_names_of_files(name: str, expected: str) -> None:
    """Clients that encode a file name encode the name of its field in the same way."""
    assert disposition_of(f'form-data; name="{name}"'.encode().decode("latin-1")).name == expected


@pytest.mark.parametrize("unit", ["=?", "=?a?q?", "=?utf-8?b?", "%", "\\", '\\"', ";", "; a=", "'", "=?u?q?x?="])
def test_f4_hostile_names_cost_linear_time(unit: str) -> None:
    """The longest header that a part may have costs less than 50 ms of CPU, whatever it repeats."""
    header = 'form-data; name="file"; filename="' + unit * (4000 // len(unit)) + '"'
    began = time.process_time()
    for _ in range(20):
        with suppress(Malformed):
            disposition_of(header)
    assert time.process_time() - began < 1.0


def test_names_in_other_encodings_are_read() -> None:
    """Raw UTF-8 is UTF-8; other bytes are read as Windows programs write them, and never end the request."""
    header = 'form-data; name="file"; filename="'
    assert disposition_of(header + "日本.mp3".encode().decode("latin-1") + '"').filename == "日本.mp3"
    assert disposition_of(header + 't\xf6ne.mp3"').filename == "töne.mp3"


@pytest.mark.parametrize(
    "parameters", ["filename=a.mp3; filename=b.mp3", "filename*=utf-8''a.mp3; filename*=utf-8''b.mp3"]
)
def test_f7_a_parameter_given_twice_is_refused(parameters: str) -> None:
    """Two readers could choose two different names."""
    with pytest.raises(Malformed):
        filename(parameters)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data; boundary="a b\'c"', "a b'c"),
        ("multipart/form-data; boundary=----=_Part_1_2.3", "----=_Part_1_2.3"),
        ("multipart/form-data; boundary=a:b=c", "a:b=c"),
        ("multipart/form-data; boundary=abc;", "abc"),
        ("multipart/form-data; boundary=abc ; ; ", "abc"),
        ("Multipart/Form-Data; BOUNDARY=aBc", "aBc"),
        ("multipart/form-data; charset=utf-8; boundary=abc", "abc"),
        ("multipart/form-data;boundary=abc;charset=UTF-8", "abc"),
    ],
)
def test_h6_boundaries_are_read(content_type: str, expected: str) -> None:
    """Unquoted with `=` or `:`, with a `;` at the end, in any case."""
    assert boundary_of(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain; boundary=abc",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        f"multipart/form-data; boundary={'a' * 71}",
        "multipart/form-data; boundary=a\u00e9",
        'multipart/form-data; boundary="abc',
    ],
)
def test_f7_other_boundaries_are_refused(content_type: str) -> None:
    """None, two, one that is too long or has other characters."""
    with pytest.raises(Malformed):
        boundary_of(content_type)
