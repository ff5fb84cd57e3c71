#!/bin/bash
# serve's page in a real browser: headless Chromium types, reads, stops, changes the system prompt,
# gives a key and sees the server restart. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
"$spillway" --version | grep -q 'http' || { echo "skipped: built without HTTP"; exit 77; }
command -v chromium chromium-browser google-chrome >/dev/null || { echo "skipped: no Chromium (Debian: chromium)"; exit 77; }

# Random weights, so that an answer takes seconds, and the text is nonsense; in a folder with a name to escape.
model='talker <b>'
mkdir "$model"
cp "$models"/shakespeare/{tokenizer,tokenizer_config,generation_config}.json "$model"
sed -E 's/("hidden_size": ).*/\1512,/; s/("intermediate_size": ).*/\12048,/; s/("num_attention_heads": ).*/\18,/
    s/("max_position_embeddings": ).*/\14096,/; s/("num_hidden_layers": ).*/\18,/' \
    "$models/shakespeare/config.json" >"$model/config.json"
cp -r "$model" plain
cat >"$model/chat_template.jinja" <<'TEMPLATE'
{%- for message in messages %}{{ message.role }}: {{ message.content }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}
TEMPLATE
# said ARGUMENT…: what `run` answers, to compare the page's answer with
said() {
    "$spillway" run "$model" --weights-from random --chat --context 4096 -n 24 --json "$@" 2>err |
        python3 -c 'import json, sys; sys.stdout.write(json.load(sys.stdin)["text"])'
}
said "hello there" >plainly || fail "run"
said "hello there" --system "You are a pirate." >pirate || fail "run --system"
printf 'the-key-of-this-test\n' >keys
chmod 600 keys
timeout -k 5 600 python3 "$here/page_checks.py" "$spillway" "$model" >out 2>err ||
    fail "the page"
finish
