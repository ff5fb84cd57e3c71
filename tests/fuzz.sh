#!/bin/bash
# Builds every fuzz target (tests/fuzz/fuzz_*.c) with clang, ASan and UBSan, and runs each.
#
#   tests/fuzz.sh [SECONDS [BUILD_FOLDER [TARGET …]]]     default: 600 seconds each, build-fuzz, all
#
# FUZZ_SEED=N begins with the same inputs each time; else each run tries others.
# New inputs are kept in BUILD_FOLDER/corpus/TARGET, crashes in BUILD_FOLDER/crashes/TARGET-*; the
# seeds in tests/fuzz/corpus are only read. As many targets run at once as there are cores. Exit code
# 1 when one crashed, hung or grew.
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

# run NAME: its line is printed when it has ended
run() {
    local name=$1 seeds=$root/tests/fuzz/corpus/$1 found=$build/corpus/$1 log=$build/$1.log
    local verdict=clean folders=("$found")
    mkdir -p "$found"
    [ -d "$seeds" ] && folders+=("$seeds")
    nice -n 10 "$build/tests/fuzz_$name" -max_total_time="$seconds" -max_len=65536 \
        -seed="${FUZZ_SEED:-0}" -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$build/crashes/$name-" "${folders[@]}" >"$log" 2>&1 ||
        verdict="FAILED, see $log and $build/crashes/"
    printf '%-20s %6s s %12s runs  %-12s %s\n' "$name" "$seconds" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)" "$verdict"
    [ "$verdict" = clean ] && return
    grep -vE '^#[0-9]+[[:space:]]' "$log" | grep -m 1 -A 24 -E 'ERROR|runtime error|ALARM' | sed 's/^/    /'
    touch "$build/failed"
}

rm -f "$build/failed"
for name in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    run "$name" &
done
wait
[ ! -e "$build/failed" ]
