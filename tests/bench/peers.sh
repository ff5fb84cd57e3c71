#!/usr/bin/env bash
# Decode and prefill speed beside the machine's own limits, and beside llama.cpp and ik_llama.cpp
# where they are at hand: A B C A B C …, and the medians of the rounds are compared.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'TEXT'
usage: peers.sh [-r ROUNDS] [-w SECONDS] [-f FORMATS] [-t THREADS] [-p TOKENS] [-n TOKENS] [-o FILE]

  -r, --rounds N     rounds; the medians are compared (5)
  -w, --wait S       before each run wait up to S seconds for a quiet machine (0)
  -f, --formats L    weight formats ("bf16 f16")
  -t, --threads L    thread counts ("1 2")
  -p, --prompt N     prompt tokens (512); 0: decode only, for many short rounds
  -n N               new tokens (64)
  -o, --out FILE     keep the records of all rounds here

environment
  SPILLWAY           the program (build/spillway of this tree)
  MODEL_bf16, MODEL_f16      model directories (default: the 1.1 B shape with made-up weights)
  LLAMA_BENCH, GGUF_bf16, GGUF_f16   llama.cpp's llama-bench and its files of the same shape
  IK_BENCH           ik_llama.cpp's llama-bench; reads the same files. Measured with its run-time
                     repacking; for f16 without as well, because there repacking rounds to bf16: only
                     the one without counts

The exit status is 1 when a target was missed, 2 when something could not be run.
TEXT
}

formats="bf16 f16" threads="1 2" prompt=512 new=64 out=
options_only formats=-f,--formats threads=-t,--threads prompt=-p,--prompt new=-n \
    out=-o,--out -- "$@"
common_needs
records=$work/records

# As llama-bench does: a prompt by itself, and new tokens from an empty context on.
measure_ours() { # FORMAT THREADS
    model_for "$1"
    [ "$prompt" = 0 ] || measure_part "$1 t=$2" "$2" "$prompt" 1 prefill prompt_share peak
    measure_part "$1 t=$2" "$2" 1 "$new" decode decode_share bandwidth
}

measure_part() { # CELL THREADS PROMPT NEW FIGURE…
    quiet
    keep_output "$work/out" "$SPILLWAY" bench "${model[@]}" --threads "$2" --prompt "$3" -n "$4" \
        --repeat 1 --json
    figures read spillway "$1" spillway "$work/out" "${@:5}" >>"$records"
}

measure_peer() { # NAME FORMAT THREADS PROGRAM ARGUMENT…
    local name=$1 format=$2 n_threads=$3 file=GGUF_$2
    shift 3
    [ -n "${!file:-}" ] || die "$name is to be measured, but $file is not set"
    quiet
    keep_output "$work/out" "$@" -m "${!file}" -t "$n_threads" -p "$prompt" -n "$new" -r 1 -o json
    figures read llama-bench "$format t=$n_threads" "$name" "$work/out" >>"$records"
}

measure_cell() { # FORMAT THREADS
    measure_ours "$1" "$2"
    [ -z "${LLAMA_BENCH:-}" ] || measure_peer llama.cpp "$1" "$2" "$LLAMA_BENCH"
    if [ -n "${IK_BENCH:-}" ]; then
        measure_peer "ik repacked" "$1" "$2" "$IK_BENCH" -rtr 1
        [ "$1" != f16 ] || measure_peer ik "$1" "$2" "$IK_BENCH"
    fi
}

say "peers: $rounds rounds of $formats on $threads threads, $prompt prompt and $new new tokens"
for ((round = 1; round <= rounds; round++)); do
    for format in $formats; do
        for n in $threads; do
            say "  round $round of $rounds: $format, $n thread(s)"
            measure_cell "$format" "$n"
        done
    done
done
[ -z "$out" ] || cp "$records" "$out"
printf 'medians of %d rounds, %d prompt tokens, %d new tokens\n\n' "$rounds" "$prompt" "$new"
figures peers "$records"
