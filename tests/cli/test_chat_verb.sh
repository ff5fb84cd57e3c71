#!/bin/bash
# The verb chat: over a pipe, on two ranks, and on a terminal, with its line editing and Ctrl-C.
# $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
cp -r "$models/shakespeare" talker && chmod -R u+w talker
cat >talker/chat_template.jinja <<'TEMPLATE'
{%- for message in messages %}
{%- if message.content == 'refuse' %}{{ raise_exception('not that') }}{% endif %}
{{- message.content }} {% endfor %}
TEMPLATE
# said LINES ARGUMENT…: a conversation over a pipe
said() {
    local lines=$1
    shift
    printf "%b" "$lines" | timeout -k 5 300 "$spillway" chat talker -n 8 "$@" >out 2>err
    code=$?
}
# what_follows TEXT: what `run` says after the same text
what_follows() { "$spillway" run talker "$1" -n 8 --json 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["text"])'; }

first=$(what_follows "To be, or ")
second=$(what_follows "To be, or $first and so ")
said 'To be, or\nand so\n' -v
expect 0 "a pipe"
[ "$(cat out)" = "$first"$'\n'"$second" ] || fail "a pipe: not what run says"
grep -q 'cut after 8 tokens' err || fail "-n is not told"
kept=$(sed -n 's/.* tokens of the prompt, \([0-9]*\) of them kept.*/\1/p' err | tail -n 1)
[ "${kept:-0}" -ge 4 ] || fail "the prefix is not kept: $kept"

said 'To be, or\n/reset\nTo be, or' # the last line has no newline
[ "$(cat out)" = "$first"$'\n'"$first" ] || fail "/reset"
said 'To be,\\\nor\n'
[ "$(cat out)" = "$(what_follows $'To be,\nor ')" ] || fail "a line that goes on"
said '//x\n'
[ "$(cat out)" = "$(what_follows "/x ")" ] || fail "a message that begins with /"
said '/system To\nbe\n'
[ "$(cat out)" = "$(what_follows "To be ")" ] || fail "/system"
said '/system\nTo be, or\n' --system To
[ "$(cat out)" = "$first" ] || fail "/system without a text"
said 'To be, or\n' --stop "${first:3:2}"
[ "$(cat out)" = "${first:0:3}" ] || fail "--stop"

# What is wrong in a line is told, and the conversation goes on without it.
said 'refuse\n/nothing\n/save\nTo be, or\n\nx\xff\n'
expect 0 "lines that are wrong"
[ "$(cat out)" = "$first" ] || fail "lines that are wrong: the conversation"
for words in 'not that' 'there is no /nothing' '/save needs' 'not UTF-8'; do
    grep -q -- "$words" err || fail "not told: $words"
done
said "$(printf '%0400d' 0)\nTo be, or\n"
grep -q '/reset begins anew' err || fail "a message that is too long is not told"
[ "$(cat out)" = "$first" ] || fail "a message that is too long"

: >other
said 'To be, or\n/save saved.json\n/save other\nand so\n/save saved.json\n/quit\nTo be, or\n' --system ''
expect 0 "/save"
[ "$(cat out)" = "$first"$'\n'"$second" ] || fail "/quit does not end it"
[ -s other ] && fail "/save wrote over a file"
grep -q 'other is there already' err || fail "/save: a file that is there"
python3 - "$first" "$second" <<'PYTHON' || fail "/save"
import json, sys
got = json.load(open("saved.json"))["messages"]
assert [(m["role"], m["content"]) for m in got] == [
    ("user", "To be, or"), ("assistant", sys.argv[1]), ("user", "and so"), ("assistant", sys.argv[2])], got
PYTHON
"$spillway" tokens talker --render <saved.json >out 2>err || fail "tokens does not read what /save wrote"

said '' --json
expect 2 "--json"
sw chat "$models/shakespeare"
expect 3 "a model without a template"
one_message "a model without a template" "has no chat template"

printf 'To be, or\nand so\n' | timeout -k 5 300 mpirun -np 2 "$spillway" chat talker -n 8 >out 2>err
code=$?
expect 0 "two ranks"
[ "$(tr -d '\r' <out)" = "$first"$'\n'"$second" ] || fail "two ranks: not what one says"

# A model that writes for long, on a terminal.
mkdir long
cp talker/*.json talker/*.jinja long
sed -E 's/("hidden_size": ).*/\1512,/; s/("intermediate_size": ).*/\12048,/; s/("num_attention_heads": ).*/\18,/
    s/("max_position_embeddings": ).*/\14096,/; s/("num_hidden_layers": ).*/\18,/' talker/config.json >long/config.json
"$spillway" --version | grep -q 'edit' && edits=1 || edits=0
timeout -k 5 300 python3 "$here/chat_terminal.py" "$edits" "$first" "$spillway" >out 2>err || fail "a terminal"
timeout -k 5 300 python3 "$here/chat_terminal.py" 0 "$first" "$here/../../launch/spillway-mpirun" -np 2 "$spillway" >out 2>err ||
    fail "a terminal, under spillway-mpirun"
finish
