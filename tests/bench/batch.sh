#!/usr/bin/env bash
# Many sequences at once: one rank with two threads, two ranks with one core each, and where they are
# at hand llama.cpp's batched decode with two threads, and over two RPC servers with one core each.
# A B C A B C …, medians are compared. Two ranks compute two micro-batches of half the sequences, each
# reads all weights, from the one memory they share: what one rank with two threads makes of half the
# sequences is their limit.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'TEXT'
usage: batch.sh [-r ROUNDS] [-w SECONDS] [-s SEQUENCES] [-p TOKENS] [-n TOKENS]

  -r, --rounds N     rounds; the medians are compared (5)
  -w, --wait S       before each run wait up to S seconds for a quiet machine (0)
  -s, --sequences L  how many at once ("16 64")
  -p, --prompt N     prompt tokens of each (16)
  -n N               new tokens of each (32)

environment
  SPILLWAY, MODEL_bf16       as in peers.sh
  LLAMA_BATCHED, GGUF_bf16   llama.cpp's llama-batched-bench and a file of the same shape
  LLAMA_RPC_SERVER           llama.cpp's ggml-rpc-server, for its RPC backend over two of them

Weights are bf16. Needs Open MPI and two cores.
The exit status is 1 when two ranks with 64 sequences are slower than 0.95 of one, two with 16 than
0.90 of their limit, one rank with 16 than 1.5 of llama.cpp, or two with 64 than 2.5 of its RPC
backend; 2 when something could not be run.
TEXT
}

sequences="16 64" prompt=16 new=32
options_only sequences=-s,--sequences prompt=-p,--prompt new=-n -- "$@"
common_needs
mpi_needs
[ "$(nproc)" -ge 2 ] || die "needs two cores, this process may use $(nproc)"
records=$work/records

ours() { # SEQUENCES RANKS CELL NAME
    model_for bf16
    quiet
    keep_output "$work/out" mpirun -np "$2" --map-by "slot:PE=$((2 / $2))" --bind-to core \
        "$SPILLWAY" bench "${model[@]}" --threads $((2 / $2)) --objective throughput --slots "$1" \
        --context $((prompt + new + 1)) --prompt "$prompt" -n "$new" --repeat 1 --json
    figures read spillway "$3" "$4" "$work/out" >>"$records"
}

# batched NAME SEQUENCES OPTION…: llama.cpp's batched decode
batched() {
    local name=$1 n=$2
    shift 2
    [ -n "${GGUF_bf16:-}" ] || die "llama.cpp is to be measured, but GGUF_bf16 is not set"
    quiet
    keep_output "$work/out" "$LLAMA_BATCHED" -m "$GGUF_bf16" -c $(((prompt + new) * n)) \
        -npp "$prompt" -ntg "$new" -npl "$n" --output-format jsonl "$@"
    figures read batched-bench "bf16 x$n" "$name" "$work/out" >>"$records"
}

# Over two servers, each on a core of its own; they go when this script does (busy_stop).
by_rpc() { # SEQUENCES
    local i list=()
    for i in 0 1; do
        taskset -c "$i" "$LLAMA_RPC_SERVER" -H 127.0.0.1 -p $((50061 + i)) -t 1 \
            >"$work/server" 2>&1 </dev/null &
        busy_pids+=($!)
        list+=("127.0.0.1:$((50061 + i))")
    done
    sleep 1
    batched "llama.cpp rpc" "$1" --rpc "${list[0]},${list[1]}" -ngl 99 -t 1 -tb 1
    busy_stop
}

say "batch: $rounds rounds of $sequences sequences, $prompt prompt and $new new tokens each"
for ((round = 1; round <= rounds; round++)); do
    for n in $sequences; do
        say "  round $round of $rounds: $n sequences"
        ours "$n" 1 "bf16 x$n" "1 rank"
        ours "$n" 2 "bf16 x$n" "2 ranks"
        [ "$n" -lt 2 ] || ours $((n / 2)) 1 "bf16 x$n" "limit of 2"
        [ -z "${LLAMA_BATCHED:-}" ] || batched llama.cpp "$n" -t 2 -tb 2
        [ -z "${LLAMA_RPC_SERVER:-}" ] || by_rpc "$n"
    done
done
printf 'medians of %d rounds, %d prompt tokens, %d new tokens a sequence, all sequences together\n\n' \
    "$rounds" "$prompt" "$new"
figures batch "$records"
