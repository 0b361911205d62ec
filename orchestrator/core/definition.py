"""The definition as written: what a valid `model-definition.yml` says, before defaults and folder are applied.

Contract: docs/definition.md. Each field carries its rule (`core.kinds`), from which `core.reading` reads it and
`core.schema` describes it. Rules between several keys are `core.validation`; what follows from it all is `core.spec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core import kinds
from orchestrator.core.kinds import Also, EmptyIsNull, Filled, OneOrMany, Shape

Text = Annotated[str, kinds.PLAIN]
Line = Annotated[str, kinds.LINE]
Switch = Annotated[bool, kinds.SWITCH]
Seconds = Annotated[float, kinds.seconds()]
PositiveSeconds = Annotated[float, kinds.seconds(above=True)]
Body = tuple[Line, ...] | Text
Mode = Annotated[int, kinds.MODE]


class Part(BaseModel):
    """Base of all parts of a definition: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


# --- pre-start actions ----------------------------------------------------------------------------------------------


class WriteFileArgs(Part):
    filename: Annotated[str, kinds.FILE_PATH] = Field(
        description="Path of the file; a relative one lies under /home/work. Parents are created."
    )
    body: Body = Field(description="A list: each item becomes one line. A string: written as it is.")
    mode: Mode = Field(
        0o644,
        description="Permissions as octal digits: 644, 0644 and '644' are all rw-r--r--.",
        json_schema_extra={"default": 644},
    )
    append: Switch = Field(False, description="Append to the file instead of replacing it.")


class WriteTempfileArgs(Part):
    body: Body = Field(description="A list: each item becomes one line. A string: written as it is.")
    mode: Mode = Field(0o644, description="Permissions as octal digits.", json_schema_extra={"default": 644})


class RunCommandArgs(Part):
    command: Annotated[tuple[Line, ...], Filled("a program and its arguments")] = Field(
        description="Program and arguments; executed as they are, without a shell.", examples=[["nvidia-smi", "-L"]]
    )
    echo: Switch = Field(False, description="Also write its output to the routing's log.")
    check: Switch = Field(True, description="An exit status other than 0 fails the start.")


class MkdirArgs(Part):
    path: Annotated[str, kinds.FOLDER_PATH] = Field(
        description="Path of the folder; parents are created, existing is fine."
    )


class LogArgs(Part):
    message: Text = Field(description="Text for the routing's log and the event stream.")
    debug: Switch = Field(False, description="Log it at debug level.")


class ActionBase(Part):
    ref: Annotated[str, kinds.REF] | None = Field(
        None, description="Stores the action's result under this name, for templates: {name}, {name[out]}."
    )
    timeout: PositiveSeconds = Field(300.0, description="Seconds; an action that runs longer fails the start.")


class WriteFile(ActionBase):
    action: Literal["write_file"] = Field(description="Write a file, whole or not at all.")
    args: WriteFileArgs


class WriteTempfile(ActionBase):
    action: Literal["write_tempfile"] = Field(description="Write a new file *.py; its result is the path.")
    args: WriteTempfileArgs


class RunCommand(ActionBase):
    action: Literal["run_command"] = Field(description="Run a program; its result is {out, err, exit_code}.")
    args: RunCommandArgs


class Mkdir(ActionBase):
    action: Literal["mkdir"] = Field(description="Create a folder.")
    args: MkdirArgs


class Log(ActionBase):
    action: Literal["log"] = Field(description="Write a message to the routing's log.")
    args: LogArgs


Action = Annotated[WriteFile | WriteTempfile | RunCommand | Mkdir | Log, Field(discriminator="action")]

# --- service --------------------------------------------------------------------------------------------------------


class HealthCheck(Part):
    """How a routing is probed. Durations in seconds."""

    enable: Switch = Field(True, description="false: as if there were no check.")
    path: Annotated[str, kinds.URL_PATH] = Field(
        "/health", description="Fetched with GET; redirects are not followed.", examples=["/", "/health", "/v1/models"]
    )
    interval: Annotated[float, kinds.seconds(0.1)] = Field(
        10.0, description="Seconds from the end of one probe to the start of the next."
    )
    max_retries: Annotated[int, kinds.RETRIES] = Field(
        10, description="More consecutive failures than this: UNHEALTHY."
    )
    max_wait_time: PositiveSeconds = Field(15.0, description="Seconds; a probe without an answer by then has failed.")
    expected_status_code: Annotated[
        tuple[Annotated[tuple[int, int], kinds.STATUS_RANGE], ...],
        OneOrMany(),
        Filled("leave it out for 200"),
    ] = Field(
        ((200, 200),),
        description="A status, a range such as 200-299, or a list of them.",
        examples=[200, "200-299", [200, 204]],
        json_schema_extra={"default": 200},
    )
    """Inclusive ranges."""
    initial_delay: Seconds = Field(
        60.0, description="Seconds of grace at start: a pass counts at once, failures count only after them."
    )


