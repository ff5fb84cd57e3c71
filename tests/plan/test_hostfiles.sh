#!/bin/bash
# The example clusters in hostfiles/ with models of true size: the plan of each is a golden.
# SW_UPDATE_GOLDENS=1 writes them anew. $1: the program.
set -u
spillway=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export LC_ALL=C.UTF-8 COLUMNS=100
failed=0

# name, expected exit code, model, cluster, more options
check() {
    local name=$1 expected=$2 model=$3 cluster=$4
    shift 4
    local golden=$here/golden/$name actual code
    actual=$("$spillway" plan "$here/configs/$model" --cluster "$cluster" "$@" 2>/dev/null)
    code=$?
    if [ $code -ne "$expected" ]; then
        echo "$name: exit code $code, expected $expected"
        failed=1
    fi
    # of a job file all but the launch script, which is as launch/slurm.sbatch has it
    case $name in
    *.sbatch) actual=$(sed "s|$root|ROOT|; /^# ---- what runs ----/,\$d" <<<"$actual") ;;
    esac
    if [ "${SW_UPDATE_GOLDENS:-}" = 1 ]; then
        printf '%s\n' "$actual" >"$golden"
    elif ! diff -u "$golden" <(printf '%s\n' "$actual"); then
        echo "$name: not as in the golden file; SW_UPDATE_GOLDENS=1 accepts it"
        failed=1
    fi
}

hosts=$root/hostfiles
check student.txt 0 gpt-j-6b "$hosts/student"
check student-neox.txt 4 gpt-neox-20b "$hosts/student"
check lab.txt 0 opt-30b "$hosts/lab"
check lab.json 0 opt-30b "$hosts/lab" --json
check lab.svg 0 opt-30b "$hosts/lab" --svg
check lab-slices.txt 0 gpt-neox-20b "$hosts/lab" --slices 20,24
check lab-opt-66b.txt 4 opt-66b "$hosts/lab"
check lab-opt-66b.json 4 opt-66b "$hosts/lab" --json
check lab-capped.txt 4 gpt-neox-20b "$hosts/lab" --gpu-memory 2GiB --host-memory 8GiB
check lab2.txt 0 opt-66b "$hosts/lab2"
check lab2-throughput.txt 0 opt-66b "$hosts/lab2" --objective throughput --slots 16
check cpu-only.txt 0 mixtral-8x7b "$hosts/cpu-only"
check big.txt 0 llama-3.1-405b "$hosts/big" --context 8192
check big-throughput.json 0 bloom "$hosts/big" --objective throughput --slots 64 --json

# Far more than memory: layers come from disk for each token, on the GPU where prompts gain by it.
disk="1x(gpu:8G host:16G disk:3GB/s)"
check disk-405b.txt 0 llama-3.1-405b "$disk" --weights nf4 --gpu-memory 5GB
check disk-405b.json 0 llama-3.1-405b "$disk" --weights nf4 --gpu-memory 5GB --json
check disk-405b.svg 0 llama-3.1-405b "$disk" --weights nf4 --svg
check disk-405b-throughput.txt 0 llama-3.1-405b "1x(gpu:24G host:64G disk:3GB/s)" --weights nf4 \
    --objective throughput
check disk-cpu.txt 0 opt-66b "2x(host:32G disk:2x1.5GB/s)"
# a token takes what its bytes take from disk, or little more; twice the disks, half the time
python3 - "$here/golden/disk-405b.json" <<'PYTHON' || failed=1
import json, sys
plan = json.load(open(sys.argv[1]))
bytes_read = plan['predicted']['disk_bytes_per_token']
least = bytes_read / 3e9
on_disk = sum(s['bytes']['disk'] for s in plan['stages'])
assert on_disk > 190e9 and abs(bytes_read - on_disk) < 1e-6 * on_disk, bytes_read
assert least <= plan['predicted']['s_per_token'] <= 1.05 * least, plan['predicted']
assert all(s['bytes']['gpu'] <= 5e9 and s['disk_on_gpu'] for s in plan['stages'])
PYTHON
for rate in 6GB/s 2x3GB/s; do
    "$spillway" plan "$here/configs/llama-3.1-405b" --weights nf4 --json \
        --cluster "1x(gpu:8G host:16G disk:$rate)"
