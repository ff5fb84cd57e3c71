#!/bin/bash
# lm-evaluation-harness, unmodified, on `serve`, on one rank and on two: its numbers are those of its own
# Hugging Face backend within float noise, and score's to the last bit.
#   test_lm_eval.sh PROGRAM [MODEL FOLDER [DOCUMENTS]]
# MODEL: what is served, as f32 (default: models/shakespeare); FOLDER: the same for transformers, in f32.
# SW_PYTHON: a Python that has lm_eval with its API's needs, torch and transformers (default: python3).
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
model=$(readlink -f "${2:-$models/shakespeare}")
folder=$(readlink -f "${3:-$model}")
documents=${4:-12}
python=${SW_PYTHON:-python3}
data=$here/../../../shared/data/eval
"$spillway" --version | grep -q 'http' || { echo "skipped: built without HTTP"; exit 77; }
"$python" -c 'import aiohttp, datasets, lm_eval, tenacity, torch, transformers' 2>/dev/null ||
    { echo "skipped: $python has no lm_eval with aiohttp, datasets, tenacity, torch and transformers"; exit 77; }
[ -f "$data/lambada_test.jsonl" ] || { echo "skipped: no ../shared/data/eval beside the repository"; exit 77; }
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME=$work/hf TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
cleanups+=('[ -z "${server:-}" ] || kill -KILL "$server" 2>/dev/null')
checks() { timeout 400 "$python" "$here/lm_eval_checks.py" "$@" >out 2>err || fail "checks $*"; }

# Windows of 254: the harness's API backend counts the token that it lets the server add, and one more.
window=254
checks tasks "$data" tasks "$documents"
# evaluate OUT ARGUMENT…
evaluate() {
    local out=$1
    shift
    timeout -k 5 900 "$python" -m lm_eval run "$@" --tasks arc_like,lambada_like,pages --include_path tasks \
        --limit "$documents" --log_samples --output_path "$out" >out 2>err </dev/null || fail "lm_eval $out"
}
evaluate hf --model hf --device cpu --batch_size 1 --model_args "pretrained=$folder,dtype=float32,max_length=$window"
checks lines hf in.jsonl
[ $failures = 0 ] || finish
timeout -k 5 900 "$spillway" score "$model" in.jsonl scores.jsonl -w f32 --context $window >out 2>err || fail score

# serving N: starts a server on N ranks; $port is its port.
serving() {
    local launcher=()
    [ "$1" = 1 ] || launcher=("$here/../../launch/spillway-mpirun" -np "$1")
    : >server.out
    "${launcher[@]}" "$spillway" serve "$model" --port 0 --json -w f32 --context $((window + 2)) \
        >server.out 2>server.err </dev/null &
    server=$!
    within 120 grep -q '"url"' server.out || { cp server.err err; fail "serve on $1: is not ready"; exit 1; }
    port=$(python3 -c 'import json; print(json.load(open("server.out"))["port"])')
}
for form in "1 1 1" "2 5 3"; do
    read -r n concurrent batch <<<"$form"
    serving "$n"
    api=model=${model##*/},tokenizer=$folder,max_length=$((window + 2))
    api+=,base_url=http://127.0.0.1:$port/v1/completions,num_concurrent=$concurrent
    evaluate "api$n" --model local-completions --batch_size "$batch" --model_args "$api"
    kill -USR1 "$server"
    within 120 gone "$server" || fail "the server does not end"
    wait "$server"
    server=
    checks hf hf "api$n"
    echo "beside the Hugging Face backend, ranks: $n"
    cat out
    checks score "api$n" scores.jsonl
    echo "beside score, ranks: $n"
    cat out
done
finish
