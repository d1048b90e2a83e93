"""Taking over a changed configuration while running: SIGHUP.

Only what the next request reads anew is taken over; what shaped the start (roots, sockets, the storage
driver, TLS) waits for the next one.  A file that is wrong changes nothing.

Spec: dockerd(8), configuration reload behaviour; Docker Engine API, events, daemon reload.
"""

from __future__ import annotations

import socket

import msgspec

from wherry.daemon.config import Config
from wherry.daemon.wiring import engine_config, registry_options
from wherry.diagnostics import logs
from wherry.engine.engine import Engine
from wherry.engine.system.identity import engine_id

RELOADED = (
    "debug",
    "default_cgroupns_mode",
    "default_ipc_mode",
    "default_shm_size",
    "insecure_registries",
    "labels",
    "log_level",
    "max_concurrent_downloads",
    "max_concurrent_uploads",
    "max_download_attempts",
    "registry_mirrors",
    "shutdown_timeout_s",
)


def reload(running: Config, read: Config, engine: Engine) -> Config:
    """`running` with what `read` changes of it, applied to the log, the engine and its registries."""
    config = msgspec.structs.replace(running, **{name: getattr(read, name) for name in RELOADED})
    logs.set_level(config.log_level)
    engine.config = engine_config(config)
    engine.transfer = msgspec.structs.replace(
        engine.transfer,
        registries=registry_options(config),
        concurrent_downloads=config.max_concurrent_downloads,
        concurrent_uploads=config.max_concurrent_uploads,
    )
    engine.events.emit("daemon", "reload", engine_id(config.data_root), _attributes(config))
    return config


def _attributes(config: Config) -> dict[str, str]:
    shown = {name.removesuffix("_s").replace("_", "-"): getattr(config, name) for name in RELOADED}
    del shown["log-level"]  # Docker tells of debug only
    attributes = {name: _shown(value) for name, value in shown.items()}
    return {"name": socket.gethostname(), "live-restore": "true", **attributes}


def _shown(value: object) -> str:
    """`value` as Docker writes it in the attributes of this event: as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
