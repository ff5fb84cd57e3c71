#!/bin/bash
# What `plan` makes of the command line: advice holds when it is followed and is the smallest change, a
# request that is not described has room in the context. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/../cli/common.sh"
configs=$here/../plan/configs
hosts=$here/../../hostfiles

# advice CHANGE: its value in the JSON in out
advice() { python3 -c "
import json
for a in json.load(open('out'))['advice']:
    if a['change'] == '$1': print(a.get('value', a.get('weights', '?')))"; }
# holds OPTION MORE MODEL CLUSTER OPTIONS…: of the option as many as advised fit, MORE more do not
holds() {
    local option=$1 more=$2 model=$3 cluster=$4 value
    shift 4
    local line=(plan "$configs/$model" --cluster "$cluster" "$@")
    sw "${line[@]}" --json
    expect 4 "${line[*]}"
    value=$(advice "$option")
    [ -n "$value" ] || { fail "${line[*]}: no advice about --$option" && return; }
    sw "${line[@]}" "--$option" "$value"
    expect 0 "${line[*]} --$option $value, as advised"
    sw "${line[@]}" "--$option" $((value + more))
    expect 4 "${line[*]} --$option $((value + more)), more than advised"
}
# More slots than rows of a chunk, of which there are then as many; a context of less than a chunk.
holds slots 1 opt-66b "$hosts/lab2" --slots 1000000
holds slots 1 opt-66b "$hosts/lab2" --slots 100000 --context 100
holds slots 1 gpt-j-6b "1x(host:14G)" --slots 500 --kv f32
holds context 64 opt-30b "1x(host:68G)" --slots 8 --context 2048
holds context 64 mixtral-8x7b "1x(host:100G)" --slots 16 --context 30000
sw plan "$configs/opt-66b" --cluster "$hosts/lab2" --slots 100000 --context 100
grep -q 'GiB more host memory' out && fail "more host memory than any machine has is advised"

# A KV cache in the weights' format becomes smaller with them.
two_formats=(plan "$configs/gpt-j-6b" --cluster "1x(host:15.5G)" --weights f32 --context 2048 --slots 3)
sw "${two_formats[@]}" --json
expect 4 "weights and KV cache in f32"
grep -q -- '--weights f16 (instead' out || fail "weights and KV cache in f32: f16 of both is not advised"
sw "${two_formats[@]}" --weights f16
expect 0 "weights and KV cache in f16"

# request WHAT PROMPT NEW CONTEXT OPTIONS…: what opt-66b (2048 positions) is planned for
request() {
    local what=$1 wanted="$2 $3 $4" got
    shift 4
    sw plan "$configs/$model" --cluster "1x(host:2000G)" --json "$@"
    expect 0 "$what"
    got=$(python3 -c "
import json
p = json.load(open('out'))
print(p['request']['prompt_tokens'], p['request']['new_tokens'], p['context'])")
    [ "$got" = "$wanted" ] || fail "$what: prompt, new tokens and context are $got, not $wanted"
}
model=opt-66b
request "the usual" 512 128 2048
request "a context for less" 72 128 200 --context 200
request "more new tokens" 48 2000 2048 -n 2000
request "new tokens as the context" 1 2048 2048 -n 2048
model=mixtral-8x7b # 32768 positions
request "a longer answer" 512 4000 4512 -n 4000
request "a longer prompt" 5000 128 5128 -p 5000
request "a longer answer in no more context" 48 2000 2048 -n 2000 -c 2048

# Where the usual context has no room, what the request needs may have: in memory, before the disk is used.
# room CONTEXT WORD CLUSTER OPTIONS…: the plan has so many positions, and layers on disk or not
room() {
    local context=$1 where=$2 cluster=$3 got
    shift 3
    sw plan "$configs/$model" --cluster "$cluster" --json "$@"
    expect 0 "$cluster $*"
    got=$(python3 -c "
import json
p = json.load(open('out'))
print(p['context'], 'disk' if any(s['disk'] for s in p['stages']) else 'memory')")
    [ "$got" = "$context $where" ] || fail "$cluster $*: $got, not $context $where"
}
model=opt-30b # in f16 59.2 GB of weights, 1.4 MB of KV cache a position
for disk in "" " disk:3GB/s"; do
    room 2048 memory "1x(host:61G$disk)"
    room 640 memory "1x(host:58.2G$disk)"
    one_message "room for the request only" "memory is short: room for 640 positions, not for 2048"
    room 100 memory "1x(host:57.2G$disk)" -p 90 -n 10
done
room 2048 disk "1x(host:57.2G disk:3GB/s)"
room 2048 disk "1x(host:58.2G disk:3GB/s)" --context 2048
sw plan "$configs/$model" --cluster "1x(host:58.2G)" --context 2048
expect 4 "a context that was asked for"
sw plan "$configs/$model" --cluster "1x(host:57.2G)"
expect 4 "no room for the request"
room 640 memory "1x(host:58.2G)" --objective throughput

sw plan "$configs/llama-3.1-405b" --cluster "$hosts/big" --slots 2000000000 --context 131072
expect 2 "a KV cache that cannot be counted"
one_message "a KV cache that cannot be counted" "2000000000 slots of 131072 positions .* 1 EiB"

# bench: the same prompt, and nothing that has no room
ln -s "$models/shakespeare" s # 256 positions
prompt_of() { python3 -c "import json; d = json.load(open('out')); print(d['prompt_tokens'], d['generated_tokens'])"; }
for form in "128 128" "201 55 -n 55" "1 255 -n 255" "36 64 -n 64 --context 100"; do
    read -r prompt new options <<<"$form"
    # shellcheck disable=SC2086 # words
    sw bench s -r 1 --json $options
    expect 0 "bench $options"
    [ "$(prompt_of)" = "$prompt $new" ] || fail "bench $options: $(prompt_of), not $prompt $new"
done
for form in "-n 256" "-p 200 -n 57" "-n 100 -p 1 --context 100"; do
    # shellcheck disable=SC2086 # words
    sw bench s -r 1 $form
    expect 2 "bench $form"
    one_message "bench $form" "do not fit in (256|100) positions"
done
finish
