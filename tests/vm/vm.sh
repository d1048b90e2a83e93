#!/usr/bin/env bash
# vm.sh - run a command inside a throw-away Debian VM that has systemd as PID 1
# and the unified cgroup v2 hierarchy, for hosts that have neither.
#
#   vm.sh deps              install the host packages (apt, root)
#   vm.sh build             build the image and the warm snapshot (cached)
#   vm.sh built             whether both are there (exit code)
#   vm.sh run CMD [ARG..]   run CMD in a fresh VM; prints its output, returns its
#                           exit code (one argument is given to the shell as is)
#   vm.sh cluster N CMD..   N VMs on one private LAN, same CMD in each, VM_NODE=1..N
#   vm.sh clean             remove the cache
#
# CMD's stdout and stderr arrive together on stdout. The VM's disk and memory are
# discarded afterwards: every run starts from the same state.
#
# Environment
#   VM_CACHE   cache directory         (default ~/.cache/vm-harness)
#   VM_SRC     host directory for /src (default: the current directory)
#   VM_RW=1    mount /src read-write   (default: read-only)
#   VM_COPY=1  CMD works in a private writable copy of /src (in /scratch, on the VM's ext4)
#   VM_USER    run CMD as this user, in a delegated unit of its systemd --user
#              manager ("tester" exists: lingering, subuid/subgid); default root
#   VM_PASS    names of environment variables to hand on (space separated)
#   VM_TIMEOUT seconds until the VM is ended, exit code 124 (default 1800)
#   VM_COLD=1  boot from power-on instead of resuming the snapshot
#   VM_APPEND  more kernel command line (implies VM_COLD=1)
#   VM_SUITE   Debian suite (bookworm)   VM_PKGS  more packages for the image
#   VM_MEM     MiB (2048)   VM_CPUS (2)  VM_ACCEL tcg|kvm|auto (auto)
#   VM_LOG     where to keep the serial console's log (default: thrown away)
#   VM_LAN, VM_NODE  multicast group addr:port and node number of the second NIC
set -euo pipefail

VM_SUITE=${VM_SUITE:-bookworm} VM_MEM=${VM_MEM:-2048} VM_CPUS=${VM_CPUS:-2}
VM_CACHE=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vm-harness}
VM_MIRROR=${VM_MIRROR:-}
VM_ACCEL=${VM_ACCEL:-auto} VM_TIMEOUT=${VM_TIMEOUT:-1800}
[ -z "${VM_APPEND:-}" ] || VM_COLD=1
BASE_PKGS="systemd systemd-sysv libpam-systemd dbus dbus-user-session udev kmod procps
  iproute2 nftables iptables busybox-static python3 uidmap slirp4netns passt
  fuse-overlayfs apparmor ca-certificates iputils-ping"
HOST_PKGS="qemu-system-x86 mmdebstrap e2fsprogs"
KARGS="console=ttyS0 root=/dev/vda rw net.ifnames=0 mitigations=off quiet loglevel=4 audit=0 no_timer_check"

die() { echo "vm.sh: $*" >&2; exit 125; }
say() { echo "vm.sh: $*" >&2; }
now() { date +%s.%N; }
took() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f s", b - a }'; }

# Two cache keys: of the unpacked packages, and of the image made from them.
base_key() { echo "$VM_SUITE $BASE_PKGS ${VM_PKGS:-} $VM_MIRROR 1" | sha256sum | cut -c1-8; }
key() { { base_key; guest_files; } | sha256sum | cut -c1-8 | sed "s/^/$VM_SUITE-/"; }

