"""The configuration: where values come from, what is refused and in which words."""

from __future__ import annotations

import logging
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dllm2rec.config.load import RECIPES, changed, config_to_toml, load_config
from dllm2rec.config.messages import AUTHORS_FLAGS
from dllm2rec.config.model import Config
from dllm2rec.errors import ConfigError


def written(folder: Path, text: str | bytes, name: str = "config.toml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(*overrides: str, recipe: str | None = None, path: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(recipe=recipe, path=path, overrides=overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_recipe_light_holds_the_defaults_and_strong_is_wider():
    assert load_config(recipe="light") == Config()
    strong = load_config()
    assert strong == load_config(recipe="strong")
    assert (strong.student.hidden_size, strong.student.n_blocks) == (128, 2)
    assert strong.student.dropouts == (0.05, 0.1, 0.2, 0.3, 0.5, 0.6)
    light = {"hidden_size": 64, "n_blocks": 1, "dropout": 0.4}
    train = {"max_epochs": 40, "schedule": "constant", "ema_decay": 0.0}
    assert changed(strong, student=light, train=train) == Config()


def test_a_grid_of_dropouts_is_sorted_and_checked():
    config = load_config(overrides="student.dropout=[0.5, 0.1, 0.5]")
    assert config.student.dropouts == (0.1, 0.5)
    assert load_config(overrides="student.dropout=0.2").student.dropouts == (0.2,)
    for wrong in ("[]", "[0.1, 1.0]", "[-0.1]", "1.0"):
        with pytest.raises(ConfigError, match=r"student\.dropout"):
            load_config(overrides=f"student.dropout={wrong}")


# The table of the recipes: what differs from the defaults.
PAPER = {
    "student": {
        "name": "sasrec", "hidden_size": 64, "dropout": 0.1, "n_blocks": 1, "n_heads": 1,
        "tied": True, "output_bias": True, "window_offset": False, "init_std": 0.01,
    },
    "loss": {"base": "bce", "n_negatives": 1, "dro_weight": 0.0, "dro_temperature": 1.0},
    "distillation": {
        "ranking_weight": (0.0, 0.2, 0.6, 1.0), "ranking_form": "importance", "top_k": 10,
        "drop_window_items": False, "position_gamma": 0.3, "confidence_gamma": 0.5,
        "consistency_gamma": 0.1, "position_temperature": 1.0, "confidence_temperature": 0.2,
        "embedding_weight": 0.3, "embedding_sides": "both",
    },
    "train": {
        "learning_rate": 1e-3, "batch_size": 256, "weight_decay": 0.0, "max_epochs": 100,
        "patience": 20, "seed": 0,
    },
}  # fmt: skip
AUTHORS = {
    "student": PAPER["student"] | {"tied": False},
    "loss": PAPER["loss"] | {"dro_weight": 1.0},
    "distillation": PAPER["distillation"]
    | {"ranking_weight": 0.8, "embedding_weight": 0.2, "embedding_sides": "input"},
    "train": PAPER["train"] | {"max_epochs": 1000, "patience": 10, "seed": 2024},
}


@pytest.mark.parametrize(
    ("recipe", "variant", "table"), [("paper", "default", PAPER), ("authors", "authors", AUTHORS)]
)
def test_recipe_holds_what_the_table_says(recipe, variant, table):
    dump = load_config(recipe=recipe).model_dump()
    assert dump["variant"] == variant
    for section, fields in table.items():
        assert {key: dump[section][key] for key in fields} == fields


def test_file_wins_over_recipe_and_override_over_file(tmp_path):
    path = written(tmp_path, 'recipe = "paper"\n[train]\nbatch_size = 7\nmax_epochs = 3\n')
    config = load_config(path=path, overrides=["train.max_epochs=5"])
    assert config.student.dropout == 0.1  # the recipe's
    assert config.train.batch_size == 7
    assert config.train.max_epochs == 5


def test_recipe_argument_wins_over_the_file_s(tmp_path):
    path = written(tmp_path, 'recipe = "paper"\n')
    assert load_config(recipe="light", path=path) == Config()


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("student.name=caser", "student", "name", "caser"),
        ('student.name="caser"', "student", "name", "caser"),
        ("student.tied=false", "student", "tied", False),
        ("train.learning_rate=1", "train", "learning_rate", 1.0),
        ("train.learning_rate = 3e-4", "train", "learning_rate", 3e-4),
        ("distillation.ranking_weight=[0, 0.2]", "distillation", "ranking_weight", (0.0, 0.2)),
        ("distillation.ranking_weight=0.2", "distillation", "ranking_weight", 0.2),
        ("evaluation.ks=[20, 5, 5]", "evaluation", "ks", (5, 20)),
    ],
)
def test_override_reads_toml_and_bare_words(override, section, field, value):
    assert getattr(getattr(load_config(overrides=[override]), section), field) == value


