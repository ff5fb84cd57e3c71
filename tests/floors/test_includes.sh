#!/bin/bash
# The floors of docs/design.md: a file includes only from its own folder or a lower floor, and no
# header includes itself by a round trip. Reads every #include "…" of src/ and kernels/.
# test_includes.sh [PROGRAM [ROOT]]: the program is not used.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check ROOT: complains on stdout and fails when an include goes up, sideways or round.
check() (
    cd "$1" || exit 1
    find src kernels \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null | LC_ALL=C sort >"$work/files"
    [ -s "$work/files" ] || { echo "$1: no sources"; exit 1; }
    xargs grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' <"$work/files" |
        awk -v files="$work/files" '
    # folder → floor; each folder here must exist in docs/design.md too
    BEGIN {
        n = split("src/base:0 src/tensor:1 src/jinja:1 src/sample:1 src/grammar:1 src/model:2 src/text:2 src/plan:3 " \
            "src/checkpoint:3 kernels/cpu:3 kernels/cuda:3 src/backend:4 src/transport:4 src/gpu:5 " \
            "src/probe:5 src/engine:5 src/session:6 src/jobs:7 src/serve:8 src/cmd:9 src:10", rows, " ")
        for (i = 1; i <= n; i++) {
            split(rows[i], row, ":")
            floor[row[1]] = row[2]
        }
        while ((getline file < files) > 0) {
            exists[file] = 1
            if (!(folder_of(file) in floor))
                complain(file ": its folder is on no floor; add it to docs/design.md and here")
        }
    }
    function folder_of(file) { sub("/[^/]*$", "", file); return file }
    function complain(text) { print text; bad = 1 }
    {
        split($0, part, ":")
        from = part[1]
        match($0, /"[^"]*"/)
        name = substr($0, RSTART + 1, RLENGTH - 2)
        a = folder_of(from)
        if ((a "/" name) in exists) to = a "/" name
        else if (("src/" name) in exists) to = "src/" name
        else if (name in exists) to = name
        else { complain(from ":" part[2] ": includes \"" name "\", which is not there"); next }
        b = folder_of(to)
        n_includes++
        if (a != b && floor[b] >= floor[a])
            complain(from ":" part[2] ": floor " floor[a] " (" a ") includes \"" name \
                "\" of floor " floor[b] " (" b ")")
        edges[from] = edges[from] " " to
    }
    # depth first; state 1: on the way, 2: done
    function visit(file, path,    list, n, i) {
        if (state[file] == 2) return
        if (state[file] == 1) { complain("a circle:" path " " file); return }
        state[file] = 1
        n = split(edges[file], list, " ")
        for (i = 1; i <= n; i++)
            visit(list[i], path " " file)
        state[file] = 2
    }
    END {
        for (file in edges) visit(file, "")
        if (!bad) print n_includes " includes, none goes up or round"
        exit bad
    }'
)

# The check itself must notice each kind of mistake.
plant() { # WHAT FILE LINE
    rm -rf "$work/tree"
    mkdir -p "$work/tree/src/base" "$work/tree/src/model" "$work/tree/src/sample"
    printf '#include <stdio.h>\n' >"$work/tree/src/base/a.h"
    printf '#include "base/a.h"\n' >"$work/tree/src/model/b.h"
    printf '#include "model/b.h"\n' >"$work/tree/src/model/c.h"
    printf '#include "base/a.h"\n' >"$work/tree/src/sample/d.h"
    if ! check "$work/tree" >"$work/out"; then
        echo "a good tree is refused:" && cat "$work/out"
        return 1
    fi
    mkdir -p "$(dirname "$work/tree/$2")"
    printf '%s\n' "$3" >>"$work/tree/$2"
    if check "$work/tree" >"$work/out"; then
        echo "not noticed: $1"
        return 1
    fi
}
failed=0
plant "an upward include" src/base/a.h '#include "model/b.h"' || failed=1
plant "a sideways include" src/sample/d.h '  #  include "model/b.h"' || failed=1
plant "a circle in one folder" src/model/b.h '#include "model/c.h"' || failed=1
plant "a folder without a floor" src/new/e.h '#include "base/a.h"' || failed=1
plant "a header that is not there" src/sample/d.h '#include "base/gone.h"' || failed=1
check "${2:-$here/../..}" || failed=1
exit $failed