done | python3 -c '
import json, sys
text = sys.stdin.read()
one, end = json.JSONDecoder().raw_decode(text)
two = json.loads(text[end:])
assert one == two and 30 < one["predicted"]["s_per_token"] < 40, one["predicted"]' || failed=1

# job files: parts of unlike nodes, neighbours that are alike enough, cores that are known
check student.sbatch 0 gpt-j-6b "$hosts/student" --sbatch
check lab.sbatch 0 opt-30b "$hosts/lab" --sbatch --threads 6
check lab2.sbatch 0 opt-66b "$hosts/lab2" --sbatch --objective throughput --slots 16
check cpu-only.sbatch 0 mixtral-8x7b "$hosts/cpu-only" --sbatch
check big.sbatch 0 llama-3.1-405b "$hosts/big" --context 8192 --sbatch
check cores.sbatch 0 gpt-neox-20b "2x(gpu:24G host:32G cores:16) + 2x(host:64G cores:24 ranks:2)" \
    --slices 20,12,6,6,0,0 --sbatch
check lab-opt-66b-sbatch.txt 4 opt-66b "$hosts/lab" --sbatch
# what fits into memory stays there, as in a run, whatever a disk would add
while read -r model cluster options; do
    # shellcheck disable=SC2086 # several words
    "$spillway" plan "$here/configs/$model" --cluster "${cluster//_/ }" $options --json |
        grep -q '"disk": [1-9][0-9]*,$' && {
        echo "$model: layers on disk, though there is room in memory"
        failed=1
    }
done <<'CASES'
opt-30b 1x(host:100G_disk:3GB/s) --weights nf4 --objective throughput
mixtral-8x7b 1x(gpu:24G@900GB/s_host:48G@10GB/s_disk:20GB/s) --weights nf4
CASES
# what only the disk has room for is a job as well
check disk.sbatch 0 opt-30b "3x(host:12G cores:8 disk:3GB/s)" --sbatch --host-memory 11GiB --timeout 40 \
    --transport mpi
"$spillway" plan "$here/configs/opt-30b" --cluster "$hosts/lab" --sbatch |
    sed -n '/^# ---- what runs/,$p' |
    cmp - <(sed -n '/^# ---- what runs/,$p' "$root/launch/slurm.sbatch") || {
    echo "the job file does not end with the launch script"
    failed=1
}
# more runs of unlike nodes than a job may have parts
deep=$(mktemp -d)
cat >"$deep/config.json" <<'JSON'
{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_layer": 130,
 "n_head": 4, "n_positions": 128, "vocab_size": 500, "layer_norm_epsilon": 1e-5,
 "activation_function": "gelu_new", "torch_dtype": "float32"}
JSON
nodes='' slices=''
for i in $(seq 130); do
    nodes+="${nodes:+ + }1x(host:4G cores:$((i % 2 + 1)))"
    slices+=${slices:+,}1
done
refused=$("$spillway" plan "$deep" --cluster "$nodes" --slices "$slices" --sbatch 2>&1 >/dev/null)
if [ $? != 4 ] || ! grep -q '130 runs of nodes .* at most 128 parts' <<<"$refused"; then
    echo "130 parts are not refused: $refused"
    failed=1
fi
rm -rf "$deep"

# A mix of formats on too little memory: what would make it fit, the disk among it.
if "$spillway" inspect "$here/configs/mixtral-8x7b" | grep -q '^  q4_k_m '; then
    check mixtral-16g.txt 4 mixtral-8x7b "1x(host:16G)" --weights q4_k_m
    # experts are read as they are chosen, and what memory has room for is kept
    check experts-mixtral.txt 0 mixtral-8x7b "1x(gpu:8G host:16G disk:3GB/s)" --weights q4_k_m
    "$spillway" plan "$here/configs/mixtral-8x7b" --weights q4_k_m --json \
        --cluster "1x(gpu:8G host:16G disk:3GB/s)" | python3 -c '
import json, sys
plan = json.load(sys.stdin)
stage, predicted = plan["stages"][0], plan["predicted"]
kept = stage["experts"]["cached"]
assert 0 < kept < 8 and stage["experts"]["hit_rate"] == kept / 8, stage["experts"]
assert predicted["disk_bytes_per_token"] < stage["bytes"]["disk"] * 0.26, predicted
assert predicted["disk_bytes_per_token"] / 3e9 < predicted["s_per_token"] < 0.7, predicted
' || failed=1
else
    echo "no plan of q4_k_m: weights cannot be kept in all of its formats"