def test_the_last_override_wins():
    assert load_config(overrides=["train.seed=1", "train.seed=2"]).train.seed == 2


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("train.learing_rate=1", ["unknown key 'learing_rate'", "batch_size, device,",
                                  "did you mean 'learning_rate'?"]),
        ("student.batch_size=1", ["did you mean train.batch_size?"]),
        ("lamda=1", ["did you mean 'lam'?", "distillation.ranking_weight"]),
        ("distillation.lam=1", ["the authors' --lam is distillation.ranking_weight"]),
        ("train.max_epochs=1.5", ["--set train.max_epochs=1.5: 1.5, expected a whole number"]),
        ("train.max_epochs=1e3", ["--set train.max_epochs=1e3: 1000.0, expected a whole number"]),
        ("train.max_epochs=true", ["true, expected a whole number"]),
        ("train.learning_rate=true", ["true, expected a number"]),
        ('train.learning_rate="0.7"', ["'0.7', expected a number"]),
        ("train.learning_rate=0,001", ["--set train.learning_rate=0,001: expected newline"]),
        ("train.learning_rate=0", ["0, expected a number above 0"]),
        ("train.learning_rate=nan", ["nan, expected a"]),
        ("train.batch_size=0", ["0, expected a number at least 1"]),
        ("train.seed=-1", ["-1, expected a number at least 0"]),
        ("train.seed=18446744073709551616", ["expected a number below 9223372036854775808"]),
        ("train.seed=[1]", ["[1], expected a whole number"]),
        ("student.tied=1", ["1, expected true or false"]),
        ("student.name=sasrek", ["'sasrek', expected one of 'gru4rec', 'caser' or 'sasrec'"]),
        ("student.dropout=1.0", ["1.0, expected a number below 1"]),
        ("student.dropout=nan", ["nan"]),
        ("student.n_heads=3", ["n_heads = 3 does not divide hidden_size = 128"]),
        ("student.filter_heights=\"__import__('os')\"", ["expected a list"]),
        ("student.filter_heights=[2, 0]", ["0, expected a number at least 1"]),
        ("loss.dro_temperature=0", ["0, expected a number at least 0.001"]),
        ("loss.dro_temperature=-1.0", ["-1.0, expected a number at least 0.001"]),
        ("loss.dro_temperature=nan", ["nan"]),
        ("loss.dro_temperature=1e-300", ["1e-300, expected a number at least 0.001"]),
        ("loss.dro_weight=-0.5", ["-0.5, expected a number at least 0"]),
        ("loss.dro_weight=inf", ["inf, expected a finite number"]),
        ("distillation.position_gamma=-1", ["-1, expected a number at least 0"]),
        ("distillation.position_gamma=nan", ["nan"]),
        ("distillation.ranking_weight=-0.1", ["-0.1, expected a number at least 0"]),
        ("distillation.ranking_weight=[0.1, -0.1]", ["-0.1, expected a number at least 0"]),
        ("distillation.ranking_weight=[]", ["[], expected at least one value"]),
        ("distillation.ranking_weight=x", ["'x', expected a number or a list"]),
        ("distillation.ranking_weight=1.5", ["ranking_weight = 1.5, expected at most 1"]),
        ("distillation.top_k=0", ["0, expected a number at least 1"]),
        ("evaluation.ks=[]", ["[], expected at least one value"]),
        ("evaluation.ks=[0]", ["0, expected a number at least 1"]),
        ("loss.base=bce", ['loss.base = "bce"', '"softmax" or "sampled_softmax"']),
        ("variant=authors", ["student.tied = false and embedding_sides = \"input\""]),
        ("train=3", ["train is 3, expected a table [train]"]),
        ("train", ["expected section.field=value"]),
        ("train.=1", ["expected section.field=value"]),
        ("train.seed=1\nx=2", ["train.seed=1\\nx=2: several lines"]),
        ("train.seed=" + "[" * 5000, ["nested too deeply"]),
        ("train.seed=0x" + "f" * 5000, ["a number of 20000 bits"]),
        (".".join("a" * 4000) + "=1", ["expected section.field=value"]),
        ("recipe=paper", ["choose it with --recipe"]),
    ],
)  # fmt: skip
def test_override_is_refused_in_words_that_help(override, parts):
    message = refusal(override)
    for part in parts:
        assert part in message


