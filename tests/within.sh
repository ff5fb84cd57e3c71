# shellcheck shell=bash
# Sourced by tests that wait: until something is so, never longer than they say.

# within SECONDS COMMAND…: until the command succeeds; 1 when the seconds are over.
within() {
    local end=$((${EPOCHREALTIME/[^0-9]/} + $1 * 1000000))
    shift
    until "$@"; do
        [ "${EPOCHREALTIME/[^0-9]/}" -lt "$end" ] || return 1
        sleep 0.05
    done
}
# none_left PATTERN: no process has such a command line.
none_left() { ! pgrep -f -- "$1" >/dev/null; }
# gone PID: a child has ended.
gone() { ! kill -0 "$1" 2>/dev/null; }
