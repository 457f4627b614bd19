"""The client against what Coolify 4.3.11 answered, trap by trap."""

from __future__ import annotations

import inspect
import traceback
from typing import TYPE_CHECKING

import httpx
import pytest

from deploy.coolify import client as module
from deploy.coolify.client import Client
from deploy.coolify.environment import Entry
from deploy.coolify.errors import BusyError, CoolifyError, ExistsError, NotFoundError, UnclearError
from deploy.secret import Secret
from tests.deploy.coolify.script import TOKEN, URL, Script, says

if TYPE_CHECKING:
    from collections.abc import Callable


def test_reads_are_typed() -> None:
    script = Script().on("GET /servers").on("GET /servers/srv1/resources").on("GET /applications/app1")
    (server,) = script.client.servers()
    assert (server.uuid, server.is_usable, server.settings.dynamic_timeout) == ("srv1", True, 3600)
    (resource,) = script.client.resources("srv1")
    assert (resource.uuid, resource.type, resource.status) == ("app1", "application", "exited:unhealthy")
    app = script.client.application("app1")
    assert (app.image, app.source, app.settings.stop_grace_period) == (True, "r1", 930)
    assert (app.destination.uuid, app.destination.server.uuid, app.ports_mappings) == ("net1", "srv1", "")


def test_token_goes_with_each_request_and_is_shown_by_nothing() -> None:
    script = Script().on("GET /version", says(500, {"message": f"Bearer {TOKEN} is bad"}))
    with pytest.raises(CoolifyError) as caught:
        script.client.version()
    assert script.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    shown = "".join(traceback.format_exception(caught.value)) + repr(script.client) + str(vars(script.client))
    assert TOKEN not in shown
    assert "answers 500: Bearer *** is bad" in str(caught.value)


def test_version_is_read_as_bare_text() -> None:
    assert Script().on("GET /version").client.version() == "4.3.11"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("4.1.9", "Coolify 4.1.9 cannot be told how long a worker drains.*update it to 4.2.0 or later"),
        ("v4.0.0-beta.463", "Coolify v4.0.0-beta.463 cannot .* -> update it"),
        ("<!doctype html>", "is no Coolify: its version is '<!doctype html>'"),
    ],
)
def test_version_that_cannot_do_it_is_refused_with_the_remedy(said: str, words: str) -> None:
    with pytest.raises(CoolifyError, match=words):
        Script().on("GET /version", httpx.Response(200, content=said.encode())).client.version()


@pytest.mark.parametrize("said", ["4.2.0", "v4.3.11", "5.0.1"])
def test_version_that_can(said: str) -> None:
    assert Script().on("GET /version", httpx.Response(200, content=said.encode())).client.version() == said


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no token", "HUBLAB_COOLIFY_TOKEN: Coolify does not take it .Unauthenticated.* -> make one in Coolify"),
        (
            "token without read",
            "HUBLAB_COOLIFY_TOKEN: it lacks an ability .*permissions: read.* read, write and deploy",
        ),
        ("API off", "HUBLAB_COOLIFY_URL: its API is switched off, or refuses this machine's address.*Settings"),
    ],
)
def test_refusals_name_key_and_remedy(case: str, words: str) -> None:
    script = Script().on("GET /servers", case)
    with pytest.raises(CoolifyError, match=words):
        script.client.servers()
    assert len(script.asked) == 1, "no refusal is tried again"


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown field", "Validation failed. nonsense: This field is not allowed."),
        ("fault as a text", "docker_compose_raw: It must be base64."),
        ("grace too long", "stop_grace_period: The stop grace period field must not be greater than 3600."),
    ],
)
def test_both_shapes_of_faults_are_told(case: str, words: str) -> None:
    with pytest.raises(CoolifyError) as caught:
        Script().on("PATCH /applications/app1", case).client.patch("app1", {"x": 1})
    assert words in str(caught.value)
    assert caught.value.status == 422


def test_read_is_tried_again_until_coolify_is_back() -> None:
    script = Script().on("GET /servers", httpx.ConnectError("refused"), says(503), says(502), "")
    assert script.client.servers()[0].uuid == "srv1"
    assert script.slept == [1.0, 2.0, 4.0]


def test_read_that_gets_no_answer_ends_with_the_address() -> None:
    script = Script().on("GET /servers", httpx.ReadTimeout("slow"))
    with pytest.raises(CoolifyError, match=f"HUBLAB_COOLIFY_URL: {URL} does not answer .slow. -> "):
        script.client.servers()
    assert len(script.asked) == 4


def test_too_many_reads_wait_for_as_long_as_coolify_says() -> None:
    script = Script().on("GET /servers", says(429, {"message": "Too Many Attempts."}, Retry_After="17"), "")
    assert script.client.servers()
    assert script.slept == [17.0]


