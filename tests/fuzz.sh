#!/bin/bash
# Builds every fuzz target (tests/fuzz/fuzz_*.c) with clang, ASan and UBSan, and runs each.
#
#   tests/fuzz.sh [SECONDS [BUILD_FOLDER [TARGET …]]]     default: 600 seconds each, build-fuzz, all
#
# New inputs are kept in BUILD_FOLDER/corpus/TARGET, crashes in BUILD_FOLDER/crashes/TARGET-*; the
# seeds in tests/fuzz/corpus are only read. Exit code 1 when a target crashed, hung or grew.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
seconds=${1:-600}
build=${2:-$root/build-fuzz}
shift $(($# < 2 ? $# : 2))

case $seconds in '' | *[!0-9]*)
    echo "usage: tests/fuzz.sh [SECONDS [BUILD_FOLDER [TARGET ...]]], SECONDS is a whole number" >&2
    exit 2 ;;
esac
clang=$(command -v clang || command -v clang-14) || {
    echo "tests/fuzz.sh: clang is not installed: apt-get install clang" >&2
    exit 2
}
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in "$root"/tests/fuzz/fuzz_*.c; do
        name=$(basename "$source" .c)
        targets+=("${name#fuzz_}")
    done
fi

mkdir -p "$build/crashes" || exit 2
generator=()
command -v ninja >/dev/null && generator=(-G Ninja)
CC=$clang cmake "${generator[@]}" -S "$root" -B "$build" -DFUZZ=ON >"$build/configure.log" 2>&1 || {
    cat "$build/configure.log" >&2
    exit 2
}
cmake --build "$build" -j "$(nproc)" --target "${targets[@]/#/fuzz_}" >"$build/build.log" 2>&1 || {
    tail -n 40 "$build/build.log" >&2
    exit 2
}

failed=0
for name in "${targets[@]}"; do
    seeds=$root/tests/fuzz/corpus/$name found=$build/corpus/$name log=$build/$name.log
    mkdir -p "$found"
    folders=("$found")
    [ -d "$seeds" ] && folders+=("$seeds")
    if nice -n 10 "$build/tests/fuzz_$name" -max_total_time="$seconds" -max_len=65536 \
        -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$build/crashes/$name-" "${folders[@]}" >"$log" 2>&1; then
        verdict=clean
    else
        verdict="FAILED, see $log and $build/crashes/"
        failed=1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cover=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
    printf '%-20s %6s s %12s runs  %-12s %s\n' "$name" "$seconds" "${runs:-?}" "${cover:-}" "$verdict"
done
exit $failed
