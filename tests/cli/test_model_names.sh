#!/bin/bash
# MODEL by name: a folder with a GGUF file, Ollama's store, the hub's cache, all made up here; the
# same bits as by path, in every verb and on two ranks; what a rank without the model is told; old
# GGUF names of experts. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
make_gguf=$here/../tools/make_gguf.py
command -v python3 >/dev/null || { echo "skipped: no python3 to write GGUF files with"; exit 77; }
export HF_HUB_CACHE=$work/hub OLLAMA_MODELS=$work/store
tokens=3,1,4,1,5,9,2,6

launch "$make_checkpoint" "$models/tiny/mixtral" folder f32
launch python3 "$make_gguf" folder mixtral.gguf
launch python3 "$make_gguf" folder parts.gguf --split 3
expect 0 "writing GGUF files"
mkdir alone split
cp mixtral.gguf alone/m.gguf
mv parts-*.gguf split
blob=sha256-$(sha256sum mixtral.gguf | cut -d' ' -f1)
mkdir -p "$OLLAMA_MODELS/blobs" "$OLLAMA_MODELS/manifests/registry.ollama.ai/library/tiny"
cp mixtral.gguf "$OLLAMA_MODELS/blobs/$blob"
printf '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "%s", "size": %s}]}' \
    "${blob/-/:}" "$(stat -c %s mixtral.gguf)" \
    >"$OLLAMA_MODELS/manifests/registry.ollama.ai/library/tiny/latest"
commit=0123456789012345678901234567890123456789
snapshot=$HF_HUB_CACHE/models--org--shakes/snapshots/$commit
mkdir -p "$snapshot" "$HF_HUB_CACHE/models--org--shakes/refs" "$HF_HUB_CACHE/models--org--shakes/blobs"
printf %s $commit >"$HF_HUB_CACHE/models--org--shakes/refs/main"
for file in "$models/shakespeare"/*; do
    cp "$file" "$HF_HUB_CACHE/models--org--shakes/blobs/$(basename "$file").blob"
    ln -s "../../blobs/$(basename "$file").blob" "$snapshot/$(basename "$file")"
done

sw trace mixtral.gguf -w f32 --tokens $tokens --dump a.safetensors
expect 0 "by its path"
for name in alone split ollama:tiny ollama:tiny:latest ollama:library/tiny; do
    sw trace $name -w f32 --tokens $tokens --dump b.safetensors
    expect 0 "$name"
    cmp a.safetensors b.safetensors || fail "$name: other bits"
done
ranks 2 trace ollama:tiny -w f32 --tokens $tokens --dump b.safetensors
expect 0 "ollama:tiny on two ranks"
cmp a.safetensors b.safetensors || fail "ollama:tiny on two ranks: other bits"

# Experts in tensors of their own, as files of before April 2024 have them.
launch python3 "$make_gguf" folder old.gguf --old-experts
expect 0 "writing old names"
sw trace old.gguf -w f32 --tokens $tokens --dump b.safetensors
expect 0 "old names of experts"
cmp a.safetensors b.safetensors || fail "old names of experts: other bits"

# The hub's cache, in every verb.
sw run "$models/shakespeare" ROMEO: -n 8
mv out one
sw run org/shakes ROMEO: -n 8
expect 0 "run by hub id"
cmp -s out one || fail "run by hub id: another text"
ranks 2 run org/shakes@main ROMEO: -n 8
cmp -s out one || fail "run by hub id on two ranks: another text"
sw run "org/shakes@${commit:0:8}" ROMEO: -n 8
cmp -s out one || fail "run by a commit: another text"
sw inspect org/shakes
expect 0 "inspect"
head -1 out | grep -q '^org/shakes: ' || fail "inspect does not say the name that was given"
sw plan org/shakes --cluster "1x(host:4G)"
expect 0 "plan"
sw plan org/shakes --cluster "1x(host:4G)" --sbatch
grep -q "MODEL\|org/shakes" out || fail "plan --sbatch does not name the model"
launch bash -c "echo -n Hello | '$spillway' tokens org/shakes"
expect 0 "tokens"
ranks 2 probe org/shakes --json
expect 0 "probe"
sw bench org/shakes -p 8 -n 2 -r 1
expect 0 "bench"
echo '{"id": 1, "prompt": "ROMEO:", "max_tokens": 3}' >in.jsonl
sw batch org/shakes in.jsonl out.jsonl
expect 0 "batch"
grep -q '"name": *"shakes"' out.jsonl.job || fail "the manifest does not have the name"
sw batch "$models/shakespeare" in.jsonl out.jsonl # the same model by its path
expect 0 "batch, by another name"
sw batch org/shakes in.jsonl "$snapshot/model.safetensors"
expect 2 "an output that is one of the model's files"

# A local folder goes first; what is missing is named.
mkdir org && cp -r "$models/tiny/llama" org/shakes
sw inspect org/shakes
grep -q Llama out || fail "the local folder does not go first"
rm -r org
sw run org/shake hi
expect 3 "a near name"
one_message "a near name" "no such model in the Hugging Face cache $HF_HUB_CACHE \(by HF_HUB_CACHE\); nearest there: org/shakes"
sw run ollama:tin hi
expect 3 "a near name of Ollama's"
one_message "a near name of Ollama's" "looked in $OLLAMA_MODELS; nearest there: tiny:latest"
mkdir -p "$HF_HUB_CACHE/models--org--llama/snapshots"
cp -r "$models/tiny/llama" "$HF_HUB_CACHE/models--org--llama/snapshots/$commit"
rm -f "$HF_HUB_CACHE/models--org--llama/snapshots/$commit/model-00002-of-00003.safetensors"
sw trace org/llama --tokens 1 --dump b.safetensors
expect 3 "an unfinished download"
one_message "an unfinished download" "model-00002-of-00003.safetensors: is missing; .* names 3 files and 1"
sw inspect org/llama # its config.json is enough
expect 0 "inspect of an unfinished download"

# A rank whose host lacks the model, or has another.
mixed() {
    launch mpirun -np 1 "$spillway" "$@" : -np 1 -x HF_HUB_CACHE="$work/hub2" \
        -x OLLAMA_MODELS="$work/store2" "$spillway" "$@"
}
mixed run org/shakes hi -n 2
expect 3 "a rank without the model"
one_message "a rank without the model" "org/shakes: no such folder or file"
cp -r hub hub2
mixed run org/shakes ROMEO: -n 8
expect 0 "the same model in another cache"
cmp -s out one || fail "the same model in another cache: another text"
sed -i 's/"rotary_emb_base": 10000/"rotary_emb_base": 10001/' \
    "hub2/models--org--shakes/blobs/config.json.blob"
mixed run org/shakes hi -n 2
expect 3 "another model on one host"
one_message "another model on one host" "config.json"
finish
