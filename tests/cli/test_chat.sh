#!/bin/bash
# tokens --chat and --render, and run --chat, through a template of our own. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"

mkdir model
cp "$here"/../text/data/byte-level/* model/
cat >model/chat_template.jinja <<'TEMPLATE'
{% for message in messages %}
{{ message.role }}: {{ message.content | trim }}
{% endfor %}
{% if tools %}
{{ tools | map(attribute='name') | join(',') }} {{ mood }}
{% endif %}
{% if add_generation_prompt %}
assistant:
{%- endif %}
TEMPLATE

# given JSON ARGUMENT…: the messages on standard input
given() {
    local input=$1
    shift
    "$spillway" "$@" <<<"$input" >out 2>err
    code=$?
}

given '[{"role": "user", "content": " caf\u00e9 "}]' tokens model --render
expect 0 "a list of messages"
[ "$(cat out)" = $'user: café\nassistant:' ] || fail "rendered: $(cat out)"

given '{"messages": [{"role": "user", "content": "x"}], "tools": [{"name": "a"}, {"name": "b"}],
        "chat_template_kwargs": {"mood": "fine"}, "add_generation_prompt": false}' tokens model --render
expect 0 "an object"
[ "$(cat out)" = $'user: x\na,b fine' ] || fail "rendered: $(cat out)"

given '[{"role": "user", "content": "x"}]' tokens model --render
cp out text
given '[{"role": "user", "content": "x"}]' tokens model --chat
expect 0 "ids"
"$spillway" tokens model <text >ids || fail "the text's own ids"
cmp -s out ids || fail "--chat gives other ids than the rendered text has"

# refused INPUT PATTERN: one message, exit code 3
refused() {
    given "$1" tokens model --chat
    expect 3 "$1"
    [ -s out ] && fail "$1: writes to stdout"
    one_message "$1" "$2"
}
refused '[]' 'messages is an empty list'
refused '{"prompt": "x"}' 'expected a list of messages'
refused '[{"content": "x"}]' 'messages\[0\] must be an object with a text "role"'
refused 'hello' 'standard input: not JSON: line 1, column 1'
refused '[{"role": "user", "content": "x"}, {"role": "user"' 'not JSON'
echo "{{ messages[0].content.text.more }}" >model/chat_template.jinja
refused '[{"role": "user", "content": "x"}]' "chat_template.jinja: line 1: 'text' is undefined"
printf 'a\n{%% if %%}' >model/chat_template.jinja
refused '[{"role": "user", "content": "x"}]' "model/chat_template.jinja: line 2: expected an expression"
rm model/chat_template.jinja
refused '[{"role": "user", "content": "x"}]' 'has no chat template .*chat_template.jinja'
given '[]' tokens model --chat --decode
expect 2 "--chat --decode"

ln -s "$models/shakespeare" shakespeare
if [ -d shakespeare ]; then
    sw run shakespeare --chat "To be" -n 1
    expect 3 "a model without a template"
    one_message "a model without a template" "has no chat template .*prompt it with plain text"
    sw run shakespeare --system "x" "To be"
    expect 2 "--system without --chat"
    sw run shakespeare --chat --tokens 1,2
    expect 2 "--chat with --tokens"
    mkdir talker
    cp -r shakespeare/. talker
    echo "{{ messages | map(attribute='content') | join(' ') }}" >talker/chat_template.jinja
    sw run talker --chat --system "To" "be" -n 8
    cp out chat
    sw run talker "To be" -n 8
    cmp -s out chat || fail "run --chat: not the text that follows what the template makes"
fi
finish
