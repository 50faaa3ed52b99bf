"""`python -m dllm2rec`."""

from dllm2rec.cli import run

run()
