"""Uses `wherry.runtime.launch` as a shim does, in a process of its own: it changes its process for good.

Reads {"spec", "bundle", "exec": process or null, "repeat": n} from stdin, writes one JSON line
for each round.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from wherry.linux.process import set_child_subreaper, wait_pidfd
from wherry.runtime import launch
from wherry.runtime.failures import StartFailed


def main() -> None:
    request: dict[str, Any] = json.load(sys.stdin)
    set_child_subreaper()
    launch.warm_up()
    before = _descriptors()
    for _ in range(request.get("repeat", 1)):
        result = _round(request)
        result["leaked"] = sorted(_descriptors() - before)
        result["children"] = _children()
        print(json.dumps(result), flush=True)


def _round(request: dict[str, Any]) -> dict[str, Any]:
    output_read, output_write = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    stdio = (null, output_write, output_write)
    result: dict[str, Any] = {}
    try:
        init = launch.create_init(
            request["spec"], container_id="c", bundle=request["bundle"], stdio=stdio, seccomp_cache=None
        )
    except StartFailed as error:
        result = {"error": str(error), "exit_code": error.exit_code}
    else:
        result = _run(init, request, stdio)
    os.close(output_write)
    os.close(null)
    with os.fdopen(output_read, "rb") as file:
        result["output"] = file.read().decode()
    return result


def _run(init: launch.Init, request: dict[str, Any], stdio: tuple[int, int, int]) -> dict[str, Any]:
    result: dict[str, Any] = {"network": init.network_fd >= 0, "mounts": init.mount_ns_fd >= 0}
    if request.get("abort"):
        init.abort()
        return result
    init.start()
    if request.get("exec"):
        try:
            joined = launch.exec_process(
                request["exec"], spec=request["spec"], init_pid=init.pid, init_pidfd=init.pidfd,
                cgroup=init.cgroup, stdio=stdio,
            )  # fmt: skip
            status = wait_pidfd(joined.pidfd)
            result["exec_code"] = os.waitstatus_to_exitcode(status[1]) if status else None
            os.close(joined.pidfd)
        except StartFailed as error:
            result |= {"error": str(error), "exit_code": error.exit_code}
        init.abort()
        return result
    status = wait_pidfd(init.pidfd)
    result["code"] = os.waitstatus_to_exitcode(status[1]) if status else None
    for fd in (init.pidfd, init.network_fd, init.mount_ns_fd):
        os.close(fd)
    init.cgroup.delete()
    init.cgroup.close()
    return result


def _descriptors() -> set[int]:
    found = {int(name) for name in os.listdir("/proc/self/fd")}
    return {fd for fd in found if os.path.exists(f"/proc/self/fd/{fd}") or _is_open(fd)}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _children() -> int:
    return len(open(f"/proc/self/task/{os.getpid()}/children").read().split())


if __name__ == "__main__":
    main()
