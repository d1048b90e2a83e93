"""A scripted daemon with something of everything in it, for comparing the two command lines."""

# ruff: noqa: E501 — tables, one row a line

import json
import socket
import struct
import time

from tests.fakes.daemon import Answer, Reply, Request

NOW = int(time.time())
IDS = [f"{number:02x}" * 32 for number in range(0x10, 0x20)]
CONTAINERS = [
    {
        "Id": IDS[0],
        "Names": ["/web", "/other/alias"],
        "Image": "nginx:latest",
        "ImageID": "sha256:" + IDS[8],
        "Command": "/docker-entrypoint.sh nginx -g 'daemon off;'",
        "Created": NOW - 3 * 3600 - 5,
        "Ports": [
            {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "0.0.0.0", "PrivatePort": 90, "PublicPort": 90, "Type": "tcp"},
            {"IP": "0.0.0.0", "PrivatePort": 91, "PublicPort": 91, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 91, "PublicPort": 91, "Type": "tcp"},
            {"PrivatePort": 443, "Type": "tcp"},
            {"PrivatePort": 444, "Type": "tcp"},
            {"PrivatePort": 53, "Type": "udp"},
        ],
        "SizeRw": 1234567,
        "SizeRootFs": 187654321,
        "Labels": {"b.key": "two", "a": "one"},
        "State": "running",
        "Status": "Up 3 hours",
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"bridge": {}, "a-net": {}}},
        "Mounts": [
            {
                "Type": "volume",
                "Name": "a-rather-long-volume-name",
                "Driver": "local",
                "Source": "/x",
                "Destination": "/d",
            },
            {"Type": "bind", "Source": "/srv/data/of/the/web", "Destination": "/e"},
        ],
    },
    {
        "Id": IDS[1],
        "Names": ['/quo"te'],
        "Image": "sha256:" + IDS[8],
        "ImageID": "sha256:" + IDS[8],
        "Command": "sh -c 'echo \"ünïcode\"\t…'",
        "Created": NOW - 5 * 3600 - 600,
        "Ports": [],
        "Labels": None,
        "State": "exited",
        "Status": "Exited (0) 20 seconds ago",
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    },
    {
        "Id": IDS[2],
        "Names": ["/third"],
        "Image": "docker.io/library/busybox@sha256:" + IDS[9],
        "ImageID": "sha256:" + IDS[9],
        "Command": "日本語日本語日本語日本語",
        "Created": NOW - 86400 * 20,
        "Ports": [],
        "Labels": {},
        "State": "created",
        "Status": "Created",
        "NetworkSettings": {"Networks": {"none": {}}},
        "Mounts": [],
    },
]
IMAGES = [
    {
        "Id": "sha256:" + IDS[8],
        "RepoTags": ["nginx:latest", "nginx:1.27"],  # one repository: Docker shows several in any order
        "RepoDigests": ["nginx@sha256:" + IDS[10]],
        "Created": NOW - 86400 * 100,
        "Size": 187654321,
        "SharedSize": -1,
        "Containers": -1,
        "Labels": None,
    },
    {
        "Id": "sha256:" + IDS[9],
        "RepoTags": [],
        "RepoDigests": ["busybox@sha256:" + IDS[11]],
        "Created": NOW - 2 * 3600 - 600,
        "Size": 4321000,
        "SharedSize": 1000,
        "Containers": 2,
    },
    {"Id": "sha256:" + IDS[12], "RepoTags": ["registry.example:5000/a/nginx:x"], "RepoDigests": [],
     "Created": NOW - 86400 * 100, "Size": 187654321, "SharedSize": -1, "Containers": -1},
    {"Id": "sha256:" + IDS[10], "RepoTags": None, "RepoDigests": None, "Created": 0, "Size": 999, "SharedSize": -1,
     "Containers": -1},
]  # fmt: skip
HISTORY = [
    {"Id": "sha256:" + IDS[8], "Created": NOW - 7200, "CreatedBy": "CMD [\"nginx\" \"-g\" \"daemon off;\"]\t# and more to cut off here",
     "Size": 0, "Comment": "buildkit.dockerfile.v0", "Tags": ["nginx:latest"]},
    {"Id": "<missing>", "Created": 0, "CreatedBy": "ADD rootfs.tar / # buildkit", "Size": 74812345, "Comment": ""},
]  # fmt: skip
INSPECT = {
    "Id": IDS[0],
    "Created": "2026-01-02T03:04:05.678901234Z",
    "Path": "sleep",
    "Args": ["1000"],
    "State": {"Status": "running", "Running": True, "Paused": False, "Restarting": False, "OOMKilled": False,
              "Dead": False, "Pid": 4242, "ExitCode": 0, "Error": "", "StartedAt": "2026-01-02T03:04:06Z",
              "FinishedAt": "0001-01-01T00:00:00Z"},
    "Image": "sha256:" + IDS[8],
    "Name": "/web",
    "RestartCount": 0,
    "Driver": "overlayfs",
    "Platform": "linux",
    "HostConfig": {"Binds": ["/a:/b"], "NetworkMode": "default", "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
                   "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": False, "Memory": 536870912,
                   "NanoCpus": 1500000000, "CapAdd": None, "Ulimits": []},
    "Mounts": [],
    "Config": {"Hostname": "abc", "Env": ["PATH=/bin", "A=<b>&c"], "Cmd": ["sleep", "1000"], "Image": "nginx",
               "Tty": False, "OpenStdin": False, "Labels": {"x": "y"}, "Entrypoint": None},
    "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
                                  "443/tcp": None, "9/udp": [{"HostIp": "127.0.0.1", "HostPort": "10009"}]},
                        "Networks": {"bridge": {"IPAddress": "172.17.0.2", "Gateway": "172.17.0.1", "MacAddress": "02:42:ac:11:00:02"}}},
}  # fmt: skip
VOLUMES = [
    {"Name": "vol10", "Driver": "local", "Mountpoint": "/v/10", "Scope": "local", "Labels": {"a": "b"}, "Options": None,
     "CreatedAt": "2026-01-02T03:04:05Z"},
    {"Name": "vol2", "Driver": "local", "Mountpoint": "/v/2", "Scope": "local", "Labels": None, "Options": None,
     "CreatedAt": "2026-01-02T03:04:05Z"},
]  # fmt: skip
NETWORKS = [
    {"Name": "none", "Id": IDS[5], "Created": "2026-01-02T03:04:05.5Z", "Scope": "local", "Driver": "null",
     "EnableIPv4": True, "EnableIPv6": False, "Internal": False, "Labels": {}},
    {"Name": "bridge", "Id": IDS[6], "Created": "2026-01-02T03:04:05.123456789Z", "Scope": "local", "Driver": "bridge",
     "EnableIPv4": True, "EnableIPv6": True, "Internal": True, "Labels": {"l": "m"}},
]  # fmt: skip
EVENTS = [
    {"status": "die", "id": IDS[0], "from": "nginx", "Type": "container", "Action": "die",
     "Actor": {"ID": IDS[0], "Attributes": {"name": "web", "exitCode": "0", "image": "nginx"}}, "scope": "local",
     "time": 1767323045, "timeNano": 1767323045678000000},
    {"Type": "network", "Action": "create", "Actor": {"ID": IDS[6], "Attributes": {}}, "scope": "local",
     "time": 1767323046, "timeNano": 1767323046000000001},
]  # fmt: skip
INFO = {"ID": "abc", "Containers": 3, "ContainersRunning": 1, "ContainersPaused": 0, "ContainersStopped": 2, "Images": 3,
        "Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "host"], "Authorization": None, "Log": ["json-file", "none"]},
        "MemoryLimit": True, "SwapLimit": True, "CpuCfsPeriod": True, "CpuCfsQuota": True, "CPUShares": True, "CPUSet": True,
        "PidsLimit": True, "IPv4Forwarding": True, "OomKillDisable": True, "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs", "CgroupVersion": "1",
        "KernelVersion": "6.1.0", "OperatingSystem": "Debian GNU/Linux 12", "OSType": "linux", "Architecture": "x86_64",
        "NCPU": 2, "MemTotal": 2097152000, "DockerRootDir": "/var/lib/x", "Name": "host", "ServerVersion": "28.2.2",
        "Runtimes": {"runc": {"path": "runc"}, "a": {"path": "b"}}, "DefaultRuntime": "runc", "InitBinary": "docker-init",
        "Swarm": {"LocalNodeState": "inactive"}, "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "ContainerdCommit": {"ID": "c1"}, "RuncCommit": {"ID": "r1"}, "InitCommit": {"ID": "i1"},
        "RegistryConfig": {"InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"], "IndexConfigs": {}, "Mirrors": None},
        "Warnings": ["WARNING: something is off"], "CDISpecDirs": ["/etc/cdi"]}  # fmt: skip
