#!/bin/bash
# What is no file where one is wanted, what may not be read, and what may not be written over: each
# is refused at once, by name, and nothing of the model is touched. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
shakespeare=$models/shakespeare
# at_once ARGUMENT…: as sw; nothing may wait
at_once() {
    timeout -k 1 100 "$spillway" "$@" >"$work/out" 2>"$work/err" </dev/null
    code=$?
}
# refused CODE PATTERN ARGUMENT…
refused() {
    local expected=$1 pattern=$2
    shift 2
    at_once "$@"
    expect "$expected" "$*"
    grep -Eq -- "$pattern" "$work/err" || fail "$*: the message does not say \"$pattern\""
}
cp -r "$shakespeare" model && cp -r "$models/tiny/llama" sharded && chmod -R u+w model sharded
echo '{"id": 1, "prompt": [1, 2]}' >in.jsonl

# A FIFO, a socket and a folder for each file that is read.
mkfifo pipe
swapped() { # swapped FOLDER FILE: a copy of FOLDER where FILE is a FIFO
    rm -rf odd && cp -r "$1" odd && rm -f "odd/$2" && mkfifo "odd/$2"
}
for file in config.json model.safetensors tokenizer.json tokenizer_config.json \
    generation_config.json special_tokens_map.json added_tokens.json; do
    swapped model "$file"
    refused 3 "odd/$file: is a FIFO" run odd hello -n 1
done
for file in tokenizer.json chat_template.jinja; do
    swapped model "$file"
    refused 3 "odd/$file: is a FIFO" batch odd in.jsonl out.jsonl
done
for file in model.safetensors.index.json model-00002-of-00003.safetensors; do
    swapped sharded "$file"
    refused 3 "odd/$file: is a FIFO" run odd --tokens 1,2 -n 1
done
swapped model tokenizer.json
refused 3 "odd/tokenizer.json: is a FIFO" tokens odd
refused 3 "pipe: is a FIFO" run model -f pipe -n 1
refused 3 "pipe: is (a FIFO|not a directory)" run pipe hello
refused 3 "pipe: is a FIFO" plan model --cluster pipe
refused 3 "pipe: is not a regular file" batch model pipe out.jsonl
rm -rf odd && cp -r model odd && rm odd/tokenizer.json && mkdir odd/tokenizer.json
refused 3 "odd/tokenizer.json: is a directory" run odd hello -n 1

for verb in "run model -n 1" "tokens model" "tokens model --jsonl"; do
    # shellcheck disable=SC2086 # words
    timeout -k 1 100 "$spillway" $verb >out 2>err <model
    code=$?
    expect 5 "$verb with a folder on standard input"
    grep -q "standard input.*cannot be read: Is a directory" err ||
        fail "$verb with a folder on standard input: the message"
done

# … and for each that is written.
refused 2 "pipe: .*(FIFO|pipe)" run model hello -n 1 --timeline pipe
refused 2 "pipe: .*(FIFO|pipe)" bench model --timeline pipe
refused 2 "pipe: .*(FIFO|pipe)" trace model --tokens 1 --dump pipe
refused 2 "pipe: .*(FIFO|pipe)" batch model in.jsonl out.jsonl --metrics pipe
refused 2 "pipe: .*(FIFO|pipe)" plan model --cluster '1x(host:8G)' --sbatch=pipe
refused 2 "model: .*(directory|folder)" trace model --tokens 1 --dump model
refused 2 "model: .*(directory|folder)" run model hello -n 1 --timeline model

# A link whose blob is gone, as an interrupted download of the hub leaves them.
for file in config.json model.safetensors tokenizer.json tokenizer_config.json; do
    rm -rf odd && cp -r model odd && ln -sf ../../blobs/4f3a "odd/$file"
    refused 3 "odd/$file: is a link to ../../blobs/4f3a, which does not exist" run odd hello -n 1
done
rm -rf odd && cp -r sharded odd && ln -sf ../../blobs/4f3a odd/model-00002-of-00003.safetensors
refused 3 "model-00002-of-00003.safetensors: is a link to .*, which does not exist" run odd --tokens 1,2 -n 1

# Nothing that is read is written over, whatever it is called.
cp in.jsonl prompt.txt
ln model/model.safetensors hard.safetensors
ln -s model/tokenizer.json soft
find model in.jsonl prompt.txt -type f -exec sha256sum {} + >before
for path in model/config.json model/./tokenizer.json soft hard.safetensors; do
    refused 2 "MODEL's files and --dump are the same file" trace model --tokens 1 --dump "$path"
    refused 2 "MODEL's files and --timeline are the same file" run model hi -n 1 --timeline "$path"
    refused 2 "MODEL's files and --timeline are the same file" bench model --timeline "$path"
    refused 2 "MODEL's files and --sbatch are the same file" plan model \
        --cluster '1x(host:8G)' "--sbatch=$path"
