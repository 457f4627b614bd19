"""Every private name of Prefect's (and httpx's) that the worker leans on: an upgrade that moves one fails here.

The list is the whole of it; what the worker uses beside is public.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest

from worker.process_worker import HublabWorker

# Overridden or called in worker/process_worker.py: name, parameters, whether it is a coroutine.
BASE_WORKER = {
    "__aexit__": (["self", "exc_info"], True),
    "__dispatch_key__": ([], False),
    "setup": (["self"], True),
    "sync_with_backend": (["self"], True),
    "get_and_submit_flow_runs": (["self"], True),
    "_ensure_worker_channel": (["self"], False),
    "_initialize_after_sync": (["self"], True),
    "_get_scheduled_flow_runs": (["self"], True),
    "_submit_scheduled_flow_runs": (["self", "flow_run_response"], True),
    "_submit_run": (["self", "flow_run"], True),
    "_submit_run_and_capture_errors": (["self", "flow_run", "task_status"], True),
    "_propose_pending_state": (["self", "flow_run"], True),
    "_propose_submitting_state": (["self", "flow_run"], True),
    "_propose_crashed_state": (["self", "flow_run", "message", "client"], True),
    "_give_worker_labels_to_flow_run": (["self", "flow_run_id"], True),
    "_emit_worker_started_event": (["self"], True),
    "_submit_adhoc_run": (["self", "flow", "parameters", "job_variables", "task_status", "flow_run"], True),
    "run": (["self", "flow_run", "configuration", "task_status"], True),
}
ATTRIBUTES = (
    "_exit_stack",
    "_has_successfully_synced",
    "_prefetch_seconds",
    "_runs_task_group",
    "_started_event",
    "_submitting_flow_run_ids",
    "_work_queues",
    "_worker_channel",
    "backend_id",
    "heartbeat_interval_seconds",
    "is_setup",
)
# Used in worker/engines.py, engine_process.py, reports.py and workspace.py: where, what, keywords that are passed.
RUNNER_PARTS = [
    ("_cancellation_manager", "CancellationManager", "process_manager hook_runner state_proposer event_emitter client"),
    ("_cancellation_manager", "CancellationManager", "control_channel"),
    ("_control_channel", "ControlChannel", ""),
    ("_event_emitter", "EventEmitter", "runner_name client get_events_client"),
    ("_flow_run_executor", "FlowRunExecutor", "flow_run starter process_manager state_proposer hook_runner"),
    ("_flow_run_executor", "FlowRunExecutor", "get_attempt_conclusion propose_submitting"),
    ("_hook_runner", "HookRunner", "resolve_flow"),
    ("_process_manager", "ProcessHandle", "_process termination_scope"),
    ("_process_manager", "ProcessManager", "on_remove"),
    ("_process_manager", "create_isolated_termination_scope", "pid"),
    ("_state_proposer", "StateProposer", "client"),
    ("_workspace_hook_runner", "WorkspaceHookRunner", "manifest_path stream_output"),
    ("_workspace_runtime", "WorkspaceSupervisorConfig", "flow_run_id workspace_root manifest_path"),
    ("_workspace_runtime", "write_private_model", "path model"),
    ("_workspace_supervisor", "supervise", "config"),
]
RUNNER_METHODS = {
    ("_cancellation_manager", "CancellationManager"): "cancel",
    ("_control_channel", "ControlChannel"): "register unregister signal get_conclusion",
    ("_flow_run_executor", "FlowRunExecutor"): "submit",
    ("_process_manager", "ProcessHandle"): "pid returncode",
    ("_process_manager", "ProcessManager"): "flow_run_ids get kill",
    ("_state_proposer", "StateProposer"): "propose_crashed propose_cancelled",
}


@pytest.mark.parametrize("name", BASE_WORKER)
def test_method_of_prefects_worker_is_there_as_it_was(name: str) -> None:
    from prefect.workers.process import ProcessWorker  # noqa: PLC0415

    parameters, coroutine = BASE_WORKER[name]
    method = getattr(ProcessWorker, name, None)
    assert method, f"ProcessWorker.{name} is gone: look at worker/process_worker.py before you upgrade Prefect"
    assert list(inspect.signature(method).parameters) == parameters
    assert inspect.iscoroutinefunction(method) is coroutine


def test_attributes_of_the_worker() -> None:
    from prefect.workers.process import ProcessWorker  # noqa: PLC0415

    worker = ProcessWorker("default", name="internals")
    missing = [name for name in ATTRIBUTES if not hasattr(worker, name)]
    assert not missing, f"gone from ProcessWorker: {missing}; look at worker/process_worker.py"


def test_claim_comes_through_the_method_that_the_drain_guards() -> None:
    """The order on which the claim's safety rests: read the deployment, propose Pending, then start."""
    from prefect.workers.base import BaseWorker  # noqa: PLC0415

    source = inspect.getsource(BaseWorker._submit_run)
    steps = ["read_deployment", "_propose_pending_state", "_submit_run_and_capture_errors", "update_flow_run"]
    assert [source.find(step) for step in steps] == sorted(source.find(step) for step in steps)
    assert all(step in source for step in steps)