PULL = [
    {"status": "Pulling from library/busybox", "id": "latest"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "aaaaaaaaaaaa"},
    {"status": "Downloading", "progressDetail": {"current": 100, "total": 1000}, "id": "aaaaaaaaaaaa"},
    {"status": "Download complete", "progressDetail": {}, "id": "aaaaaaaaaaaa"},
    {"status": "Extracting", "progressDetail": {"current": 1, "units": "s"}, "id": "aaaaaaaaaaaa"},
    {"status": "Pull complete", "progressDetail": {}, "id": "aaaaaaaaaaaa"},
    {"status": "Digest: sha256:" + IDS[8]},
    {"status": "Status: Downloaded newer image for busybox:latest"},
]


def stream(records: list[dict[str, object]]) -> Reply:
    """Records as the engine streams them."""
    body = b"".join(json.dumps(record).encode() + b"\r\n" for record in records)
    return Reply(200, body, {"Content-Type": "application/json"})


def not_found(text: str) -> Reply:
    return Reply(404, {"message": text})


def frames(*parts: tuple[int, bytes]) -> bytes:
    """A multiplexed stream."""
    return b"".join(struct.pack(">BxxxI", kind, len(data)) + data for kind, data in parts)


def hijacked(output: bytes, media_type: str = "application/vnd.docker.multiplexed-stream") -> Answer:
    """Switch protocols, send `output`, and echo nothing."""

    def answer(_request: Request, connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 101 UPGRADED\r\nApi-Version: 1.51\r\nOstype: linux\r\n"
            b"Content-Type: "
            + media_type.encode()
            + b"\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            + output
        )
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        try:
            while connection.recv(65536):
                pass
        except OSError:
            pass

    return answer


