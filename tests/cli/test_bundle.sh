#!/bin/bash
# The bundle for a bare machine with a GPU (tests/gpu.sh bundle), made with the simulated GPU, and its two
# steps with two ranks where Open MPI, the program's libraries, this repository and its build are hidden (a
# mount namespace; needs root): all of it comes from the bundle, what went well and what not is reported, and
# the results become an entry of docs/gpu-log.md. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
root=$(cd "$here/../.." && pwd)
build=$(dirname "$spillway")
for needed in tests/libspillway_simgpu.so tests/test_gpu_rows tests/measure_gpu tests/measure_decode tests/measure_memory; do
    [ -e "$build/$needed" ] || { echo "skipped: $build/$needed was not built"; exit 77; }
done
[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || { echo "skipped: mounts need root"; exit 77; }
command -v ompi_info >/dev/null && command -v xz >/dev/null ||
    { echo "skipped: there is no ompi_info or xz"; exit 77; }

export BUNDLE=$work/made
bash "$root/tests/gpu.sh" bundle "$build" >out 2>err
code=$?
expect 0 "the bundle"
[ -s made.tar.xz ] || fail "the bundle: there is none"
[ "$(stat -c %s made.tar.xz)" -lt $((64 << 20)) ] || fail "the bundle: too large"
mkdir b && tar -xJf made.tar.xz -C b && rm -rf made || exit 1
# small shapes in place of true ones
rm -rf b/cuts/* b/whole/*
for folder in cuts/llama-8b whole/gpt-neox-20b; do
    mkdir -p b/$folder
    cat >b/$folder/config.json <<'JSON'
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
 "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 200, "rms_norm_eps": 1e-5,
 "max_position_embeddings": 2048, "torch_dtype": "float16"}
JSON
done

# What hides the machine's own: nothing in place of files, empty folders in place of folders.
cat >hide.sh <<'SH'
set -e
mount --make-rprivate /
hide() {
    for one in "$@"; do
        if [ -d "$one" ]; then mount -t tmpfs none "$one"; elif [ -e "$one" ]; then mount --bind /dev/null "$one"; fi
    done
}
libraries=/usr/lib/x86_64-linux-gnu
hide $libraries/openmpi $libraries/pmix2 /usr/share/openmpi /etc/openmpi \
    $libraries/lib{mpi,open-rte,open-pal,pmix,hwloc,jansson,utf8proc,event,cunit}*.so* \
    /usr/bin/mpirun.openmpi /usr/bin/mpirun /usr/bin/orterun /usr/bin/orted /usr/bin/ompi_info "$1" "$2"
shift 2
exec "$@"
SH
hidden() {
    timeout -k 5 400 unshare -m bash hide.sh "$root" "$build" env -u LD_LIBRARY_PATH "$@" >out 2>err </dev/null
    code=$?
}
unset SPILLWAY_GPU_LIBRARY
hidden "$work/b/bin/spillway" --version
[ "$code" != 0 ] || fail "the machine's own libraries are not hidden"
export SHORT=1 SIMGPU_ARCH=90 SIMGPU_MEMORY=2G SIMGPU_DEVICES=1 SIMGPU_STATE=$work/gpu OUT=$work/results

hidden b/gpu.sh a
expect 0 "step a"
for said in 'All of it went well' 'a plan counts 600' 'memory is read at' 'steps kept as graphs' 'a launch'; do
    grep -q "$said" out || fail "step a: '$said' is not said"
done
hidden b/gpu.sh b
expect 0 "step b"
grep -q 'All of it went well' out || fail "step b: not said"
[ "$(grep -c '"name": "bench_gpt-neox-20b_f16", "code": 0' results/results.jsonl)" = 1 ] || fail "step b: no line of it"
[ "$(grep -c '"name": "test_rows_early[01]", "code": 0' results/results.jsonl)" = 2 ] || fail "step a: no lines of its tests"

# No time, and a GPU that fails: both are reported, and nothing else is held up.
OUT=$work/none SECONDS_LEFT=5 hidden b/gpu.sh b
expect 1 "no time"
grep -q '"code": -1' none/results.jsonl || fail "no time: not reported"
OUT=$work/bad SIMGPU_FAIL=cublasCreate:1:3 hidden b/gpu.sh a
expect 1 "a GPU that fails"
grep -q '"name": "memory", "code": 1' bad/results.jsonl || fail "a GPU that fails: not reported"
grep -q '"name": "test_rows_early1", "code": 0' bad/results.jsonl || fail "a GPU that fails: held others up"

# The entry.
printf '# What was run\n\n## Log\n\nNothing yet: all of it was run on the simulated GPU only (`ctest -L simgpu`).\n\n## Queue\n' >page.md
launch python3 "$root/tests/gpu/log.py" results/results.jsonl --into page.md
expect 0 "the entry"
for said in '### .*, simulated, step a' '### .*, step b' 'Commit [0-9a-f]\{7,\} ' '^`bin/card_measure_memory` (' 'a plan counts 600'; do
    grep -q "$said" page.md || fail "the entry: '$said' is not in it"
done
grep -q 'Nothing yet' page.md && fail "the entry: it still says that there is nothing"
grep -q '^## Queue' page.md || fail "the entry: the rest is gone"
finish