# Everything put into the guest, as a shell script run with the rootfs as $1.
guest_files() { cat <<'GUEST'
set -e; R=$1
echo vm > "$R/etc/hostname"; echo '127.0.0.1 localhost vm' > "$R/etc/hosts"
echo 'nameserver 10.0.2.3' > "$R/etc/resolv.conf"
echo '/dev/vda / ext4 defaults,noatime 0 0' > "$R/etc/fstab"
mkdir -p "$R/src" "$R/scratch" "$R/etc/systemd/network" "$R/var/lib/systemd/linger" \
  "$R/etc/systemd/system/user@.service.d" "$R/etc/systemd/journald.conf.d"
chroot "$R" useradd -m -u 1000 -s /bin/bash tester
grep -q '^tester:' "$R/etc/subuid" || { echo tester:100000:65536 >> "$R/etc/subuid"
  echo tester:100000:65536 >> "$R/etc/subgid"; }
: > "$R/var/lib/systemd/linger/tester"
# As rootless container engines ask their users to: delegate every controller.
printf '[Service]\nDelegate=cpu cpuset io memory pids\n' > "$R/etc/systemd/system/user@.service.d/delegate.conf"
printf '[Journal]\nStorage=volatile\n' > "$R/etc/systemd/journald.conf.d/vm.conf"
printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n[DHCPv4]\nUseDNS=no\n' > "$R/etc/systemd/network/eth0.network"
for u in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  fstrim.timer systemd-networkd-wait-online.service systemd-timesyncd.service getty@.service \
  systemd-tmpfiles-clean.timer; do ln -sf /dev/null "$R/etc/systemd/system/$u"; done
chroot "$R" systemctl enable -q systemd-networkd.service
cat > "$R/usr/local/sbin/vm-agent" <<'AGENT'
#!/usr/bin/python3
"""Waits for one request (a JSON line) on the port vm.io, runs it, answers on vm.rc."""
import fcntl, json, os, pwd, struct, subprocess, threading, time
PORTS = "/dev/virtio-ports/"
while not (os.path.exists(PORTS + "vm.io") and os.path.exists(PORTS + "vm.rc")):
    time.sleep(0.1)
io = os.open(PORTS + "vm.io", os.O_RDWR)
rc = os.open(PORTS + "vm.rc", os.O_WRONLY)
subprocess.run(["systemctl", "is-system-running", "--wait"], stdout=subprocess.DEVNULL)
os.write(rc, b"ready\n")
line = b""
while not line.endswith(b"\n"):
    got = os.read(io, 65536)
    if not got:
        time.sleep(0.05)
    line += got
req = json.loads(line)
time.clock_settime(time.CLOCK_REALTIME, req["time"])
# A resumed VM would otherwise repeat the "random" bytes of every other run.
seed = bytes.fromhex(req["seed"])
with open("/dev/random", "wb", buffering=0) as f:
    fcntl.ioctl(f, 0x40085203, struct.pack("ii", len(seed) * 8, len(seed)) + seed)  # RNDADDENTROPY
    fcntl.ioctl(f, 0x5207)                                                         # RNDRESEEDCRNG
code = 125
def sh(*argv):
    subprocess.run(argv, check=True)
try:
    if req["node"]:
        n = int(req["node"])
        sh("ip", "link", "set", "eth1", "address", "52:54:00:77:00:%02x" % n)
        sh("ip", "addr", "add", "10.77.0.%d/24" % n, "dev", "eth1")
        sh("ip", "link", "set", "eth1", "up")
        sh("hostname", "node%d" % n)
        with open("/etc/hosts", "a") as f:
            f.writelines("10.77.0.%d node%d\n" % (i, i) for i in range(1, 10))
    sh("mount", "-t", "9p", "-o", "trans=virtio,version=9p2000.L,msize=262144,"
       + ("cache=none" if req["rw"] else "cache=loose,ro"), "src", "/src")
    cwd = "/src"
    if req["copy"]:
        sh("cp", "-a", "/src/.", "/scratch/")
        cwd = "/scratch"
        if req["user"]:
            sh("chown", "-R", req["user"], "/scratch")
    env = dict(req["env"], PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               LANG="C.UTF-8", TERM="dumb", HOME="/root", USER="root")
    argv = ["bash", "-c", req["cmd"]]
    if req["user"]:
        pw = pwd.getpwnam(req["user"])
        run = "/run/user/%d" % pw.pw_uid
        env.update(HOME=pw.pw_dir, USER=pw.pw_name, LOGNAME=pw.pw_name, XDG_RUNTIME_DIR=run,
                   DBUS_SESSION_BUS_ADDRESS="unix:path=%s/bus" % run)
        argv = (["setpriv", "--reuid", str(pw.pw_uid), "--regid", str(pw.pw_gid), "--init-groups",
                 "systemd-run", "--user", "--pipe", "--wait", "--quiet", "--collect",
                 "-p", "Delegate=yes", "-p", "WorkingDirectory=" + cwd]
                + ["--setenv=%s=%s" % kv for kv in env.items()] + argv)
    r, w = os.pipe()
    p = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=w, stderr=w)
    os.close(w)
    def pump():
        while True:
            b = os.read(r, 65536)
            if not b:
                return
            while b:
                b = b[os.write(io, b):]
    t = threading.Thread(target=pump, daemon=True)
    t.start()
    code = p.wait()
    if code < 0:
        code = 128 - code
    t.join(1)   # a daemon left behind may hold the pipe open: do not wait for it
except Exception as e:
    os.write(io, ("vm-agent: %s\n" % e).encode())
subprocess.run(["umount", "-l", "/src"], stderr=subprocess.DEVNULL)
os.write(rc, b"rc %d\n" % code)
os.sync()
with open("/proc/sysrq-trigger", "w") as f:
    f.write("o")
