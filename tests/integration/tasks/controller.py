"""A process that controls a task and is to be killed: `controller.py PATH ROOT TASK_ID SOCKET_FD SCRIPT`.

It starts SCRIPT in a task with a log, attaches the socket, starts an exec named "e" that runs until the file
/tmp/go exists and then exits with 23, writes a line when all that is done, and waits.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.integration.tasks.bench import Bench

EXEC = "while ! [ -e /tmp/go ]; do sleep 0.02; done; exit 23"


async def control(path: str, root: str, task_id: str, socket_fd: str, script: str) -> None:
    bench = Bench(Path(path), Path(root))
    bench.parent = "/wherry-test-survival"
    await bench.service.start_spawner()
    task = await bench.create("sh", "-c", script, task_id=task_id, log=True, stdin=True)
    await task.attach(int(socket_fd), stdin=True, stdout=True, stderr=True, framed=False)
    await task.start()
    process = {"args": ["sh", "-c", EXEC], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
    await task.create_exec("e", process)
    await task.start_exec("e")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(control(*sys.argv[1:]))
