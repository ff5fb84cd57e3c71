#!/bin/bash
# A rank takes no more host memory than its plan says, 5% and 64 MiB allowed. $1: the program.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../mpi_env.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# About 250 million parameters: half a gigabyte in bf16.
cat >"$work/config.json" <<'JSON'
{"model_type": "llama", "hidden_size": 1280, "intermediate_size": 3584, "num_hidden_layers": 12,
 "num_attention_heads": 20, "num_key_value_heads": 4, "vocab_size": 16000,
 "max_position_embeddings": 4096, "torch_dtype": "bfloat16"}
JSON

check() { # NAME COMMAND...: its JSON lists planned and peak bytes of each rank
    local name=$1
    shift
    "$@" >"$work/out.json"
    awk -v name="$name" '
        /"host": [0-9]+/ { gsub(/[^0-9]/, ""); planned = $0 }
        /"peak_host_bytes"/ { gsub(/[^0-9]/, ""); took = $0 + 0; n++   # + 0: else it compares as text
            printf "%s: planned %.0f MiB, took %.0f MiB\n", name, planned / 2^20, took / 2^20
            if (took <= 0 || took > planned * 1.05 + 64 * 2^20) bad = 1 }
        END { exit bad || n == 0 }' "$work/out.json" || { echo "$name: more than planned"; exit 1; }
}

ids=$(seq -s, 1 300)
run=("$1" run "$work" --weights-from random --tokens "$ids" -n 4 --json --quiet)
check "one rank" "${run[@]}"
# 304 positions are needed: less than the usual context takes is enough.
less=$(awk '/"host": [0-9]+/ { gsub(/[^0-9]/, ""); planned = $0 }
    END { printf "%d", planned - 12 * 2^20 }' "$work/out.json")
check "one rank, room for less than the usual context" "${run[@]}" --host-memory "$less"
check "one rank in f32, long context" "${run[@]}" --weights f32 --context 4096
check "one rank in int8" "${run[@]}" --weights int8
check "three ranks" mpirun -np 3 "${run[@]}" --slices 4,4,4
