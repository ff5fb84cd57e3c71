# shellcheck shell=bash
# Sourced by tests that wait: until something is so, never longer than they say.

# within SECONDS COMMAND…: until the command succeeds; 1 when the seconds are over. Time in which the
# test itself is stopped does not count.
within() {
    local looks=$(($1 * 20))
    shift
    until "$@"; do
        [ $((looks--)) -gt 0 ] || return 1
        sleep 0.05
    done
}
# none_left PATTERN: no process has such a command line.
none_left() { ! pgrep -f -- "$1" >/dev/null; }
# gone PID: a child has ended.
gone() { ! kill -0 "$1" 2>/dev/null; }
