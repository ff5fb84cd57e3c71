#!/usr/bin/env bash
# Loading a checkpoint that is not in the page cache, beside what a plain reader gets of the same
# file and what the machine reads into memory that nobody has touched.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'TEXT'
usage: load.sh [-r ROUNDS] [-w SECONDS] [-t THREADS] -m MODEL

  -r, --rounds N     rounds of the reader, fresh memory, cold, warm; the medians count (5)
  -w, --wait S       before each run wait up to S seconds for a quiet machine (0)
  -t, --threads N    threads that pack what was read (2)
  -m, --model MODEL  some GB: a .gguf file, or a folder with config.json and *.safetensors, as
                     build/tests/make_checkpoint CONFIG DIR f16 writes one

environment: SPILLWAY as in peers.sh; READER=PATH (direct_read.py).
The exit status is 1 when cold loading is slower than 0.85 of the lesser of both, 2 when something could not be run.
TEXT
}

threads=2 stored=
options_only threads=-t,--threads stored=-m,--model -- "$@"
common_needs
reader=${READER:-$bench_dir/direct_read.py}
if [[ $stored == *.gguf ]]; then
    files=("$stored")
else
    [ -f "$stored/config.json" ] || die "no model at '$stored': see --help"
    files=("$stored"/*.safetensors)
fi
[ -f "${files[0]}" ] || die "no *.safetensors in '$stored', or no such file"
bytes=$(stat -L -c %s "${files[@]}" | awk '{ sum += $1 } END { printf "%.0f\n", sum }')
records=$work/records

# What the page cache holds of the files goes: it is clean, so nobody has to be root. Then a virtual
# machine has a while to return free memory, which each figure would have to get again.
drop() {
    local file
    sync "${files[@]}"
    for file in "${files[@]}"; do dd if="$file" iflag=nocache count=0 status=none; done
    sleep 3
}

record() { # CELL FIGURE BYTES_PER_SECOND
    printf '%s\tspillway\t%s\t%s\n' "$1" "$2" "$3" >>"$records"
}

load() { # CELL
    quiet
    keep_output "$work/out" "$SPILLWAY" bench "$stored" --threads "$threads" --prompt 1 -n 1 \
        --repeat 1 --json
    record load "$1" "$(python3 -c 'import json, sys
print(float(sys.argv[2]) / json.load(open(sys.argv[1]))["load_s"])' "$work/out" "$bytes")"
}

say "load: $rounds rounds of $((bytes / 1000000)) MB, $threads threads"
for ((round = 1; round <= rounds; round++)); do
    drop
    quiet
    keep_output "$work/out" "$reader" "${files[@]}"
    record load reader "$(cat "$work/out")"
    drop
    quiet
    keep_output "$work/out" python3 "$bench_dir/fresh_memory.py" "${files[@]}"
    record load fresh "$(cat "$work/out")"
    drop
    load cold
    load warm
done
printf 'medians of %d rounds\n\n' "$rounds"
figures load "$records"