def test_read_waits_for_no_pause_that_nobody_would_wait_for() -> None:
    script = Script().on("GET /servers", says(429, {"message": "Too Many Attempts."}, Retry_After="3600"))
    with pytest.raises(BusyError, match="try again in 3600 s"):
        script.client.servers()
    assert script.slept == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.ReadTimeout("slow"), UnclearError),
        (httpx.ReadError("cut off"), UnclearError),
        (says(504, "gateway"), UnclearError),
        (httpx.ConnectError("refused"), CoolifyError),
    ],
)
def test_change_is_sent_once_and_said_to_be_unclear_where_it_is(answer: httpx.Response, kind: type) -> None:
    script = Script().on("POST /deploy", answer)
    with pytest.raises(CoolifyError) as caught:
        script.client.deploy("app1")
    assert type(caught.value) is kind
    assert (len(script.asked), script.slept) == (1, [])


def test_redirect_gets_no_token() -> None:
    script = Script().on("GET /servers", says(301, None, Location="https://other.example.com/api/v1/servers"))
    with pytest.raises(CoolifyError, match=r"redirects to https://other.example.com/.* -> name that address"):
        script.client.servers()
    assert len(script.asked) == 1


def test_deployment_that_never_comes_to_be_is_told_from_one_that_does() -> None:
    script = Script().on("POST /deploy", "one is running").on("GET /deployments/phantom").on("GET /deployments/dep1")
    queued = script.client.deploy("app1")
    assert (queued.deployment_uuid, script.client.deployment(queued.deployment_uuid)) == ("phantom", None)
    found = script.client.deployment("dep1")
    assert found is not None
    assert found.running


def test_full_queue_says_when_to_come_back() -> None:
    with pytest.raises(BusyError, match=r"queue is full.*try again in 60 s") as caught:
        Script().on("POST /deploy", "queue full").client.deploy("app1")
    assert caught.value.seconds == 60


@pytest.mark.parametrize("case", ["", "an object"])
def test_deployments_come_as_a_list_or_as_an_object(case: str) -> None:
    (found,) = Script().on("GET /deployments", case).client.deployments()
    assert (found.deployment_uuid, found.status) == ("dep1", "in_progress")


def test_deployments_of_an_application() -> None:
    script = Script().on("GET /deployments/applications/app1")
    (found,) = script.client.deployments_of("app1", 3)
    assert found.running
    assert script.requests[0].url.params["take"] == "3"


FLAGS = {"is_preview", "is_literal", "is_multiline", "is_shown_once", "is_runtime", "is_buildtime", "comment"}


def test_variable_is_made_or_set_with_every_flag_and_previews_get_no_secret() -> None:
    ask = "/applications/app1/envs"
    script = Script().on(f"POST {ask}", "it exists").on(f"PATCH {ask}", says(201, {"uuid": "env1"}))
    script.client.set_variable("app1", Entry("KEY", Secret('a$b "c" #d'), secret=True))
    assert script.asked == [f"POST {ask}", f"PATCH {ask}", f"PATCH {ask}"]
    for body in script.bodies:
        assert body.keys() == FLAGS | {"key", "value"}
        assert (body["is_literal"], body["is_shown_once"], body["is_buildtime"]) == (True, True, False)
    assert [body["value"] for body in script.bodies] == ['a$b "c" #d', 'a$b "c" #d', "not-for-previews"]
    assert [body["is_preview"] for body in script.bodies] == [False, False, True]


def test_variable_that_is_no_secret_is_made_with_one_request() -> None:
    script = Script().on("POST /applications/app1/envs")
    script.client.set_variable("app1", Entry.plain("HUBLAB_CONCURRENCY", 4))
    assert len(script.asked) == 1
    assert script.bodies[0]["value"] == "4"
    assert script.bodies[0]["is_shown_once"] is False


def test_secret_without_a_preview_twin() -> None:
    ask = "/applications/app1/envs"
    script = Script().on(f"POST {ask}").on(f"PATCH {ask}", says(404, {"message": "Environment variable not found."}))
    script.client.set_variable("app1", Entry("KEY", Secret("x"), secret=True))
    assert len(script.asked) == 2


@pytest.mark.parametrize("value", ["it's", "two\nlines", "cut\r", " edge", "edge ", "\tx", "", "nul\0", "bell\x07"])
def test_value_that_would_not_arrive_is_refused_by_name_and_not_shown(value: str) -> None:
    script = Script()
    with pytest.raises(ValueError, match=r"^KEY: ") as caught:
        script.client.set_variable("app1", Entry("KEY", Secret(value), secret=True))
    assert script.asked == []
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize("key", ["bad key", "", "1A", "A-B", "Ä"])
def test_name_that_coolify_refuses_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not a variable's name"):
        Script().client.set_variable("app1", Entry.plain(key, 1))