class Service(Part):
    pre_start_actions: tuple[Action, ...] = Field(
        (), description="Run in order before the start command, for every new routing."
    )
    start_command: Annotated[
        Annotated[tuple[Line, ...], Filled("leave it out for the image's own command")]
        | Annotated[str, kinds.text("a command", right="leave it out for the image's own command", most=1 << 20)]
        | None,
        Also("command"),
    ] = Field(
        None,
        description="The model server. A list is executed as given, a string is run by `shell`. Left out: the image's "
        "own command.",
        examples=[["python", "-m", "http.server", "8000"]],
    )
    shell: Annotated[str, kinds.text("a shell", r"\S+", "such as /bin/sh, or null for none")] | None = Field(
        "default",
        description="Runs a start_command that is a string. Left out: /bin/bash, else /bin/sh. null: the string is "
        "split into words and executed.",
        json_schema_extra={"default": "/bin/bash"},
    )
    """`default`: left out."""
    port: Annotated[int, kinds.PORT] = Field(
        description="Port that the model server listens on inside the routing.", examples=[8000]
    )
    health_check: Annotated[HealthCheck | None, EmptyIsNull()] = Field(
        None, description="null or {}: off; a routing counts as HEALTHY once its port accepts a connection."
    )


class Mount(Part):
    """One more folder inside the routing."""

    source: Annotated[str, kinds.SOURCE] = Field(
        description="Name of a folder under data_dirs, or an absolute path under docker.allowed_mounts."
    )
    target: Annotated[str, kinds.ABSOLUTE] | None = Field(
        None, description="Where it lies inside the routing; default for a named folder: /home/work/<name>."
    )
    read_only: Switch = Field(True, description="Mounted so that the routing cannot write to it.")


class Endpoint(Part):
    """An address of its own besides /inference/<service>, without prefix."""

    port: Annotated[int, kinds.PORT] | None = Field(None, description="Port of the gateway.")
    host: Annotated[str, kinds.HOST] | None = Field(None, description="Host name, matched on the gateway's own port.")


class Update(Part):
    """How a new revision takes over from the one that serves. Durations in seconds."""

    strategy: Annotated[
        Literal["rolling", "recreate", "blue_green", "canary"],
        kinds.choice("rolling", "recreate", "blue_green", "canary"),
    ] = Field(
        "rolling",
        description="rolling: new routings replace old ones as they become HEALTHY. recreate: the old ones end first, "
        "and the gateway holds requests meanwhile. blue_green: all new ones beside all old ones, then one switch. "
        "canary: the new revision gets a growing share of the requests, and is judged by how it serves them.",
    )
    max_surge: Annotated[int | str, kinds.SHARE] = Field(
        "25%", description="Routings above the desired count during a rolling update: a count or a percentage (up)."
    )
    max_unavailable: Annotated[int | str, kinds.SHARE] = Field(
        0, description="Routings below the desired count during a rolling update: a count or a percentage (down)."
    )
    min_ready: Seconds = Field(0.0, description="Seconds that a new routing must stay HEALTHY before it counts.")
    progress_deadline: PositiveSeconds | None = Field(
        None,
        description="Seconds within which one more new routing must become ready, else the rollout has failed. "
        "Default: start_timeout and min_ready together.",
    )
    auto_rollback: Switch = Field(True, description="Go back to the last good revision when a rollout fails.")
    bake: Seconds = Field(
        0.0, description="Seconds that the new revision serves alone and is watched before it counts as good."
    )
    promote_after: Seconds | None = Field(
        None,
        description="blue_green: seconds after which a revision that is ready is switched to; left out: "
        "`orchestrator promote` does it.",
    )
    steps: Annotated[tuple[Annotated[int, kinds.PERCENT], ...], Filled("leave it out for 5, 25, 50")] = Field(
        (5, 25, 50), description="canary: percent of the requests that the new revision gets, step by step; rising."
    )
    pause: Seconds = Field(60.0, description="canary: seconds that a step lasts at least.")
    min_requests: Annotated[int, kinds.REQUESTS] = Field(
        20, description="canary: requests of its own by which a step is judged at the earliest."
    )
    max_error_rate: Annotated[float, kinds.RATE] = Field(
        0.01, description="canary: by how much its share of failed requests may exceed the old revision's (0.01: 1 %)."
    )
    max_latency: Annotated[float, kinds.FACTOR] = Field(
        2.0, description="canary: how many times the old revision's mean time to first byte it may take."
    )


