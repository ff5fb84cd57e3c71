#!/bin/bash
# Very many short prompts through a small model: memory and open files of every rank stay flat.
#   tests/bench/soak.sh [-n LINES] [-r RANKS] [PROGRAM]      default: 200000, 2, build/spillway
# Prints a line every tenth of the job, then the totals; exit code 1 when something grows.
set -u
here=$(cd "$(dirname "$0")" && pwd)
lines=200000 n=2
while getopts n:r: option; do
    case $option in
    n) lines=$OPTARG ;;
    r) n=$OPTARG ;;
    *) sed -n '2,4s/^# //p' "$0" && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
spillway=$(readlink -e "${1:-$here/../../build/spillway}") || { echo "no program"; exit 2; }
# shellcheck source=tests/mpi_env.sh
. "$here/../mpi_env.sh"
work=$(mktemp -d)
job=
trap '[ -n "$job" ] && kill $job 2>/dev/null; rm -rf "$work"' EXIT
cp "$spillway" "$work/spillway"
: >"$work/out.jsonl"
awk -v n="$lines" 'BEGIN { for (i = 0; i < n; i++)
    printf "{\"id\": %d, \"prompt\": \"KING %d:\\n\", \"max_tokens\": %d}\n", i, i % 977, 1 + i % 8
}' >"$work/in.jsonl"

mpirun -np "$n" "$work/spillway" batch "$here/../models/shakespeare" "$work/in.jsonl" \
    "$work/out.jsonl" --metrics "$work/metrics.jsonl" 2>"$work/err" </dev/null &
job=$!
# look: results so far, then resident MiB and open files of every rank
look() {
    local p
    printf '%8d' "$1"
    for p in $(pgrep -f "^$work/spillway batch" | sort -n); do
        printf ' %7.1f MiB %3d files' "$(awk '/^VmRSS/ { print $2 / 1024 }' "/proc/$p/status")" \
            "$(find "/proc/$p/fd" -mindepth 1 | wc -l)"
    done 2>/dev/null
    echo
}
next=$((lines / 10))
while kill -0 $job 2>/dev/null; do
    sleep 0.5
    done=$(wc -l <"$work/out.jsonl")
    if [ "$done" -ge $next ] && [ "$done" -lt "$lines" ]; then
        look "$done" | tee -a "$work/looks"
        next=$((done + lines / 10))
    fi
done
wait $job
code=$?
job=
grep "results in" "$work/err"
[ $code = 0 ] || exit 1
distinct=$(sort -u "$work/out.jsonl" | wc -l)
[ "$distinct" = "$lines" ] || { echo "$distinct results of $lines lines"; exit 1; }
# Against the first look: no more files, at most 16 MiB more on each rank; on rank 0 the table of
# ids besides, 64 bytes each at most.
awk -v ids=$((lines * 64 / 1048576)) '
    NR == 1 { split($0, first) }
    { for (i = 2; i < NF; i += 4) {
          if ($i > first[i] + 16 + ids) { print "memory grows: " $0; bad = 1 }
          if ($(i + 2) > first[i + 2]) { print "files grow: " $0; bad = 1 } } }
    END { print bad ? "not flat" : "flat over " NR " looks"; exit bad || NR < 2 }' "$work/looks"
