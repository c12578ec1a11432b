#!/usr/bin/env bash
# Turns the inputs into one call of countersign-signer. Each value is one argument: `--flag=value`, or behind `--`, so that none can
# become a flag.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=say.sh
source "$here/say.sh"

# The lines of an input, without blank ones and the white space around them.
lines() {
  local line
  while IFS= read -r line || [[ -n $line ]]; do
    line=${line#"${line%%[![:space:]]*}"}
    line=${line%"${line##*[![:space:]]}"}
    [[ -z $line ]] || printf '%s\n' "$line"
  done <<< "$1"
}

# Adds `FLAG=LINE` for each line of an input.
add_each() {
  local line
  while IFS= read -r line; do
    arguments+=("$1=$line")
  done < <(lines "$2")
}

# Adds `FLAG=VALUE` where the input has a value.
add() {
  [[ -z $2 ]] || arguments+=("$1=$2")
}

# Writes what `registry-auth` names in the form of docker's configuration, which only this user may read. Secrets go through pipes:
# arguments show in the list of processes.
write_registry_auth() {
  local host username password auth entries=''
  while read -r host username password; do
    if ! [[ $host =~ ^[A-Za-z0-9.-]+(:[0-9]+)?$ && -n $username && -n $password ]]; then
      fail 'a line of registry-auth is not HOST USERNAME PASSWORD'
    fi
    auth=$(printf '%s:%s' "$username" "$password" | base64 | tr -d '\n')
    printf '::add-mask::%s\n' "$auth"
    entries+="$host $auth"$'\n'
  done < <(lines "$INPUT_REGISTRY_AUTH")
  printf '%s' "$entries" |
    jq -R -n -c '{auths: ([inputs | split(" ") | {key: .[0], value: {auth: .[1]}}] | from_entries)}' > "$folder/auth.json"
}

folder=$(mktemp -d "$RUNNER_TEMP/countersign.XXXXXXXXXX")
trap 'rm -rf -- "$folder"' EXIT
umask 077

arguments=(--github)
add_each --annotation "$INPUT_ANNOTATIONS"
add --statement "$INPUT_STATEMENT"
add --timeout "$INPUT_TIMEOUT"
if [[ $INPUT_POLICY == *$'\n'* ]]; then
  printf '%s' "$INPUT_POLICY" > "$folder/policy.yaml"
  add --self-verify "$folder/policy.yaml"
else
  add --self-verify "$INPUT_POLICY"
fi

if [[ -n $INPUT_REPOSITORIES ]]; then
  command=publish
  add_each --repository "$INPUT_REPOSITORIES"
  add_each --tag "$INPUT_TAGS"
  add_each --from "$INPUT_FROM"
  add_each --index-annotation "$INPUT_INDEX_ANNOTATIONS"
  add --digests "$INPUT_DIGESTS"
  add --expect-platforms "$INPUT_EXPECT_PLATFORMS"
  add --hold-tag "$INPUT_HOLD_TAG"
else
  command=sign
  if [[ -n $INPUT_TAGS$INPUT_DIGESTS$INPUT_FROM$INPUT_INDEX_ANNOTATIONS$INPUT_EXPECT_PLATFORMS$INPUT_HOLD_TAG ]]; then
    fail '"tags", "digests", "from", "index-annotations", "expect-platforms" and "hold-tag" are for publishing: give "repositories" as well'
  fi
  [[ -n $(lines "$INPUT_IMAGES") ]] || fail 'there is nothing to sign: give "images", or "repositories" to publish'
fi
arguments+=(--)
while IFS= read -r image; do
  arguments+=("$image")
done < <(lines "$INPUT_IMAGES")

if [[ -n $(lines "$INPUT_REGISTRY_AUTH") ]]; then
  write_registry_auth
  export REGISTRY_AUTH_FILE=$folder/auth.json
fi

# The program prints no workflow command; nobody else's words in its output shall be one either.
token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
printf '::stop-commands::%s\n' "$token"
status=0
"$PROGRAM" "$command" "${arguments[@]}" || status=$?
printf '::%s::\n' "$token"
if [[ $status != 0 ]]; then
  printf '::error title=countersign::not everything was signed (exit %d): the summary of this job says why\n' "$status"
fi
exit "$status"