AGENT
chmod 755 "$R/usr/local/sbin/vm-agent"
cat > "$R/etc/systemd/system/vm-agent.service" <<'UNIT'
[Unit]
Description=Runs the command that vm.sh sends
[Service]
ExecStart=/usr/local/sbin/vm-agent
StandardOutput=journal+console
StandardError=journal+console
Delegate=yes
KillMode=process
OOMScoreAdjust=-900
TasksMax=infinity
LimitNOFILE=1048576
[Install]
WantedBy=multi-user.target
UNIT
chroot "$R" systemctl enable -q vm-agent.service
GUEST
}

# A small initrd (busybox, the virtio and ext4 modules): argv = rootfs, kernel release, output.
make_initrd() { python3 - "$@" <<'PY'
import lzma, os, sys
root, rel, out = sys.argv[1:]
mods = "%s/lib/modules/%s/" % (root, rel)
if not os.path.isdir(mods):
    mods = "%s/usr/lib/modules/%s/" % (root, rel)
name = lambda p: os.path.basename(p).split(".ko")[0].replace("-", "_")
deps, order = {}, []
for l in open(mods + "modules.dep"):
    p, d = l.split(":")
    deps[name(p)] = (p, [name(x) for x in d.split()])
def add(m):
    if m in deps and m not in order:
        for d in deps[m][1]:
            add(d)
        order.append(m)
for m in ("virtio_pci", "virtio_blk", "crc32c_generic", "crc32c_intel", "ext4"):
    add(m)
files = [("bin", 0o40755, b""), ("dev", 0o40755, b""), ("root", 0o40755, b""), ("m", 0o40755, b"")]
files.append(("bin/busybox", 0o100755, open(root + "/usr/bin/busybox" if os.path.exists(root + "/usr/bin/busybox") else root + "/bin/busybox", "rb").read()))
for m in order:
    b = open(mods + deps[m][0], "rb").read()
    if deps[m][0].endswith(".xz"):
        b = lzma.decompress(b)
    files.append(("m/%s.ko" % m, 0o100644, b))
init = "#!/bin/busybox sh\nb=/bin/busybox\n$b mount -t devtmpfs dev /dev\n"
init += "".join("$b insmod /m/%s.ko\n" % m for m in order)
init += ("i=0; until [ -b /dev/vda ] || [ $i -ge 100 ]; do $b sleep 0.1; i=$((i+1)); done\n"
         "$b mount -t ext4 -o rw,noatime /dev/vda /root && $b mount -o move /dev /root/dev\n"
         "exec $b switch_root /root /sbin/init\n")
files.append(("init", 0o100755, init.encode()))
with open(out, "wb") as f:
    for i, (n, mode, data) in enumerate(files + [("TRAILER!!!", 0, b"")]):
        h = [i, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(n) + 1, 0]
        rec = b"070701" + b"".join(b"%08x" % x for x in h) + n.encode() + b"\0"
        rec += b"\0" * (-len(rec) % 4) + data
        f.write(rec + b"\0" * (-len(rec) % 4))
PY
}

accel() {
  # KVM is used when asked for, or when it is hardware KVM: under kvm_pvm an ordinary
  # kernel is emulated one instruction at a time and does not get through its boot.
  case $VM_ACCEL in
    auto) if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then echo kvm; else echo tcg; fi ;;
    *) echo "$VM_ACCEL" ;;
  esac
}

# Sets QEMU to the command line common to a cold boot and to a resume (they have to agree).
qemu_args() { # image dir, rc file, console log
  local a; a=$(accel)
  QEMU=(qemu-system-x86_64 -M q35,usb=off,vmport=off -m "$VM_MEM" -smp "$VM_CPUS" -nodefaults -display none -no-reboot
    -kernel "$1/vmlinuz" -initrd "$1/initrd" -append "$KARGS ${VM_APPEND:-}"
    -chardev "file,id=con,path=$3" -serial chardev:con
    -device virtio-serial-pci,max_ports=4 -device virtserialport,chardev=io,name=vm.io,nr=1
    -chardev "file,id=rc,path=$2" -device virtserialport,chardev=rc,name=vm.rc,nr=2
    -fsdev "local,id=src,path=${VM_SRC:-$PWD},security_model=none,multidevs=remap$([ "${VM_RW:-}" ] || echo ,readonly=on)"
    -device virtio-9p-pci,fsdev=src,mount_tag=src -device virtio-rng-pci
    -netdev user,id=n0 -device virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:12:34:56
    -netdev "$(if [ "${VM_LAN:-}" ]; then echo "socket,id=n1,mcast=$VM_LAN,localaddr=127.0.0.1"; else echo hubport,id=n1,hubid=9; fi)"
    -device virtio-net-pci,netdev=n1,romfile=,mac=52:54:00:77:00:00)
  case $a in
    tcg) QEMU+=(-accel tcg,thread=multi,tb-size=512 -cpu max) ;;
    *) QEMU+=(-accel "$a" -cpu host) ;;
  esac
}

