"""What every command of the command line has in common."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.client_options import printable, size_text
from gateway.cli.main import COMMANDS, app
from gateway.cli.upload_token import bytes_of, seconds_of

CLIENT_COMMANDS = [["upload"], ["ls"], ["status"], ["get"], ["rm"], ["watch"]]
CLIENT_COMMANDS += [["token", name] for name in ("create", "ls", "revoke")]
OPERATOR_COMMANDS = [["inspect"], ["dev"], ["serve"], ["worker"], ["db", "migrate"]]
OPERATOR_COMMANDS += [["keys", name] for name in ("create", "list", "ls", "revoke")]
OPERATOR_COMMANDS += [["store", name] for name in ("prepare", "policies", "check")]

EVERY_COMMAND = [[], *([name] for name in COMMANDS), *CLIENT_COMMANDS, *OPERATOR_COMMANDS]


def run(*arguments: str) -> Result:
    """Run `gateway …` in this process, on a wide terminal."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"}, prog_name="gateway")


@pytest.mark.parametrize(
    "command", [[], *([name] for name in COMMANDS), *CLIENT_COMMANDS, *OPERATOR_COMMANDS], ids=" ".join
)
def test_help_has_one_style(command: list[str]) -> None:
    """`-h` and `--help` are the same everywhere, and plain."""
    long, short = run(*command, "--help"), run(*command, "-h")
    assert (long.exit_code, short.exit_code) == (0, 0)
    assert long.output == short.output
    assert long.output.lstrip().startswith(" ".join(["Usage: gateway", *command]))
    assert "╭" not in long.output


@pytest.mark.parametrize("command", CLIENT_COMMANDS, ids=" ".join)
def test_every_client_command_has_the_common_options(command: list[str]) -> None:
    """--url, --key, -q and --json are in every command of the client."""
    shown = run(*command, "-h").output
    assert [option for option in ("--url", "--key", "-q, --quiet", "--json") if option not in shown] == []


@pytest.mark.parametrize("command", OPERATOR_COMMANDS, ids=" ".join)
def test_every_operator_command_is_quiet_and_prints_json(command: list[str]) -> None:
    """-q and --json are in every command of the operator too."""
    shown = run(*command, "-h").output
    assert [option for option in ("-q, --quiet", "--json") if option not in shown] == []


def test_the_table_of_operator_commands_is_complete() -> None:
    """A new command has to stand in one of the two tables above."""
    known = {command[0] for command in (*CLIENT_COMMANDS, *OPERATOR_COMMANDS)}
    assert known == set(COMMANDS)


@pytest.mark.parametrize("command", CLIENT_COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "ftp://x", "--key", "k"], "must begin with http:// or https://"),
        (["--url", "http://x:99999", "--key", "k"], "must begin with http:// or https://"),
        (["--key", " "], "an API key is needed"),
    ],
)
def test_h25_wrong_settings_end_with_one_line(
    command: list[str], options: list[str], words: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An address that is none and a missing key end with exit code 2 and one line that names the variable."""
    file = tmp_path_factory.mktemp("files") / "a.mp3"
    file.touch()
    argument = {"ls": [], "watch": [], "create": []}.get(command[-1], [str(file)])
    if command == ["token", "ls"]:
        argument = []
    done = run(*command, *argument, *options)
    assert done.exit_code == 2
    [line] = done.output.splitlines()
    assert words in line
    assert "GATEWAY_" in line


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "?"), (0, "0 B"), (1023, "1023 B"), (64 << 20, "64 MiB"), (3 << 29, "1.5 GiB"), (1 << 50, "1024 TiB")],
)
def test_sizes_for_people(size: int | None, text: str) -> None:
    """Sizes have a binary unit and at most one decimal."""
    assert size_text(size) == text


def test_durations_and_sizes_of_options() -> None:
    """`1h` and `5GiB` are understood, with and without a unit."""
    assert [seconds_of(text) for text in ("90", "90s", "30m", "1h", "7D")] == [90, 90, 1800, 3600, 604_800]
    assert [bytes_of(text) for text in ("5", "500MiB", "5gib", "1 KB")] == [5, 500 << 20, 5 << 30, 1000]


def test_names_cannot_steer_a_terminal() -> None:
    """Control characters, direction marks and bytes that are no text are replaced."""
    assert printable("a\x1b[31m\u202e\udcff\n.mp3") == "a\ufffd[31m\ufffd\ufffd\ufffd.mp3"
