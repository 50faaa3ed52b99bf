"""The list of commands. Only typer is imported here: `--help` must not wait for torch."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import typer

from dllm2rec.cli.commands import (
    bench,
    compare,
    evaluate,
    export,
    plan,
    prepare,
    recommend,
    report,
    serve,
    teacher,
    teacher_report,
    train,
    tune,
)
from dllm2rec.cli.commands.checks import audit, doctor, reproduce
from dllm2rec.cli.commands.comparisons import compare_metrics
from dllm2rec.cli.commands.make_teacher import embed, fit, generate, ground, prompts
from dllm2rec.cli.commands.make_teacher import plan as teacher_plan
from dllm2rec.cli.paths import checking_paths
from dllm2rec.cli.torchrun import check_shared

# Plain help: a tenth of a second faster than rich's, and the same bytes on every terminal.
app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
app.command(epilog=prepare.EXAMPLES)(checking_paths(prepare.prepare))
app.command(epilog=audit.EXAMPLES)(checking_paths(audit.audit))
app.command(epilog=train.EXAMPLES)(checking_paths(train.train))
app.command(epilog=tune.EXAMPLES)(checking_paths(tune.tune))
app.command(epilog=plan.EXAMPLES)(checking_paths(plan.plan))
app.command(epilog=evaluate.EXAMPLES)(checking_paths(evaluate.evaluate))
app.command(epilog=compare.EXAMPLES)(checking_paths(compare.compare))
app.command("compare-metrics", epilog=compare_metrics.EXAMPLES)(
    checking_paths(compare_metrics.compare_metrics)
)
app.command(epilog=recommend.EXAMPLES)(checking_paths(recommend.recommend))
app.command(epilog=export.EXAMPLES)(checking_paths(export.export))
app.command(epilog=serve.EXAMPLES)(checking_paths(serve.serve))
app.command(epilog=report.EXAMPLES)(checking_paths(report.report))
app.command(epilog=reproduce.EXAMPLES)(checking_paths(reproduce.reproduce))
app.command(epilog=doctor.EXAMPLES)(checking_paths(doctor.doctor))
app.command(epilog=bench.EXAMPLES)(checking_paths(bench.bench))
teacher_app = typer.Typer(help="Import a teacher, or make one.", no_args_is_help=True)


@teacher_app.callback()
def _teacher(context: typer.Context) -> None:
    """Import a teacher, or make one."""
    check_shared(f"teacher {context.invoked_subcommand}")


teacher_app.command("import", epilog=teacher.EXAMPLES)(checking_paths(teacher.import_))
teacher_app.command("embed", epilog=embed.EXAMPLES)(checking_paths(embed.embed))
teacher_app.command("plan", epilog=teacher_plan.PLAN_EXAMPLES)(checking_paths(teacher_plan.plan))
teacher_app.command("prompts", epilog=prompts.EXAMPLES)(checking_paths(prompts.prompts))
teacher_app.command("fit", epilog=fit.EXAMPLES)(checking_paths(fit.fit))
teacher_app.command("generate", epilog=generate.EXAMPLES)(checking_paths(generate.generate))
teacher_app.command("ground", epilog=ground.EXAMPLES)(checking_paths(ground.ground))
teacher_app.command("spread", epilog=teacher_plan.SPREAD_EXAMPLES)(
    checking_paths(teacher_plan.spread)
)
teacher_app.command("report", epilog=teacher_report.EXAMPLES)(checking_paths(teacher_report.report))
app.add_typer(teacher_app, name="teacher", epilog=teacher.EXAMPLES)

EXAMPLES = """\b
Examples:
  dllm2rec train                          the main job, on synthetic demo data
  dllm2rec train --dataset data/games --teacher data/games/teacher
  dllm2rec evaluate runs/games-1
  dllm2rec recommend runs/games-1 --history "12,7,401"
"""


@cache  # typer reads every option of every command for it: a fifth of a second
def command() -> Any:  # noqa: ANN401 - click's class, whichever click typer carries
    """The command line as one click command."""
    return typer.main.get_command(app)


def _print_version(asked: bool) -> None:
    if asked:
        from dllm2rec._core import __version__

        print(f"dllm2rec {__version__}")
        raise typer.Exit


@app.callback(epilog=EXAMPLES)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Distil an LLM's recommendations into a small sequential recommender."""
    check_shared(context.invoked_subcommand or "")
