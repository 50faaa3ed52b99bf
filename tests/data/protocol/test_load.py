"""Protocols by name, from a file and from the command line."""

from __future__ import annotations

import pytest

from dllm2rec.data.protocol.load import load_protocol
from dllm2rec.data.protocol.model import Protocol, named_protocol
from dllm2rec.errors import ConfigError


def test_without_a_name_it_is_leave_one_out():
    assert load_protocol() == Protocol() == load_protocol("leave-one-out")


def test_a_file_starts_from_a_name_and_overrides_win(tmp_path):
    path = tmp_path / "shop.toml"
    path.write_text(
        'protocol = "five-core"\nmin_rating = 3.5\nsince = 2020-01-31\nmax_length = 20\n'
    )
    overrides = ["max_length=30", "split=global_time", "shares=[0.6,0.2,0.2]"]
    assert load_protocol(str(path), overrides) == Protocol(
        min_user_events=5,
        min_item_events=5,
        min_rating=3.5,
        since="2020-01-31",
        max_length=30,
        split="global_time",
        shares=(0.6, 0.2, 0.2),
    )


def test_an_empty_file_is_leave_one_out(tmp_path):
    path = tmp_path / "plain.toml"
    path.write_text("")
    assert load_protocol(str(path)) == Protocol()


def test_a_date_may_be_bare_or_quoted():
    for value in ("2020-01-31", '"2020-01-31"'):
        assert load_protocol(None, [f"since={value}"]).since == "2020-01-31"
    assert load_protocol(None, ["until=2020-01-31T10:00:00Z"]).until == "2020-01-31T10:00:00+00:00"


def test_a_name_keeps_its_fields_unless_overridden():
    games = named_protocol("bigrec-games")
    assert load_protocol("bigrec-games") == games
    assert load_protocol("bigrec-games", ["max_length=5"]).rows == games.rows


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("five-cores", [], "did you mean 'five-core'"),
        (None, ["min_users_events=5"], "did you mean 'min_user_events'"),
        (None, ["min_user_events"], "expected field=value"),
        (None, ["min_user_events=0"], "--set min_user_events=0: 0, expected a number at least 1"),
        (None, ["split=random"], "--set split=random: 'random', expected one of 'leave_one_out'"),
        (None, ["since=yesterday"], "since"),
        (None, ["shares=[0.5,0.5,0.5]"], "expected three that sum to 1"),
        (None, ["leave=3"], "leave = 3 is read by split"),
        ("none.toml", [], "none.toml: No such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(name, overrides, words):
    with pytest.raises(ConfigError) as caught:
        load_protocol(name, overrides)
    assert words in str(caught.value)
