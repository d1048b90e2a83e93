#!/bin/sh
# The OCI runtime alone: a bundle is a directory with a root file system and a config.json.
set -eu
work=$(mktemp -d)
root="--root $work/state"
# shellcheck disable=SC2086
trap 'wherry-runtime $root delete --force "box-$$" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

mkdir -p rootfs/bin
cp "$(command -v busybox)" rootfs/bin/busybox
for applet in sh sleep echo hostname; do ln -s busybox "rootfs/bin/$applet"; done
wherry-runtime spec
sed -i -e 's/"terminal": true/"terminal": false/' \
  -e 's/"sh"/"sh", "-c", "echo hello from PID $$ of $(hostname); sleep 300"/' config.json

# shellcheck disable=SC2086
{
  wherry-runtime $root create "box-$$" </dev/null >output 2>&1
  wherry-runtime $root state "box-$$" | sed -n 's/.*"status": "\(.*\)".*/state: \1/p'
  wherry-runtime $root start "box-$$"
  wherry-runtime $root exec "box-$$" echo "exec: inside"
  wherry-runtime $root kill "box-$$" KILL
  while wherry-runtime $root state "box-$$" | grep -q '"running"'; do sleep 0.05; done
  wherry-runtime $root state "box-$$" | sed -n 's/.*"status": "\(.*\)".*/state: \1/p'
  wherry-runtime $root delete "box-$$"
}
cat output
