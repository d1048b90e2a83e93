"""An image's config under a request's: what the container will be."""

from __future__ import annotations

from typing import Any

import msgspec

from wherry.api.types import ContainerConfig, ContainerCreateRequest, HealthConfig, convert
from wherry.engine.spec import merge_env
from wherry.errors import InvalidArgument

_RESERVED_LABELS = ("com.docker.compose.", "com.docker.desktop.", "com.docker.volume.", "wherry.")
_INHERITED = ("user", "working_dir", "stop_signal")


def merge_config(request: ContainerCreateRequest, image: dict[str, Any]) -> ContainerConfig:
    """The configuration of a container of an image whose `config` object is `image`.

    Labels by which tools recognise their own containers are not taken from an image.

    Spec: moby's daemon/commit.go, merge.
    """
    image_config = convert(image, ContainerConfig)
    values = {field: getattr(request, field) or getattr(image_config, field) for field in _INHERITED}
    entrypoint, command = _command(request, image_config)
    labels = {
        key: value
        for key, value in (image_config.labels or {}).items()
        if not key.startswith(_RESERVED_LABELS)
    }
    own = {field: getattr(request, field) for field in ContainerConfig.__struct_fields__}
    return ContainerConfig(**{
        **own,
        **values,
        "entrypoint": entrypoint,
        "cmd": command,
        "env": merge_env([e for e in image_config.env or () if "=" in e[1:]], request.env or ()),
        "labels": labels | (request.labels or {}),
        "volumes": {**(image_config.volumes or {}), **(request.volumes or {})} or None,
        "exposed_ports": {**(image_config.exposed_ports or {}), **(request.exposed_ports or {})} or None,
        "healthcheck": _healthcheck(request.healthcheck, image_config.healthcheck),
        "on_build": None,
        "shell": request.shell or image_config.shell,
    })  # fmt: skip


def command_line(config: ContainerConfig) -> tuple[str, list[str]]:
    """The program and its arguments.

    Raises:
        InvalidArgument: there is none.
    """
    line = [*(config.entrypoint or ()), *(config.cmd or ())]
    if not line:
        raise InvalidArgument("no command specified")
    return line[0], line[1:]


def _command(
    request: ContainerCreateRequest, image: ContainerConfig
) -> tuple[list[str] | None, list[str] | None]:
    """Entrypoint and command: a request's entrypoint also drops the image's command; `[""]` resets."""
    entrypoint, command = request.entrypoint, request.cmd
    if not entrypoint:
        if not command:
            command = image.cmd
        if entrypoint is None:
            entrypoint = image.entrypoint
    if entrypoint == [""]:
        entrypoint = None
    return entrypoint or None, command or None


def _healthcheck(own: HealthConfig | None, image: HealthConfig | None) -> HealthConfig | None:
    if own is None or image is None:
        return own or image
    fields = HealthConfig.__struct_fields__
    return msgspec.structs.replace(image, **{name: value for name in fields if (value := getattr(own, name))})