done
refused 2 "--file and --timeline are the same file" run model -f prompt.txt -n 1 --timeline prompt.txt
echo '1x(host:8G)' >cluster.txt
refused 2 "--cluster and --sbatch are the same file" plan model --cluster cluster.txt --sbatch=cluster.txt
sha256sum -c --quiet before || fail "a file that is read was written over"

# A link at the name of a file that is written aside (any user can make one in /tmp) is not followed.
echo precious >victim
mkdir aside
cat >planted.sh <<'SH'
ln -s ../victim "aside/a.safetensors.$$.part"
exec "$@"
SH
bash planted.sh "$spillway" trace model --tokens 1,2 --dump aside/a.safetensors >out 2>err
code=$?
expect 0 "a dump beside a planted link"
[ "$(cat victim)" = precious ] || fail "a dump was written through a link at its .part"
[ -f aside/a.safetensors ] && [ ! -L aside/a.safetensors ] || fail "a dump beside a planted link"

# Devices and descriptors are written as ever.
at_once run model hello -n 2 --timeline /dev/null
expect 0 "a timeline to /dev/null"
at_once trace model --tokens 1,2 --dump /dev/null
expect 0 "a dump to /dev/null"
[ -c /dev/null ] || fail "/dev/null is no device any more"
at_once trace model --tokens 1,2 --dump plain.safetensors
expect 0 "a dump"
for to in /dev/stdout /dev/fd/1 /proc/self/fd/1; do
    timeout 100 "$spillway" trace model --tokens 1,2 --dump $to 2>err | cat >piped.safetensors
    cmp plain.safetensors piped.safetensors || fail "a dump to $to, a pipe"
    timeout 100 "$spillway" trace model --tokens 1,2 --dump $to 2>err >piped.safetensors
    cmp plain.safetensors piped.safetensors || fail "a dump to $to, a file"
done
[ -L /dev/stdout ] || fail "/dev/stdout was replaced"
timeout 100 "$spillway" batch model in.jsonl out.jsonl --metrics /dev/stderr 2>&1 >/dev/null | cat >err
grep -q '"tokens_per_s"' err || fail "metrics to /dev/stderr, a pipe"
timeout 100 "$spillway" run model hello -n 2 --timeline /dev/stderr 2>&1 >/dev/null | cat >err
grep -q '"process_name"' err || fail "a timeline to /dev/stderr, a pipe"

# The message for a file without read permission; root may read all files, so another user does.
[ "$(id -u)" = 0 ] && ! setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null &&
    { echo "without setpriv nobody without permission can be had"; finish; }
as_other() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups \
            timeout -k 1 100 "$work/program" "$@" >"$work/out" 2>"$work/err" </dev/null
    else
        timeout -k 1 100 "$work/program" "$@" >"$work/out" 2>"$work/err" </dev/null
    fi
    code=$?
}
# forbidden PATTERN ARGUMENT…
forbidden() {
    local pattern=$1
    shift
    as_other "$@"
    expect 3 "without permission: $*"
    grep -Eq -- "$pattern" "$work/err" || fail "without permission: $*: not \"$pattern\""
}
cp "$spillway" program
chmod 755 "$work" program
chmod -R a+rX model in.jsonl
mkdir -m 777 writable
# no config.json, and nobody but its owner sees what else is there
mkdir -m 711 unlisted
[ "$(id -u)" = 0 ] || chmod 300 unlisted
forbidden "unlisted: cannot be searched for GGUF files: Permission denied" run unlisted hello -n 1
cp model/config.json unlisted/ && chmod 644 unlisted/config.json
forbidden "unlisted: cannot be searched for weights: Permission denied" run unlisted hello -n 1
mkdir -m 700 closed && cp -r model closed/
[ "$(id -u)" = 0 ] || chmod 000 closed
forbidden "closed/model: cannot be examined: Permission denied" run closed/model hello -n 1
forbidden "closed/model: cannot be examined: Permission denied" plan closed/model --cluster '1x(host:8G)'
forbidden "closed/model: cannot be examined: Permission denied" probe closed/model
[ "$(id -u)" = 0 ] || chmod 700 closed
chmod 700 model
[ "$(id -u)" = 0 ] || chmod 000 model
forbidden "model/config.json: cannot be examined: Permission denied" run model hello -n 1
chmod 755 model
for file in config.json model.safetensors tokenizer.json tokenizer_config.json generation_config.json; do
    chmod 000 "model/$file"
    forbidden "model/$file: cannot be opened: Permission denied" run model hello -n 1
    forbidden "model/$file: cannot be opened: Permission denied" batch model in.jsonl writable/out.jsonl
    chmod 644 "model/$file"
done
as_other run model hello -n 1
expect 0 "with permission again"
finish