def test_numbers_may_be_written_without_a_digit_beside_the_point(tmp_path):
    short = ["distillation.ranking_weight=[0, .25, 1.]", "loss.dro_weight=.5"]
    long = ["distillation.ranking_weight=[0, 0.25, 1.0]", "loss.dro_weight=0.5"]
    assert load_config(overrides=short) == load_config(overrides=long)
    path = written(tmp_path, "[loss]\ndro_weight = .5\n")
    assert "write a digit on both sides of a decimal point" in refusal(path=path)


def test_unseen_items_need_the_teacher_s_vectors_on_the_side_of_the_items():
    unseen = ["loss.unseen_by_text=true", "distillation.embedding_sides=input"]
    assert 'embedding_sides = "input", expected "both"' in refusal(*unseen)
    load_config(overrides=[*unseen, "distillation.embedding_weight=0"])


def test_items_are_left_to_their_text_by_themselves_where_a_setting_allows_it():
    strong = load_config()
    assert strong.leaves_out_unseen
    for other in (
        "loss.unseen_by_text=false",
        "loss.base=sampled_softmax",
        "distillation.embedding_sides=input",
        "distillation.embedding_weight=0",
    ):
        assert not load_config(overrides=[other]).leaves_out_unseen
    assert not load_config(recipe="authors").leaves_out_unseen


def test_all_gammas_zero_is_refused_unless_the_lists_weigh_nothing():
    zero = [f"distillation.{name}_gamma=0" for name in ("position", "confidence", "consistency")]
    assert "are all 0" in refusal(*zero, recipe="paper")
    load_config(recipe="paper", overrides=[*zero, "distillation.ranking_weight=0"])
    load_config(recipe="paper", overrides=zero[:2])


def test_heads_matter_only_to_sasrec():
    load_config(overrides=["student.name=gru4rec", "student.n_heads=3"])


def test_base_bce_fits_where_no_list_is_a_soft_target():
    load_config(overrides=["loss.base=bce", "distillation.ranking_weight=0"])
    load_config(overrides=["loss.base=bce", "distillation.ranking_form=importance"])


def test_several_findings_are_counted():
    assert "(and 1 more)" in refusal("train.seed=-1", "train.batch_size=0")


def test_every_authors_flag_points_to_a_field_that_exists():
    dump = Config().model_dump()
    for target in AUTHORS_FLAGS.values():
        section, field = target.split(".")
        assert field in dump[section]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[train]\nlearing_rate = 1", ["config.toml [train]: unknown key 'learing_rate'",
                                       "did you mean 'learning_rate'?"]),
        ("[trian]\nseed = 1", ["unknown key 'trian'", "did you mean 'train'?"]),
        ("[train]\nmax_epochs = 1.5", ["config.toml [train] max_epochs: 1.5, expected a whole"]),
        ("variant = 'x'", ["config.toml variant: 'x', expected one of 'default' or 'authors'"]),
        ("[train]\nseed = 1\nseed = 2", ["config.toml:", "overwrite"]),
        ("[train]\n[train]\n", ["config.toml:", "twice"]),
        ("[train]\n\tseed = 1", ["config.toml:2: a tab at the start of the line"]),
        (b"[train]\nseed = \xff", ["byte 15 is not UTF-8"]),
        ("recipe = 'papper'", ["unknown recipe 'papper'", "did you mean 'paper'?"]),
        ("recipe = 3", ["unknown recipe 3"]),
        ("a" + ".a" * 40_000 + " = 1", ["a key of over 16 dots"]),
        ("a = " + "[" * 90_000, ["nested too deeply"]),
        ("[train]\nseed = " + "9" * 5000, ["4300 digits"]),
    ],
)  # fmt: skip
def test_file_is_refused_in_words_that_help(tmp_path, text, parts):
    message = refusal(path=written(tmp_path, text))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["config.yaml", "config.yml", "config.JSON"])
