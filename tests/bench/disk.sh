#!/usr/bin/env bash
# A model that is larger than its memory: layers from disk, in a control group whose limit counts the
# page cache as well, beside what a plain reader gets of the same file and, in groups of the same size, llama.cpp,
# accelerate and AirLLM.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/cgroup.sh
. "$bench_dir/../cgroup.sh"

usage() {
    cat <<'TEXT'
usage: disk.sh [-r ROUNDS] [-w SECONDS] [-t THREADS] [-n TOKENS] -l SIZE -m MODEL

  -r, --rounds N     rounds of the reader, spillway, llama.cpp; the medians count (5)
  -w, --wait S       before each run wait up to S seconds for a quiet machine (0)
  -t, --threads N    compute threads (2)
  -n N               new tokens (4); one pass each
  -l, --limit SIZE   the memory of each program in bytes (700000000)
  -m, --model MODEL  a .gguf file, or a folder with config.json and *.safetensors

environment: SPILLWAY as in peers.sh; READER=PATH (direct_read.py); LLAMA_BENCH, which is given .gguf files only;
PEER_PYTHON=PATH of a Python that has torch, transformers and accelerate, which is given folders only, and
AIRLLM=FOLDER, for AirLLM's own copy of the model (a file a layer; MODEL needs a tokenizer), where that
Python has airllm, too. Python alone takes 0.5 GB, so --limit has to leave room for that.
Needs root, for the control groups. The exit status is 1 when a target was missed, 2 when something could not be run.
TEXT
}

threads=2 new=4 limit=700000000 stored=
options_only threads=-t,--threads new=-n limit=-l,--limit stored=-m,--model -- "$@"
common_needs
reader=${READER:-$bench_dir/direct_read.py}
files=("$stored")
[[ $stored == *.gguf ]] || files=("$stored"/*.safetensors)
[ -f "${files[0]}" ] || die "no model at '$stored': see --help"
bytes=$(stat -L -c %s "${files[@]}" | awk '{ sum += $1 } END { printf "%.0f\n", sum }')
in_memory "$limit" true || die "no control group of $limit bytes can be made: needs root"
cell=$(basename "$stored" .gguf)
records=$work/records

record() { # PROGRAM FIGURE VALUE
    printf '%s\t%s\t%s\t%s\n' "$cell" "$1" "$2" "$3" >>"$records"
}
# What the page cache holds of the files goes: it is clean, so nobody has to be root.
drop() {
    local file
    for file in "${files[@]}"; do dd if="$file" iflag=nocache count=0 status=none; done
}
plain_reader() {
    keep_output "$work/out" "$reader" "${files[@]}"
    record reader read "$(cat "$work/out")"
}
ours() { # the rate is what lies on the disk, times passes a second; predicted over measured seconds a token
    keep_output "$work/out" in_memory "$limit" "$SPILLWAY" run "$stored" --threads "$threads" --tokens 1,5 \
        -n "$new" --ignore-end --json
    python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
print(d["tokens_per_s"], d["tokens_per_s"] * sum(r["bytes"]["disk"] for r in d["ranks"]),
      d["tokens_per_s"] * d["predicted"]["s_per_token"])' "$work/out" >"$work/figures"
    local tokens rate predicted
    read -r tokens rate predicted <"$work/figures"
    record spillway predicted "$predicted"
    record spillway decode "$tokens"
    record spillway read "$rate"
}
llama() {
    keep_output "$work/out" in_memory "$limit" "$LLAMA_BENCH" -m "$stored" -p 0 -n "$new" -r 1 -t "$threads" -o json
    figures read llama-bench "$cell" llama.cpp "$work/out" decode >>"$records"
}

python_peer() { # PROGRAM FOLDER
    keep_output "$work/out" in_memory "$limit" "$PEER_PYTHON" "$bench_dir/disk_peers.py" "$1" "$stored" "$new" \
        "$threads" "$2"
    tail -n 1 "$work/out" | python3 -c 'import json, sys
d = json.load(sys.stdin)
print(1 / d["s_per_token"], d["read_bytes"] / d["s_per_token"])' >"$work/figures"
    local tokens rate
    read -r tokens rate <"$work/figures"
    record "$1" decode "$tokens"
    record "$1" read "$rate"
}
accelerate() { python_peer accelerate "$work"; }
airllm() { python_peer airllm "$AIRLLM"; }
peers=()
if [[ $stored == *.gguf ]]; then
    [ -z "${LLAMA_BENCH:-}" ] || peers+=(llama)
else
    [ -z "${PEER_PYTHON:-}" ] || peers+=(accelerate)
    [ -z "${AIRLLM:-}" ] || peers+=(airllm)
fi

say "disk: $rounds rounds of $((bytes / 1000000)) MB in $((limit / 1000000)) MB, $threads threads"
for ((round = 1; round <= rounds; round++)); do
    for program in plain_reader ours "${peers[@]}"; do
        drop
        quiet
        $program
    done
done
printf 'medians of %d rounds\n\n' "$rounds"
figures disk "$records"
