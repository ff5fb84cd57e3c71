#!/bin/bash
# The man page and --help know the same options and verbs; the page is well formed, and names in it can be typed
# as they are, where lowdown and man are installed. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
page=$here/../../docs/man/spillway.1.md

sw --help
verbs=$(sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' out)
printf '%s\n' "$verbs" | sort >verbs.help
sed -n '/^# VERBS/,/^# OPTIONS/s/^\*\*\([a-z]*\)\*\* .*/\1/p' "$page" | sort >verbs.man
diff -u verbs.help verbs.man || fail "verbs of --help (-) and of the man page (+) differ"

for verb in $verbs; do
    sw "$verb" --help
    sed -nE 's/^  (-[a-z], |    )--([a-z0-9-]+).*/\1\2/p' out
done | sed -E 's/^(-[a-z]), /\1 /; s/^ +/-- /' | sort -u >options.help
sed -nE 's/^\*\*(-[a-z])\*\*, \*\*--([a-z0-9-]+)\*\*.*/\1 \2/p; s/^\*\*--([a-z0-9-]+)\*\*.*/-- \1/p' \
    "$page" | sort -u >options.man
[ "$(wc -l <options.help)" -gt 30 ] || fail "few options in --help"
diff -u options.help options.man || fail "options of --help (-) and of the man page (+) differ"

if command -v lowdown >/dev/null && command -v man >/dev/null; then
    how=$(sed -n 's/.*COMMAND ${LOWDOWN} \(.*\) -o .*/\1/p' "$here/../../launch/install.cmake")
    for source in "$here"/../../docs/man/*.1.md; do
        name=$(basename "$source" .md)
        # shellcheck disable=SC2086 # these are several
        lowdown $how "$source" >"$name" || fail "$name: lowdown"
        sed 's/\\f[A-Z]//g' "$name" >"$name.plain"
        grep -oE '[A-Za-z0-9]+(_[A-Za-z0-9]+)+' "$source" | sort -u | while read -r word; do
            grep -qF -- "$word" "$name.plain" || echo "$word"
        done >lost
        [ -s lost ] && fail "$name has not the names $(tr '\n' ' ' <lost)"
        grep -E '[A-Za-z=]\*|\*[A-Za-z=]' "$name.plain" && fail "$name: signs of emphasis"
        MANWIDTH=100 man --warnings -l "$name" >"$name.text" 2>err || fail "$name: man"
        [ -s err ] && fail "$name has warnings"
    done
    grep -q '^OPTIONS OF EVERY VERB' spillway.1.text || fail "the page has no sections"
    grep -q '^EXIT STATUS' spillway-batch.1.text || fail "the page of batch has no sections"
fi
finish
