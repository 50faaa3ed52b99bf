"""dllm2rec: distil a large language model's recommendations into a small sequential model.

Names are imported when first used: `import dllm2rec` alone costs milliseconds and no torch.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # not from typing: what a command imports before its signals is to be little
if TYPE_CHECKING:
    from dllm2rec._core import __version__ as __version__
    from dllm2rec._core import set_threads as set_threads
    from dllm2rec.auditing.audit import Audit as Audit
    from dllm2rec.auditing.audit import audit as audit
    from dllm2rec.comparisons.compare import compare as compare
    from dllm2rec.comparisons.comparison import ComparedScorer as ComparedScorer
    from dllm2rec.comparisons.comparison import Comparison as Comparison
    from dllm2rec.comparisons.cost import Cost as Cost
    from dllm2rec.comparisons.cost import measure_costs as measure_costs
    from dllm2rec.comparisons.lists_of_run import evaluate_lists_of_run as evaluate_lists_of_run
    from dllm2rec.comparisons.page import write_comparison_page as write_comparison_page
    from dllm2rec.comparisons.paired import PairedDifference as PairedDifference
    from dllm2rec.config.load import changed as changed
    from dllm2rec.config.load import config_to_toml as config_to_toml
    from dllm2rec.config.load import load_config as load_config
    from dllm2rec.config.methods import with_method as with_method
    from dllm2rec.config.model import Config as Config
    from dllm2rec.data.dataset import Catalogue as Catalogue
    from dllm2rec.data.dataset import Rows as Rows
    from dllm2rec.data.dataset import SequenceDataset as SequenceDataset
    from dllm2rec.data.formats.dataset_folder import save_dataset as save_dataset
    from dllm2rec.data.formats.load_dataset import load_dataset as load_dataset
    from dllm2rec.data.logs.interactions import Columns as Columns
    from dllm2rec.data.logs.interactions import Interactions as Interactions
    from dllm2rec.data.logs.log_form import LogForm as LogForm
    from dllm2rec.data.logs.read import from_frame as from_frame
    from dllm2rec.data.logs.read import read_interactions as read_interactions
    from dllm2rec.data.logs.titles.read_titles import Titles as Titles
    from dllm2rec.data.logs.titles.read_titles import read_titles as read_titles
    from dllm2rec.data.logs.titles.title_columns import TitlesForm as TitlesForm
    from dllm2rec.data.protocol.model import Protocol as Protocol
    from dllm2rec.data.protocol.model import named_protocol as named_protocol
    from dllm2rec.data.protocol.prepare import Prepared as Prepared
    from dllm2rec.data.protocol.prepare import PrepareReport as PrepareReport
    from dllm2rec.data.protocol.prepare import prepare as prepare
    from dllm2rec.demo.world import demo_world as demo_world
    from dllm2rec.errors import ArtifactError as ArtifactError
    from dllm2rec.errors import ConfigError as ConfigError
    from dllm2rec.errors import Dllm2RecError as Dllm2RecError
    from dllm2rec.errors import InputError as InputError
    from dllm2rec.errors import InternalError as InternalError
    from dllm2rec.errors import NonFiniteError as NonFiniteError
    from dllm2rec.errors import ResourceError as ResourceError
    from dllm2rec.evaluate.dialects.formulas import dialect_metrics as dialect_metrics
    from dllm2rec.evaluate.lists.evaluate_lists import evaluate_lists as evaluate_lists
    from dllm2rec.evaluate.many_targets import RelevantCounts as RelevantCounts
    from dllm2rec.evaluate.many_targets import relevance_metrics as relevance_metrics
    from dllm2rec.evaluate.matrices.evaluate_vectors import evaluate_vectors as evaluate_vectors
    from dllm2rec.evaluate.metrics import RankCounts as RankCounts
    from dllm2rec.evaluate.metrics import list_metrics as list_metrics
    from dllm2rec.evaluate.metrics import rank_metrics as rank_metrics
    from dllm2rec.evaluate.rows.list_figures import beyond_accuracy as beyond_accuracy
    from dllm2rec.evaluate.rows.per_row_file import read_per_row as read_per_row
    from dllm2rec.evaluate.rows.per_row_file import write_per_row as write_per_row
    from dllm2rec.evaluate.rows.scored_rows import ScoredRows as ScoredRows
    from dllm2rec.evaluate.rows.scored_rows import Scorer as Scorer
    from dllm2rec.evaluate.rows.slices import SliceTable as SliceTable
    from dllm2rec.evaluate.rows.slices import slice_rows as slice_rows
    from dllm2rec.evaluate.score_file import evaluate_scores as evaluate_scores
    from dllm2rec.exports.export import Export as Export
    from dllm2rec.exports.export import export as export
    from dllm2rec.exports.load_export import load_export as load_export
    from dllm2rec.llm.causal import load_causal as load_causal
    from dllm2rec.llm.expect_answers import Expected as Expected
    from dllm2rec.llm.expect_answers import expect_answers as expect_answers
    from dllm2rec.llm.generate import GenerateForm as GenerateForm
    from dllm2rec.llm.generate import generate_lists as generate_lists
    from dllm2rec.llm.ground_titles import GroundForm as GroundForm
    from dllm2rec.llm.ground_titles import ground_titles as ground_titles
    from dllm2rec.llm.plan_questions import Plan as Plan
    from dllm2rec.llm.plan_questions import plan_questions as plan_questions
    from dllm2rec.llm.plan_questions import spread_teacher as spread_teacher
    from dllm2rec.llm.prompts import QuestionForm as QuestionForm
    from dllm2rec.llm.prompts import questions as questions
    from dllm2rec.llm.text_teacher import TextTeacherForm as TextTeacherForm
    from dllm2rec.llm.text_teacher import text_teacher as text_teacher
    from dllm2rec.llm.tune_causal import TuneForm as TuneForm
    from dllm2rec.llm.tune_causal import save_causal as save_causal
    from dllm2rec.llm.tune_causal import tune_causal as tune_causal
    from dllm2rec.llm.tune_encoder import EncoderTuneForm as EncoderTuneForm
    from dllm2rec.llm.tune_encoder import tune_encoder as tune_encoder
    from dllm2rec.report.conclusion import Conclusion as Conclusion
    from dllm2rec.report.conclusion import conclude as conclude
    from dllm2rec.report.page import write_report as write_report
    from dllm2rec.report.teacher.page import write_teacher_page as write_teacher_page
    from dllm2rec.report.teacher.report import TeacherReport as TeacherReport
    from dllm2rec.report.teacher.report import teacher_report as teacher_report
    from dllm2rec.rerun.compare import Reproduction as Reproduction
    from dllm2rec.rerun.train_again import reproduce as reproduce
    from dllm2rec.runs.checkpoint import load_checkpoint as load_checkpoint
    from dllm2rec.runs.compare_metrics import compare_metrics as compare_metrics
    from dllm2rec.runs.evaluate_run import evaluate_run as evaluate_run
    from dllm2rec.runs.score_rows import score_rows as score_rows
    from dllm2rec.runs.source import Source as Source
    from dllm2rec.search.result import TunedTrial as TunedTrial
    from dllm2rec.search.result import TuneResult as TuneResult
    from dllm2rec.search.tune import tune as tune
    from dllm2rec.serve.estimator import DLLM2Rec as DLLM2Rec
    from dllm2rec.serve.load import load as load
    from dllm2rec.serve.recommend import recommend as recommend
    from dllm2rec.serve.recommendations import Recommendations as Recommendations
    from dllm2rec.serve.recommender import Recommender as Recommender
    from dllm2rec.students import Student as Student
    from dllm2rec.students import build_student as build_student
    from dllm2rec.teacher.answers.columns import AnswerColumns as AnswerColumns
    from dllm2rec.teacher.answers.import_answers import AnswerOptions as AnswerOptions
    from dllm2rec.teacher.answers.import_answers import ImportedAnswers as ImportedAnswers
    from dllm2rec.teacher.answers.import_answers import import_answers as import_answers
    from dllm2rec.teacher.asked_histories import AskedHistories as AskedHistories
    from dllm2rec.teacher.folder import load_teacher as load_teacher
    from dllm2rec.teacher.folder import save_teacher as save_teacher
    from dllm2rec.teacher.grounding.title_report import TitleReport as TitleReport
    from dllm2rec.teacher.import_options import TeacherOptions as TeacherOptions
    from dllm2rec.teacher.knowledge import TeacherKnowledge as TeacherKnowledge
    from dllm2rec.tracking.loggers import logging_to as logging_to
    from dllm2rec.tracking.metric_table import MetricRow as MetricRow
    from dllm2rec.tracking.metric_table import MetricTable as MetricTable
    from dllm2rec.tracking.metric_table import Recommendation as Recommendation
    from dllm2rec.tracking.progress import Outlook as Outlook
    from dllm2rec.tracking.progress import Progress as Progress
    from dllm2rec.tracking.progress import Silent as Silent
    from dllm2rec.tracking.progress import TrainingName as TrainingName
    from dllm2rec.train.check_run import RunOptions as RunOptions
    from dllm2rec.train.default_recipe import default_recipe as default_recipe
    from dllm2rec.train.resume_run import resume_run as resume_run
    from dllm2rec.train.train_run import train_run as train_run

# name -> module; tests/test_public_api.py holds it to the imports above.
_HOMES = {
    "evaluate_lists_of_run": "comparisons.lists_of_run",
    "beyond_accuracy": "evaluate.rows.list_figures",
    "write_comparison_page": "comparisons.page",
    "Cost": "comparisons.cost",
    "measure_costs": "comparisons.cost",
    "PairedDifference": "comparisons.paired",
    "ComparedScorer": "comparisons.comparison",
    "Comparison": "comparisons.comparison",
    "compare": "comparisons.compare",
    "SliceTable": "evaluate.rows.slices",
    "slice_rows": "evaluate.rows.slices",
    "read_per_row": "evaluate.rows.per_row_file",
    "write_per_row": "evaluate.rows.per_row_file",
    "Scorer": "evaluate.rows.scored_rows",
    "ScoredRows": "evaluate.rows.scored_rows",
    "score_rows": "runs.score_rows",
    "Columns": "data.logs.interactions",
    "Interactions": "data.logs.interactions",
    "LogForm": "data.logs.log_form",
    "Titles": "data.logs.titles.read_titles",
    "Expected": "llm.expect_answers",
    "expect_answers": "llm.expect_answers",
    "GenerateForm": "llm.generate",
    "GroundForm": "llm.ground_titles",
    "ground_titles": "llm.ground_titles",
    "EncoderTuneForm": "llm.tune_encoder",
    "tune_encoder": "llm.tune_encoder",
    "Plan": "llm.plan_questions",
    "QuestionForm": "llm.prompts",
    "TuneForm": "llm.tune_causal",
    "save_causal": "llm.tune_causal",
    "tune_causal": "llm.tune_causal",
    "generate_lists": "llm.generate",
    "load_causal": "llm.causal",
    "plan_questions": "llm.plan_questions",
    "questions": "llm.prompts",
    "spread_teacher": "llm.plan_questions",
    "TextTeacherForm": "llm.text_teacher",
    "text_teacher": "llm.text_teacher",
    "TitlesForm": "data.logs.titles.title_columns",
    "Prepared": "data.protocol.prepare",
    "PrepareReport": "data.protocol.prepare",
    "Protocol": "data.protocol.model",
    "prepare": "data.protocol.prepare",
    "named_protocol": "data.protocol.model",
    "save_dataset": "data.formats.dataset_folder",
    "ArtifactError": "errors",
    "AnswerColumns": "teacher.answers.columns",
    "AnswerOptions": "teacher.answers.import_answers",
    "ImportedAnswers": "teacher.answers.import_answers",
    "import_answers": "teacher.answers.import_answers",
    "TitleReport": "teacher.grounding.title_report",
    "AskedHistories": "teacher.asked_histories",
    "Catalogue": "data.dataset",
    "Config": "config.model",
    "ConfigError": "errors",
    "DLLM2Rec": "serve.estimator",
    "Dllm2RecError": "errors",
    "Export": "exports.export",
    "InputError": "errors",
    "InternalError": "errors",
    "MetricRow": "tracking.metric_table",
    "MetricTable": "tracking.metric_table",
    "NonFiniteError": "errors",
    "Outlook": "tracking.progress",
    "Progress": "tracking.progress",
    "RankCounts": "evaluate.metrics",
    "Recommendation": "tracking.metric_table",
    "Recommendations": "serve.recommendations",
    "Recommender": "serve.recommender",
    "ResourceError": "errors",
    "Rows": "data.dataset",
    "RunOptions": "train.check_run",
    "SequenceDataset": "data.dataset",
    "Silent": "tracking.progress",
    "TrainingName": "tracking.progress",
    "logging_to": "tracking.loggers",
    "Source": "runs.source",
    "Student": "students",
    "TeacherKnowledge": "teacher.knowledge",
    "TeacherReport": "report.teacher.report",
    "teacher_report": "report.teacher.report",
    "write_teacher_page": "report.teacher.page",
    "TeacherOptions": "teacher.import_options",
    "__version__": "_core",
    "build_student": "students",
    "changed": "config.load",
    "with_method": "config.methods",
    "config_to_toml": "config.load",
    "demo_world": "demo.world",
    "from_frame": "data.logs.read",
    "read_interactions": "data.logs.read",
    "read_titles": "data.logs.titles.read_titles",
    "RelevantCounts": "evaluate.many_targets",
    "compare_metrics": "runs.compare_metrics",
    "dialect_metrics": "evaluate.dialects.formulas",
    "relevance_metrics": "evaluate.many_targets",
    "evaluate_lists": "evaluate.lists.evaluate_lists",
    "evaluate_run": "runs.evaluate_run",
    "evaluate_scores": "evaluate.score_file",
    "evaluate_vectors": "evaluate.matrices.evaluate_vectors",
    "export": "exports.export",
    "list_metrics": "evaluate.metrics",
    "load": "serve.load",
    "load_checkpoint": "runs.checkpoint",
    "load_export": "exports.load_export",
    "load_config": "config.load",
    "load_dataset": "data.formats.load_dataset",
    "load_teacher": "teacher.folder",
    "rank_metrics": "evaluate.metrics",
    "recommend": "serve.recommend",
    "resume_run": "train.resume_run",
    "save_teacher": "teacher.folder",
    "set_threads": "_core",
    "default_recipe": "train.default_recipe",
    "train_run": "train.train_run",
    "tune": "search.tune",
    "TuneResult": "search.result",
    "TunedTrial": "search.result",
    "Conclusion": "report.conclusion",
    "Audit": "auditing.audit",
    "audit": "auditing.audit",
    "conclude": "report.conclusion",
    "Reproduction": "rerun.compare",
    "reproduce": "rerun.train_again",
    "write_report": "report.page",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'dllm2rec' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dllm2rec.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
