"""Write what the documentation has from the code: the settings table and the page of error codes.

    python docs/make_pages.py

writes `docs/errors.md` and the table inside `docs/settings.md`. A test holds both to the code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dllm2rec import Config, load_config
from dllm2rec.error_codes import CODES, Code

DOCS = Path(__file__).resolve().parent
RECIPES = ("strong", "paper", "authors")

# ruff: noqa: E501, RUF001 - a line of a page is a line; the paper's symbols are Greek

# field -> (what it means, the paper's symbol or the authors' flag)
MEANINGS: dict[str, tuple[str, str]] = {
    "variant": ("whose objective: this package's, or the authors' own", ""),
    "student.name": ("`gru4rec`, `caser` or `sasrec`; `--student` trains several", "--model_name"),
    "student.hidden_size": ("width of the item table", "--hidden_factor"),
    "student.dropout": ("share of activations dropped in training", "--dropout_rate"),
    "student.n_blocks": ("SASRec: blocks", ""),
    "student.n_heads": ("SASRec: attention heads; must divide the width", ""),
    "student.n_filters": ("Caser: filters of each height", "--num_filters"),
    "student.filter_heights": ("Caser: heights of its filters", "--filter_sizes"),
    "student.tied": ("score items with the table that embeds them", ""),
    "student.output_bias": ("a bias per item in the scores", ""),
    "student.window_offset": ("a learned number added to the scores of the window's items", ""),
    "student.projector": (
        "what makes item vectors of the teacher's: `linear`, or `mlp` with a hidden layer",
        "",
    ),
    "student.init_std": ("standard deviation of the initial item table", ""),
    "student.pair_memory": (
        "add which items follow which and have similar titles, if validation gains",
        "",
    ),
    "loss.base": (
        "`softmax`, `sampled_softmax` or `bce`, a sum over the target and its negatives",
        "",
    ),
    "loss.n_negatives": ("negatives per row of all losses but `softmax`", "--num_negtive_items"),
    "loss.calibration": ("`gbce`: gSASRec's t; 0 makes it `bce`", "t"),
    "loss.exclude": ("never drawn as negatives: the row's `window` or its `history`", ""),
    "loss.exclude_listed": ("`bce`, `gbce`, `bpr`: nor an item of the row's teacher list", ""),
    "loss.neg_fallback": ("train rows that exclude every item: `error` or `skip`", ""),
    "loss.dro_weight": ("weight of the DROS term; 1 on SASRec is the paper's DROS", "--alpha"),
    "loss.dro_temperature": ("temperature of the DROS term", "--beta"),
    "loss.unseen_by_text": (
        "score items that no train row has by the teacher's vector alone, outside the softmax; `auto`: where vectors are on both sides",
        "",
    ),
    "distillation.ranking_weight": (
        "weight of the lists; with soft targets their share, at most 1; several values are a grid",
        "λ_d, --lam",
    ),
    "distillation.ranking_form": ("`soft_targets`, or `importance` as in the paper", ""),
    "distillation.top_k": ("items taken from each teacher list", "K, --candidate_topk"),
    "distillation.drop_window_items": ("leave the window's items out of the lists", ""),
    "distillation.position_gamma": ("share of the position weight", "γ_p, --gamma_position"),
    "distillation.confidence_gamma": ("share of the confidence weight", "γ_c, --gamma_confidence"),
    "distillation.consistency_gamma": (
        "share of the consistency weight",
        "γ_o, --gamma_consistency",
    ),
    "distillation.position_temperature": (
        "temperature of the position weight; the authors' script never reads its flag",
        "β, --beta2",
    ),
    "distillation.confidence_temperature": (
        "temperature of the distances: of a row's (`importance`) or over its list (`soft_targets`)",
        "",
    ),
    "distillation.embedding_weight": ("weight of the teacher's vectors", "--ed_weight"),
    "distillation.embedding_sides": ("vectors on the `input` only, or on `both` sides", ""),
    "distillation.ranking_method": (
        "what learns from the lists: `dllm2rec`, or a [baseline](baselines.md): rd, cd, rrd, dcd, unkd",
        "",
    ),
    "distillation.embedding_method": (
        "what learns from the vectors: `projection`, or a [baseline](baselines.md): hint, htd",
        "",
    ),
    "distillation.item_offset": ("a vector of each item's own beside the projected one", ""),
    "train.learning_rate": ("step size of Adam", "--lr"),
    "train.batch_size": ("rows per step, over all processes", "--batch_size"),
    "train.weight_decay": ("L2 penalty", "--l2_decay"),
    "train.max_epochs": ("the most epochs of one training", "--epoch"),
    "train.patience": ("epochs without a better validation NDCG@20 before a training stops", ""),
    "train.prefix_rows": ("also train on the early positions inside train windows", ""),
    "train.all_places": (
        "learn all positions of a user in one causal pass; `auto`: for windows over 64",
        "",
    ),
    "train.schedule": ("`constant`, or `cosine` down to 0 over the epochs", ""),
    "train.warmup_steps": ("steps over which the learning rate rises", ""),
    "train.max_gradient_norm": ("longer gradients are scaled to this length; 0: never", ""),
    "train.ema_decay": ("evaluate an exponential average of the weights; 0: the last weights", ""),
    "train.precision": ("`exact`, or `mixed`: a GPU's products with all items in float16", ""),
    "train.shard_items": (
        "under torchrun: each process holds a part of the item table, its moments and its scores",
        "",
    ),
    "train.refit": ("then train what was chosen again, on train and validation rows", ""),
    "train.save_every_s": ("seconds between the states that `--resume` continues from", ""),
    "train.seed": ("the one seed of a training", ""),
    "train.device": ("`auto`, `cpu` or `cuda`", ""),
    "evaluation.ks": ("cut-offs K of the metrics", ""),
    "evaluation.exclude_seen": ("leave items of the history out of the candidates", ""),
}
HEAD = [
    "| field | means | strong | paper | authors | symbol or flag |",
    "| --- | --- | --- | --- | --- | --- |",
]
BEGIN = "<!-- settings: written by docs/make_pages.py from the configuration model -->"
END = "<!-- end of settings -->"


def fields() -> list[str]:
    """Every field of a configuration by its dotted name, in the order of the model."""
    names = []
    for name, value in Config().model_dump().items():
        names += [f"{name}.{key}" for key in value] if isinstance(value, dict) else [name]
    return names


def value_of(config: Config, field: str) -> Any:  # noqa: ANN401 - a field may hold anything
    """The value of a dotted name."""
    value: Any = config
    for part in field.split("."):
        value = getattr(value, part)
    return value


def spelled(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(spelled, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_tables() -> str:
    """A table for each section, and what the smaller recipes change.

    Raises:
        KeyError: a field is not explained in `MEANINGS`, or one is explained that does not exist.
    """
    if extra := MEANINGS.keys() - set(fields()):
        raise KeyError(f"MEANINGS explains {sorted(extra)}, expected fields of the model")
    recipes = {name: load_config(recipe=name) for name in (*RECIPES, "light", "demo")}
    lines: list[str] = []
    section = None
    for field in fields():
        before, section = section, field.rpartition(".")[0]
        if section != before:
            lines += ["", f"### {section or 'The whole run'}", "", *HEAD]
        means, flag = MEANINGS[field]
        flags = ", ".join(f"`{f}`" if f.startswith("--") else f for f in flag.split(", ") if f)
        values = " | ".join(spelled(value_of(recipes[name], field)) for name in RECIPES)
        lines.append(f"| `{field.rpartition('.')[2]}` | {means} | {values} | {flags} |")
    for small in ("light", "demo"):
        changed = [
            f"`{field} = {spelled(value_of(recipes[small], field))}`"
            for field in fields()
            if value_of(recipes[small], field) != value_of(recipes["strong"], field)
        ]
        lines += ["", f"`{small}` is `strong` with {', '.join(changed)}."]
    return "\n".join([*lines, ""])


def settings_page(text: str) -> str:
    """The page with its table written anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{settings_tables()}\n{END}{after}"


