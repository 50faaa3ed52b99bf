"""The numerical tests again with fewer instructions, as on processors that have no more.

Bits are promised for one path of computation on one machine. What a test asks of two paths, or of
figures that another machine made, has to hold on every processor: here one stands for several.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
from numpy._core import _multiarray_umath as of_numpy

from dllm2rec import _core

# Variables of torch, MKL, oneDNN, NumPy's OpenBLAS, the C library's exp and log, and our kernels.
LEVELS = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "MKL_CBWR": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "DLLM2REC_MAX_ISA": "avx2",
    },
    "baseline": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA",
        "DLLM2REC_MAX_ISA": "baseline",
    },
}
CAPABILITY = {"avx2": "AVX2", "baseline": "DEFAULT"}  # in torch's words

# Where figures of two paths, or of another machine, are compared.
FILES = (
    "demo/test_world.py",
    "distill/test_authors_variant.py",
    "distill/test_baselines.py",
    "distill/test_catalogue_loss.py",
    "distill/test_objective.py",
    "distill/test_weights.py",
    "evaluate/test_baselines.py",
    "evaluate/test_fused_scoring.py",
    "students/test_students.py",
)
# What those files hold beside such figures.
NOT = (
    *("every_constant", "noise_makes", "random_teacher", "seed_decides"),
    *("consistency", "threads", "passes_gradcheck"),
    *("ctrl_c", "ever_held", "on_that_gpu", "refused", "named"),
)

RUN = """
import sys
import pytest, torch
from dllm2rec import _core
print(_core._instruction_set(), torch.backends.cpu.get_cpu_capability(), flush=True)
sys.exit(pytest.main(sys.argv[1:]))
"""


def not_for_numpy(level: str) -> str:
    """What NumPy must not use: of what it chooses from, all that the level lacks."""
    has = of_numpy.__cpu_features__
    wide = [name for name in of_numpy.__cpu_dispatch__ if has[name]]
    if level == "avx2":
        wide = [name for name in wide if name.startswith("AVX512") or name == "X86_V4"]
    return " ".join(wide)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="for x86-64")
@pytest.mark.parametrize("level", LEVELS)
def test_figures_hold_with_fewer_instructions(level: str, pytestconfig: pytest.Config) -> None:
    if _core._instruction_set() in {level, "baseline"}:
        pytest.skip(f"the kernels use no more than {_core._instruction_set()} as it is")
    tests = pytestconfig.rootpath / "tests"
    files = [str(tests / name) for name in FILES]
    chosen = ["-m", "not slow and not real", "-k", f"not ({' or '.join(NOT)})"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, "-q", "--tb=short", "-p", "no:cacheprovider", *chosen, *files],
        cwd=pytestconfig.rootpath,
        env=os.environ | LEVELS[level] | {"NPY_DISABLE_CPU_FEATURES": not_for_numpy(level)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[:1] == [f"{level} {CAPABILITY[level]}"], done.stderr[-2000:]
    assert done.returncode == 0, done.stdout[-5000:]
