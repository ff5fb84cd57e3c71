#!/bin/bash
# The rules of kernels/cuda/launch.cuh by which kernels may begin before the one before them has
# ended: each awaits that first of all (those named gemv…: after they have asked for weights, which
# are all that they touch until then), all are launched by the macros, and nothing is declared so that a compiler
# may read it before the wait.
# test_kernels.sh [PROGRAM [ROOT]]: the program is not used.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check ROOT: complains on stdout and fails when a rule is broken.
check() (
    cd "$1" || exit 1
    LC_ALL=C awk '
    function complain(text) { print file ": " text; bad = 1 }
    # The text of a file without comments, lines as blanks.
    function look(    rest, name, body, wait, before) {
        gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", text)
        if (text ~ /__restrict__|__ldg/)
            complain("a pointer that is __restrict__, or __ldg: it may be read before the wait")
        if (text ~ /<<<|cudaLaunchKernel/ && file !~ /launch\.cuh$/)
            complain("a kernel that is not launched by SW_LAUNCH")
        rest = text
        while (match(rest, /__global__/)) {
            rest = substr(rest, RSTART + RLENGTH)
            if (!match(rest, /\)[ ]*\{/)) break
            name = substr(rest, 1, RSTART)
            sub(/__launch_bounds__\([^)]*\)/, "", name)
            match(name, /[a-z_0-9]+[ ]*\(/)
            name = substr(name, RSTART, RLENGTH - 1)
            match(rest, /\)[ ]*\{/)
            body = substr(rest, RSTART + RLENGTH)
            n_kernels++
            wait = index(body, "sw::await_previous();")
            before = substr(body, 1, wait - 1)
            if (wait == 0 || index(before, "__global__") || index(before, "} // namespace"))
                complain(name " does not await the kernel before it")
            else if (name ~ /^gemv/ && before ~ /return|__sync|p\.x|p\.y|p\.bias|x8\.[eo]|load_x/)
                complain(name " does more than ask for weights before it awaits")
            else if (name !~ /^gemv/ && before !~ /^[ ]*$/)
                complain(name " does not begin with sw::await_previous()")
        }
    }
    FNR == 1 { if (file) look(); file = FILENAME; text = "" }
    { text = text " " $0 }
    END {
        if (file) look()
        if (!n_kernels) complain("no kernels")
        if (!bad) print n_kernels " kernels, all await"
        exit bad
    }' kernels/cuda/*.cu kernels/cuda/*.cuh
)

# The check itself must notice each kind of mistake.
plant() { # WHAT FILE LINE
    rm -rf "$work/tree"
    mkdir -p "$work/tree/kernels/cuda"
    printf '__global__ void __launch_bounds__(threads)\n    good(int n)\n{\n    sw::await_previous();\n}\n' \
        >"$work/tree/kernels/cuda/a.cu"
    printf '/* __restrict__ is not used */\n__global__ void gemv(p p)\n{\n    load(p.w);\n    sw::await_previous();\n    p.x;\n}\n' \
        >"$work/tree/kernels/cuda/gemv.cu"
    printf 'kernel<<<1, 1>>>();\n' >"$work/tree/kernels/cuda/launch.cuh"
    if ! check "$work/tree" >"$work/out"; then
        echo "good kernels are refused:" && cat "$work/out"
        return 1
    fi
    printf '%s\n' "$3" >>"$work/tree/kernels/cuda/$2"
    if check "$work/tree" >"$work/out"; then
        echo "not noticed: $1"
        return 1
    fi
}
failed=0
plant "weights read early in another kernel" gemv.cu \
    '__global__ void k(p p) { load(p.w); sw::await_previous(); }' || failed=1
plant "a kernel that does not wait" a.cu '__global__ void k(int n) { n = 1; }' || failed=1
plant "one before another that does" a.cu \
    '__global__ void k(int n) { n = 1; } __global__ void l(int n) { sw::await_previous(); }' || failed=1
plant "a return before the wait" a.cu \
    '__global__ void k(int n) { if (n) return; sw::await_previous(); }' || failed=1
plant "a return in gemv" gemv.cu \
    '__global__ void gemv_k(int n) { if (n) return; sw::await_previous(); }' || failed=1
plant "x read early in gemv" gemv.cu \
    '__global__ void gemv_k(p p) { float f = p.x[0]; sw::await_previous(); }' || failed=1
plant "a restricted pointer" a.cu 'void f(const float *__restrict__ x);' || failed=1
plant "__ldg" a.cu 'float f(const float *x) { return __ldg(x); }' || failed=1
plant "another launch" a.cu 'void f() { k<<<1, 1>>>(); }' || failed=1
check "${2:-$here/../..}" || failed=1
exit $failed
