#!/usr/bin/env bash
# GGUF files as they are, beside llama.cpp and ik_llama.cpp on the same files: decode, prefill and
# many sequences at once, A B C A B C …, and the medians of the rounds are compared. What is
# measured is kept at once, so that a run can be cut off and gone on with.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'TEXT'
usage: quantized.sh [-r ROUNDS] [-w SECONDS] [-t THREADS] [-p TOKENS] [-n TOKENS] [-s SEQUENCES]
                    [-o FILE] [-f SECONDS] MODEL.gguf…

  -r, --rounds N     rounds; the medians are compared (5)
  -w, --wait S       before each run wait up to S seconds for a quiet machine (0)
  -t, --threads L    thread counts ("1 2"); sequences take the last one
  -p, --prompt N     prompt tokens (512); 0: no prefill
  -n N               new tokens (64), and of each of several sequences
  -s, --sequences L  how many at once ("16 32"); 0: none
  -o, --out FILE     keep the records here; what is in it already is not measured again
  -f, --for S        begin nothing more after S seconds: exit status 3, the same call goes on

environment
  SPILLWAY                      the program (build/spillway of this tree)
  LLAMA_BENCH, LLAMA_BATCHED    llama.cpp's llama-bench and llama-batched-bench
  IK_BENCH, IK_BATCHED          those of ik_llama.cpp, measured with its run-time repacking

The exit status is 1 when a target was missed, 2 when something could not be run.
TEXT
}

threads="1 2" prompt=512 new=64 sequences="16 32" limit=0 out=
options threads=-t,--threads prompt=-p,--prompt new=-n sequences=-s,--sequences out=-o,--out \
    limit=-f,--for -- "$@"
common_needs
[ ${#rest[@]} -gt 0 ] || die "no MODEL.gguf; see --help"
for file in "${rest[@]}"; do
    [ -r "$file" ] || die "cannot read '$file'"
done
records=${out:-$work/records}
touch "$records"

# Whether this round has the figure already; ends the script when its time is over.
is_kept() { # CELL PROGRAM FIGURE
    local n
    n=$(awk -F'\t' -v c="$1" -v p="$2" -v f="$3" '$1 == c && $2 == p && $3 == f' "$records" | wc -l)
    [ "$n" -lt "$round" ] || return 0
    if [ "$limit" != 0 ] && [ "$SECONDS" -ge "$limit" ]; then
        say "time is over; the same call goes on"
        exit 3
    fi
    return 1
}

measure() { # CELL PROGRAM KIND FIGURE COMMAND…: the first figure of what the command prints
    local cell=$1 program=$2 kind=$3 figure=$4
    shift 4
    is_kept "$cell" "$program" "$figure" && return
    quiet
    keep_output "$work/out" "$@"
    local also=()
    [ "$figure" != decode ] || also=(decode_share bandwidth)
    figures read "$kind" "$cell" "$program" "$work/out" "$figure" "${also[@]}" >>"$records"
}

one_sequence() { # FILE NAME THREADS
    local cell="$2 t=$3" part
    for part in "decode 0 $new" "prefill $prompt 0"; do
        # shellcheck disable=SC2086 # words
        set -- "$1" "$2" "$3" $part
        [ "$4:$5" != prefill:0 ] || continue
        measure "$cell" spillway spillway "$4" "$SPILLWAY" bench "$1" --threads "$3" \
            --prompt "$(($5 > 0 ? $5 : 1))" -n "$(($6 > 0 ? $6 : 1))" --repeat 1 --json
        [ -z "${LLAMA_BENCH:-}" ] || measure "$cell" llama.cpp llama-bench "$4" \
            "$LLAMA_BENCH" -m "$1" -t "$3" -p "$5" -n "$6" -r 1 -o json
        [ -z "${IK_BENCH:-}" ] || measure "$cell" ik llama-bench "$4" \
            "$IK_BENCH" -rtr 1 -m "$1" -t "$3" -p "$5" -n "$6" -r 1 -o json
    done
}

with_messages() { # COMMAND…
    "$@" 2>&1
}

many_sequences() { # FILE NAME SEQUENCES
    local cell="$2 x$3" n_threads=${threads##* } context=$((8 + new + 1))
    local theirs=(-m "$1" -c $((context * $3)) -npp 8 -ntg "$new" -npl "$3" -t "$n_threads"
        -tb "$n_threads" --output-format jsonl)
    measure "$cell" spillway spillway decode "$SPILLWAY" bench "$1" --threads "$n_threads" \
        --objective throughput --slots "$3" --context "$context" --prompt 8 -n "$new" --repeat 1 --json
    [ -z "${LLAMA_BATCHED:-}" ] || measure "$cell" llama.cpp batched-bench decode \
        "$LLAMA_BATCHED" "${theirs[@]}"
    # It prints a table, and that with its messages.
    [ -z "${IK_BATCHED:-}" ] || measure "$cell" ik batched-bench decode with_messages \
        "$IK_BATCHED" -rtr "${theirs[@]}"
}

for ((round = 1; round <= rounds; round++)); do
    for file in "${rest[@]}"; do
        name=$(basename "$file" .gguf)
        say "  round $round of $rounds: $name"
        for n in $threads; do
            one_sequence "$file" "$name" "$n"
        done
        for n in $sequences; do
            [ "$n" = 0 ] || many_sequences "$file" "$name" "$n"
        done
    done
done
printf 'medians of %d rounds, %d prompt tokens, %d new tokens\n\n' "$rounds" "$prompt" "$new"
figures quantized "$records"
