#!/bin/bash
# Pretend hosts on one machine, for tests of ranks on several hosts: each has its own network, host
# name, shared memory and a link to a common switch. Needs root. 10.98.0.0/24 exists inside only.
#   hosts.sh up N | down | exec HOST CMD… | mpirun ARG… | processes HOST
#   hosts.sh cut HOST [HOST2] | heal HOST [HOST2] | slow HOST RATE|off | freeze HOST | thaw HOST
#   hosts.sh far HOST MS MBIT | memory HOST SIZE | cores HOST NUMBER
# far: from now on a cable of that delay (one way) and rate; SW_CABLE is the program tests/tools/cable.c.
# memory: what all processes of HOST that start from now on may use (1G); more, and the kernel kills.
# cores: the same of processor time (0.5: half a core).
# Hosts are h1, h2, …; SW_HOSTS names the state folder (one set of hosts a folder). A cut is silent:
# no sender hears of it. SW_MPIRUN: what `mpirun` runs (another program with mpirun's options).
set -u
state=${SW_HOSTS:-/tmp/sw-hosts}
self=$(readlink -f "$0")

die() {
    echo "hosts.sh: $*" >&2
    exit 1
}
holder() { cat "$state/$1" 2>/dev/null || die "there is no host $1"; }
inside() {
    local pid group join=()
    pid=$(holder "$1") || exit 1
    while read -r group; do # and all that it starts
        # shellcheck disable=SC2016 # expanded by the shell that joins
        join+=(bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group")
    done < <(groups_of "$1")
    shift
    "${join[@]}" nsenter -t "$pid" -n -u -i -m -- "$@"
}

# hold NAME SCRIPT: a process that keeps new namespaces open, after SCRIPT has run in them.
hold() {
    setsid unshare -n -u -i -m --propagation private \
        bash -c "$2; touch '$state/$1.ready'; exec sleep infinity" </dev/null >"$state/$1.log" 2>&1 &
    echo $! >"$state/$1"
    for _ in $(seq 1200); do
        [ -e "$state/$1.ready" ] && return
        sleep 0.05
    done
    die "$1 did not come up: $(cat "$state/$1.log")"
}

up() {
    [ -e "$state" ] && down
    mkdir -p "$state" || die "cannot write $state"
    echo "127.0.0.1 localhost" >"$state/etc.hosts"
    for i in $(seq "$1"); do
        echo "10.98.0.$((10 + i)) h$i" >>"$state/etc.hosts"
        echo "h$i slots=1" >>"$state/hostfile"
    done
    hold switch "ip link add br0 type bridge && ip link set br0 up"
    for i in $(seq "$1"); do
        hold "h$i" "hostname h$i && mount -t tmpfs tmpfs /dev/shm && ip link set lo up &&
            mount --bind '$state/etc.hosts' /etc/hosts"
        inside switch ip link add "v$i" type veth peer name eth0 netns "$(holder "h$i")" &&
            inside switch ip link set "v$i" master br0 up &&
            inside "h$i" ip addr add "10.98.0.$((10 + i))/24" dev eth0 &&
            inside "h$i" ip link set eth0 up || die "no link to h$i"
    done
}

# Every process in the network of HOST but its holder.
processes() {
    local pid net
    pid=$(holder "$1") || exit 1
    net=$(readlink "/proc/$pid/ns/net")
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/ns/net" 2>/dev/null)" = "$net" ] && [ "$p" != "/proc/$pid" ] &&
            echo "${p#/proc/}"
    done
    return 0
}

# The control group (cgroup v1 or v2) of a host for `memory` or `cpu`.
group_of() { # HOST CONTROLLER
    local all=/sys/fs/cgroup/$2
    [ -d "$all" ] || all=/sys/fs/cgroup
    echo "$all/sw-${state//\//_}-$1"
}
# Those that exist.
groups_of() {
    for controller in memory cpu; do
        [ ! -d "$(group_of "$1" $controller)" ] || group_of "$1" $controller
    done | sort -u
}