cmd_deps() {
  local p miss=""
  for p in $HOST_PKGS; do dpkg -s "$p" >/dev/null 2>&1 || miss="$miss $p"; done
  [ -z "$miss" ] && return
  say "installing$miss"
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends $miss >/dev/null
}

cmd_build() {
  local t0 B D W size T pkgs rel
  B=$VM_CACHE/base-$(base_key) D=$VM_CACHE/$(key)
  mkdir -p "$VM_CACHE"
  exec 9>"$VM_CACHE/lock"; flock 9
  if [ ! -e "$D/ok" ]; then
    [ "$(id -u)" = 0 ] || die "building the image needs root"
    cmd_deps
    t0=$(now)
    if [ ! -e "$B/ok" ]; then
      rm -rf "$B"; mkdir -p "$B"
      # shellcheck disable=SC2086
      pkgs=$(echo $BASE_PKGS ${VM_PKGS:-} | tr ' ' ,)
      say "installing $VM_SUITE in $B"
      # The kernel is unpacked, not installed: that spares initramfs-tools and its run.
      # shellcheck disable=SC2016
      mmdebstrap --mode=root --variant=minbase --format=directory --quiet \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --include="$pkgs" --customize-hook='chroot "$1" sh -ec "
          cd /tmp
          apt-get -q download \$(apt-cache depends linux-image-amd64 | sed -n \"s/.*Depends: \(linux-image[^ ]*\).*/\1/p\" | head -1)
          dpkg-deb --fsys-tarfile linux-image*.deb | tar -xk --keep-directory-symlink -C /
          rm linux-image*.deb"' \
        "$VM_SUITE" "$B/rootfs" ${VM_MIRROR:+"$VM_MIRROR"} >&2 || die "mmdebstrap failed"
      T=$B/rootfs; rel=$(basename "$T"/lib/modules/*)
      (cd "$T/lib/modules/$rel/kernel" && rm -rf sound && cd drivers && rm -rf gpu media infiniband scsi usb \
        net/ethernet net/wireless staging hwmon input iio mtd isdn mfd platform hid i2c video)
      chroot "$T" depmod "$rel"
      mv "$T"/boot/vmlinuz-* "$B/vmlinuz"; rm -rf "$T"/boot/* "$T"/var/cache/apt/*.bin
      make_initrd "$T" "$rel" "$B/initrd"
      touch "$B/ok"
      say "packages installed in $(took "$t0"), kernel $rel"
    fi
    t0=$(now); rm -rf "$D"; mkdir -p "$D"; T=$D/rootfs
    cp -a --reflink=auto "$B/rootfs" "$T"; ln -f "$B/vmlinuz" "$B/initrd" "$D/"
    guest_files > "$D/guest.sh"; sh "$D/guest.sh" "$T"
    size=$(( $(du -sm "$T" | cut -f1) + 6144 ))
    mke2fs -q -t ext4 -d "$T" -E lazy_itable_init=1 "$D/disk.img" "${size}M" >/dev/null
    rm -rf "$T"; touch "$D/ok"
    say "image made in $(took "$t0"): $(du -m "$D/disk.img" | cut -f1) MiB on disk"
  fi
  W=$D/warm-$(accel)-$VM_MEM-$VM_CPUS
  if [ ! -e "$W/ok" ]; then
    t0=$(now); rm -rf "$W"; mkdir -p "$W"
    cp --sparse=always --reflink=auto "$D/disk.img" "$W/disk.img"
    local VM_LAN=""; qemu_args "$D" "$W/rc" "$W/console"
    python3 - "$W" "${QEMU[@]}" -drive "file=$W/disk.img,format=raw,if=virtio,cache=unsafe" \
      -chardev null,id=io -qmp unix:"$W/qmp",server=on,wait=off 2> >(grep -v "hub 9 is not" >&2) <<'PY' || die "no snapshot (see $W/console)"
import json, os, socket, subprocess, sys, time
W, argv = sys.argv[1], sys.argv[2:]
p = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
t0 = time.time()
try:
    while not (os.path.exists(W + "/rc") and b"ready" in open(W + "/rc", "rb").read()):
        if p.poll() is not None or time.time() - t0 > 600:
            sys.exit("the VM did not boot")
        time.sleep(0.1)
    print("vm.sh: booted in %.1f s" % (time.time() - t0), file=sys.stderr)
    s = socket.socket(socket.AF_UNIX)
    s.connect(W + "/qmp")
    f = s.makefile("rw")
    f.readline()
    def qmp(ex, **args):
        f.write(json.dumps({"execute": ex, "arguments": args}) + "\n")
        f.flush()
        while True:
            r = json.loads(f.readline())
            if "error" in r:
                sys.exit(str(r["error"]))
            if "return" in r:
                return r["return"]
    qmp("qmp_capabilities")
    qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    time.sleep(1)
    qmp("migrate", uri="exec:cat > '%s/state'" % W)
    while True:
        st = qmp("query-migrate").get("status")
        if st == "completed":
            break
        if st in ("failed", "cancelled"):
            sys.exit("snapshot " + st)
        time.sleep(0.1)
    qmp("quit")
    p.wait(30)
finally:
    if p.poll() is None:
        p.kill()
PY
    rm -f "$W/qmp"; touch "$W/ok"
    say "snapshot made in $(took "$t0"): state $(du -m "$W/state" | cut -f1) MiB"
  fi
  flock -u 9; exec 9>&-
}

cmd_run() {
  [ $# -ge 1 ] || die "run needs a command"
  local D W T cmd rc a
  D=$VM_CACHE/$(key); W=$D/warm-$(accel)-$VM_MEM-$VM_CPUS
  [ -e "$W/ok" ] || cmd_build >&2
  if [ $# = 1 ]; then cmd=$1; else cmd=$(printf '%q ' "$@"); fi
  T=$(mktemp -d "${TMPDIR:-/tmp}/vm.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$T'" EXIT
  VM_CMD=$cmd python3 - > "$T/req" <<'PY'
import json, os, time
e = os.environ
print(json.dumps({"cmd": e["VM_CMD"], "time": time.time(), "seed": os.urandom(64).hex(), "rw": bool(e.get("VM_RW")), "copy": bool(e.get("VM_COPY")),
    "user": e.get("VM_USER", ""), "node": e.get("VM_NODE", ""),
    "env": {k: e[k] for k in e.get("VM_PASS", "").split() + ["VM_NODE"] if k in e}}))
PY
  qemu_args "$D" "$T/rc" "${VM_LOG:-/dev/null}"
  QEMU+=(-chardev stdio,id=io,signal=off)
  if [ "${VM_COLD:-}" ]; then
    QEMU+=(-drive "file=$D/disk.img,format=raw,if=virtio,cache=unsafe,snapshot=on")
  else
    QEMU+=(-drive "file=$W/disk.img,format=raw,if=virtio,cache=unsafe,snapshot=on" -incoming "exec:cat '$W/state'")
  fi
  rc=0
  # The stdio chardev closes on end of file: a FIFO that this shell holds open has none.
  mkfifo "$T/in"; exec 8<>"$T/in"; cat "$T/req" >&8
  timeout -k 5 "$VM_TIMEOUT" "${QEMU[@]}" <&8 8<&- 2> >(grep -v "hub 9 is not" >&2) || rc=$?
  exec 8<&-
  [ $rc != 124 ] || { say "timed out after $VM_TIMEOUT s"; return 124; }
  a=$(sed -n 's/^rc //p' "$T/rc" 2>/dev/null || true)
  [ -n "$a" ] || die "the VM ended without an answer (qemu: $rc)"
  return "$a"
}

cmd_cluster() { # N CMD...
  local n=$1 i rc=0 pids=(); shift
  [ -e "$VM_CACHE/$(key)/warm-$(accel)-$VM_MEM-$VM_CPUS/ok" ] || cmd_build >&2
  export VM_LAN=${VM_LAN:-230.77.$((RANDOM % 250)).$((RANDOM % 250 + 1)):$((20000 + RANDOM % 20000))}
  for i in $(seq "$n"); do
    (VM_NODE=$i; export VM_NODE; set -o pipefail; cmd_run "$@" | sed -u "s/^/[node$i] /") & pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i" || rc=$?; done
  return $rc
}

c=${1:-}; [ $# = 0 ] || shift
case $c in
  deps) cmd_deps ;;
  build) cmd_build ;;
  built) [ -e "$VM_CACHE/$(key)/warm-$(accel)-$VM_MEM-$VM_CPUS/ok" ] ;;
  run) cmd_run "$@" ;;
  cluster) cmd_cluster "$@" ;;
  clean) rm -rf "$VM_CACHE" ;;
  *) sed -n '2,/^set -e/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
esac
