# shellcheck shell=bash
# Sourced by tests and benchmarks that run a command in a control group of its own (root; v1 or v2).

# in_cgroup CONTROLLER 'FILE=VALUE …' COMMAND…: sets the first of the files that there is; the
# command's exit code, or 125 when no such group can be made. The group is gone afterwards.
in_cgroup() {
    local group=/sys/fs/cgroup/$1 file code=125
    [ -d "$group" ] || group=/sys/fs/cgroup
    group+=/sw-test-$BASHPID
    { mkdir "$group" && { echo "+$1" >"${group%/*}/cgroup.subtree_control" || true; }; } 2>/dev/null
    for file in $2; do
        [ -w "$group/${file%%=*}" ] || continue
        { echo "${file#*=}" | tr _ ' ' >"$group/${file%%=*}"; } 2>/dev/null || break
        ! [ -e "$group/memory.swap.max" ] || echo 0 >"$group/memory.swap.max"
        (
            echo "$BASHPID" >"$group/cgroup.procs"
            "${@:3}"
        ) && code=0 || code=$?
        break
    done
    for _ in 1 2 3 4 5 6 7 8 9 10; do # a process that has ended stays in it for a moment
        rmdir "$group" 2>/dev/null && break
        sleep 0.1
    done
    return "$code"
}
in_memory() { in_cgroup memory "memory.limit_in_bytes=$1 memory.max=$1" "${@:2}"; }
# at_disk_rate FILE BYTES_PER_SECOND COMMAND…: reading from the disk that FILE lies on is so slow.
at_disk_rate() {
    local source device # a whole disk, not one of its partitions
    source=$(findmnt -no SOURCE -T "$1") && device=$(lsblk -ndo PKNAME "$source" 2>/dev/null)
    device=$(cat "/sys/class/block/${device:-${source##*/}}/dev" 2>/dev/null) || return 125
    in_cgroup "$([ -d /sys/fs/cgroup/blkio ] && echo blkio || echo io)" \
        "blkio.throttle.read_bps_device=${device}_$2 io.max=${device}_rbps=$2" "${@:3}"
}
