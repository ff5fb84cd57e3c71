#!/bin/bash
# Names that can be told apart: every source file has its own name, and no static function's name
# stands in more than three files, or a profile and a debugger show the same word for all of them.
# test_names.sh [PROGRAM [ROOT]]: the program is not used.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Source files that have the same name as another one, with their folders.
twins() (
    cd "$1" || exit
    find src kernels tests \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cc' -o -name '*.hh' \) |
        sed 's|^\(.*/\)\([^/]*\)$|\2 \1\2|' | LC_ALL=C sort |
        awk '$1 == last { print before "; " $2 } { last = $1; before = $2 }'
)

# "NAME: FILE FILE …" of static functions that more than three files define.
repeated() (
    cd "$1" || exit
    find src kernels \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
        xargs -0 grep -HoE '^static [^=;{}()#]*\b[A-Za-z_][A-Za-z0-9_]*\(' |
        sed -E 's/^([^:]*):.*[^A-Za-z0-9_]([A-Za-z_][A-Za-z0-9_]*)\($/\2 \1/' | LC_ALL=C sort -u |
        awk '{ n[$1]++; files[$1] = files[$1] " " $2 }
             END { for (name in n) if (n[name] > 3) print name ":" files[name] }' | LC_ALL=C sort
)

check() {
    { twins "$1" | sed 's/^/same name: /'; repeated "$1" | sed 's/^/in too many files: /'; } >"$work/found"
    [ ! -s "$work/found" ] || { cat "$work/found"; return 1; }
}

# What it is for is found: in a copy with one fault each.
copy=$work/copy
mkdir -p "$copy/src/a" "$copy/src/b" "$copy/kernels" "$copy/tests"
for f in a/one b/two b/three a/four; do
    printf 'static int put(int a)\n{\n    return a;\n}\n' >"$copy/src/$f.c"
done
check "$copy" >"$work/out" && { echo "four files with put() passed"; exit 1; }
grep -q '^in too many files: put: ' "$work/out" || { cat "$work/out"; exit 1; }
rm "$copy/src/a/four.c"
check "$copy" || { echo "three files with put() did not pass"; exit 1; }
touch "$copy/tests/two.c"
check "$copy" >"$work/out" && { echo "two files called two.c passed"; exit 1; }
grep -q 'same name: src/b/two.c; tests/two.c' "$work/out" || { cat "$work/out"; exit 1; }

check "${2:-$here/../..}"
