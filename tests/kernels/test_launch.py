"""Starting a training quickly: kernels collected, heavy imports left out, weights aligned."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dllm2rec import _core
from dllm2rec.config.model import TrainConfig
from dllm2rec.kernels import launch
from dllm2rec.train.optimizer import DeviceOptimizer, Schedule

ROOT = Path(__file__).resolve().parents[2]


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python anew, where nothing is imported yet."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | environment,
    )


class Kernel:
    """Notes what it is launched with."""

    def __init__(self) -> None:
        self.launched: list[object] = []

    def __getitem__(self, grid: tuple[int, ...]):
        return lambda *arguments, **constants: self.launched.append((grid, arguments, constants))


def test_a_kernel_is_launched_again_after_collecting_failed():
    kernel = Kernel()

    def fail() -> None:
        with launch.compiled_together():
            launch.launch(kernel, (2,), 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert kernel.launched == []
    launch.launch(kernel, (3,), 4, SIZE=5)
    assert kernel.launched == [((3,), (4,), {"SIZE": 5, "enable_fp_fusion": True})]


def test_weights_in_flat_memory_begin_where_wide_loads_may():
    sizes = (7, 64, 1, 33)
    parameters = [torch.nn.Parameter(torch.randn(size)) for size in sizes]
    before = [p.detach().clone() for p in parameters]
    own = DeviceOptimizer(parameters, TrainConfig(), Schedule(0.1, 0, 0))
    first = own.weights.data_ptr()
    assert [(p.data_ptr() - first) % 128 for p in parameters] == [0] * 4
    assert all(torch.equal(a, b) for a, b in zip(parameters, before, strict=True))
    assert own.weights.numel() % 32 == 0
    assert int((own.weights != 0).sum()) == sum(sizes)
    own.gradient_memory(parameters[1]).fill_(2.0)
    assert own.gradients.sum() == 2 * 64
    assert all(slot.sum() in (0, 2 * 64) for slot in own.slots)


@pytest.mark.slow
def test_training_on_the_cpu_loads_neither_a_compiler_nor_computer_algebra():
    code = """
import sys
from dllm2rec.runtime.device import deterministic
from dllm2rec.config.load import changed, load_config
from tests.train.test_loop import train
few = {"top_k": 5, "ranking_weight": 0.3}
with deterministic():
    train(changed(load_config(recipe="demo"), train={"max_epochs": 1}, distillation=few))
