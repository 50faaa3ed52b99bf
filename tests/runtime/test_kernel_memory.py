"""What a kernel does where there is too little memory: it says so, and the process goes on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Each call asks for some gigabytes and may have 128 MB.
PROGRAM = """
import resource, sys
import numpy as np
from dllm2rec import _core, errors

n = 30_000
one, ones, ages = np.zeros((1, 1), np.uint32), np.ones(1, np.uint32), np.ones(1, np.float32)
everything = np.arange(n, dtype=np.uint32)
each_alone = np.arange(n + 1), np.zeros(n, np.uint32), np.ones(n, np.float32)
first_is_followed_by_all = np.full(n + 1, n), everything, np.ones(n, np.float32)
first_is_followed_by_all[0][0] = 0
rows = np.zeros((n, 1), np.uint32), np.ones(n, np.uint32)
calls = {
    "count_pairs": lambda: _core.count_pairs(one, ones, one[0], ages, 2**32 - 1, 9),
    "pair_bonuses": lambda: _core.pair_bonuses(*rows, ages, first_is_followed_by_all),
    "similar_rows": lambda: _core.similar_rows(each_alone, 1, n),
    "similar_rows of many columns": lambda: _core.similar_rows(each_alone, 2**64 - 1, 9),
}
call = calls[sys.argv[1]]
limit = int(open("/proc/self/statm").read().split()[0]) * 4096 + 128 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    call()
except errors.ResourceError as err:
    print(err)
print(_core.position_weight(1, 1.0))
"""


@pytest.mark.parametrize(
    "name",
    [
        "count_pairs",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("pair_bonuses", "similar_rows", "similar_rows of many columns")
        ),
    ],
)
def test_a_result_that_does_not_fit_is_refused_and_the_next_call_works(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        capture_output=True,
        text=True,
        env=os.environ | {"DLLM2REC_THREADS": "1"},
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "could not be allocated" in done.stdout
    assert done.stdout.endswith("[1.]\n")
