#!/bin/bash
# tests/gpu.sh where there is no GPU, with stand-ins for nvidia-smi and for what it builds: a test that
# fails or hangs holds nothing up, everything is kept, and the time that is left is kept to.
# $1: the program (not used).
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
mkdir -p repo/tests repo/launch bin
cp "$here/../gpu.sh" repo/tests/ && cp "$here/../../launch/setup.sh" repo/launch/ || exit 1
# stand_in FILE LINE…: a script of these lines
stand_in() {
    mkdir -p "$(dirname "$1")"
    { echo '#!/bin/bash' && printf '%s\n' "${@:2}"; } >"$1" && chmod +x "$1"
}
built=repo/build-gpu
stand_in bin/nvidia-smi 'echo "Some GPU, 9.0, 81559 MiB, 580.1"'
stand_in $built/tests/card_test_bad 'echo one' 'echo "FAILED here"' 'exit 3'
stand_in $built/tests/card_test_good 'seq 20' 'echo passed'
stand_in $built/tests/card_measure_gpu 'echo 42 GB/s'
stand_in $built/tests/card_measure_decode 'echo "$2 decoded"' 'exec sleep 60'
stand_in $built/spillway 'echo "spillway $1"'
script() { launch env PATH="$work/bin:$PATH" OUT="$work/kept" "$@" repo/tests/gpu.sh "${words[@]}"; }

words=(kernels)
script
expect 1 "a test fails"
grep -q '^== GPU: Some GPU, 9.0' out || fail "the GPU is not named"
grep -q 'test_bad: exit code 3' out || fail "a test fails: not said"
grep -q '^passed$' out || fail "a test fails: the next one did not run"
grep -q '^13$' out && fail "more than the end is shown"
grep -q '^1$' kept/test_good.txt || fail "the whole output is not kept"
cmp -s out kept/gpu.log || fail "what is printed is not kept"
rm -r $built/tests/card_test_bad kept
script
expect 0 "all is well"
grep -q 'All of it went well' kept/gpu.log || fail "all is well: not said"

words=(measure kernels)
script SECONDS_LEFT=22
expect 1 "no time is left"
grep -q '^42 GB/s$' out || fail "no time is left: what there was time for did not run"
grep -q 'decode_gpt-j-6b_f16: ended after 2[0-2] s' out || fail "what hangs is not ended"
grep -q 'test_good: left out' out || fail "what does not fit is not left out"
grep -q 'decoded' kept/decode_gpt-j-6b_f16.txt || fail "what hangs: its output is not kept"

stand_in bin/nvidia-smi 'exit 9'
words=(kernels)
script
expect 1 "no GPU"
grep -q 'nvidia-smi names no GPU here' out || fail "no GPU: not said"
stand_in bin/nvidia-smi 'echo "Some GPU, 9.0, 81559 MiB, 580.1"'
stand_in bin/cmake 'echo "no compiler" >&2' 'exit 4'
words=(build kernels)
script
expect 1 "it cannot be built"
grep -q 'no compiler' kept/configure.log || fail "it cannot be built: why is not kept"
grep -q 'test_good' out && fail "it cannot be built: goes on"
finish