def test_error_500_of_a_locked_variable_is_told_as_it_is() -> None:
    ask = "/applications/app1/envs"
    script = Script().on(f"POST {ask}", "it exists").on(f"PATCH {ask}", "a flag is missing")
    with pytest.raises(CoolifyError, match="answers 500: Server Error"):
        script.client.set_variable("app1", Entry.plain("KEY", "x"))


def test_flags_are_read_as_numbers_and_as_booleans() -> None:
    ours, twin = Script().on("GET /applications/app1/envs").client.variables("app1")
    assert (ours.is_literal, ours.is_shown_once, ours.is_buildtime, ours.is_preview) == (True, True, False, False)
    assert (twin.is_shown_once, twin.is_preview, twin.comment) == (False, True, "")


def test_application_is_stopped_without_a_clean_up_of_images() -> None:
    script = Script().on("POST /applications/app1/stop")
    script.client.stop("app1")
    assert script.requests[0].url.params["docker_cleanup"] == "false"


def test_what_must_never_be_asked_has_no_call() -> None:
    paths = inspect.getsource(module)
    assert not [name for name in ("cancel", "prune", "rollback", "DELETE", "force") if f"/{name}" in paths]
    assert not [name for name in vars(Client) if name.startswith(("cancel", "prune", "delete", "rollback"))]


def test_logs_of_what_does_not_run_are_empty() -> None:
    assert Script().on("GET /applications/app1/logs").client.logs("app1") == ""


@pytest.mark.parametrize(
    ("call", "ask", "case", "kind"),
    [
        (lambda client: client.application("nope"), "GET /applications/nope", "", NotFoundError),
        (lambda client: client.deploy("app1"), "POST /deploy", "unknown application", NotFoundError),
        (lambda client: client.patch("app1", {}), "PATCH /applications/app1", "token without write", CoolifyError),
    ],
)
def test_refusal_of_coolify_is_an_error_of_its_kind(
    call: Callable[[Client], object], ask: str, case: str, kind: type[CoolifyError]
) -> None:
    with pytest.raises(kind):
        call(Script().on(ask, case).client)


def test_conflict_is_one_of_its_own() -> None:
    with pytest.raises(ExistsError):
        Script().on("POST /applications/dockerimage", says(409, {"message": "Domain in use."})).client.create(
            "dockerimage", {}
        )


def test_domain_that_another_resource_has_is_named_with_its_key() -> None:
    """As Coolify says it; nobody can give our command a parameter of its API."""
    said = {"message": "Domain conflicts detected. Use force_domain_override=true to proceed.", "conflicts": []}
    script = Script().on("PATCH /applications/app1", says(409, said))
    words = r"HUBLAB_PUBLIC_URL: another resource of Coolify's has https://a.example \(.* -> take the domain from"
    with pytest.raises(CoolifyError, match=words):
        script.client.patch("app1", {"domains": "https://a.example"})


def test_address_of_something_else_is_named_with_its_key() -> None:
    for answer in (says(404, "<html>"), says(200, "<!doctype html>")):
        with pytest.raises(CoolifyError, match=r"HUBLAB_COOLIFY_URL: .* is no Coolify: .* -> write the address"):
            Script().on("GET /version", answer).client.version()


def test_uuid_that_nobody_has_is_named_with_where_to_find_others() -> None:
    with pytest.raises(NotFoundError, match=r"^'nope' is the uuid of no application, .* -> `./hublab coolify list`"):
        Script().on("GET /applications/nope").client.application("nope")


@pytest.mark.parametrize(
    "answer", [says(200, {"message": "hello"}), says(200, [{"name": "no uuid"}]), says(200, "<html>")]
)
def test_answer_of_another_shape_is_no_traceback(answer: httpx.Response) -> None:
    with pytest.raises(CoolifyError, match="Coolify's answer is no"):
        Script().on("GET /servers", answer).client.servers()


def test_what_an_answer_says_does_nothing_to_a_terminal() -> None:
    with pytest.raises(CoolifyError) as caught:
        Script().on("GET /servers", says(418, {"message": "\x1b[2Jgone"})).client.servers()
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("answer", [says(200, "<html>"), says(201, {"message": "made"})])
def test_application_whose_uuid_is_not_in_the_answer_is_no_traceback(answer: httpx.Response) -> None:
    with pytest.raises(CoolifyError, match="Coolify's answer is no Created"):
        Script().on("POST /applications/public", answer).client.create("public", {})