def test_run_has_its_workers_labels_before_its_engine_is_started() -> None:
    """Whose a run is that runs, its labels say: they decide who looks for it when its host dies."""
    from prefect.workers.base import BaseWorker  # noqa: PLC0415

    source = inspect.getsource(BaseWorker._submit_run_and_capture_errors)
    assert 0 < source.find("self._give_worker_labels_to_flow_run(") < source.find("self.run(")


@pytest.mark.parametrize(("module", "name", "keywords"), RUNNER_PARTS)
def test_part_of_prefects_runner_is_there_as_it_was(module: str, name: str, keywords: str) -> None:
    part = getattr(importlib.import_module(f"prefect.runner.{module}"), name, None)
    assert part, f"prefect.runner.{module}.{name} is gone: look at worker/engines.py before you upgrade Prefect"
    assert set(keywords.split()) <= set(inspect.signature(part).parameters)


@pytest.mark.parametrize("part", RUNNER_METHODS)
def test_methods_of_a_part_of_the_runner_are_there(part: tuple[str, str]) -> None:
    module, name = part
    found = getattr(importlib.import_module(f"prefect.runner.{module}"), name)
    missing = [method for method in RUNNER_METHODS[part].split() if not hasattr(found, method)]
    assert not missing, f"{name} lacks {missing}: look at worker/engines.py"


def test_worker_channel_works_without_its_websocket() -> None:
    """`sync(None)` means plain requests: no task group, no websocket, and heartbeats all the same."""
    from prefect.workers._worker_channel._state import WorkerChannelState  # noqa: PLC0415
    from prefect.workers._worker_channel._sync import WorkPoolWorkerChannel  # noqa: PLC0415

    assert list(inspect.signature(WorkPoolWorkerChannel.sync).parameters) == ["self", "task_group"]
    assert WorkerChannelState().rest_fallback_enabled


def test_client_has_a_transport_to_be_patient_with() -> None:
    from prefect.client.orchestration import PrefectClient  # noqa: PLC0415

    http = PrefectClient("http://127.0.0.1:1/api")._client
    assert hasattr(http, "_transport")
    assert isinstance(http._mounts, dict)


def test_state_changes_carry_a_transition_id() -> None:
    """What makes a repeated claim safe: the server answers the second with the state that the first has set."""
    from prefect.client.orchestration._flow_runs.client import FlowRunAsyncClient  # noqa: PLC0415

    assert "transition_id = uuid4()" in inspect.getsource(FlowRunAsyncClient.set_flow_run_state)


def test_submitted_run_takes_no_steps_but_those_that_are_known() -> None:
    """`worker.adhoc` and `HublabWorker._submit_adhoc_run` take Prefect's place, with an engine of the worker's own."""
    from prefect.workers.process import ProcessWorker  # noqa: PLC0415

    source = inspect.getsource(ProcessWorker._submit_adhoc_run)
    awaited = re.findall(r"(?:await|async with) (?:\w+\.)*(\w+)\(", source)
    assert awaited == [
        *("create_flow_run", "set_flow_run_state", "from_template_and_values", "_propose_crashed_state"),
        *("FlowRunExecutorContext", "submit", "_propose_crashed_state"),
    ]
    for step in ("configuration.prepare_for_flow_run(", "create_bundle_for_flow_run(flow=flow, flow_run=flow_run)"):
        assert step in source


def test_worker_is_entered_without_a_runner_beside_it() -> None:
    """Which Prefect's process worker had before 3.9, with a websocket of its own."""
    from prefect.workers.base import BaseWorker  # noqa: PLC0415

    assert HublabWorker.__aenter__ is BaseWorker.__aenter__


def test_stopped_worker_says_so_when_it_said_that_it_started() -> None:
    from prefect.workers.process import ProcessWorker  # noqa: PLC0415

    assert "self._emit_worker_stopped_event(self._started_event)" in inspect.getsource(ProcessWorker.teardown)


def test_engine_knows_why_it_is_ended() -> None:
    """On "reschedule" it leaves the run's state to its worker."""
    from prefect._internal.attempt_control import BYTE_FOR_INTENT  # noqa: PLC0415
    from prefect.flow_engine import _SUPERVISOR_OWNED_INTENTS  # noqa: PLC0415

    assert "reschedule" in BYTE_FOR_INTENT
    assert "reschedule" in _SUPERVISOR_OWNED_INTENTS


