"""Settings are read as people write them, and a wrong one is reported by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from pydantic import ValidationError

from gateway.cli.environment import read_settings
from gateway.settings import Settings
from gateway.settings.units import parse_seconds, parse_size
from gateway.settings.unknown import unknown_variables


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("5GiB", 5 * 2**30),
        ("5 gib", 5 * 2**30),
        ("5G", 5 * 2**30),
        ("5Gi", 5 * 2**30),
        ("5GB", 5 * 10**9),
        ("1.5MiB", 3 * 2**19),
        ("5368709120", 5 * 2**30),
        ("5368709120B", 5 * 2**30),
    ],
)
def test_h25_sizes_are_read_with_their_unit(text: str, size_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A size may be written as operators write it elsewhere."""
    monkeypatch.setenv("MAX_FILE_SIZE", text)
    assert Settings(_env_file=None).max_file_size == size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h", 3600), ("90s", 90), ("1h30m", 5400), ("2 d", 172_800), ("86400", 86_400), ("1.5h", 5400), ("60000ms", 60)],
)
def test_h25_times_are_read_with_their_unit(text: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time may be written as operators write it elsewhere."""
    monkeypatch.setenv("GATEWAY_UPLOAD_SECONDS", text)
    assert Settings(_env_file=None).upload_seconds == seconds


def test_h25_parts_of_a_second_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds are read where the setting takes fractions."""
    monkeypatch.setenv("GATEWAY_S3_TIMEOUT_SECONDS", "1500ms")
    assert Settings(_env_file=None).s3_timeout_seconds == 1.5


@pytest.mark.parametrize("text", ["", "GiB", "5 parsecs", "-1h", "1e9", "0.1B", "5GiBB", "h1", "1h 3", "\u0665GiB"])
def test_h25_other_texts_stay_as_they_are(text: str) -> None:
    """A text that is neither a size nor a time reaches the check of the setting unchanged."""
    assert parse_size(text) == text
    assert parse_seconds(text) == text


def test_h25_a_size_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown unit is an error, not a default."""
    monkeypatch.setenv("MAX_FILE_SIZE", "5 parsecs")
    with pytest.raises(ValidationError):
        Settings(_env_file=None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_PORT", "eighty"),
        ("MAX_FILE_SIZE", "big"),
        ("GATEWAY_MAX_FILE_SIZE", "big"),
        ("GATEWAY_ALLOWED_ORIGINS", "https://a.example/"),
        ("GATEWAY_TRUSTED_PROXIES", "somewhere"),
        ("GATEWAY_UPLOAD_SECONDS", "soon"),
    ],
)
def test_h25_a_message_names_the_variable(
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A wrong setting is reported in one line that begins with the name of the variable to change."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    with pytest.raises(typer.Exit):
        read_settings()
    line = capsys.readouterr().err
    assert line.startswith(f"{variable}: ")
    assert line.count("\n") == 1


def test_h25_an_unknown_variable_is_named_with_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A misspelt setting is a warning: its value would silently have no effect."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_ALOWED_ORIGINS", "https://a.example")
    (tmp_path / ".env").write_text("GATEWAY_PROT=1\n")
    read_settings()
    assert capsys.readouterr().err.splitlines() == [
        "Warning: GATEWAY_ALOWED_ORIGINS is not a setting and has no effect. Did you mean GATEWAY_ALLOWED_ORIGINS?",
        "Warning: GATEWAY_PROT is not a setting and has no effect. Did you mean GATEWAY_PORT?",
    ]


def test_h25_variables_of_the_client_are_no_mistake() -> None:
    """GATEWAY_URL and GATEWAY_API_KEY belong to `gateway upload`."""
    assert unknown_variables(["GATEWAY_URL", "GATEWAY_API_KEY", "PATH"], frozenset({"GATEWAY_PORT"})) == {}


def test_h25_a_settings_file_that_is_no_text_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A settings file in another encoding ends the command with a sentence, not a traceback."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes("GATEWAY_PORT=80\n".encode("utf-16"))
    with pytest.raises(typer.Exit):
        read_settings()
    assert capsys.readouterr().err == "Cannot read the settings file .env: it is not UTF-8 text.\n"
