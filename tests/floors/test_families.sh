#!/bin/bash
# Families are data: nothing that computes asks which family a model is of, and a row of the tables
# of families is read at one look. test_families.sh [PROGRAM [ROOT]]: the program is not used.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
row_lines=40 block_lines=500

# Comparisons with a family's name, or with a row, in what computes.
asks() (
    cd "$1" || exit
    names=$(sed -n 's/.*\.model_type = "\([a-z0-9_]*\)".*/\1/p' src/model/families*.c | paste -sd'|')
    find src/engine src/backend src/gpu kernels \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
        xargs -0 grep -nE "(strn?cmp|strstr)\(.*model_type|model_type *[!=]=|sw_arch_find|\"($names)\"" |
        sed 's/^/asks for a family: /'
)

# Rows that are longer than they may be: they begin with "    {" and end with "    },".
long_rows() (
    cd "$1" || exit
    awk -v most=$row_lines '/^    \{$/ { from = FNR }
        /^    \},$/ && from { if (FNR - from + 1 > most)
            print "row of " FNR - from + 1 " lines: " FILENAME ":" from; from = 0 }' src/model/families*.c
    lines=$(wc -l <src/engine/block.c)
    [ "$lines" -le $block_lines ] || echo "src/engine/block.c has $lines lines"
)

check() {
    { asks "$1"; long_rows "$1"; } >"$work/found"
    [ ! -s "$work/found" ] || { cat "$work/found"; return 1; }
}

# What it is for is found: in a copy with one fault each.
copy=$work/copy
mkdir -p "$copy/src/model" "$copy/src/engine" "$copy/src/backend" "$copy/src/gpu" "$copy/kernels"
printf '    {\n        .model_type = "llama",\n    },\n' >"$copy/src/model/families.c"
echo 'if (model->arch->gated)' >"$copy/src/engine/block.c"
check "$copy" || { echo "a copy without faults failed"; exit 1; }
for fault in 'if (strcmp(arch->model_type, x) == 0)' 'if (is(model, "llama"))' 'if (sw_arch_find(x) == arch)'; do
    echo "$fault" >"$copy/src/engine/other.c"
    check "$copy" >/dev/null && { echo "passed: $fault"; exit 1; }
done
rm "$copy/src/engine/other.c"
{ echo '    {'; for i in $(seq 39); do echo "        .x = $i,"; done; echo '    },'; } >>"$copy/src/model/families.c"
check "$copy" >"$work/out" && { echo "a row of 41 lines passed"; exit 1; }
grep -q '^row of 41 lines' "$work/out" || { cat "$work/out"; exit 1; }

check "${2:-$here/../..}" || exit 1
echo "$(grep -c 'model_type = ' "${2:-$here/../..}"/src/model/families*.c | awk -F: '{ n += $2 } END { print n }') rows, none above $row_lines lines; nothing asks for a family"
