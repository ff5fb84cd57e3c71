#!/bin/bash
# What can be said of the kernels without a GPU: compiles all of them for some architectures and prints of
# each kernel its registers, spills and shared memory, and of each product of few tokens (GEMV) how many
# bytes are under way on a multiprocessor, how many instructions a weight takes, and which share of the
# memory's bandwidth these two allow. Fails if a GEMV spills.
#
#   tests/gpu/static.sh [FILE…]     FILE: of kernels/cuda, like weights_f16.cu; default: all
#   tests/gpu/static.sh --into docs/gpu-log.md [FILE…]      puts the products' table into the page, too
#
#   ARCHS     compute capabilities; default: 75 80 86 90, and 100 and 120 where nvcc knows them
#   KEEP      a folder where what was compiled is kept, and taken from if it is newer than the sources
#   CUDA, CUOBJDUMP    where nvcc, and the program that lists instructions, are; without the second nothing
#             is said of instructions (CUDA's own, or the package nvidia-cuda-cuobjdump of PyPI)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
into=
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
--into)
    into=$2
    shift 2
    ;;
esac
cd "$root"
cuda=${CUDA:-/usr/local/cuda}/bin
[ -x "$cuda/nvcc" ] || { echo "static.sh: there is no nvcc in $cuda; name the toolkit's folder by CUDA" >&2; exit 1; }
folder=${KEEP:-$(mktemp -d)}
[ -n "${KEEP:-}" ] || trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"
known=$("$cuda/nvcc" --list-gpu-code)
archs=
for arch in ${ARCHS:-75 80 86 90 100 120}; do
    if grep -qx "sm_$arch" <<<"$known"; then archs+=" $arch"; else echo "nvcc does not know sm_$arch: left out" >&2; fi
done
files=("$@")
[ $# -gt 0 ] || files=(kernels/cuda/*.cu)
newest=$(find kernels/cuda src/tensor src/model -name '*.[ch]*' -newer "$folder" -print -quit 2>/dev/null || true)
compile() { # ARCH FILE
    local out=$folder/${2##*/}
    out=${out%.cu}.$1
    [ -z "$newest" ] && [ -s "$out.cubin" ] && [ "$out.cubin" -nt "$2" ] && return
    "$cuda/nvcc" -std=c++17 -O3 -I. -Isrc -arch="sm_$1" -cubin -Xptxas -v -o "$out.cubin" "kernels/cuda/${2##*/}" \
        >"$out.log" 2>&1 || { cat "$out.log" >&2; exit 1; }
}
for file in "${files[@]}"; do
    for arch in $archs; do
        compile "$arch" "$file"
    done
done
touch "$folder"
cc -std=c17 -D_GNU_SOURCE -O1 -ffunction-sections -Wl,--gc-sections -mavx2 -mfma -mf16c -Isrc tests/gpu/format_bits.c \
    src/tensor/*.c src/base/*.c -ljansson -lpthread -lm -o "$folder/format_bits"
whole=()
[ $# -gt 0 ] || whole=(--whole)
names=("${files[@]##*/}")
names=("${names[@]%.cu}")
dump=${CUOBJDUMP:-$(command -v cuobjdump || true)}
[ -n "$dump" ] || [ ! -x "$cuda/cuobjdump" ] || dump=$cuda/cuobjdump
[ -n "$dump" ] || echo "static.sh: there is no cuobjdump: nothing is said of instructions" >&2
python3 tests/gpu/static.py --folder "$folder" --archs "$archs" --dump "$dump" --into "$into" \
    --commit "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" \
    --nvcc "$("$cuda/nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')" \
    --bits "$("$folder/format_bits")" "${whole[@]}" "${names[@]}"
