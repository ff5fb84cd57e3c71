#!/bin/bash
# Builds with a sanitizer and runs the tests that are for it.
#
#   tests/sanitize.sh address|thread [BUILD_FOLDER [CTEST OPTION …]]       default: build-address, …
#
# address, with undefined behaviour: unit tests and the seeds of the fuzz targets. Some tests take
# minutes; -LE long leaves these out, as .ci/run does.
# thread: what has threads.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/setup.sh
. "$root/launch/setup.sh"
kind=${1:-}
build=${2:-$root/build-$kind}
shift $(($# < 2 ? $# : 2))

case $kind in
address)
    wanted=unit_programs
    [[ " $* " == *" -LE long "* ]] && wanted=unit_programs_but_long
    which=(-L 'unit|fuzz')
    ;;
thread)
    threads=(base_pool checkpoint_reader checkpoint_read_list transport_self transport_heartbeat transport_strangers
        engine_same_bits engine_store_disk engine_store_experts
        engine_cancel jobs_results simgpu_blocks simgpu_streams)
    wanted=${threads[*]/#/test_}
    names=$(IFS='|' && echo "${threads[*]/_/.}")
    which=(-R "^($names)\$")
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
build_into "$build" "$wanted" -DSANITIZE="$kind"
# one more than there are cores: some of them wait
step "$build/test.log" "Tests with the $kind sanitizer" ctest --test-dir "$build" --output-on-failure \
    --no-tests=error -j $((1 + $(nproc))) "${which[@]}" "$@"
