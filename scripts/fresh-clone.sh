#!/usr/bin/env bash
# The proof that a stranger can start: clones HEAD into a new folder with a new home, runs the commands of the README there, and
# looks for what they left behind. Started as root it does so as root and then as nobody, without root only as the user.
#
#   scripts/fresh-clone.sh            both commands
#   scripts/fresh-clone.sh test       npm ci && npm test alone
#   scripts/fresh-clone.sh demo       npm ci && npm run demo alone
#   scripts/fresh-clone.sh both nobody    only as this user
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source_dir=$PWD
which=${1:-both}
# A stranger has neither our node_modules on the path nor the Node.js that is pinned in it.
PATH=$(tr ':' '\n' <<<"$PATH" | grep -v 'node_modules/.bin$' | paste -sd:)

work=$(mktemp -d "${TMPDIR:-/tmp}/lantern-clone-XXXXXX")
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

# Commands run with this environment and no other; `npm config` of the user (a mirror, certificates) is handed on by file.
npm_config=$(npm config get userconfig)
certificates=${NODE_EXTRA_CA_CERTS:-}

as_user() { # as_user USER FOLDER COMMAND
  local user=$1 folder=$2 command=$3
  local -a environment=(
    "PATH=$PATH" "HOME=$folder/home" "TMPDIR=$folder/tmp" "CI=true" "LANG=C.UTF-8" "LANTERN_FRESH_CLONE=$folder"
    "npm_config_userconfig=$folder/home/.npmrc" "npm_config_cache=$folder/home/.npm"
    ${certificates:+"NODE_EXTRA_CA_CERTS=$certificates"}
  )
  local -a switch=()
  [ "$user" = "$(id -un)" ] || switch=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
  (cd "$folder/repo" && "${switch[@]}" env -i "${environment[@]}" bash -euo pipefail -c "$command" </dev/null)
}

processes_of() { # ids of running processes that carry the mark of the folder in their environment or command line
  local folder=$1 entry
  for entry in /proc/[0-9]*; do
    if { tr '\0' '\n' <"$entry/environ" | grep -qxF "LANTERN_FRESH_CLONE=$folder"; } 2>/dev/null ||
      { tr '\0' ' ' <"$entry/cmdline" | grep -qF "$folder/tmp"; } 2>/dev/null; then
      echo "${entry#/proc/} $(tr '\0' ' ' <"$entry/cmdline" 2>/dev/null)"
    fi
  done
}

try_as() { # try_as USER
  local user=$1 folder=$work/$1 left started
  mkdir -p "$folder/home" "$folder/tmp"
  git clone --quiet "$source_dir" "$folder/repo"
  if [ -f "$npm_config" ]; then cp "$npm_config" "$folder/home/.npmrc"; fi
  chown -R "$user:$(id -g "$user")" "$folder"
  for name in demo test; do
    if [ "$which" != both ] && [ "$which" != "$name" ]; then continue; fi
    local command="npm ci && npm run $name"
    if [ "$name" = test ]; then command='npm ci && npm test'; fi
    printf '\n=== as %s: %s\n' "$user" "$command"
    started=$SECONDS
    as_user "$user" "$folder" "$command"
    left=$(processes_of "$folder"; find "$folder/tmp" -mindepth 1 | head -20; cd "$folder/repo"; git -c safe.directory='*' status --short)
    if [ -n "$left" ]; then
      printf 'left behind:\n%s\n' "$left" >&2
      exit 1
    fi
    printf '=== as %s: %s: %d s, nothing left behind\n' "$user" "$command" $((SECONDS - started))
  done
}

if [ $# -ge 2 ]; then
  try_as "$2"
  exit
fi
try_as "$(id -un)"
if [ "$(id -u)" = 0 ]; then try_as nobody; fi