fi
# gpt-oss as published, its experts in MXFP4, on two cards and 64 GiB.
check gpt-oss-120b.txt 0 gpt-oss-120b "1x(gpu:2x24G host:64G)"
# DeepSeek V2 Lite, whose cache is its latents.
check deepseek-v2-lite.txt 0 deepseek-v2-lite "1x(gpu:2x24G host:64G)" --context 16384
# Gated delta nets, whose states count beside the KV of one layer in four.
check qwen3-next-80b.txt 0 qwen3-next-80b "1x(gpu:2x24G host:64G)" --weights q4_k --slots 4
# Gemma 3 with images: what its part for text needs, with windows in five layers of six.
check gemma-3-27b.txt 0 gemma-3-27b "1x(gpu:2x24G host:64G)" --weights q8_0 --context 16384
# Gemma 4: heads of 512 and fewer KV heads in every sixth layer.
check gemma-4-31b.txt 0 gemma-4-31b "1x(gpu:2x24G host:64G)" --weights q8_0 --context 16384
# Its experts beside an MLP, on one card; and a table of what each layer reads of an id, which is not read whole.
check gemma-4-26b-a4b.txt 0 gemma-4-26b-a4b "1x(gpu:24G host:64G)" --weights q8_0 --context 16384
check gemma-4-e2b.txt 0 gemma-4-e2b "1x(gpu:8G host:16G) + 1x(gpu:8G host:16G)" --context 8192
# An encoder-decoder: its encoder keeps no KV, each layer of its decoder that of the source, too.
# cores and bus together: with the rate of both at once measured, and with many sequences
both="1x(gpu:24G host:128G@60GB/s@1TF bus:25GB/s"
check both-latency.txt 0 opt-30b "$both@85GB/s)" --context 640
check both-throughput.txt 0 opt-30b "$both)" --context 640 --objective throughput --slots 32
check t5-3b.txt 0 t5-3b "1x(gpu:8G host:64G) + 1x(host:64G)" --weights f32 --context 512
# NF4 of 176 billion parameters on two GPUs and 64 GiB: with the usual context only nested absmax fits, both
# asked for and as bitsandbytes' config says it; with what a request needs plain NF4 does, too.
check bloom-nf4.txt 4 bloom "1x(gpu:2x24G host:64G)" --weights nf4 --context 2048
check bloom-nf4-short.txt 0 bloom "1x(gpu:2x24G host:64G)" --weights nf4
check bloom-nf4-nested.txt 0 bloom "1x(gpu:2x24G host:64G)" --weights nf4_nested
# Loading takes a chunk more from such a folder, whose matrices are made of parts.
quantized=$(mktemp -d)
sed 's|^{|{"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4",\
 "bnb_4bit_use_double_quant": true},|' "$here/configs/bloom/config.json" >"$quantized/config.json"
"$spillway" plan "$quantized" --cluster "1x(gpu:2x24G host:64G)" 2>/dev/null |
    diff <(sed '1d; s/7.28 GiB: embedding/7.29 GiB: embedding/' "$here/golden/bloom-nf4-nested.txt") <(sed 1d) || {
    echo "the config of bitsandbytes' double quantization gives another plan"
    failed=1
}
rm -rf "$quantized"
# no plan is much wider than the given terminal, nor has other than ASCII in plain ASCII
ascii=$(LC_ALL=C "$spillway" plan "$here/configs/opt-30b" --cluster "$hosts/lab" 2>/dev/null)
if printf '%s' "$ascii" | LC_ALL=C grep -q '[^ -~]'; then
    echo "the plan for an ASCII terminal has other characters"
    failed=1
fi
# a bad cluster, slices that do not add up, an unknown objective
for bad in "--cluster (host:5X):3" "--cluster no-such-file:3" "--slices 20,20:2" \
    "--objective speed:2" "--ranks 7:2"; do
    code=${bad##*:}
    "$spillway" plan "$here/configs/opt-30b" --cluster "$hosts/lab" ${bad%:*} >/dev/null 2>&1
    if [ $? -ne "$code" ]; then
        echo "$bad: another exit code"
        failed=1
    fi
done
exit $failed
