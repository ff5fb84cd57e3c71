#!/bin/bash
# The deadlines of the launch scripts are those of src/transport/deadlines.h, for the --timeout of the
# command line. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/../cli/common.sh"
deadlines=$(dirname "$spillway")/tests/deadlines
launch=$here/../../launch
unset "${!OMPI_MCA_oob_tcp_keepalive@}" "${!SLURM_@}" "${!SPILLWAY_@}"
export TMPDIR=$work
mkdir bin

# same T WHAT: the numbers in the file `seen` are those for T
same() {
    [ "$("$deadlines" $1 | cut -d' ' -f1-3)" = "$(cat seen)" ] ||
        fail "$2: keep-alive $(cat seen), not $("$deadlines" $1)"
}
cat >bin/mpirun <<SH
#!/bin/bash
while [ \$# -gt 0 ]; do # of what bare mpirun is given
    [ "\$1" = --mca ] && [[ \$2 == oob_tcp_keepalive_* ]] && export "OMPI_MCA_\$2=\$3"
    shift
done
echo "\$OMPI_MCA_oob_tcp_keepalive_time \$OMPI_MCA_oob_tcp_keepalive_intvl \
\$OMPI_MCA_oob_tcp_keepalive_probes" >"$work/seen"
SH
chmod +x bin/mpirun
PATH=$work/bin:$PATH
for t in 1 4 15 60 94 95 96 600 3600; do
    "$launch/spillway-mpirun" -np 2 "$spillway" run m --timeout $t x </dev/null
    same $t "--timeout $t"
    "$launch/spillway-mpirun" -np 2 "$spillway" run m "--timeout=$t" x </dev/null
    same $t "--timeout=$t"
done
"$launch/spillway-mpirun" -np 2 "$spillway" run m x -- --timeout 60 </dev/null
same "" "no --timeout"
for form in "2.5 3" "1e2 100" "1.5E1 15" "6e-1 1" "0x3c 60" ".5 1" "100. 100" "+7 7" "007 7" "1e5 100000" \
    "1e300 999999" "0 15" "fast 15" "-3 15"; do # what it is, and the seconds that this is
    "$launch/spillway-mpirun" -np 2 "$spillway" run m --timeout ${form% *} </dev/null
    same "${form#* }" "--timeout ${form% *}"
    "$launch/spillway-mpirun" -np 2 "$spillway" run m --timeout=${form% *} </dev/null
    same "${form#* }" "--timeout=${form% *}"
done
OMPI_MCA_oob_tcp_keepalive_probes=7 "$launch/spillway-mpirun" -np 2 "$spillway" </dev/null
[ "$(cut -d' ' -f3 seen)" = 7 ] || fail "the user's own keep-alive: $(cat seen)"
grep -q "^hang_s=$("$deadlines" | cut -d' ' -f4) " "$launch/spillway-mpirun" || fail "hang_s"

# A bare mpirun in a Slurm job, and the supervisor there.
cp "$launch/slurm.sbatch" .
cp "$spillway" "$work/alone" # with no supervisor near it
for t in 15 60 1e2; do
    for program in "$work/alone" "$spillway"; do
        SPILLWAY=$program SPILLWAY_LAUNCHER=mpirun SLURM_JOB_ID=7 SLURM_NTASKS=2 bash slurm.sbatch run m \
            --timeout $t </dev/null 2>err
        same ${t/1e2/100} "slurm.sbatch with $program, --timeout $t"
    done
done
finish
