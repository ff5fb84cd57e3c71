#!/bin/bash
# Installs what is missing (Debian or Ubuntu), builds, and runs all tests; ends with CTest's own
# closing lines.
#
#   tests/run.sh [quick] [CTEST OPTION …]      quick: what takes under a minute on two cores
#   tests/run.sh -R checkpoint -V
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/setup.sh
. "$root/launch/setup.sh"
build=$root/build
if [ "${1:-}" = quick ]; then
    shift
    set -- -L quick "$@"
fi

install_missing "$build" "$needs_build$needs_tests"
build_into "$build" all
# cmake may have been run before CUnit was there
grep -q '^CUNIT_FOUND:INTERNAL=1' "$build/CMakeCache.txt" || die "CUnit was not found; see \
$build/configure.log"
say "Testing (ctest)"
# two more than there are cores: most scripts wait (tests/CMakeLists.txt)
exec ctest --test-dir "$build" --output-on-failure --no-tests=error -j $((2 + $(nproc))) "$@"
