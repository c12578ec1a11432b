#!/usr/bin/env bash
# Says whether this job can get an identity token, before anything is installed, downloaded or logged in to.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=say.sh
source "$here/say.sh"

has_token() {
  [[ -n ${ACTIONS_ID_TOKEN_REQUEST_URL:-} && -n ${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-} ]] ||
    [[ -n ${SIGSTORE_ID_TOKEN:-}${COUNTERSIGN_IDENTITY_TOKEN:-} ]]
}

# GitHub runs a pull request from a fork with neither secrets nor identity token. The event says where it came from. Names are compared,
# because `fork` is true as well where somebody works in a fork alone.
is_from_fork() {
  [[ ${GITHUB_EVENT_NAME:-} == pull_request && -r ${GITHUB_EVENT_PATH:-} ]] || return 1
  jq -e --arg ours "$GITHUB_REPOSITORY" \
    '.pull_request.head.repo.full_name // "" | ascii_downcase != ($ours | ascii_downcase)' "$GITHUB_EVENT_PATH" > /dev/null
}

skip=false
if is_true skip-without-token "$INPUT_SKIP_WITHOUT_TOKEN"; then
  skip=true
fi
if has_token; then
  output skipped false
elif ! is_from_fork; then
  fail 'this job gets no identity token: add "id-token: write" to its "permissions" (a workflow that calls this one has to grant it as well)'
elif [[ $skip == true ]]; then
  printf '::notice title=countersign::nothing was signed: a pull request from a fork gets no identity token\n'
  output skipped true
else
  fail 'a pull request from a fork gets no identity token, whatever its "permissions" say: sign after the merge, or set "skip-without-token: true"'
fi