def test_other_formats_are_refused_by_name_without_being_read(tmp_path, name):
    assert "expected TOML" in refusal(path=tmp_path / name)


def test_a_missing_file_and_impossible_paths_are_refused(tmp_path):
    assert "No such file" in refusal(path=tmp_path / "none.toml")
    assert "directory" in refusal(path=tmp_path)
    refusal(path=tmp_path / ("x" * 5000))
    refusal(path=Path("a\0b"))


def test_bom_and_windows_line_ends_are_accepted(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbf[train]\r\nseed = 3\r\n")
    assert load_config(path=path).train.seed == 3


@pytest.mark.parametrize("block", [b"a", b" ", b"\n \n"])
def test_a_huge_file_is_refused_fast(tmp_path, block):
    path = written(tmp_path, b"")
    with path.open("wb") as file:
        file.truncate(100_000_000)
    begin = time.process_time()
    tracemalloc.start()
    try:
        assert "over 100,000 bytes" in refusal(path=path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert time.process_time() - begin < 1
    path.write_bytes(block * (99_000 // len(block)))
    begin = time.process_time()
    if block == b"a":
        refusal(path=path)
    else:
        load_config(path=path)
    assert time.process_time() - begin < 1


def test_ks_are_sorted_with_a_note(caplog):
    with caplog.at_level(logging.INFO, "dllm2rec"):
        load_config(overrides=["evaluation.ks=[20, 5, 5]"])
    assert "evaluation.ks: [20, 5, 5] is read as [5, 20]" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "dllm2rec"):
        load_config(overrides=["evaluation.ks=[5, 20]"])
    assert not caplog.text


def test_changed_checks_what_it_changes():
    config = changed(Config(), student={"name": "caser"}, distillation={"ranking_weight": 0.3})
    assert config.student.name == "caser"
    assert config.distillation.ranking_weights == (0.3,)
    assert config.train == Config().train
    with pytest.raises(ConfigError, match="n_heads = 3 does not divide"):
        changed(Config(), student={"n_heads": 3})
    with pytest.raises(ConfigError, match="unknown key 'nam'"):
        changed(Config(), student={"nam": "caser"})


floats = st.floats(0, allow_infinity=False, allow_nan=False)
shares = st.floats(0, 1)


@st.composite
def configs(draw):
    heads = draw(st.integers(1, 8))
    return changed(
        Config(),
        student={
            "name": draw(st.sampled_from(["gru4rec", "caser", "sasrec"])),
            "hidden_size": heads * draw(st.integers(1, 300)),
            "n_heads": heads,
            "dropout": draw(st.floats(0, 1, exclude_max=True)),
            "filter_heights": draw(st.lists(st.integers(1, 50), min_size=1)),
            "tied": draw(st.booleans()),
            "init_std": draw(st.floats(0, exclude_min=True, allow_infinity=False)),
        },
        distillation={
            "ranking_weight": draw(shares | st.lists(shares, min_size=1)),
            "confidence_temperature": draw(st.floats(1e-3, allow_infinity=False)),
        },
        train={"seed": draw(st.integers(0, 2**63 - 1)), "weight_decay": draw(floats)},
        evaluation={"ks": draw(st.lists(st.integers(1, 10**6), min_size=1))},
    )


@given(config=configs())
def test_written_configuration_reads_back_equal_whatever_the_recipe(config, tmp_path_factory):
    path = written(tmp_path_factory.mktemp("config"), config_to_toml(config))
    for recipe in RECIPES:
        assert load_config(recipe=recipe, path=path) == config


def test_a_run_of_the_variant_s_former_name_still_loads(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('variant = "paper"\n', encoding="utf-8")
    assert load_config(path=file).variant == "default"