def test_labels_of_a_run_are_prefects_own_and_more() -> None:
    """Which `HublabWorker` gives in one request."""
    from prefect.workers.base import BaseWorker  # noqa: PLC0415

    source = inspect.getsource(BaseWorker._give_worker_labels_to_flow_run)
    named = {"prefect.worker.name", "prefect.worker.type", "prefect.work-pool.name", "prefect.work-pool.id"}
    assert {word for word in source.split('"') if word.startswith("prefect.")} == named
    ours = inspect.getsource(HublabWorker._give_worker_labels_to_flow_run)
    assert named <= set(ours.split('"'))


# Changed in worker/engine_economy.py: where, what, its parameters.
ECONOMY = [
    ("prefect.flow_engine", "_send_heartbeats", "engine join_on_exit"),
    ("prefect.flow_engine", "observe_flow_run_suspension", "flow_run_id suspension_request polling_interval"),
    ("prefect.flow_engine", "load_flow", "flow_run"),
    ("prefect.flow_engine", "load_flow_run", "flow_run_id"),
    ("prefect.results", "_read_server_default_result_storage_block_id", ""),
    ("prefect.results", "_aread_server_default_result_storage_block_id", ""),
]


@pytest.mark.parametrize(("module", "name", "parameters"), ECONOMY)
def test_what_an_engine_does_later_or_not_at_all(module: str, name: str, parameters: str) -> None:
    found = getattr(importlib.import_module(module), name, None)
    assert found, f"{module}.{name} is gone: look at worker/engine_economy.py before you upgrade Prefect"
    assert list(inspect.signature(found).parameters) == parameters.split()


def test_engine_takes_what_is_changed_from_where_it_is_changed() -> None:
    import prefect.engine  # noqa: PLC0415
    from prefect import flow_engine, results  # noqa: PLC0415

    engine = inspect.getsource(flow_engine.FlowRunEngine)
    assert "with _send_heartbeats(self)" in engine
    assert "observe_flow_run_suspension(" in inspect.getsource(flow_engine.BaseFlowRunEngine)
    assert "load_flow_run(flow_run_id=flow_run_id)" in inspect.getsource(prefect.engine)
    loading = inspect.getsource(flow_engine.load_flow)
    assert 'os.environ.get("PREFECT__FLOW_ENTRYPOINT")' in loading
    for name in ("_get_default_result_storage", "_aget_default_result_storage"):
        assert "_read_server_default_result_storage_block_id()" in inspect.getsource(getattr(results, name)).replace(
            "_aread", "_read"
        )


def test_clients_take_a_context_that_is_given() -> None:
    import ssl  # noqa: PLC0415

    from prefect.client.orchestration import PrefectClient, SyncPrefectClient  # noqa: PLC0415

    context = ssl.create_default_context()
    for kind in (PrefectClient, SyncPrefectClient):
        assert next(iter(inspect.signature(kind).parameters)) == "api"
        client: Any = kind("http://127.0.0.1:1/api", httpx_settings={"verify": context})
        assert client._client._transport._pool._ssl_context is context


def test_client_says_whether_it_sends_tokens() -> None:
    from prefect.client.orchestration import PrefectClient  # noqa: PLC0415
    from prefect.settings import PREFECT_CLIENT_CSRF_SUPPORT_ENABLED, temporary_settings  # noqa: PLC0415

    with temporary_settings({PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: True}):
        client: Any = PrefectClient("http://127.0.0.1:1/api")
    assert client._client.enable_csrf_support is True


def test_version_that_was_checked_is_known_by_server() -> None:
    from prefect._internal import version_checking  # noqa: PLC0415

    assert list(inspect.signature(version_checking._api_version_check_key).parameters) == ["api_url", "client_version"]
    assert list(inspect.signature(version_checking._cache_api_version_check).parameters) == ["key"]
    assert "_is_api_version_check_cached(key)" in inspect.getsource(version_checking.check_server_version)


def test_settings_come_from_the_environment_the_profile_and_three_files_where_a_run_works() -> None:
    """Else `worker.forked_engine` would keep the fork server's where a run has others."""
    from prefect.settings import Settings, sources  # noqa: PLC0415

    assert Settings.model_config["env_file"] == ".env"
    assert Settings.model_config["toml_file"] == str(sources.DEFAULT_PREFECT_TOML_PATH) == "prefect.toml"
    assert 'Path("pyproject.toml")' in inspect.getsource(sources.PyprojectTomlConfigSettingsSource)
    prefix = {field.model_config["env_prefix"] for field in (Settings, type(Settings().api), type(Settings().logging))}
    assert all(name.startswith("PREFECT_") for name in prefix)


def test_worker_gives_its_runs_all_its_settings() -> None:
    from prefect.workers.process import ProcessJobConfiguration  # noqa: PLC0415

    source = inspect.getsource(ProcessJobConfiguration._base_environment)
    assert "get_current_settings().to_environment_variables(exclude_unset=True)" in source
    assert list(inspect.signature(ProcessJobConfiguration._base_environment).parameters) == []
