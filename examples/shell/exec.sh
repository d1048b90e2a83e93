#!/bin/sh
# A container in the background: further programs in it, its log, and its end.
set -eu
wherry image inspect busybox >/dev/null 2>&1 || wherry image bootstrap --quiet busybox >/dev/null

name="clock-$$"
wherry run --detach --name "$name" busybox sh -c 'trap "echo bye; exit 0" TERM; echo started; while :; do sleep 0.1; done' >/dev/null
trap 'wherry rm --force "$name" >/dev/null' EXIT

echo "exec: $(wherry exec --env GREETING=hello --workdir /tmp "$name" sh -c 'echo "$GREETING from $PWD"')"
echo "stdin: $(printf 'one\ntwo\n' | wherry exec --interactive "$name" wc -l)"
status=0
wherry exec "$name" sh -c 'exit 3' || status=$?
echo "status: $status"

wherry stop --timeout 10 "$name" >/dev/null
echo "exit: $(wherry inspect --format '{{.State.ExitCode}}' "$name")"
wherry logs "$name" | sed 's/^/log: /'