def routes() -> dict[str, Answer]:
    """The scripted daemon's table; the first pattern that fits answers."""
    return {
        r"POST /containers/create": create,
        rf"POST /containers/{IDS[3]}/attach": hijacked(frames((1, b"hello\n"), (2, b"oops\n"))),
        rf"POST /containers/{IDS[3]}/wait": Reply(200, {"StatusCode": 7}),
        rf"POST /containers/{IDS[3]}/start": Reply(204),
        rf"POST /containers/{IDS[4]}/attach": hijacked(b""),
        rf"POST /containers/{IDS[4]}/wait": Reply(200, {"StatusCode": 127}),
        rf"POST /containers/{IDS[4]}/start": Reply(400, {"message": NOT_IN_PATH}),
        rf"POST /containers/({IDS[0]}|web)/attach": hijacked(frames((1, b"attached\n"))),
        rf"POST /containers/({IDS[0]}|web)/wait": Reply(200, {"StatusCode": 3}),
        r"GET /containers/json": Reply(200, CONTAINERS),
        r"GET /images/json": Reply(200, IMAGES),
        r"GET /containers/(web|10)/json": Reply(200, INSPECT),
        r"GET /containers/[^/]+/json": not_found("No such container: nope"),
        r"GET /images/nginx/json": Reply(200, {"Id": "sha256:" + IDS[8], "RepoTags": ["nginx:latest"], "Size": 12, "Config": {"Cmd": ["a"]}}),
        r"GET /images/nginx/history": Reply(200, HISTORY),
        r"GET /images/[^/]+/json": not_found("No such image: nope:latest"),
        r"GET /volumes": Reply(200, {"Volumes": VOLUMES, "Warnings": None}),
        r"GET /volumes/vol2": Reply(200, VOLUMES[1]),
        r"GET /volumes/.*": not_found("get nope: no such volume"),
        r"GET /networks": Reply(200, NETWORKS),
        r"GET /networks/none": Reply(200, NETWORKS[0]),
        r"GET /networks/.*": not_found("network nope not found"),
        r"GET /events": stream(EVENTS),
        r"GET /info": Reply(200, INFO),
        r"POST /containers/(web|a)/(stop|kill|restart|pause|unpause|rename)": Reply(204),
        r"POST /containers/web/start": Reply(304),
        r"POST /containers/a/start": Reply(204),
        r"POST /containers/busy/.*": Reply(409, {"message": "container busy is not running"}),
        r"POST /containers/[^/]+/(stop|kill|restart|pause|unpause|rename|start)": not_found("No such container: nope"),
        r"DELETE /containers/(web|a)": Reply(204),
        r"DELETE /containers/busy": Reply(409, {"message": "cannot remove container \"busy\": container is running: stop the container before removing or force remove"}),
        r"DELETE /containers/.*": not_found("No such container: nope"),
        r"POST /containers/web/wait": Reply(200, {"StatusCode": 3}),
        r"POST /containers/[^/]+/wait": not_found("No such container: nope"),
        r"GET /containers/web/top": Reply(200, {"Titles": ["UID", "PID", "CMD"], "Processes": [["root", "1", "sleep 1000"], ["a-long-user-name-here", "2", "x"]]}),
        rf"GET /containers/({IDS[0]}|web)/logs": Reply(200, frames((1, b"out\n"), (2, b"err\n"), (1, b"more\n")), {"Content-Type": "application/vnd.docker.multiplexed-stream"}),
        r"DELETE /images/nginx": Reply(200, [{"Untagged": "nginx:latest"}, {"Deleted": "sha256:" + IDS[8]}]),
        r"DELETE /images/.*": not_found("No such image: nope:latest"),
        r"POST /images/nginx/tag": Reply(201),
        r"POST /images/.*/tag": not_found("No such image: nope:latest"),
        r"POST /images/create": stream(PULL),
        r"POST /images/.*/push": stream([{"status": "The push refers to repository [docker.io/library/nginx]"}, {"status": "Preparing", "progressDetail": {}, "id": "aa"}, {"errorDetail": {"message": "denied: no"}, "error": "denied: no"}]),
        r"POST /images/load": stream([{"stream": "Loaded image: busybox:latest\n"}]),
        r"GET /images/get": Reply(200, b"a tar archive", {"Content-Type": "application/x-tar"}),
        r"POST /containers/prune": Reply(200, {"ContainersDeleted": [IDS[1], IDS[2]], "SpaceReclaimed": 1234567}),
        r"POST /images/prune": Reply(200, {"ImagesDeleted": [{"Untagged": "a:b"}, {"Deleted": "sha256:" + IDS[3]}], "SpaceReclaimed": 0}),
        r"POST /volumes/prune": Reply(200, {"VolumesDeleted": None, "SpaceReclaimed": 0}),
        r"POST /networks/prune": Reply(200, {"NetworksDeleted": ["n1"]}),
        r"POST /volumes/create": Reply(201, VOLUMES[1]),
        r"DELETE /volumes/vol2": Reply(204),
        r"DELETE /volumes/.*": Reply(409, {"message": "remove nope: volume is in use - [abc]"}),
        r"POST /containers/web/exec": Reply(201, {"Id": IDS[7]}),
        r"POST /containers/[^/]+/exec": not_found("No such container: nope"),
        rf"POST /exec/{IDS[7]}/start": start_exec,
        rf"GET /exec/{IDS[7]}/json": Reply(200, {"ID": IDS[7], "Running": False, "ExitCode": 9}),
    }  # fmt: skip


NOT_IN_PATH = 'failed to create task for container: exec: "nope": executable file not found in $PATH'


def start_exec(request: Request, connection: socket.socket) -> Reply | None:
    """An exec that prints one line, or nothing when it is detached."""
    if json.loads(request.body)["Detach"]:
        return Reply(200)
    answer = hijacked(frames((1, b"executed\n")))
    assert callable(answer)
    return answer(request, connection)


def create(request: Request, _connection: socket.socket) -> Reply:
    """Containers of `good` run, of `broken` fail to start, of anything else have no image."""
    image = json.loads(request.body)["Image"]
    if image == "good":
        return Reply(201, {"Id": IDS[3], "Warnings": ["this is a warning"]})
    if image == "broken":
        return Reply(201, {"Id": IDS[4], "Warnings": []})
    if image == "taken":
        return Reply(409, {"message": 'Conflict. The container name "/x" is already in use'})
    return not_found(f"No such image: {image}:latest")
