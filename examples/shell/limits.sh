#!/bin/sh
# What a container is allowed: memory, processes, CPU time and capabilities.
set -eu
wherry image inspect busybox >/dev/null 2>&1 || wherry image bootstrap --quiet busybox >/dev/null

wherry run --rm --memory 64m --pids-limit 50 --cpus 0.5 --cap-drop all --cap-add CHOWN --read-only --network none busybox sh -c '
  limit() { cat "/sys/fs/cgroup/$1" 2>/dev/null || cat "/sys/fs/cgroup/$2"; }
  echo "memory: $(limit memory/memory.limit_in_bytes memory.max)"
  echo "processes: $(limit pids/pids.max pids.max)"
  echo "capabilities: $(sed -n "s/^CapEff:\t//p" /proc/self/status)"
  touch /file 2>/dev/null || echo "root: read-only"'

# A program that takes more memory than it may is killed by the kernel.
wherry run --name greedy --memory 16m --network none busybox tail -c 200000000 /dev/zero >/dev/null 2>&1 || echo "greedy: exit $?"
echo "greedy: out of memory $(wherry inspect --format '{{.State.OOMKilled}}' greedy)"
wherry rm greedy >/dev/null
