#!/usr/bin/env bash
# What sampling and log-probabilities of 64 rows of 151,936 logits, and of one, take beside the model.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -ne 2 ]; then
    echo "usage: sampling.sh BUILD THREADS"
    echo "Builds sampling.c against the libraries in BUILD and prints its JSON object."
    exit 2
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
read -ra libraries < <(pkg-config --libs hwloc)
"${CC:-cc}" -std=c17 -O2 -D_GNU_SOURCE -I"$here/../../src" -o "$tmp/sampling" "$here/sampling.c" \
    "$1/libsw_text.a" "$1/libsw_base.a" "${libraries[@]}" -lm -lpthread
"$tmp/sampling" "$2"
