"""The attributes of a container's log lines: chosen labels and variables, and the tag.

Spec: moby's daemon/logger/loginfo.go, ExtraAttributes.
"""

from __future__ import annotations

import re

from wherry.engine.records import ContainerRecord


def log_attributes(record: ContainerRecord) -> dict[str, str]:
    """What stands in every line, from the log options `labels`, `env` and `tag`."""
    options = record.host_config.log_config.config
    labels = record.config.labels or {}
    env = dict(entry.partition("=")[::2] for entry in record.config.env or ())
    chosen = _chosen(labels, options.get("labels", ""), options.get("labels-regex", ""))
    chosen |= _chosen(env, options.get("env", ""), options.get("env-regex", ""))
    if options.get("tag"):
        chosen["tag"] = _tag(options["tag"], record)
    return chosen


def _chosen(values: dict[str, str], names: str, pattern: str) -> dict[str, str]:
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    try:
        matches = re.compile(pattern).search if pattern else lambda _: None
    except re.error:
        matches = lambda _: None  # noqa: E731
    return {key: value for key, value in values.items() if key in wanted or matches(key)}


def _tag(template: str, record: ContainerRecord) -> str:
    fields = {
        "ID": record.id[:12],
        "FullID": record.id,
        "Name": record.name,
        "ImageID": record.image_id.removeprefix("sha256:")[:12],
        "ImageFullID": record.image_id,
        "ImageName": record.config.image,
        "DaemonName": "docker",
    }
    return re.sub(r"\{\{\s*\.(\w+)\s*\}\}", lambda match: fields.get(match[1], match[0]), template)
