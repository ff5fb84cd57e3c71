# Shared by the benchmark scripts, which source it: options, the shape that is measured, waiting
# for a quiet machine, busy neighbours that always go away, and what mpirun needs.
# shellcheck shell=bash
# shellcheck disable=SC2034 # set here, used by the scripts

export LC_ALL=C.UTF-8

bench_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$bench_dir/../.." && pwd)
SPILLWAY=${SPILLWAY:-$repo/build/spillway}
rounds=5
wait_quiet=0
busy_pids=()

say() { printf '%s\n' "$*" >&2; }
die() {
    say "$(basename "$0"): $*"
    exit 2
}

figures() { python3 "$bench_dir/figures.py" "$@"; }

# options [VARIABLE=OPTION[,OPTION]…]… -- ARGUMENT…: sets each variable whose option is there to the
# value behind it; every script takes -r ROUNDS, -w SECONDS, -h. Other arguments stay in "rest".
options() {
    local known=("rounds=-r,--rounds" "wait_quiet=-w,--wait") one variable
    while [ "$1" != -- ]; do
        known+=("$1") && shift
    done
    shift
    rest=()
    while [ $# -gt 0 ]; do
        case $1 in -h | --help) usage && exit 0 ;; esac
        variable=
        for one in "${known[@]}"; do
            case ",${one#*=}," in *",$1,"*) variable=${one%%=*} ;; esac
        done
        if [ -z "$variable" ]; then
            rest+=("$1") && shift
        else
            [ -n "${2:-}" ] || die "$1 needs a value; see --help"
            printf -v "$variable" %s "$2" && shift 2
        fi
    done
    [[ $rounds =~ ^[1-9][0-9]*$ ]] || die "--rounds wants a number of 1 or more, not '$rounds'"
    [[ $wait_quiet =~ ^[0-9]+$ ]] || die "--wait wants whole seconds, not '$wait_quiet'"
}
# For scripts that take nothing else.
options_only() {
    options "$@"
    [ ${#rest[@]} = 0 ] || die "unknown argument '${rest[0]}'; see --help"
}

common_needs() {
    command -v python3 >/dev/null || die "needs python3 (only its standard library)"
    [ -x "$SPILLWAY" ] || die "no program at '$SPILLWAY': build it or set SPILLWAY=PATH"
    work=$(mktemp -d)
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

leave() {
    busy_stop
    rm -rf "$work"
}

# The shape every speed figure is taken with: Llama, 1.10 billion parameters. The weights are made
# up, so a directory with this config.json is the whole model.
shape_directory() { # DIRECTORY
    mkdir -p "$1"
    cat >"$1/config.json" <<'JSON'
{
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
  "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
  "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000,
  "max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "hidden_act": "silu", "tie_word_embeddings": false, "attention_bias": false,
  "bos_token_id": 1, "eos_token_id": 2
}
JSON
}

# How to name the model of FORMAT on the command line, in the array "model": $MODEL_bf16 (or the
# like) where it is set, else the shape above with made-up weights.
model_for() { # FORMAT
    local name=MODEL_$1
    if [ -n "${!name:-}" ]; then
        model=("${!name}" --weights "$1")
    else
        [ -d "$work/shape" ] || shape_directory "$work/shape"
        model=("$work/shape" --weights-from random --weights "$1")
    fi
}

# How many cores' worth of work others do now, in hundredths, over half a second. Needs no rights.
busy_hundredths() {
    local a b
    read -ra a < <(grep '^cpu ' /proc/stat)
    sleep 0.5
    read -ra b < <(grep '^cpu ' /proc/stat)
    local all=0 idle i
    for i in 1 2 3 4 5 6 7 8; do all=$((all + b[i] - a[i])); done
    idle=$((b[4] - a[4] + b[5] - a[5]))
    [ "$all" -gt 0 ] || all=1
    echo $(((all - idle) * 100 * $(grep -c '^cpu[0-9]' /proc/stat) / all))
}

# Waits until others use less than a tenth of one core, at most --wait seconds; says what it found.
quiet() {
    local deadline=$((SECONDS + wait_quiet)) busy
    while busy=$(busy_hundredths) && [ "$busy" -ge 10 ] && [ "$SECONDS" -lt "$deadline" ]; do
        sleep 1
    done
    [ "$busy" -lt 10 ] || say "    (not quiet: others use $busy% of a core)"
}

# N busy neighbours at nice level LEVEL. A neighbour ends by itself when this script is gone.
# With own_session=1 each is in a session of its own, as another user's job is: where the kernel
# groups by session (sched_autogroup), nice levels then count for nothing between it and us.
busy_start() { # N LEVEL
    local i start=()
    [ "${own_session:-0}" = 0 ] || start=(setsid)
    for ((i = 0; i < $1; i++)); do
        # shellcheck disable=SC2016 # expanded by the neighbour's own shell
        "${start[@]}" nice -n "$2" bash -c '
            while kill -0 "$0" 2>/dev/null; do
                for ((i = 0; i < 50000; i++)); do :; done
            done' $$ &
        busy_pids+=($!)
    done
}

busy_stop() {
    local pid
    for pid in "${busy_pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    busy_pids=()
}

# mpirun refuses to run as root unless told twice.
mpi_needs() {
    command -v mpirun >/dev/null || die "needs mpirun (Open MPI)"
    if [ "$(id -u)" = 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
}

# Runs a program, keeps its output in OUT, and says what went wrong if it fails.
keep_output() { # OUT COMMAND…
    local out=$1 status=0
    shift
    "$@" >"$out" 2>"$out.err" </dev/null || status=$?
    if [ "$status" != 0 ]; then
        tail -n 5 "$out.err" >&2
        die "exit $status from: $*"
    fi
}
