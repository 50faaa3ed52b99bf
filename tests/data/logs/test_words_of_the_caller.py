"""Hints name what can be typed where the call came from: options, or arguments in Python."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

import dllm2rec
from dllm2rec import caller
from dllm2rec.caller import command_line, in_words_of_caller
from dllm2rec.cli import main
from dllm2rec.errors import ConfigError, InputError
from tests.test_named_options import named

PREPARE = Path("data/prepare_run.py"), Path("data/logs/layouts"), Path("data/protocol/load.py")
FORMS = {
    "Columns": dllm2rec.Columns,
    "LogForm": dllm2rec.LogForm,
    "TitlesForm": dllm2rec.TitlesForm,
}
CALLS = (dllm2rec.read_interactions, dllm2rec.read_titles, dllm2rec.prepare)


def test_every_option_that_a_data_room_names_has_a_name_in_python():
    lacking = {
        option
        for path, room, option in named()
        if room == "data"
        and not any(Path(path).is_relative_to(only) for only in PREPARE)
        and option not in caller._PYTHON
    }
    commands = {"--write", "--set", "--out", "--protocol"}  # of commands, or said by `words`
    assert lacking - commands == set()


@pytest.mark.parametrize(("option", "argument"), caller._PYTHON.items())
def test_what_an_option_is_called_in_python_is_there(option: str, argument: str) -> None:
    form, _, field = argument.rpartition("(")
    name = field.partition("=")[0]
    if form:
        taken, kind = form.split("=")
        assert name in {of.name for of in fields(FORMS[kind])}
        assert any(taken in inspect.signature(call).parameters for call in CALLS)
    else:
        assert any(name in inspect.signature(call).parameters for call in CALLS)


@pytest.mark.parametrize(
    ("hint", "in_python"),
    [
        ("give --delimiter ';'", "give delimiter=';'"),
        (r"give --titles-delimiter '\t' --titles-quotes none",
         r"give form=TitlesForm(delimiter='\t', quotes='none')"),
        ("--strip removes it", "strip=True removes it"),
        ("leave --id-type away: ids", "leave id_type away: ids"),
        ("leave --time-format away", "leave form=LogForm(time_format=...) away"),
        ("name it with --time-column, or", "name it with columns=Columns(time=...), or"),
        ("for instance: --no-header --user-column 1 --item-column 2",
         "for instance: form=LogForm(header=False), columns=Columns(user='1', item='2')"),
        ("--titles-id-column NAME", "form=TitlesForm(id_column=NAME)"),
        ("run: dllm2rec prepare x --format csv", "run: dllm2rec prepare x --format csv"),
        ("--formatting of pre--format", "--formatting of pre--format"),
    ],
)  # fmt: skip
def test_a_hint_is_spelled_as_its_caller_types_it(hint: str, in_python: str) -> None:
    assert in_words_of_caller(hint) == in_python
    with command_line():
        assert in_words_of_caller(hint) == hint


EVENTS = [("u1", "i1", "1600000000"), ("u1", "i2", "1600000100"), ("u1", "i3", "1600000200")]
FILES = {
    "a semicolon": ("log.csv", "user_id;item_id;timestamp\n", ";", EVENTS),
    "no header": ("log.csv", "", ",", EVENTS),
    "other days": ("log.csv", "user_id,item_id,timestamp\n", ",",
                   [("u1", f"i{day}", f"0{day}/02/2020") for day in (1, 2, 3)]),
    "white space": ("log.csv", "user_id,item_id,timestamp\n", ",",
                    [(f"{user} ", item, time) for user, item, time in EVENTS]),
    "no known ending": ("log.data", "user_id,item_id,timestamp\n", ",", EVENTS),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_hint_of_a_refused_log_is_typed_and_the_log_is_read(name: str, tmp_path: Path) -> None:
    file, head, delimiter, events = FILES[name]
    path = tmp_path / file
    path.write_text(head + "".join(delimiter.join(event) + "\n" for event in events))
    with pytest.raises(InputError) as caught:
        dllm2rec.read_interactions(path)
    assert "--" not in str(caught.value)
    found = re.search(r"\w+=(?:\w+\((?:[^()'\"]|'[^']*')*\)|'[^']*'|True)"
                      r"(?:, \w+=\w+\([^()]*\))*", caught.value.hint)  # fmt: skip
    assert found, caught.value.hint
    arguments = eval(f"dict({found.group()})", dict(FORMS))  # noqa: S307 - what a person would type
    assert len(dllm2rec.read_interactions(path, **arguments)) == len(events)


def test_the_same_refusal_names_the_option_on_the_command_line(tmp_path, capsys):
    (tmp_path / "log.csv").write_text("user_id;item_id;timestamp\nu1;i1;1600000000\n")
    words = ["prepare", str(tmp_path / "log.csv"), "--out", str(tmp_path / "out")]
    assert main(words) == 3
    hint = capsys.readouterr().err.partition("hint: ")[2]
    assert shlex.split(hint) == ["give", "--delimiter", ";"]


def test_refusals_of_forms_and_protocols_speak_to_their_caller():
    with pytest.raises(ConfigError, match=r"such as form=TitlesForm\(header=False, id_column='1'"):
        dllm2rec.TitlesForm(header=False)
    with pytest.raises(ConfigError, match=r"^protocol: unknown protocol 'five'"):
        dllm2rec.named_protocol("five")
    with command_line(), pytest.raises(ConfigError, match="such as --titles-no-header"):
        dllm2rec.TitlesForm(header=False)
