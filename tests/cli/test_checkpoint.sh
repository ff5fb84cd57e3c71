#!/bin/bash
# What make_checkpoint writes is what --weights-from random makes up, bit for bit, for every
# family, format and number of shards, and on two ranks, where a tied head lies apart from its
# embedding. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
tokens=3,1,4,1,5

turn=0
formats=(f32 f16 bf16)
for dir in "$models"/tiny/*/; do
    name=$(basename "$dir")
    format=${formats[turn % 3]} shards=$((turn % 4 + 1))
    turn=$((turn + 1))
    launch "$make_checkpoint" "$dir" "$name" $format $shards
    expect 0 "make_checkpoint $name"
    sw trace "$name" --tokens $tokens --dump file.safetensors --hidden
    expect 0 "$name from its file"
    sw trace "$dir" --weights-from random -w $format --tokens $tokens --dump random.safetensors \
        --hidden
    expect 0 "$name made up"
    cmp file.safetensors random.safetensors || fail "$name, $format, $shards shards: other bits"
    ranks 2 trace "$dir" --weights-from random -w $format --tokens $tokens --hidden \
        --dump random.safetensors
    expect 0 "$name made up on two ranks"
    cmp file.safetensors random.safetensors || fail "$name made up on two ranks: other bits"
done
[ $turn -ge 10 ] || fail "only $turn models"
launch "$make_checkpoint" "$models/tiny/llama" x int8
expect 2 "make_checkpoint with an unknown format"
finish
