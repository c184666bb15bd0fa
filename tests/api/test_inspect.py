"""A client asks before it sends: the answer is the one that an upload would get."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from gateway.detection.source import HEAD, TAIL
from tests.api.conftest import Api, OpenApi, mp3_bytes
from tests.unit.detection import media


async def ask(api: Api, filename: str, data: bytes, *ranges: tuple[int, int], size: int | None = None) -> Any:
    """Send these ranges of a file and return the answer."""
    body = {
        "filename": filename,
        "size_bytes": len(data) if size is None else size,
        "ranges": [
            {"start": start, "data": b64encode(data[start : start + length]).decode()} for start, length in ranges
        ],
    }
    answer = await api.call("POST", "/v1/inspect", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ask_until_answered(api: Api, filename: str, data: bytes) -> tuple[Any, int]:
    """Ask with head and tail, then send the ranges that are wanted; return the answer and the number of questions."""
    known = [(0, min(HEAD, len(data))), (max(0, len(data) - TAIL), TAIL)]
    for count in range(1, 25):
        answer = await ask(api, filename, data, *known)
        if answer["accepted"] is not None:
            return answer, count
        known += [(wanted["start"], wanted["length"]) for wanted in answer["wanted"]]
    raise AssertionError("no answer")


@pytest.mark.parametrize("name", ["end.mp4", "faststart.mp4", "x.mkv", "x.wav", "x.ts", "x.flac", "bare.mp3"])
async def test_head_and_tail_answer_at_once(api: Api, name: str) -> None:
    """The answer has the facts that an upload would have."""
    data = media.genuine(name)
    answer, questions = await ask_until_answered(api, name, data)
    assert (answer["accepted"], answer["wanted"], questions) == (True, [], 1)
    final = await api.ready(data, name)
    assert answer["detection"] == final["detection"]
    assert answer["content_type"] == final["content_type"]


async def test_missing_ranges_are_asked_for(api: Api) -> None:
    """Without bytes the check asks for the beginning; a film with its header at the end asks for that."""
    data = media.genuine("end.mp4")
    assert (await ask(api, "film.mp4", data))["wanted"] == [{"start": 0, "length": min(HEAD, len(data))}]
    large = data[:32] + (400_000).to_bytes(4) + b"free" + bytes(399_992) + data[32:]
    answer, questions = await ask_until_answered(api, "film.mp4", large)
    assert questions <= 4
    assert answer["accepted"] is not None


@pytest.mark.parametrize(
    ("filename", "data", "code"),
    [
        ("page.mp4", media.HTML, "type_not_recognised"),
        ("film.exe", media.genuine("end.mp4"), "extension_not_allowed"),
        ("half.mp4", media.genuine("end.mp4")[:3000], "type_not_recognised"),
    ],
)
async def test_a_refusal_has_the_code_and_sentence_of_an_upload(
    api: Api, filename: str, data: bytes, code: str
) -> None:
    """A wrong file is refused before it is sent."""
    answer, _ = await ask_until_answered(api, filename, data)
    assert (answer["accepted"], answer["rejection"]["code"]) == (False, code)
    assert answer["rejection"]["detail"].endswith(".")


async def test_size_and_policy_count(open_api: OpenApi) -> None:
    """A film without sound, a short recording and a file over the limit are refused by their own codes."""
    api = await open_api(require_audio=True, min_duration_seconds=60.0)
    silent, _ = await ask_until_answered(api, "mute.mp4", media.genuine("vp9.mp4"))
    short, _ = await ask_until_answered(api, "tone.mp3", media.genuine("x.mp3"))
    large = await ask(api, "tone.mp3", mp3_bytes(), size=6 * 1024**3)
    assert [one["rejection"]["code"] for one in (silent, short, large)] == ["no_audio", "too_short", "file_too_large"]


@pytest.mark.parametrize(
    "ranges",
    [
        [{"start": 0, "data": "%%%"}],
        [{"start": 90, "data": "AAAA" * 10}],
        [{"start": 0, "data": "AAAA"}] * 25,
        [{"start": -1, "data": "AAAA"}],
    ],
)
async def test_a_malformed_question_is_refused(api: Api, ranges: list[dict[str, object]]) -> None:
    """Ranges outside of the file, too many of them and data that is no Base64 are 4xx."""
    answer = await api.call("POST", "/v1/inspect", json={"filename": "a.mp3", "size_bytes": 100, "ranges": ranges})
    assert 400 <= answer.status_code < 500


async def test_it_needs_a_key(api: Api) -> None:
    """Nobody uses the gateway's CPU without one."""
    answer = await api.client.post("/v1/inspect", json={}, headers={"authorization": "Bearer no"})
    assert answer.status_code == 401
