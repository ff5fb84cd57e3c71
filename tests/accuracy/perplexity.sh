#!/usr/bin/env bash
# Perplexities beside llama.cpp's: of a GGUF file by both programs, and of the files that both
# quantizers make of it, which should be no worse here than there.
# shellcheck disable=SC2317 # functions are called by keep
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../bench/common.sh
. "$(dirname "$0")/../bench/common.sh"

usage() {
    cat <<'TEXT'
usage: perplexity.sh [-n WINDOWS] [-f FORMATS] [-o FILE] MODEL.gguf TEXT

  -n, --windows N    windows of 512 tokens (16)
  -f, --formats L    what the model is quantized to, after it was decoded to 16 bits
                     ("q2_k q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k iq4_xs iq4_nl
                     q4_0 q5_0 q8_0")
  -o, --out FILE     keep the figures here; what is in it already is not measured again

environment
  SPILLWAY           the program (build/spillway of this tree)
  LLAMA_PERPLEXITY   llama.cpp's llama-perplexity: MODEL.gguf's perplexity
                     here may be at most 0.5% above llama.cpp's
  LLAMA_QUANTIZE     llama.cpp's llama-quantize: no file made here may have a perplexity 0.5% above
                     that of the one made there (both are measured by spillway)

The exit status is 1 when one has, 2 when something could not be run.
TEXT
}

windows=16 out=
formats="q2_k q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k iq4_xs iq4_nl q4_0 q5_0 q8_0"
options windows=-n,--windows formats=-f,--formats out=-o,--out -- "$@"
common_needs
[ ${#rest[@]} = 2 ] || die "expected MODEL.gguf and TEXT; see --help"
file=$(realpath "${rest[0]}") text=$(realpath "${rest[1]}")
kept=$(realpath -m "${out:-$work/kept}")
touch "$kept"
cd "$work"

# keep NAME COMMAND…: what the command prints, unless it is kept already
keep() {
    local name=$1
    shift
    grep -q "^$name	" "$kept" || printf '%s\t%s\n' "$name" "$("$@" | tr '\n' ' ' | sed 's/ $//')" >>"$kept"
    sed -n "s/^$name	//p" "$kept"
}
here() { # FILE: PERPLEXITY
    "$SPILLWAY" score "$1" --perplexity "$text" --windows "$windows" --json -q |
        python3 -c 'import json, sys; print("%.4f" % json.load(sys.stdin)["perplexity"])'
}
there() {
    "$LLAMA_PERPLEXITY" -m "$1" -f "$text" -c 512 -t 1 --chunks "$windows" 2>&1 |
        sed -n 's/.*Final estimate: PPL = \([0-9.]*\).*/\1/p'
}
made_here() { # FORMAT: BYTES PERPLEXITY
    rm -f made.gguf
    "$SPILLWAY" quantize -q base.gguf made.gguf --weights "$1" && stat -c %s made.gguf && here made.gguf
}
made_there() {
    rm -f made.gguf
    "$LLAMA_QUANTIZE" base.gguf made.gguf "${1^^}" 2 >quantize.log 2>&1 && stat -c %s made.gguf &&
        here made.gguf
}
is_worse() { python3 -c 'import sys; sys.exit(not float(sys.argv[1]) > 1.005 * float(sys.argv[2]))' "$1" "$2"; }
missed=0
say_row() { # ROW OURS THEIRS: and whether ours is worse
    local mark=
    if is_worse "$2" "$3"; then
        missed=1 mark=" <- missed"
    fi
    echo "$1$mark"
}

if [ -n "${LLAMA_PERPLEXITY:-}" ]; then
    ours=$(keep model.here here "$file")
    theirs=$(keep model.there there "$file")
    say_row "$(basename "$file"): $ours, llama.cpp $theirs" "$ours" "$theirs"
fi
[ -n "${LLAMA_QUANTIZE:-}" ] || exit "$missed"
"$SPILLWAY" quantize -q "$file" base.gguf --weights f16
printf '| | bytes | perplexity | llama-quantize: bytes | perplexity |\n|---|---|---|---|---|\n'
ours=$(keep base.here here base.gguf)
echo "| f16 | $(stat -c %s base.gguf) | $ours | | |"
for format in $formats; do
    ours=$(keep "$format.here" made_here "$format")
    theirs=$(keep "$format.there" made_there "$format")
    say_row "| $format | ${ours% *} | ${ours#* } | ${theirs% *} | ${theirs#* } |" "${ours#* }" "${theirs#* }"
done
exit "$missed"
