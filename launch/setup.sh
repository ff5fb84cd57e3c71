# shellcheck shell=bash
# shellcheck disable=SC2034 # the sourcing script uses the lists
# Sourced by launch/demo.sh, tests/run.sh and .ci/run: installs what is missing (apt), builds into
# build/, and prints what it does and how long it takes. When nothing is missing it needs neither network
# nor root. The sourcing script has set `root`, the repository's folder.

# say TEXT: prints a line about the next step.
say() { printf '== %s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}
microseconds() { echo "${EPOCHREALTIME//[!0-9]/}"; }
seconds_since() {
    local tenths=$((($(microseconds) - $1) / 100000))
    echo "$((tenths / 10)).$((tenths % 10)) s"
}

# step LOG TEXT COMMAND…: runs the command with its output in the file LOG; shows the end of it
# when the command fails.
step() {
    local log=$1 text=$2 begin
    shift 2
    mkdir -p "$(dirname "$log")" || die "cannot write to $(dirname "$log")"
    say "$text"
    begin=$(microseconds)
    if ! "$@" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "failed after $(seconds_since "$begin"): $text (all of its output: $log)"
    fi
    printf '   took %s\n' "$(seconds_since "$begin")"
}

has_program() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
has_module() { has_program pkg-config && pkg-config --exists "$1"; }
has_python() { has_program python3 && python3 -c "import $1" 2>/dev/null; }
has_headers() { printf '#include <%s>\n' "$1" | cc -E - >/dev/null 2>&1; }

# What building and testing need: a check, its argument, the Debian package that satisfies it.
needs_build='
program cc gcc
headers stdio.h libc6-dev
program make make
program cmake cmake
program pkg-config pkg-config
program mpicc libopenmpi-dev
program mpirun openmpi-bin
module hwloc libhwloc-dev
module jansson libjansson-dev
module libpcre2-8 libpcre2-dev
module libutf8proc libutf8proc-dev
module libmicrohttpd libmicrohttpd-dev
module libedit libedit-dev'
needs_tests='
program c++ g++
module cunit libcunit1-dev
program pgrep procps
program curl curl
program lowdown lowdown
program dpkg-shlibdeps dpkg-dev
program zsh zsh
program fish fish
python json python3'

# The tests of batch jobs start a Slurm, which needs root.
needs_slurm='
program slurmctld slurmctld
program slurmd slurmd
program srun slurm-client
program munged munge
program ip iproute2'
[ "$(id -u)" = 0 ] && needs_tests+=$needs_slurm

# missing NEEDS: prints the packages that are not installed, on one line.
missing() {
    local check argument package
    while read -r check argument package; do
        [ -z "$check" ] || "has_$check" "$argument" || printf '%s ' "$package"
    done <<<"$1"
}

# apt_install PACKAGE…: installs, with new package lists when the present ones do not suffice.
apt_install() {
    local as_root=(env DEBIAN_FRONTEND=noninteractive)
    [ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
    "${as_root[@]}" apt-get install -y --no-install-recommends "$@" ||
        { "${as_root[@]}" apt-get update &&
            "${as_root[@]}" apt-get install -y --no-install-recommends "$@"; }
}

# install_missing BUILD NEEDS: installs what NEEDS lists and the machine lacks.
install_missing() {
    local build=$1 packages list
    read -ra packages < <(missing "$2")
    list=${packages[*]}
    if [ -z "$list" ]; then
        say "Nothing to install"
        return
    fi
    has_program apt-get || die "missing: $list (Debian's names). There is no apt-get here: \
install them as your system does, and start again"
    if [ "$(id -u)" != 0 ]; then
        has_program sudo || die "missing: $list. You are not root and there is no sudo: have \
somebody run 'apt-get install $list', and start again"
        say "sudo is needed to install $list"
        sudo -v || die "sudo was refused: have somebody run 'apt-get install $list'"
    fi
    step "$build/apt.log" "Installing $list" apt_install "${packages[@]}"
    list=$(missing "$2")
    [ -z "$list" ] || die "still missing after the installation: $list"
}

# build_into BUILD "TARGET…" [OPTION…]: configures with the cmake options, builds the targets.
build_into() {
    local build=$1 targets
    read -ra targets <<<"$2"
    shift 2
    # shellcheck disable=SC2154 # set by the sourcing script
    step "$build/configure.log" "Configuring ${build##*/}/" cmake -S "$root" -B "$build" "$@"
    step "$build/build.log" "Building ${build##*/}/ with $(nproc) jobs" \
        cmake --build "$build" -j "$(nproc)" --target "${targets[@]}"
}

# mpi_on_any_machine: lets mpirun work as root (in containers), with more ranks than cores, and
# without binding a rank to a single core.
mpi_on_any_machine() {
    if [ "$(id -u)" = 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
    export OMPI_MCA_btl_vader_single_copy_mechanism=none
}
