#!/bin/bash
# What is wrong between hosts is found before anything is loaded, and said once with its remedy:
# another program, another model or none, networks that do not join, too little /dev/shm. On three
# pretend hosts (root). $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/../cli/common.sh"
root=$(cd "$here/../.." && pwd)
other=$(dirname "$spillway")/tests/other_spillway
if [ "$(id -u)" != 0 ] || ! unshare -n -u -i -m true 2>/dev/null; then
    echo "skipped: pretend hosts need root and namespaces"
    exit 77
fi
export SW_HOSTS=$work/hosts
hosts() { bash "$root/tests/hosts.sh" "$@"; }
cleanups+=("bash '$root/tests/hosts.sh' down")
hosts up 3 || exit 1
# over ARGUMENT…: mpirun from h1; which network it uses is its own choice
over() {
    launch bash "$root/tests/hosts.sh" exec h1 mpirun --hostfile "$SW_HOSTS/hostfile" --mca plm rsh \
        --mca plm_rsh_agent "bash $root/tests/hosts.sh agent" --mca plm_rsh_no_tree_spawn 1 \
        --mca oob_tcp_if_include 10.98.0.0/24 "$@"
}
# said CODE WHAT PATTERN…: the exit code, a single error, and parts of its message
said() {
    local code_wanted=$1 what=$2 pattern
    shift 2
    expect "$code_wanted" "$what"
    [ "$(grep -E '^spillway' err | grep -cvE '^spillway: (rank [0-9] on h[0-9]: (no )?layers?|measured|networks of|h[123]: )')" = 1 ] ||
        fail "$what: not one message"
    for pattern in "$@"; do
        grep -E '^spillway' err | grep -Eq -- "$pattern" || fail "$what: its message lacks \"$pattern\""
    done
}
json() { python3 -c "import json, sys; r = json.load(open('out')); $1" || fail "$2: the JSON"; }
cp -r "$models/shakespeare" model
chmod -R u+w model
run=(run "$work/model" hello -n 5)

over -np 3 "$spillway" "${run[@]}"
expect 0 "all is well"
over -np 3 "$spillway" probe "$work/model" --json
expect 0 "a probe when all is well"
json "assert r['problems'] == [] and r['warnings'] == [] and len(r['nodes']) == 3" "all is well"

# Another program on a host.
for verb in "${run[*]}" "probe"; do
    # shellcheck disable=SC2086 # words
    over -np 1 --host h1 "$spillway" $verb : -np 1 --host h2 "$other" $verb : \
        -np 1 --host h3 "$spillway" $verb
    said 5 "another version" 'not the same program' '0\.0\.9 \(source 0123456789ab, Open MPI [^)]*\) on h2' \
        'on h1, h3' 'install the same'
done
over -np 1 --host h1 "$spillway" probe --json : -np 1 --host h3 "$other" probe --json
expect 5 "another version, --json"
json "assert len(r['problems']) == 1 and '0.0.9' in r['problems'][0]" "another version"

# Models that differ.
# differs WHAT PATTERN: the model of h3 is work/model3; the messages of run and probe
differs() {
    hosts exec h3 mount --bind "$work/model3" "$work/model"
    over -np 3 "$spillway" "${run[@]}"
    said 3 "run, $1" 'is not the same on all hosts as on h1' "h3: $2" 'copy it'
    grep -q 'h2: ' err && fail "$1: h2 is named too"
    over -np 3 "$spillway" probe "$work/model"
    said 3 "probe, $1" "h3: $2"
    [ "$(grep -c '^ *[0-2]  h[123]' out)" = 3 ] || fail "probe, $1: no table"
    over -np 3 "$spillway" probe "$work/model" --json
    json "assert len(r['problems']) == 1 and 'h3: ' in r['problems'][0] and len(r['nodes']) == 3" "$1"
    hosts exec h3 umount "$work/model"
    rm -rf model3
}
mkdir model3
differs "no model" '.*(no such|config.json)'
cp -r model model3 && sed -i 's/"rotary_pct": 0.25/"rotary_pct": 0.50/' model3/config.json
differs "another config" 'config.json has other contents'
cp -r model model3 && printf 'x' | dd of=model3/model.safetensors bs=1 conv=notrunc status=none \
    seek=$(($(stat -c %s model/model.safetensors) - 5))
differs "other weights" 'model.safetensors has other contents'
cp -r model model3 && truncate -s -100 model3/model.safetensors
differs "cut weights" '.*model.safetensors'
rm -rf gone
over -np 3 "$spillway" run "$work/gone" hello
said 3 "no model anywhere" 'gone: no such folder or file'
over -np 3 "$spillway" probe "$work/gone"
said 3 "a probe of no model anywhere" 'gone: no such folder or file'

# Networks. A bridge that every host has, with the same address: Open MPI takes it and waits, as a rule:
# on a busy machine it may take the other network, and all is well.
bridge() { hosts exec "$1" bash -c "ip link add docker0 type veth peer name bridged &&
    ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up && ip link set bridged up"; }
bridge h3 || fail "no bridge"
over -np 3 "$spillway" probe
expect 0 "a bridge on one host"
grep -q "h3: its network docker0 172.17.0.1/16 .*not reached from h1, h2.*btl_tcp_if_include 10.98.0.0/24" err ||
    fail "a bridge on one host: no warning"
bridge h1
bridge h2
for _ in 1 2 3 4 5; do
    over -np 3 "$spillway" "${run[@]}" --timeout 2
    [ $code != 0 ] && [ "$(grep -c 'networks of h[23]' err)" = 2 ] && break
done
said 5 "a bridge on all hosts" 'have not reached each other in 8 s' 'docker0 172.17.0.1/16' \
    'btl_tcp_if_include 10.98.0.0/24'
[ "$(grep -c 'networks of h[23]' err)" = 2 ] || fail "a bridge on all hosts: not what the others have"
over --mca btl_tcp_if_include 10.98.0.0/24 -np 3 "$spillway" "${run[@]}" --timeout 30
expect 0 "the remedy for it"
for h in h1 h2 h3; do hosts exec $h ip link del docker0; done

# A host with nothing but such a bridge.
hosts exec h3 bash -c 'ip link set eth0 down && ip link set eth0 name cni0 && ip link set cni0 up'
over -np 3 "$spillway" "${run[@]}" --timeout 20
said 5 "no network" 'h3 has no network that the job.s other hosts could reach' 'cni0 10.98.0.13/24'
hosts exec h3 bash -c 'ip link set cni0 down && ip link set cni0 name eth0 && ip link set eth0 up'

# Shared memory: too little to start, and a little.
hosts exec h2 mount -o remount,size=4m /dev/shm
over -np 2 --host h2:2 "$spillway" "${run[@]}"
said 5 "no /dev/shm" 'h2 has 4.0 MiB free in /dev/shm' 'remount,size=1g'
hosts exec h2 mount -o remount,size=40m /dev/shm
over -np 2 --host h2:2 "$spillway" probe
expect 0 "a little /dev/shm"
grep -q 'h2: only .* free in /dev/shm' err || fail "a little /dev/shm: no warning"
finish