class Deployment(Part):
    """How the service is run. What is left out comes from a file beside the definition, then `[defaults]` in
    config.toml, then the built-in default. None: left out here."""

    service_name: Annotated[str, kinds.SERVICE_NAME] | None = Field(
        None, description="Name in URL, labels and tokens; unique without regard to case. Default: the model's name."
    )
    image: Annotated[str, kinds.IMAGE] | None = Field(
        None, description="Container image.", examples=["vllm/vllm-openai:latest"]
    )
    desired_routing_count: Annotated[
        Annotated[int, kinds.ROUTINGS] | None, Also("replicas", "desired_session_count")
    ] = Field(None, description="How many routings run. Default 1; 0: stopped.")
    open_to_public: Annotated[Switch | None, Also("expose_to_public")] = Field(
        None, description="No token is needed. Default false."
    )
    environ: Mapping[Annotated[str, kinds.ENVIRON_NAME], Text] | None = Field(
        None, description="Environment of the routing; values are text."
    )
    secrets: Mapping[Annotated[str, kinds.ENVIRON_NAME], Annotated[str, kinds.SECRET]] | None = Field(
        None, description="Environment name to the name of a file in the secrets folder that holds the value."
    )
    resources: Annotated[Mapping[str, float], kinds.RESOURCES] | None = Field(
        None,
        description="What a routing takes: cpu (cores), mem and shm (512m, 4g), cuda.device, cuda.shares, other "
        "declared slots.",
        examples=[{"cpu": 4, "mem": "16g", "shm": "2g", "cuda.device": 1}],
    )
    """Slot name to amount; sizes in bytes."""
    resource_group: Annotated[str, kinds.GROUP] | None = Field(
        None, description="Declared group of capacity that it draws from. Default `default`."
    )
    cluster_mode: Annotated[Literal["single-node", "multi-node"], kinds.choice("single-node", "multi-node")] | None = (
        Field(None, description="Whether the nodes of one routing share a machine. Default single-node.")
    )
    cluster_size: Annotated[int, kinds.MEMBERS] | None = Field(None, description="Nodes of one routing. Default 1.")
    model_mount_destination: Annotated[str, kinds.ABSOLUTE] | None = Field(
        None, description="Where the model folder is mounted. Default /models where model_path lies there, else it."
    )
    model_read_only: Switch | None = Field(None, description="Mount the model folder read-only. Default false.")
    extra_mounts: tuple[Mount, ...] | None = Field(None, description="More folders inside the routing.")
    user: Annotated[str, kinds.USER] | None = Field(None, description="User inside the container, if allowed.")
    network: Annotated[str, kinds.NETWORK] | None = Field(None, description="Container network, if allowed.")
    hostname: Annotated[str, kinds.HOST] | None = Field(None, description="Host name inside the container.")
    labels: Mapping[Annotated[str, kinds.LABEL], Text] | None = Field(None, description="Labels of the container.")
    devices: tuple[Annotated[str, kinds.DEVICE], ...] | None = Field(None, description="Host devices, if allowed.")
    capabilities: tuple[Annotated[str, kinds.CAPABILITY], ...] | None = Field(
        None, description="Linux capabilities, if allowed."
    )
    endpoint: Endpoint | None = Field(None, description="A port or host name of its own, without prefix.")
    start_timeout: PositiveSeconds | None = Field(
        None, description="Seconds from creation to first HEALTHY, else FAILED_TO_START. Default 1800."
    )
    unhealthy_timeout: Seconds | None = Field(
        None, description="Seconds UNHEALTHY after which a routing that was HEALTHY is replaced. Default 60."
    )
    stop_grace: Seconds | None = Field(None, description="Seconds to drain and end before SIGKILL. Default 30.")
    retry: Switch | None = Field(
        None, description="Retry requests elsewhere whose routing dies before the first byte. Default true."
    )
    update: Update | None = Field(None, description="How a new revision takes over. Default: rolling.")


class Metadata(Part):
    """What the model is; shown, never acted on. Other keys are kept as they are."""

    model_config = ConfigDict(extra="allow")

    author: Text | None = None
    title: Text | None = None
    version: Annotated[int | str, kinds.VERSION] | None = None
    description: Text | None = None
    task: Text | None = None
    category: Text | None = None
    architecture: Text | None = None
    license: Text | None = None
    created: Text | None = None
    created_at: Text | None = None
    last_modified: Text | None = None
    modified_at: Text | None = None
    framework: tuple[Text, ...] | None = None
    label: tuple[Text, ...] | None = None
    min_resource: Mapping[str, Any] | None = None


class Model(Part):
    name: Annotated[str, kinds.MODEL_NAME] = Field(
        description="Name of the model, and of its service unless deployment.service_name gives one."
    )
    model_path: Annotated[str, kinds.ABSOLUTE] | None = Field(
        None, description="Where the model lies inside the routing, and the working directory of the start command."
    )
    service: Service | None = Field(None, description="How the model is served; null: it is listed, not served.")
    metadata: Annotated[Mapping[str, Any], Shape(Metadata)] = Field(
        default_factory=dict, description="What the model is; any other key is kept."
    )
    deployment: Deployment = Field(default_factory=Deployment, description="How the service is run.")


class Definition(Part):
    models: Annotated[tuple[Model, ...], Filled("at least one model")] = Field(
        description="Each entry with a `service` becomes one service of its own."
    )
