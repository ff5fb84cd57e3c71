#!/bin/bash
# A weight format is a row: its name stands in the files of its rows and kernels, and nowhere else. Reads all of
# src/ and kernels/ but their comments. What counts as naming the format q8_0: SW_FORMAT_Q8_0, the rows
# sw_format_q8_0 and sw_gpu_format_q8_0, the text "q8_0", and in src/ any word with q8_0 in it. (f32, f16 and bf16
# are names of element types, too: of these only the first two count.)
# test_formats.sh [PROGRAM [ROOT]]: the program is not used.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Where formats may be named.
allowed='^src/tensor/format\.h$|^src/tensor/format_[a-z0-9_]*\.[ch]$|^kernels/cpu/(format|amx)_rows\.h$'
allowed+='|^kernels/cuda/weights_[a-z0-9_]*\.cu$'
allowed+='|^kernels/cpu/group_steps\.h$'   # of several formats
allowed+='|^kernels/cuda/finish_int8\.cu$' # the last step of one format's GEMM …
allowed+='|^src/gpu/gemm\.c$'              # … which is called here, for any format of bytes
allowed+='|^src/checkpoint/torch_objects\.c$' # torch's names of element types
allowed+='|^src/model/weight_mix\.c$' # mixes are made of formats
allowed+='|^src/checkpoint/bnb_export\.c$' # what bitsandbytes has
allowed+='|^src/checkpoint/adapter[a-z0-9_]*\.[ch]$' # what a method of quantization writes

# check ROOT: complains on stdout and fails when a format is named elsewhere.
check() (
    cd "$1" || exit 1
    names=$(grep -o 'X([A-Z0-9_]*, *[a-z0-9_]*)' src/tensor/format.h | sed 's/.*, *//; s/)//')
    [ -n "$names" ] || { echo "$1: no list of formats in src/tensor/format.h"; exit 1; }
    own="^kernels/cpu/($(paste -sd'|' <<<"$names"))\\.h$" # each format's kernel file
    find src kernels -type f | LC_ALL=C sort | grep -Ev "$allowed|$own" | xargs awk -v names="$names" '
    BEGIN { n = split(names, list) }
    FNR == 1 { inside = 0 }
    # without comments
    {
        line = $0
        text = ""
        while (line != "") {
            if (inside) {
                end = index(line, "*/")
                if (!end) break
                line = substr(line, end + 2)
                inside = 0
            } else {
                begin = index(line, "/*")
                if (!begin) { text = text line; break }
                text = text substr(line, 1, begin - 1) " "
                line = substr(line, begin + 2)
                inside = 1
            }
        }
        sub("//.*", "", text)
        gsub(/u?int8_t/, "", text)
        for (i = 1; i <= n; i++) {
            name = list[i]
            is_type = name ~ /^b?f[0-9]+$/
            if (text ~ ("SW_FORMAT_" toupper(name) "([^A-Za-z0-9_]|$)") ||
                text ~ ("sw_(gpu_)?format_" name "([^A-Za-z0-9_]|$)") ||
                (!is_type && index(text, "\"" name "\"")) ||
                (!is_type && FILENAME ~ /^src\// && tolower(text) ~ ("(^|[^a-z0-9])" name "([^a-z0-9]|$)"))) {
                print FILENAME ":" FNR ": names the format " name "; ask its row, or add one"
                bad = 1
            }
        }
    }
    END { exit bad }'
)

# The check itself must notice each kind of mistake, and nothing else.
plant() { # notices|allows WHAT FILE LINE
    rm -rf "$work/tree"
    mkdir -p "$work/tree/src/tensor" "$work/tree/src/plan" "$work/tree/kernels/cpu"
    printf '#define SW_FORMATS(X) X(F32, f32) X(Q8_0, q8_0)\n' >"$work/tree/src/tensor/format.h"
    printf 'int32_t a; /* as\n q8_0 has it */\n' >"$work/tree/src/plan/a.c"
    printf '\n' >"$work/tree/kernels/cpu/b.h"
    printf '%s\n' "$4" >>"$work/tree/$3"
    if check "$work/tree" >"$work/out"; then
        [ "$1" = allows ] || { echo "not noticed: $2"; return 1; }
    else
        [ "$1" = notices ] || { echo "refused: $2" && cat "$work/out"; return 1; }
    fi
}
failed=0
plant allows "a format in its own files" src/tensor/format_q8_0.c 'struct sw_format sw_format_q8_0;' || failed=1
plant allows "an element type" src/plan/a.c 'kv = SW_F32; name = "f32";' || failed=1
plant allows "a format in its kernel file" kernels/cpu/q8_0.h 'f(SW_FORMAT_Q8_0);' || failed=1
plant notices "a format by its id" kernels/cpu/b.h 'if (format == SW_FORMAT_Q8_0)' || failed=1
plant notices "a plain format by its id" src/plan/a.c 'if (format == SW_FORMAT_F32)' || failed=1
plant notices "a row" kernels/cpu/b.h 'x = &sw_format_q8_0;' || failed=1
plant notices "a row of the GPU" kernels/cpu/b.h 'x = &sw_gpu_format_q8_0;' || failed=1
plant notices "a name in quotes" kernels/cpu/b.h 'strcmp(name, "q8_0")' || failed=1
plant notices "a name in a text" src/plan/a.c 'printf("f16 or q8_0");' || failed=1
plant notices "a function of a format" src/plan/a.c 'count_q8_0(n);' || failed=1
check "${2:-$here/../..}" || failed=1
exit $failed
