"""What Coolify's API answers, as far as a deploy needs it. Everything else in an answer is dropped."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from deploy.coolify.words import address

# What the comment of a variable begins with that a deploy has set.
MARK = "hublab:"
RUNNING = frozenset({"queued", "in_progress"})


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: object) -> Any:
    return 0 if value is None else value


# Columns are null, a number or a text for the same field, by release and by endpoint.
Text = Annotated[str, BeforeValidator(_text)]
Flag = Annotated[bool, BeforeValidator(_number)]
Number = Annotated[int, BeforeValidator(_number)]


class Answer(BaseModel):
    """One object of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ServerSettings(Answer):
    """Times in seconds; `dynamic_timeout` bounds a whole deployment."""

    dynamic_timeout: Number = 3600
    concurrent_builds: Number = 2
    deployment_queue_limit: Number = 25
    is_swarm_manager: Flag = False
    is_swarm_worker: Flag = False


class Server(Answer):
    """A host that Coolify manages."""

    uuid: str
    name: Text = ""
    ip: Text = ""
    is_reachable: Flag = True
    is_usable: Flag = True
    settings: ServerSettings = ServerSettings()


class Resource(Answer):
    """What runs on a server: `type` is application, service, or a kind of database."""

    uuid: str
    name: Text = ""
    type: Text = ""
    status: Text = ""


class ApplicationSettings(Answer):
    """`stop_grace_period` in seconds; 0: Coolify's own 30."""

    stop_grace_period: Number = 0
    is_auto_deploy_enabled: Flag = False
    is_preview_deployments_enabled: Flag = False
    is_consistent_container_name_enabled: Flag = False
    custom_internal_name: Text = ""


class DestinationServer(Answer):
    """The server behind an application's network."""

    uuid: Text = ""
    name: Text = ""


class Destination(Answer):
    """The Docker network that an application is attached to."""

    uuid: Text = ""
    network: Text = ""
    server: DestinationServer = DestinationServer()


class Application(Answer):
    """One application, with the columns that a deploy reads or sets."""

    uuid: str
    name: Text = ""
    status: Text = ""
    build_pack: Text = ""
    git_repository: Annotated[Text, AfterValidator(address)] = ""
    git_branch: Text = ""
    git_commit_sha: Text = ""
    base_directory: Text = ""
    dockerfile_location: Text = ""
    dockerfile_target_build: Text = ""
    docker_registry_image_name: Text = ""
    docker_registry_image_tag: Text = ""
    custom_docker_run_options: Text = ""
    health_check_enabled: Flag = False
    health_check_type: Text = ""
    health_check_command: Text = ""
    health_check_interval: Number = 0
    health_check_timeout: Number = 0
    health_check_retries: Number = 0
    health_check_start_period: Number = 0
    limits_memory: Text = ""
    ports_mappings: Text = ""
    ports_exposes: Text = ""
    fqdn: Text = ""
    pre_deployment_command: Text = ""
    post_deployment_command: Text = ""
    docker_compose_location: Text = ""
    docker_compose_raw: Text = ""
    start_command: Text = ""
    environment_id: Number = 0
    additional_servers_count: Number = 0
    swarm_replicas: Number = 0
    source_id: Number = 0
    source_type: Text = ""
    private_key_id: Number = 0
    destination: Destination = Destination()
    settings: ApplicationSettings = ApplicationSettings()

    @property
    def image(self) -> bool:
        """Whether it runs an image from a registry; else Coolify builds it from a git repository."""
        return self.build_pack == "dockerimage"

    @property
    def source(self) -> str:
        """What it would run if it were deployed now: the image's tag, or the commit."""
        return self.docker_registry_image_tag if self.image else self.git_commit_sha


class Created(Answer):
    """An application that was made."""

    uuid: str


class Deployment(Answer):
    """One deployment. `status`: queued, in_progress, finished, failed or cancelled-by-user."""

    deployment_uuid: str
    status: Text = ""
    commit: Text = ""
    created_at: Text = ""
    pull_request_id: Number = 0
    logs: Text = Field(default="", repr=False)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.status in RUNNING


class Variable(Answer):
    """One variable of an application's environment; the value is not among what a token without more rights reads."""

    uuid: Text = ""
    key: str
    comment: Text = ""
    is_literal: Flag = False
    is_shown_once: Flag = False
    is_buildtime: Flag = True
    is_runtime: Flag = True
    is_multiline: Flag = False
    is_preview: Flag = False

    @property
    def marked(self) -> bool:
        """Whether a deploy of this project has set it."""
        return self.comment.startswith(MARK)


class Storage(Answer):
    """A volume of an application, or a folder of its host; what a container writes anywhere else goes with it."""

    name: Text = ""
    mount_path: Text = ""


class Storages(Answer):
    """What is mounted into an application's containers."""

    persistent_storages: tuple[Storage, ...] = ()
    file_storages: tuple[Storage, ...] = ()


class Queued(Answer):
    """What came of a wish to deploy: the uuid may be of a deployment that was never made."""

    deployment_uuid: Text = ""
    message: Text = ""


class Project(Answer):
    """A project; `environments` are there when one is asked for by its uuid."""

    uuid: str
    name: Text = ""
    environments: tuple[Environment, ...] = ()


class Environment(Answer):
    """An environment of a project."""

    id: Number = 0
    uuid: Text = ""
    name: Text = ""


Project.model_rebuild()
