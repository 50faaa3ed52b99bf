"""Requests made up from the OpenAPI description, and against it: no answer of the 500s."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from dllm2rec.server.app import make_app
from dllm2rec.server.live import LiveExport
from dllm2rec.server.service import Service
from tests.server.conftest import LIMITS, N_ITEMS, TOKEN

pytestmark = pytest.mark.slow  # hundreds of requests

N_EXAMPLES = int(os.environ.get("DLLM2REC_FUZZ", "60"))  # for each route
CHANGES = {"/items/add", "/items/remove", "/reload"}


CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def make_known(body):
    """Give every other history items that there are: what is made up would hit none."""
    if isinstance(body, dict) and isinstance(body.get("history"), list):
        n = len(body["history"])
        if n % 2 or not n:
            body["history"] = [f"item-{(7 * place + n) % N_ITEMS}" for place in range(n or 1)]


@pytest.fixture(scope="module")
def service(folder):
    made = Service.of(LiveExport.of(folder, "onnxruntime", 1), LIMITS, TOKEN)
    yield made
    made.close()


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_no_request_is_answered_by_a_fault_of_the_server(service, mode):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    schema = schemathesis.openapi.from_asgi("/openapi.json", make_app(service))
    found = [result.ok() for result in schema.get_all_operations()]
    statuses: Counter[int] = Counter()
    wanted = [getattr(schemathesis.checks, name) for name in CHECKS]
    assert len(found) == 9
    if mode == "negative":  # what takes nothing cannot be asked wrongly
        found = [one for one in found if len(one.query) or len(one.body)]
    for operation in found:
        how = schemathesis.GenerationMode.POSITIVE
        if mode == "negative":
            how = schemathesis.GenerationMode.NEGATIVE

        @settings(
            max_examples=N_EXAMPLES,
            deadline=None,
            derandomize=N_EXAMPLES <= 60,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        @given(case=operation.as_strategy(generation_mode=how))
        def ask(case):
            if case.path in CHANGES:
                case.headers["authorization"] = f"Bearer {TOKEN}"
            if case.path == "/recommend":
                make_known(case.body)
            answer = case.call()
            statuses[answer.status_code] += 1
            case.validate_response(answer, checks=wanted)

        ask()
    assert statuses.total() > 5 * N_EXAMPLES
    assert statuses[200 if mode == "positive" else 422] > N_EXAMPLES