ERRORS_HEAD = """\
<!-- Written by docs/make_pages.py from python/dllm2rec/error_codes.py. -->

# Errors and warnings

A message says where, what was found, what was expected and, often, what to do:

```text
CODE path:line:column: what was found, expected what. hint: what to do
```

Lines and columns count from 1. A command prints one line, `error: ...`, and ends with the exit code of its kind; in Python the
same text is an exception, and `InputError` has `code`, `path`, `line`, `column`, `token` and `hint` as attributes. Errors of settings
and of the command line have no code: they name the setting or the option.

## Exit codes

| exit | means | in Python |
| --- | --- | --- |
| 0 | done | |
| 1 | a bug of this package; a report file is left: please report it | `InternalError` |
| 2 | usage or configuration | `ConfigError` |
| 3 | input data | `InputError` |
| 4 | an artifact: a checkpoint, folder or binary file that is corrupt, unsafe or does not fit | `ArtifactError` |
| 5 | a number that is not finite | `NonFiniteError` |
| 6 | disk, memory or another process | `ResourceError` |
| 130, 143 | Ctrl-C, SIGTERM; the state of a run is saved first | `KeyboardInterrupt`, `SystemExit` |
| 141 | standard output was closed | |

All of them but the last two lines derive from `Dllm2RecError`.
"""
AREAS = {
    "teacher": "Teacher files",
    "both": "Teacher files and logs",
    "logs": "Logs and datasets",
    "runs": "Training and recommending",
    "server": "Serving",
}


def errors_page() -> str:
    """The page of every error and warning code."""
    parts = [ERRORS_HEAD, '<div class="messages" markdown>\n']
    for heading, is_warning in (("Errors", False), ("Warnings", True)):
        for area, about in AREAS.items():
            codes = [code for code in CODES if code.area == area and (not code.exits) == is_warning]
            if codes:
                parts.append(f"## {heading}: {about[0].lower()}{about[1:]}\n")
                parts += [_entry(code) for code in codes]
    parts.append("</div>\n")
    return "\n".join(parts)


def _entry(code: Code) -> str:
    exits = " or ".join(map(str, code.exits))
    kind = "HTTP status" if code.area == "server" else "Exit code"
    end = f" {kind} {exits}." if code.exits else ""
    example = f"```text\n{code.example}\n```"
    return f"### {code.name}\n\n{code.means}{end}\n\n{example}\n\n**What to do:** {code.cure}\n"


def main() -> None:
    """Write the pages."""
    (DOCS / "errors.md").write_text(errors_page(), encoding="utf-8")
    settings = DOCS / "settings.md"
    settings.write_text(settings_page(settings.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
