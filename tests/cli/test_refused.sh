#!/bin/bash
# Checkpoints that must be refused by name, with what was expected, what is there and exit code 3;
# on two ranks just as on one. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"

# damaged NAME MODEL: a copy to be damaged, in the folder NAME
damaged() {
    rm -rf "$1"
    cp -r "$models/tiny/$2" "$1" && chmod -R u+w "$1"
}
# refused FOLDER PATTERN…: one message that matches all patterns
refused() {
    local folder=$1 n pattern
    shift
    for n in 1 2; do
        ranks "$n" trace "$folder" --tokens 1,2 --dump dump.safetensors
        expect 3 "$folder on $n ranks"
        for pattern in "$@"; do one_message "$folder on $n ranks" "$pattern"; done
        [ -e dump.safetensors ] && fail "$folder: a dump is left"
    done
}
# edit FILE SCRIPT: sed on bytes; the length must stay
edit() {
    local before
    before=$(stat -c %s "$1")
    LC_ALL=C sed -i "$2" "$1"
    [ "$(stat -c %s "$1")" = "$before" ] || fail "the edit of $1 changed its length"
}

damaged family llama
sed -i 's/"model_type": *"llama"/"model_type": "camel"/' family/config.json
refused family "'camel' is not supported" "known families: .*gpt_neox.*llama"

damaged missing llama
edit "$(grep -l 'layers.0.self_attn.k_proj' missing/*.safetensors)" \
    's/layers\.0\.self_attn\.k_proj/layers.0.self_attn.k_porj/'
sed -i 's/layers\.0\.self_attn\.k_proj/layers.0.self_attn.k_porj/' missing/*.json
refused missing "'model.layers.0.self_attn.k_proj.weight' \[.*\].* is missing"

damaged shape llama
sed -i -E 's/("intermediate_size": *)[0-9]+/\199/' shape/config.json
refused shape "gate_proj.weight' is bf16 \[101, .*\], but config.json asks for \[99, "

damaged truncated llama
shard=$(echo truncated/model-00002*)
truncate -s $(($(stat -c %s "$shard") - 100)) "$shard"
refused truncated "$shard: tensor .* ends at byte .* but the file has .* is truncated, copy it again"

damaged no-shard llama
rm no-shard/model-00003*
refused no-shard "model-00003-of-00003.safetensors"

damaged empty-shard llama
: >"$(echo empty-shard/model-00001*)"
refused empty-shard "model-00001-of-00003.safetensors.* is empty"

damaged pointer llama
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n' \
    >"$(echo pointer/model-00001*)"
refused pointer "Git LFS pointer"

damaged no-weights llama
rm no-weights/model*
refused no-weights "no-weights"

damaged torch-cut mistral
bin=$(echo torch-cut/*.bin)
truncate -s $(($(stat -c %s "$bin") / 2)) "$bin"
refused torch-cut "$bin"

damaged legacy-cut opt_350m
bin=$(echo legacy-cut/*.bin)
truncate -s $(($(stat -c %s "$bin") - 64)) "$bin"
refused legacy-cut "$bin"

damaged not-json gpt2
echo '{"model_type": "gpt2",' >not-json/config.json
refused not-json "config.json: not JSON: line"

damaged no-key gpt2
sed -i 's/"n_layer"/"n_lawyer"/' no-key/config.json
refused no-key "'num_hidden_layers' is missing"

# What is only passed over is said once, by whichever number of ranks.
damaged left-over llama
sed -i 's/"model_type"/"sliding_window": 5, "model_type"/' left-over/config.json
damaged own-head llama_own_head
for n in 1 2; do
    ranks $n run left-over --tokens 1,2 -n 2
    expect 0 "another family's key on $n ranks"
    [ "$(grep -c "config.json: 'sliding_window' is 5, which models of the family llama do not have" err)" = 1 ] ||
        fail "another family's key on $n ranks: not said once"
    ranks $n run own-head --tokens 1,2 -n 2
    expect 0 "a head of its own on $n ranks"
    [ "$(grep -c "'lm_head.weight' is not 'model.embed_tokens.weight': the file's head is used" err)" = 1 ] ||
        fail "a head of its own on $n ranks: not said once"
done

# The same model whole is taken.
damaged whole llama
ranks 2 trace whole --tokens 1,2 --dump dump.safetensors
expect 0 "the whole model"
finish
