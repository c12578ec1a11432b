# What the scripts of this action say to the job. Sourced, never run.
# shellcheck shell=bash

# Fails with a text of our own, on standard error, which no caller captures. Values from outside never go into a workflow command: a line break in one would begin another command.
fail() {
  printf '::error title=countersign::%s\n' "$1" >&2
  exit 2
}

# Reads an input that is true or false.
is_true() {
  case "$2" in
    true) return 0 ;;
    false) return 1 ;;
    *) fail "the input $1 is neither true nor false" ;;
  esac
}

# Appends an output of one line.
output() {
  printf '%s=%s\n' "$1" "$2" >> "$GITHUB_OUTPUT"
}