heavy = {"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)
sys.exit(f"{heavy} imported" if heavy else 0)
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no triton beside torch")
def test_the_compiler_is_loaded_ahead_for_a_gpu_alone():
    code = """
import sys, threading, torch
from dllm2rec.kernels.launch import load_compiler_ahead
load_compiler_ahead(torch.device("cpu"))
assert threading.active_count() == 1
load_compiler_ahead(torch.device("cuda"))
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join()
sys.exit(0 if "triton" in sys.modules else "not loaded")
"""
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")  # without a GPU too it fails in silence


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no triton beside torch")
def test_the_internals_of_triton_that_are_loaded_ahead_are_there():
    code = """
import inspect
from triton.compiler.compiler import CompiledKernel, make_backend
from triton.runtime import driver
from triton.runtime.cache import triton_key
from triton.runtime.jit import JITFunction
inspect.signature(triton_key).bind()
inspect.signature(make_backend).bind("target")
assert hasattr(type(driver), "active") and hasattr(CompiledKernel, "run")
inspect.signature(JITFunction.warmup).bind("kernel", 1, grid=(1,), N=2)
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no triton beside torch")
def test_without_an_internal_of_triton_the_compiler_is_loaded_later_and_a_warning_says_so():
    code = """
import triton.runtime.cache
del triton.runtime.cache.triton_key
from dllm2rec.kernels.launch import _load_compiler
_load_compiler()
"""
    done = python("-c", code)
    assert done.returncode == 0
    assert done.stderr.startswith("W-TRITON kernels take longer to load: cannot import")


@pytest.mark.slow
def test_plots_are_loaded_ahead_without_a_word():
    pytest.importorskip("matplotlib")
    code = """
import sys
from dllm2rec.report.curves import load_plots_ahead
load_plots_ahead()
before = set(sys.modules)
from dllm2rec.report.curves import draw_curves
from dllm2rec.report.facts import Epochs
draw_curves([Epochs("a", ({"epoch": 1.0, "loss": 2.0, "ndcg@20": 0.1},)), Epochs("b", ())])
late = {name for name in set(sys.modules) - before if name.startswith("matplotlib")}
sys.exit(f"{late} loaded late" if late else 0)
"""
    done = python("-W", "error", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no triton beside torch")
def test_the_kernels_of_a_step_compile_for_a_gpu_that_is_not_there(tmp_path: Path):
    # In a fresh folder nothing is compiled before.
    done = python("-m", "tests.support.kernels.compiled", TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr[-1500:]
    kernels = set(json.loads(done.stdout.splitlines()[-1]))
    assert kernels == {
        *(
            "_collect",
            "_gather",
            "_largest",
            "_scales",
            "_keys",
            "_values",
            "_starts",
            "_project",
            "_product",
            "_encode",
            "_feed_forward_backward",
            "_attention_backward",
            "_sum_piece",
        ),
        *("_take_rows", "_add_rows", "_listed", "_statistics", "_terms", "_gradient"),
        *("_cut", "_sums", "_count_ahead", "_to_items", "_count", "_score_rows"),
        *(
            "_scores",
            "_scores_backward",
            "_take_all",
            "_sampled",
            "_sampled_gradient",
            "_column_sums",
            "_squares",
            "_numbers",
            "_adam",
        ),
    }


def test_sums_over_the_catalogue_are_the_same_bits_on_any_number_of_threads():
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(40, 2500, generator=rng)
    targets, slope = torch.randint(2500, (40,), generator=rng), torch.rand(2500, generator=rng)
    counted = torch.rand(2500, generator=rng) > 0.2
    arguments = (targets.numpy(), slope.numpy(), counted.numpy())
    found = []
    try:
        for n_threads in (1, 2, 3):
            _core.set_threads(n_threads)
            scatter_buffer = _core.log_sums(scores.numpy(), *arguments, True)  # noqa: FBT003
            moved = scores.clone()
            stats = torch.from_numpy(scatter_buffer).repeat_interleave(2, 1).contiguous()
            _core.score_gradient_(moved.numpy(), *arguments, stats.numpy(), True)  # noqa: FBT003
            found.append((scatter_buffer.tobytes(), moved.numpy().tobytes()))
    finally:
        _core.set_threads(os.cpu_count() or 1)
    assert found[0] == found[1] == found[2]
    expected = scores.double().masked_fill(~counted, -torch.inf).logsumexp(1)
    torch.testing.assert_close(torch.from_numpy(scatter_buffer[:, 0]).double(), expected)


KERNELS = Path(launch.__file__).parent


def carried_pairs(tree: ast.AST) -> list[str]:
    """Names that a loop reads before it takes them anew from a function, in pairs."""
    found = []
    for loop in (node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While)):
        names = [node for node in ast.walk(loop) if isinstance(node, ast.Name)]
        for node in ast.walk(loop):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                pairs = [one.elts for one in node.targets if isinstance(one, ast.Tuple)]
                read = {name.id for name in names if name.lineno < node.lineno}
                found += [one.id for pair in pairs for one in pair if one.id in read]  # type: ignore[attr-defined]
    return found


def test_no_kernel_carries_what_a_function_returns_in_pairs():
    # Triton 3.6 leaves such numbers as they were before the loop, where its interpreter does not.
    wrong = "def f():\n  a, b = g(0)\n  for i in range(3):\n    use(a, b)\n    a, b = g(i)\n"
    assert carried_pairs(ast.parse(wrong)) == ["a", "b"]
    for file in KERNELS.rglob("*.py"):
        assert carried_pairs(ast.parse(file.read_text())) == [], file
