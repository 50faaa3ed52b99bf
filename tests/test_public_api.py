"""The names that `import dllm2rec` offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dllm2rec

PUBLIC = {
    "beyond_accuracy",
    "evaluate_lists_of_run",
    "write_comparison_page",
    "compare",
    "Comparison",
    "ComparedScorer",
    "PairedDifference",
    "measure_costs",
    "Cost",
    "score_rows",
    "ScoredRows",
    "Scorer",
    "write_per_row",
    "read_per_row",
    "slice_rows",
    "SliceTable",
    "ArtifactError",
    "AnswerColumns",
    "AnswerOptions",
    "AskedHistories",
    "Catalogue",
    "Columns",
    "Conclusion",
    "Config",
    "ConfigError",
    "DLLM2Rec",
    "Dllm2RecError",
    "ImportedAnswers",
    "Export",
    "InputError",
    "Interactions",
    "InternalError",
    "MetricRow",
    "MetricTable",
    "NonFiniteError",
    "PrepareReport",
    "Prepared",
    "Outlook",
    "Progress",
    "Protocol",
    "RankCounts",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "ResourceError",
    "Rows",
    "SequenceDataset",
    "Silent",
    "Source",
    "Student",
    "TeacherKnowledge",
    "TeacherReport",
    "Audit",
    "audit",
    "conclude",
    "default_recipe",
    "Reproduction",
    "reproduce",
    "teacher_report",
    "write_teacher_page",
    "with_method",
    "Expected",
    "expect_answers",
    "GroundForm",
    "ground_titles",
    "EncoderTuneForm",
    "tune_encoder",
    "RunOptions",
    "LogForm",
    "Titles",
    "TitleReport",
    "TitlesForm",
    "TeacherOptions",
    "GenerateForm",
    "Plan",
    "QuestionForm",
    "TuneForm",
    "save_causal",
    "tune_causal",
    "generate_lists",
    "load_causal",
    "plan_questions",
    "questions",
    "spread_teacher",
    "TextTeacherForm",
    "text_teacher",
    "TrainingName",
    "__version__",
    "build_student",
    "changed",
    "config_to_toml",
    "demo_world",
    "RelevantCounts",
    "compare_metrics",
    "dialect_metrics",
    "relevance_metrics",
    "evaluate_lists",
    "evaluate_run",
    "evaluate_scores",
    "evaluate_vectors",
    "from_frame",
    "import_answers",
    "export",
    "list_metrics",
    "load",
    "load_checkpoint",
    "load_config",
    "load_dataset",
    "load_export",
    "load_teacher",
    "logging_to",
    "named_protocol",
    "prepare",
    "rank_metrics",
    "read_interactions",
    "read_titles",
    "recommend",
    "resume_run",
    "save_dataset",
    "save_teacher",
    "set_threads",
    "train_run",
    "tune",
    "TuneResult",
    "TunedTrial",
    "write_report",
}


def test_public_names_are_exactly_these():
    assert set(dllm2rec.__all__) == PUBLIC


def test_each_public_name_is_there_and_listed():
    for name in PUBLIC:
        assert getattr(dllm2rec, name) is not None
        assert name in dir(dllm2rec)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        dllm2rec.nope  # noqa: B018


def test_types_and_lazy_imports_name_the_same_homes():
    tree = ast.parse(Path(dllm2rec.__file__).read_text(encoding="utf-8"))
    mirror = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dllm2rec.")
        for alias in node.names
    }
    assert mirror == {name: f"dllm2rec.{home}" for name, home in dllm2rec._HOMES.items()}


@pytest.mark.parametrize("code", ["import dllm2rec", "import dllm2rec; dllm2rec.ConfigError"])
def test_import_alone_brings_in_nothing_heavy(code):
    heavy = "{'torch', 'numpy', 'pyarrow', 'pydantic', 'typer', 'rich'}"
    code = f"{code}; import sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_public_name_is_that_of_a_room():
    """Importing `dllm2rec.audit.x` would put the room in the place of a function `audit`."""
    package = Path(dllm2rec.__file__).parent
    rooms = {path.name for path in package.iterdir() if path.is_dir()}
    assert rooms & PUBLIC == set()
