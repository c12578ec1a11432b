#!/usr/bin/env bash
# Reads a folder whose files are named by digests, as the jobs of the platforms uploaded them, into the output `digests`. File names are
# from other jobs: one that is anything but 64 hex digits ends it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=say.sh
source "$here/say.sh"

shopt -s dotglob nullglob
digests=()
for file in "$INPUT_DIGESTS"/*; do
  name=${file##*/}
  [[ $name =~ ^[a-f0-9]{64}$ && -f $file && ! -L $file ]] || fail 'the artifacts hold something else than files named by the 64 hex digits of a digest'
  digests+=("sha256:$name")
done
[[ ${#digests[@]} -gt 0 ]] || fail 'no artifact with digests was found: the pattern must match what the jobs of the platforms uploaded'

# Nothing but digests gets here, so no line of them can be the last one.
{
  printf 'digests<<END\n'
  printf '%s\n' "${digests[@]}"
  printf 'END\n'
} >> "$GITHUB_OUTPUT"
output name "$(printf '%s\n' "${digests[@]}" | sha256sum | cut -c 1-16)"
printf '%s\n' "${digests[@]}"
