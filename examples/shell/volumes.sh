#!/bin/sh
# Three kinds of storage: a named volume that outlives containers, a directory of the host, and memory.
set -eu
wherry image inspect busybox >/dev/null 2>&1 || wherry image bootstrap --quiet busybox >/dev/null
directory=$(mktemp -d)
trap 'wherry volume rm --force notes >/dev/null; rm -rf "$directory"' EXIT

wherry volume create notes >/dev/null
wherry run --rm --volume notes:/notes busybox sh -c 'echo kept >/notes/file'
echo "volume: $(wherry run --rm --mount type=volume,source=notes,target=/notes,readonly busybox cat /notes/file)"

echo "from the host" >"$directory/file"
echo "bind: $(wherry run --rm --volume "$directory:/host:ro" busybox cat /host/file)"
wherry run --rm --volume "$directory:/host:ro" busybox touch /host/other 2>/dev/null || echo "bind: read-only"

echo "tmpfs: $(wherry run --rm --tmpfs /scratch:size=1m busybox sh -c 'df -k /scratch | sed -n "s/^tmpfs *\([0-9]*\).*/\1/p"') KiB"
