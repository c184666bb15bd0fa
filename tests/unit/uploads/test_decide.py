"""Decide: the bytes, the name and the policy, each rule at its border."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.detection import Track, Verdict
from gateway.domain.policy import FileRules
from gateway.uploads.decide import decide

SOUND = Track("audio", codec="opus")
PICTURES = Track("video", codec="vp09")


def _verdict(**facts: Any) -> Verdict:
    known: dict[str, Any] = {
        "container": "wav",
        "family": "wav",
        "media_type": "audio/vnd.wave",
        "kind": "audio",
        "tracks": (Track("audio", codec="pcm"),),
    }
    return Verdict(True, **(known | facts))


def _film(*tracks: Track) -> Verdict:
    return _verdict(container="webm", family="webm", media_type="video/webm", kind="video", tracks=tracks)


def _rules(**rules: Any) -> FileRules:
    return FileRules(max_file_size=1, allowed_extensions=frozenset({"wav", "mp3"}), **rules)


def _code(verdict: Verdict, filename: str = "a.wav", **rules: Any) -> str | None:
    rejection = decide(_rules(**rules), filename, verdict).rejection
    return rejection.code if rejection else None


def test_a_fitting_file_is_accepted() -> None:
    """No rejection, and nothing to say of its name."""
    decision = decide(_rules(), "a.wav", _verdict())
    assert decision.rejection is None
    answer = decision.to_dict()
    assert (answer["extension_mismatch"], answer["suggested_filename"]) == (False, None)
    assert (answer["media_type"], answer["accepted"]) == ("audio/vnd.wave", True)


def test_a_refused_file_is_rejected_with_the_reason_of_detection() -> None:
    """Without a reason one sentence stands for it."""
    refused = decide(_rules(), "a.wav", Verdict(False, reason="A page.", check="beginning"))
    assert refused.rejection is not None
    assert (refused.rejection.code, refused.rejection.detail) == ("type_not_recognised", "A page.")
    unknown = decide(_rules(), "a.wav", Verdict(False))
    assert unknown.rejection is not None
    assert unknown.rejection.detail == "The file is not audio or video."


@pytest.mark.parametrize("missing", ["family", "media_type", "kind"])
def test_an_accepted_file_without_a_type_is_rejected(missing: str) -> None:
    """What has no family, type or kind was not proven."""
    assert _code(_verdict(**{missing: None})) == "type_not_recognised"


@pytest.mark.parametrize(("policy", "code"), [("accept", None), ("strict", "extension_mismatch")])
def test_a_name_that_does_not_fit_is_noted_and_refused_by_strict(policy: str, code: str | None) -> None:
    """The answer names a fitting file name in both cases."""
    decision = decide(_rules(extension_mismatch=policy), "talk.mp3", _verdict())
    assert (decision.rejection.code if decision.rejection else None) == code
    answer = decision.to_dict()
    assert (answer["extension_mismatch"], answer["suggested_filename"]) == (True, "talk.wav")
    if decision.rejection:
        assert decision.rejection.detail == "This is a WAV file. Rename it to talk.wav."


def test_strict_takes_a_fitting_name() -> None:
    """Only a mismatch is refused."""
    assert _code(_verdict(), extension_mismatch="strict") is None


def test_the_codec_of_the_sound_decides_the_fitting_name() -> None:
    """Opus alone in an Ogg file is an .opus file; the pictures' codec does not count."""
    ogg = _verdict(container="ogg", family="ogg", media_type="audio/ogg", tracks=(Track("other"), SOUND))
    assert decide(_rules(), "talk.mp3", ogg).naming.suggested_filename == "talk.opus"
    silent = _verdict(container="ogg", family="ogg", media_type="audio/ogg", tracks=())
    assert decide(_rules(), "talk.mp3", silent).naming.suggested_filename == "talk.ogg"


def test_a_file_without_a_container_is_named_by_its_family() -> None:
    """The family stands for a missing container."""
    assert decide(_rules(), "talk.mp3", _verdict(container=None)).naming.suggested_filename == "talk.wav"


def test_a_film_needs_sound_only_where_the_policy_says_so() -> None:
    """The rule is about films: sound alone is not concerned, nor is a film with sound."""
    assert _code(_film(PICTURES), "a.webm") is None
    assert _code(_film(PICTURES), "a.webm", require_audio=True) == "no_audio"
    assert _code(_film(PICTURES, SOUND), "a.webm", require_audio=True) is None
    assert _code(_verdict(tracks=()), require_audio=True) is None


@pytest.mark.parametrize(
    ("seconds", "code"), [(None, None), (0.9, "too_short"), (1, None), (2, None), (2.1, "too_long")]
)
def test_a_duration_at_a_limit_is_accepted(seconds: float | None, code: str | None) -> None:
    """Shorter than the least and longer than the most are refused; an unknown duration breaks no rule."""
    assert _code(_verdict(duration_seconds=seconds), min_duration_seconds=1, max_duration_seconds=2) == code


def test_the_sentence_of_a_duration_names_both_numbers() -> None:
    """The sender learns how long the recording is and how long it may be."""
    short = decide(_rules(min_duration_seconds=1), "a.wav", _verdict(duration_seconds=0.5)).rejection
    long = decide(_rules(max_duration_seconds=2), "a.wav", _verdict(duration_seconds=2.5)).rejection
    assert short is not None
    assert long is not None
    assert short.detail == "The recording lasts 0.5 seconds. It must last at least 1."
    assert long.detail == "The recording lasts 2.5 seconds. It may last at most 2."


@pytest.mark.parametrize(("available", "code"), [(None, None), (0, "nothing_to_play"), (1, None)])
def test_a_header_without_sound_is_nothing_to_play(available: float | None, code: str | None) -> None:
    """A file that was cut is accepted while something of it plays."""
    assert _code(_verdict(available_seconds=available)) == code
