"""docker-py against wherryd: run, exec, and output as it comes.

`pip install docker` is all it needs; DOCKER_HOST names the engine, as for Docker.
"""

import docker

client = docker.from_env()

output = client.containers.run("busybox", ["echo", "hi"], remove=True, network_mode="none")
print("run:", output.decode().strip())

container = client.containers.run("busybox", ["sleep", "300"], detach=True, mem_limit="64m", pids_limit=20)
try:
    code, (stdout, stderr) = container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True)
    print("exec:", code, stdout.decode().strip(), stderr.decode().strip())
finally:
    container.remove(force=True)

for line in client.containers.run("busybox", ["seq", "3"], stream=True, remove=True):
    print("line:", line.decode().strip())

try:
    client.containers.run("busybox", ["sh", "-c", "exit 7"], remove=True)
except docker.errors.ContainerError as error:
    print("failed:", error.exit_status)
client.close()
