#!/usr/bin/env bash
# Puts countersign-signer into a new folder of its own and names it in the output `program`. Three ways: a program that another job
# installed, cargo and the source of this action, or the release in release.txt.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=say.sh
source "$here/say.sh"

readonly SIGNER=countersign-signer
# What a release may weigh: a download ends there.
readonly MAX_BYTES=$((64 * 1024 * 1024))

sha256() {
  if command -v sha256sum > /dev/null; then
    sha256sum -- "$1" | cut -d ' ' -f 1
  else
    shasum -a 256 -- "$1" | cut -d ' ' -f 1
  fi
}

# The copy is what is checked and run, so nobody can exchange the file in between.
from_another_job() {
  [[ $INPUT_PROGRAM_SHA256 =~ ^[a-f0-9]{64}$ ]] || fail 'the input "program" needs "program-sha256", 64 lower-case hex digits'
  [[ -f $INPUT_PROGRAM ]] || fail 'the input "program" names no file'
  cp -- "$INPUT_PROGRAM" "$folder/$SIGNER"
  [[ $(sha256 "$folder/$SIGNER") == "$INPUT_PROGRAM_SHA256" ]] || fail 'the file in "program" is not the one that "program-sha256" names'
}

from_source() {
  local source
  source=$(cd "$here/../../.." && pwd)
  [[ -f $source/signer/Cargo.toml ]] || fail 'the source of this action is not there: check out the whole repository'
  command -v cargo > /dev/null || fail '"build-from-source" needs cargo: install Rust first'
  # In its own folder, for its own cargo configuration.
  (cd "$source" && cargo build --release --locked --package countersign-signer --bin "$SIGNER" --target-dir "$folder/target")
  mv -- "$folder/target/release/$SIGNER" "$folder/$SIGNER"
  rm -rf -- "$folder/target"
}

# The name that a release has for this machine.
platform() {
  case "$(uname -s) $(uname -m)" in
    'Linux x86_64') echo x86_64-unknown-linux-musl ;;
    'Linux aarch64') echo aarch64-unknown-linux-musl ;;
    *) fail 'there is no release for this kind of machine: use "build-from-source: true"' ;;
  esac
}

from_release() {
  local pins=$here/release.txt version repository file expected
  version=$(sed -n 's/^version //p' "$pins")
  [[ $version != none ]] || fail 'there is no release of countersign yet: until the first one only "build-from-source: true" works'
  repository=$(sed -n 's/^repository //p' "$pins")
  file=$SIGNER-$(platform)
  expected=$(awk -v file="$file" '$2 == file { print $1 }' "$pins")
  if ! [[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+$ && $repository =~ ^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$ && $expected =~ ^[a-f0-9]{64}$ ]]; then
    fail 'release.txt of this action names no release for this kind of machine'
  fi
  curl --proto '=https' --tlsv1.2 --fail --silent --show-error --location --max-redirs 3 --retry 3 --max-time 300 \
    --max-filesize "$MAX_BYTES" --output "$folder/$SIGNER" \
    "https://github.com/$repository/releases/download/$version/$file" || fail 'the release could not be downloaded: run the job again'
  [[ $(sha256 "$folder/$SIGNER") == "$expected" ]] || fail 'the downloaded release is not the one that this action was made with'
}

folder=$(mktemp -d "$RUNNER_TEMP/countersign.XXXXXXXXXX")
if [[ -n ${INPUT_PROGRAM:-} || -n ${INPUT_PROGRAM_SHA256:-} ]]; then
  from_another_job
elif is_true build-from-source "$INPUT_BUILD_FROM_SOURCE"; then
  from_source
else
  from_release
fi
chmod 0700 "$folder/$SIGNER"
output program "$folder/$SIGNER"
output sha256 "$(sha256 "$folder/$SIGNER")"
"$folder/$SIGNER" --version
