#!/bin/sh
# `run` as the Engine API sees it: create, start, wait, logs, remove, with nothing but curl.
set -eu
host=${WHERRY_HOST:-${DOCKER_HOST:-unix:///run/wherry/wherry.sock}}
wherry image inspect busybox >/dev/null 2>&1 || wherry image bootstrap --quiet busybox >/dev/null

# call METHOD PATH [BODY]
call() {
  curl --silent --show-error --fail --unix-socket "${host#unix://}" --request "$1" \
    --header 'Content-Type: application/json' ${3:+--data "$3"} "http://engine/v1.44$2"
}

id=$(call POST /containers/create \
  '{"Image": "busybox", "Cmd": ["sh", "-c", "echo hi from $HOSTNAME; exit 3"], "Hostname": "harbour",
    "Tty": true, "HostConfig": {"Memory": 67108864, "NetworkMode": "none"}}' |
  sed 's/.*"Id":"\([0-9a-f]*\)".*/\1/')
trap 'call DELETE "/containers/$id?force=1"' EXIT

call POST "/containers/$id/start"
call POST "/containers/$id/wait"
# With a terminal the log is plain text; without one its two streams come in frames.
call GET "/containers/$id/logs?stdout=1&stderr=1"
