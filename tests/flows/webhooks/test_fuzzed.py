"""The webhook app, fuzzed from its own OpenAPI schema: whatever comes, it answers as it says it does."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from flows.services.settings import Settings
from flows.webhooks.app import build

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
GIVEN = {"webhook-secret": "s", "resend-webhook-secret": "whsec_dGVzdA==", "unsubscribe-secret": "u"}


@pytest.mark.parametrize("proof", [{"x-webhook-secret": "s"}, {"x-webhook-secret": "wrong"}])
def test_every_answer_is_one_that_the_schema_names(tmp_path: Path, proof: dict[str, str]) -> None:
    # Without its lifespan, so that nothing is forwarded anywhere. Not by schemathesis' pytest plugin: it does not
    # work with pytest 9.
    app = build(Settings(GIVEN), tmp_path)
    app.openapi_url = "/openapi.json"  # the app itself does not show its schema
    app.setup()
    operations = [
        found.ok()
        for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()
        if isinstance(found, Ok)
    ]
    assert {operation.path for operation in operations} >= {"/webhook/christmas-signup", "/webhook/resend", "/health"}
    seen: Counter[int] = Counter()

    for operation in operations:

        @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            answer = case.call(headers=proof)
            seen[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        check()
    assert seen[202 if proof["x-webhook-secret"] == "s" else 401], seen