down() {
    for name in "$state"/h[0-9] "$state"/h[0-9][0-9] "$state/switch"; do
        [ -f "$name" ] || continue
        for p in $(processes "${name##*/}") $(cat "$name"); do
            kill -KILL "$p" 2>/dev/null
        done
        [ ! -e "$state/${name##*/}.wire" ] || kill "$(cat "$state/${name##*/}.wire")"
        while read -r group; do
            leave_group "$group"
        done < <(groups_of "${name##*/}")
    done
    rm -rf "$state"
}

signal_all() {
    local p
    for p in $(processes "$2"); do
        kill "-$1" "$p" 2>/dev/null
    done
}

launch() {
    inside h1 bash -c 'cd "$0" && exec "$@"' "$PWD" "${SW_MPIRUN:-mpirun}" --hostfile "$state/hostfile" \
        --mca plm rsh --mca plm_rsh_agent "$self agent" --mca plm_rsh_no_tree_spawn 1 \
        --mca btl_tcp_if_include 10.98.0.0/24 --mca oob_tcp_if_include 10.98.0.0/24 "$@"
}

# Between two hosts only: each sends to a hardware address that nobody has.
cut_between() {
    inside "$1" ip neigh replace "10.98.0.$((10 + ${2#h}))" lladdr 02:00:00:00:00:99 dev eth0 \
        nud permanent
}
heal_between() { inside "$1" ip neigh flush to "10.98.0.$((10 + ${2#h}))" dev eth0 nud permanent; }

# A token bucket each way; the queue holds 50 ms.
slow() {
    inside "$1" tc qdisc del dev eth0 root 2>/dev/null
    inside switch tc qdisc del dev "v${1#h}" root 2>/dev/null
    [ "$2" = off ] && return
    inside "$1" tc qdisc add dev eth0 root tbf rate "$2" burst 128k latency 50ms &&
        inside switch tc qdisc add dev "v${1#h}" root tbf rate "$2" burst 128k latency 50ms
}

# The host's cable is replaced: eth0 there and its port of the switch become the ends of a slow one.
far() {
    local address
    address=10.98.0.$((10 + ${1#h}))/24
    [ -x "${SW_CABLE:-}" ] || die "far: SW_CABLE is not the program of tests/tools/cable.c"
    [ ! -e "$state/$1.wire" ] || kill "$(cat "$state/$1.wire")"
    inside switch ip link del "v${1#h}" 2>/dev/null # and its other end
    "$SW_CABLE" "$(holder "$1")" eth0 "$(holder switch)" "v${1#h}" $((${2%.*} * 1000)) "$3" \
        </dev/null >"$state/$1.cable" 2>&1 &
    echo $! >"$state/$1.wire"
    for _ in $(seq 1200); do
        grep -qs ready "$state/$1.cable" && break
        sleep 0.05
    done
    inside switch ip link set "v${1#h}" master br0 up && inside "$1" ip addr add "$address" dev eth0 &&
        inside "$1" ip link set eth0 up || die "no cable to $1: $(cat "$state/$1.cable")"
}

# For what starts on the host from now on: the first of the files FILE=VALUE that there is, is set.
limit() { # HOST CONTROLLER FILE=VALUE …
    local group file
    group=$(group_of "$1" "$2")
    mkdir -p "$group" || die "$2: no group $group can be made"
    { echo "+$2" >"${group%/*}/cgroup.subtree_control"; } 2>/dev/null # cgroup v2
    for file in "${@:3}"; do
        [ -e "$group/${file%%=*}" ] || continue
        echo "${file#*=}" >"$group/${file%%=*}" && return
    done
    die "$2: nothing of ${*:3} can be set in $group"
}
memory() {
    limit "$1" memory "memory.limit_in_bytes=$2" "memory.max=$2"
    [ ! -e "$(group_of "$1" memory)/memory.swap.max" ] || limit "$1" memory memory.swap.max=0
}
cores() { # in periods of 10 ms
    local us
    us=$(awk -v n="$2" 'BEGIN { printf "%d", n * 10000 }')
    [ ! -e /sys/fs/cgroup/cpu ] || limit "$1" cpu cpu.cfs_period_us=10000
    limit "$1" cpu "cpu.cfs_quota_us=$us" "cpu.max=$us 10000"
}
leave_group() {
    for _ in $(seq 100); do # a killed process stays in it for a moment
        rmdir "$1" 2>/dev/null && return
        sleep 0.1
    done
}

verb=${1:-help}
shift
case $verb in
up) up "${1:-3}" ;;
down) down ;;
exec)
    host=$1
    shift
    inside "$host" bash -c 'cd "$0" && exec "$@"' "$PWD" "$@"
    ;;
agent) # what mpirun calls in place of ssh: [options] HOST COMMAND…
    while [[ $1 == -* ]]; do shift; done
    host=$1
    shift
    inside "$host" bash -c "$*"
    ;;
mpirun) launch "$@" ;;
cut)
    if [ $# -gt 1 ]; then
        cut_between "$1" "$2" && cut_between "$2" "$1"
    else
        inside switch ip link set "v${1#h}" down
    fi
    ;;
heal)
    if [ $# -gt 1 ]; then
        heal_between "$1" "$2" && heal_between "$2" "$1"
    else
        inside switch ip link set "v${1#h}" up
    fi
    ;;
slow) slow "$1" "$2" ;;
far) far "$1" "$2" "$3" ;;
memory) memory "$1" "$2" ;;
cores) cores "$1" "$2" ;;
processes) processes "$1" ;;
freeze) signal_all STOP "$1" ;;
thaw) signal_all CONT "$1" ;;
*) sed -n '2,12s/^# //p' "$self" ;;
esac
