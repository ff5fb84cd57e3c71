#!/bin/bash
# launch/spillway-mpirun: exit codes and the one message, signals to it, to ranks and to mpirun, a
# mpirun that hangs after the job has failed. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/../cli/common.sh"
unset OMPI_MCA_orte_execute_quiet # the script holds mpirun's words back itself
supervisor=$here/../../launch/spillway-mpirun
# names of our own, so that pgrep finds the ranks and the mpirun of this test and no others
cp "$(dirname "$spillway")/tests/mpi_echo" "$work/echo"
echo_program=$work/echo
export TMPDIR=$work

supervised() { # SECONDS ARGUMENT…
    timeout -k 5 "$1" "$supervisor" "${@:2}" >out 2>err </dev/null
    code=$?
}
begin() { # ARGUMENT…: until the ranks are ready
    : >out
    "$supervisor" -np 3 "$echo_program" "$@" >out 2>err </dev/null &
    job=$!
    within 20 grep -q ready out
}
# ended SECONDS CODE WHAT [MESSAGE]
ended() {
    within "$1" gone $job || fail "$3: still running after $1 s"
    wait $job
    code=$?
    expect "$2" "$3"
    one_message "$3" "${4:-.}"
    nobody_left "$3"
    echo "$3: $(cat err)"
}
nobody_left() {
    within 3 none_left "$echo_program" || fail "$1: left: $(pgrep -fa "$echo_program")"
    [ -z "$(find "$work" -name 'spillway-status.*')" ] || fail "$1: a temporary folder is left"
}
mpirun_pid() { pgrep -f "^mpirun .*$echo_program"; }

supervised 10 --help
expect 0 "--help"
grep -q 'Runs mpirun under supervision' out || fail "--help"
supervised 60 -np 3 "$echo_program" ring
expect 0 "ring"
[ ! -s err ] && grep -q '^ring 3' out || fail "ring"
supervised 60 -np 3 "$echo_program" loss 102
expect 3 "a rank that fails"
one_message "a rank that fails" "^spillway: rank 2 on .*: the weights are missing$"
[ "$(wc -l <err)" = 1 ] || fail "a rank that fails: not one line"
supervised 60 -np 3 "$echo_program" loss 1
expect 75 "a rank that is killed"
one_message "a rank that is killed" "^spillway: rank 1 on .* is gone"
[ "$(wc -l <err)" = 1 ] || fail "a rank that is killed: not one line"
supervised 60 -np 1 "$spillway" run "$work/nosuch" x
expect 3 "one rank that fails"
one_message "one rank that fails" "nosuch"
supervised 60 -np 2 "$spillway" run
expect 2 "a wrong command line"
[ "$(wc -l <err)" = 1 ] || fail "a wrong command line: not one line"
supervised 60 -np 2 "$work/nosuch" x
grep -q 'unable to launch' err || fail "no program: mpirun's own words are lost"
[ $code != 0 ] && [ $code != 75 ] || fail "no program: exit code $code"
SPILLWAY_STATUS=$work/kept supervised 60 -np 2 "$echo_program" ring
expect 0 "a folder for the status"
grep -qx 'exit 0' kept/status || fail "no status file in the folder asked for"

for signal in TERM INT USR1 HUP; do
    begin stop
    kill -$signal $job
    [ $signal = INT ] && kill -TERM $job # a shell's background job ignores INT
    ended 8 75 "$signal" "a stop was asked for"
done
# Asked while mpirun is only starting: then it hears nothing.
for wait in 0 0.05 0.1 0.2; do
    "$supervisor" -np 2 "$echo_program" stop >out 2>err </dev/null &
    job=$!
    for _ in $(seq 100); do
        [ -n "$(find . -name 'spillway-status.*')" ] && break
        sleep 0.01
    done
    sleep $wait
    kill -TERM $job
    ended 8 75 "TERM after $wait s"
done
begin stop
pkill -TERM -f "^$echo_program"
ended 8 75 "TERM to the ranks" "a stop was asked for"
begin stop
kill -TERM "$(mpirun_pid)"
ended 12 75 "TERM to mpirun" "a stop was asked for"
begin stop
kill -KILL "$(mpirun_pid)"
ended 8 75 "KILL to mpirun" "run the same command again"

# Stand-ins for a mpirun that hangs: after a verdict, and when it is asked to stop.
mkdir bin
cat >bin/mpirun <<'STAND_IN'
#!/bin/bash
trap "" USR1 TERM
printf 'exit 75\nstatus SW_EPEER\nrank 2\nmessage rank 2 on h3 is lost\n' >"$SPILLWAY_STATUS/status"
sleep 300 &
sleep 300
STAND_IN
chmod +x bin/mpirun
PATH=$work/bin:$PATH supervised 30 "$echo_program"
expect 75 "a mpirun that hangs after a verdict"
grep -qx 'spillway: rank 2 on h3 is lost' err || fail "a mpirun that hangs: no message"
nobody_left "a mpirun that hangs"
sed -i '/^printf/d' bin/mpirun
PATH=$work/bin:$PATH SPILLWAY_STOP_S=1 timeout -s TERM 2 "$supervisor" "$echo_program" >out 2>err &
job=$!
wait $job
within 5 test -s err
grep -q 'not stopped within 1 s' err || fail "a mpirun that does not stop"
nobody_left "a mpirun that does not stop"
PATH=$work/bin:$PATH SPILLWAY_START_S=1 supervised 30 "$echo_program"
expect 75 "a mpirun that starts nothing"
grep -q 'did not start the ranks within 1 s' err || fail "a mpirun that starts nothing: no message"
nobody_left "a mpirun that starts nothing"

# A mpirun that has lost a host ends with code 0: that is no success. What is no job may say nothing.
lost='-----------------------------------------
ORTE has lost communication with a remote daemon.
-----------------------------------------'
for said in "$lost" 'spillway-mpirun: rank 0 has started'; do
    printf '#!/bin/bash\necho "%s" >&2\n' "$said" >bin/mpirun
    PATH=$work/bin:$PATH supervised 30 "$echo_program"
    expect 75 "a mpirun that ends well without its ranks"
    grep -q 'no rank said that the job was done; run the same' err || fail "a mpirun that ends well: no message"
done
printf '#!/bin/bash\necho "%s\nspillway-mpirun: rank 0 has ended well" >&2\n' "$said" >bin/mpirun
PATH=$work/bin:$PATH supervised 30 "$echo_program"
expect 0 "a job whose status file nobody sees"
[ -s err ] && fail "a job whose status file nobody sees: not quiet"
printf '#!/bin/bash\n' >bin/mpirun
PATH=$work/bin:$PATH supervised 30 "$echo_program"
expect 0 "no job at all"
finish
