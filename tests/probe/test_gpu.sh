#!/bin/bash
# GPUs as probe sees them through the GPU library, on two simulated Turing GPUs: their names, free
# memory and measured speeds, in time, as a cluster that plan takes; a library that is not there or
# of another build. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/../cli/common.sh"
library=$(dirname "$spillway")/tests/libspillway_simgpu.so
[ -e "$library" ] || { echo "skipped: $library was not built"; exit 77; }
export SPILLWAY_GPU_LIBRARY=$library SIMGPU_DEVICES=2 SIMGPU_MEMORY=512M SIMGPU_ARCH=75

sw probe
expect 0 "two GPUs"
[ "$(grep -c 'GPU .*Turing.*: .* of 512 MiB free, [0-9.]* GB/s, [0-9.]* TFLOP/s, [0-9.]* us a launch, [0-9.]* GB/s from host memory, at 0000:10:00.0, NCCL 2.28.9$' out)" = 1 ] ||
    fail "the GPU of the only rank is not shown with its speeds"
# on a machine so busy that no memory is to be had in time, nothing is read
if grep -q ', read at' out; then
    grep -q 'read at .* alone, [0-9.]* with the bus' out || fail "what cores and bus read together"
fi
SIMGPU_DEVICES=0 sw probe
expect 0 "no GPU"
grep -q GPU out && fail "a GPU where there is none"

ranks 2 probe --json
expect 0 "as JSON"
[ "$(grep -c '"name": ".*Turing' out)" = 2 ] || fail "two ranks, but not two GPUs"
cp out cluster.json
sw plan "$here/../plan/configs/opt-66b" --cluster cluster.json
grep -q '2 ranks have .* of GPU' out err || fail "plan does not take the cluster"

CUDA_VISIBLE_DEVICES='' sw probe
expect 0 "none visible"
grep -q 'GPU .*free' out && fail "a GPU that is not visible"

SPILLWAY_GPU_LIBRARY=$(dirname "$library")/libother_gpu_library.so sw probe
expect 5 "of another build"
grep -q 'was built from other sources (0123456789ab)' err || fail "another build: the message"
SPILLWAY_GPU_LIBRARY=/nowhere.so sw probe
expect 5 "not there"
grep -q 'SPILLWAY_GPU_LIBRARY: /nowhere.so cannot be opened' err || fail "not there: the message"

# What lies beside the program is opened where there is a driver only; here, one of another build.
mkdir beside
cp "$spillway" beside/spillway
cp "$(dirname "$library")/libother_gpu_library.so" beside/libspillway_cuda.so
unset SPILLWAY_GPU_LIBRARY
beside() { spillway=$PWD/beside/spillway sw "$@"; }
if ! /sbin/ldconfig -p | grep -q 'libcuda\.so\.1'; then
    beside probe
    expect 0 "no driver"
fi
mkdir driver
cp "$(dirname "$library")/libno_gpu_library.so" driver/libcuda.so.1
LD_LIBRARY_PATH=$PWD/driver beside probe
expect 5 "a driver"
grep -q 'was built from other sources (0123456789ab)' err || fail "a driver: the message"

SPILLWAY_GPU_LIBRARY=$library sw --version
expect 0 "--version"
grep -Eqx 'GPU library: CUDA [0-9.]+, cuBLAS [0-9.]+, NCCL 2\.28\.9' out || fail "--version: the library"
# a GPU made of a CPU (tests/tools/fake_gpu_library.c), without edges of its own
SPILLWAY_GPU_LIBRARY=$(dirname "$library")/libspillway_fakegpu.so sw --version
grep -qx 'GPU library: fake, without NCCL' out || fail "--version without NCCL: the library"
SPILLWAY_GPU_LIBRARY=/nowhere.so sw --version
expect 0 "--version without a library"
grep -q '^GPU library: none (.*/nowhere.so' out || fail "--version without a library: the reason"
sw --version
built=$(sed -n '1s/.*(\(.*\))/\1/p' out)
if [ -e "$(dirname "$spillway")/libspillway_cuda.so" ]; then want="mpi cuda"; else want=mpi; fi
# with http where libmicrohttpd was found, with edit where libedit was
built=${built% edit}
[ "${built% http}" = "$want" ] || fail "--version prints '$built', not '$want'"
finish
