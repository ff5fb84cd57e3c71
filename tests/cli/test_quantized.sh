#!/bin/bash
# Folders that are quantized already, as bitsandbytes and others publish them: run as they are, on any ranks, with
# the logits of their decoded weights; planned with and without weights; refused by name. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
quantized=$here/../models/quantized
tokens=3,1,4,1,5,9,2,6,5,3,5

for name in nf4 nf4_odd fp4 int8 fp8_tile fp8_row fp8_tensor gptq gptq_order gptq_v2 awq ct_asym ct_int8 \
    mla_fp8 mla_gptq mla_awq mla_nf4 mla_int8; do
    sw trace "$quantized/$name" --tokens $tokens --dump a.safetensors
    expect 0 "$name"
    ranks 2 trace "$quantized/$name" --tokens $tokens --dump b.safetensors
    expect 0 "$name on two ranks"
    cmp a.safetensors b.safetensors || fail "$name on two ranks: other bits"
    sw trace "$quantized/$name" -w bf16 --tokens $tokens --dump b.safetensors
    expect 0 "$name decoded to bf16"
    sw inspect "$quantized/$name"
    expect 0 "inspect $name"
    sw plan "$quantized/$name" --cluster "1x(host:4G)"
    expect 0 "a plan of $name"
done

# Rows that are no whole blocks are told.
sw inspect "$quantized/nf4_odd"
grep -q "12 quantized matrices have rows that are no whole blocks" err || fail "nf4_odd: no warning"

# Columns in an order of their own are kept in blocks, but where gate and up have different ones.
sw plan "$quantized/gptq_order" --cluster "1x(host:4G)"
grep -q "of int4_g32 weights" out || fail "gptq_order: not kept as it is"
sw inspect "$quantized/gptq_order"
grep -q "1 pairs of gate and up matrices have columns in different orders" err || fail "gptq_order: no warning"
sw inspect "$quantized/ct_order"
[ ! -s err ] || fail "ct_order: a warning"

# What is kept as it is says so, and takes its bytes; with config.json alone as much.
sw plan "$quantized/int8" --cluster "1x(host:4G)"
grep -q "of int8 weights" out || fail "the plan does not keep int8 as it is"
for name in nf4 fp4 fp8_row; do
    sw plan "$quantized/$name" --cluster "1x(host:4G)"
    grep -q "of ${name%_*} weights" out || fail "the plan does not keep $name as it is"
done
sw plan "$quantized/int8" --cluster "1x(host:4G)"
mkdir config
cp "$quantized/int8/config.json" config
cp out with
sw plan config --cluster "1x(host:4G)"
expect 0 "a plan from config.json alone"
diff <(sed 1d with) <(sed 1d out) || fail "config.json alone: another plan"

# One that nobody here reads, and one whose parts are gone.
mkdir other
sed 's/"quant_method": "bitsandbytes"/"quant_method": "quip"/' "$quantized/nf4/config.json" >other/config.json
ln -s "$quantized/nf4/model.safetensors" other
sw run other hello -n 1
expect 3 "an unknown method"
one_message "an unknown method" "other/config.json: the checkpoint is quantized by 'quip', which is not supported; known are: "

finish
