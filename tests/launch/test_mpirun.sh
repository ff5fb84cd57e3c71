#!/bin/bash
# launch/spillway-mpirun: exit codes and the one message, signals to it, to ranks and to mpirun, a
# mpirun that hangs after the job has failed, starts that crash, what is left of killed jobs.
# $1: the program.
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

# On a busy machine everything takes its time: nothing here must happen sooner than in a minute, and
# what a deadline of the job's own would have ended says so in its message.
most=60
supervised() { # ARGUMENT…
    timeout -k 5 300 "$supervisor" "$@" >out 2>err </dev/null
    code=$?
}
begin() { # ARGUMENT…: until the ranks are ready
    : >out
    "$supervisor" -np 3 "$echo_program" "$@" >out 2>err </dev/null &
    job=$!
    within $most grep -q ready out || fail "$*: not ready after $most s"
}
# ended CODE WHAT [MESSAGE]
ended() {
    within $most gone $job || { fail "$2: still running after $most s" && kill -KILL $job; }
    wait $job
    code=$?
    expect "$1" "$2"
    case $2 in # Open MPI may hang when it was stopped while it started: then it is killed, and that is said
    *" after "*" s") sed -i '/: mpirun did not end after the job had, and was killed$/d' err ;;
    esac
    one_message "$2" "${3:-.}"
    ! grep -q 'killed: not stopped' err || fail "$2: did not stop by itself"
    nobody_left "$2"
    echo "$2: $(cat err)"
}
nobody_left() {
    within $most none_left "$echo_program" || fail "$1: left: $(pgrep -fa "$echo_program")"
    no_folder || fail "$1: a temporary folder is left"
}
no_folder() { [ -z "$(find "$work" -name 'spillway-status.*')" ]; }
mpirun_pid() { pgrep -f "^mpirun .*$echo_program"; }

supervised --help
expect 0 "--help"
grep -q 'Runs mpirun under supervision' out || fail "--help"
supervised -np 3 "$echo_program" ring
expect 0 "ring"
[ ! -s err ] && grep -q '^ring 3' out || fail "ring"
supervised -np 3 "$echo_program" loss 102
expect 3 "a rank that fails"
one_message "a rank that fails" "^spillway: rank 2 on .*: the weights are missing$"
[ "$(wc -l <err)" = 1 ] || fail "a rank that fails: not one line"
supervised -np 3 "$echo_program" loss 1
expect 75 "a rank that is killed"
one_message "a rank that is killed" "^spillway: rank 1 on .* is gone"
[ "$(wc -l <err)" = 1 ] || fail "a rank that is killed: not one line"
supervised -np 1 "$spillway" run "$work/nosuch" x
expect 3 "one rank that fails"
one_message "one rank that fails" "nosuch"
supervised -np 2 "$spillway" run
expect 2 "a wrong command line"
[ "$(wc -l <err)" = 1 ] || fail "a wrong command line: not one line"
supervised -np 2 "$work/nosuch" x
grep -q 'unable to launch' err || fail "no program: mpirun's own words are lost"
[ $code != 0 ] && [ $code != 75 ] || fail "no program: exit code $code"
SPILLWAY_STATUS=$work/kept supervised -np 2 "$echo_program" ring
expect 0 "a folder for the status"
grep -qx 'exit 0' kept/status || fail "no status file in the given folder"
[ "$(ls -A kept)" = status ] || fail "more in that folder than the last status: $(ls -A kept)"
for start in 1 10 60; do # a busy machine may need longer than the first of them
    SPILLWAY_START_S=$start supervised -np 1 "$echo_program" idle $((start + 3))
    [ $code = 0 ] && break
done
expect 0 "a single rank, which needs longer than a start may"

# Jobs that share a folder, and what others have left in it, do not end each other.
mkdir shared
printf 'exit 0\nstatus SW_OK\nrank -1\nmessage done\n' >shared/status
export SPILLWAY_STATUS=$work/shared
begin stop
"$supervisor" -np 2 "$echo_program" ring >out.second 2>&1 </dev/null || fail "the second job"
sleep 1
kill -TERM $job
ended 75 "the first job, TERM after the second was done" "a stop was requested"
unset SPILLWAY_STATUS

for signal in TERM INT USR1 HUP; do
    begin stop
    kill -$signal $job
    [ $signal = INT ] && kill -TERM $job # a shell's background job ignores INT
    ended 75 "$signal" "a stop was requested"
done
# A signal while mpirun is still starting, when it ignores it.
for wait in 0 0.05 0.1 0.2; do
    "$supervisor" -np 2 "$echo_program" stop >out 2>err </dev/null &
    job=$!
    until ! no_folder || gone $job; do sleep 0.01; done
    sleep $wait
    kill -TERM $job
    ended 75 "TERM after $wait s"
done
begin stop
pkill -TERM -f "^$echo_program"
ended 75 "TERM to the ranks" "a stop was requested"
begin stop
kill -TERM "$(mpirun_pid)"
ended 75 "TERM to mpirun" "a stop was requested"
for signal in KILL SEGV ABRT; do
    begin stop
    kill -$signal "$(mpirun_pid)"
    ended 75 "$signal to mpirun" "run the same command again"
done
"$supervisor" -np 1 "$echo_program" idle 300 >out 2>err </dev/null & # its only rank
job=$!
within $most pgrep -f "^$echo_program idle" >pid
kill -KILL "$(mpirun_pid)"
ended 75 "KILL to the mpirun of one rank" "mpirun or a rank was killed"
begin stop
pkill -HUP -f "^$echo_program"
ended 75 "HUP to the ranks" "a stop was requested .signal 1."
# To mpirun while it is still starting.
for signal in TERM HUP; do
    for wait in 0 0.03 0.1 0.2 0.4; do
        "$supervisor" -np 2 "$echo_program" stop >out 2>err </dev/null &
        job=$!
        within $most mpirun_pid >pid
        sleep $wait
        kill -$signal "$(head -n 1 pid)"
        ended 75 "$signal to mpirun after $wait s" "run the same command again"
    done
done

# What kills the supervisor takes the job with it, and what is left of both goes at the next start.
begin stop
kill -KILL $job
within $most none_left "$echo_program" || fail "KILL to the supervisor: left: $(pgrep -fa "$echo_program")"
within $most no_folder || fail "KILL to the supervisor: a folder is left"
wait $job 2>/dev/null
begin stop
mapfile -t all < <(ps -eo pid=,args= | awk -v w="$work" 'index($0, w) && !/awk/ { print $1 }' | grep -vx $$)
name=$(tr '\0' '\n' <"/proc/$(mpirun_pid)/environ" | sed -n 's/^SPILLWAY_JOB=//p')
[ -d "/dev/shm/spillway-$(id -u)-$name" ] || fail "no segments to be left" # other tests may remove them
kill -KILL "${all[@]}"
wait $job
[ -n "$(find "$work" -name 'spillway-status.*')" ] || fail "everything killed: no folder to be removed"
within $most none_left "$echo_program"
begin stop # of a living job nothing is removed
other=$job
supervised -np 2 "$echo_program" ring
expect 0 "the next start"
[ ! -e "/dev/shm/spillway-$(id -u)-$name" ] || fail "segments of a dead job are left after the next start"
[ "$(find "$work" -maxdepth 1 -name 'spillway-status.*' | wc -l)" = 1 ] ||
    fail "folders after the next start: $(ls -d "$work"/spillway-status.*)"
job=$other
kill -TERM $job
: >err
wait $job
[ $? = 75 ] || fail "the living job"
nobody_left "the living job"

# A start that crashes is tried again, but not for ever, and not one of ranks that have met.
supervised -np 2 "$echo_program" crash 2 "$work/starts"
expect 0 "a start that crashes twice"
grep -q '^ring 2' out || fail "a start that crashes twice: no result"
[ "$(grep -c 'the start failed (code 139) before the ranks had met: trying again' err)" = 2 ] ||
    fail "a start that crashes twice: no message about it"
rm starts
supervised -np 2 "$echo_program" crash 9 "$work/starts"
expect 75 "a start that always crashes"
[ "$(wc -c <starts)" = 4 ] || fail "a start that always crashes: $(wc -c <starts) starts"
grep -q 'run the same command again' err || fail "a start that always crashes: no message"
rm starts
echo text | timeout 60 "$supervisor" -np 2 "$echo_program" crash 1 "$work/starts" >out 2>err
[ "$(wc -c <starts)" = 1 ] || fail "a start that has read a pipe was tried again"

# The date goes back and forth by hours: nothing waits by it.
clock_step=$(dirname "$spillway")/tests/libclock_step.so
LD_PRELOAD=$clock_step CLOCK_BACK=1 supervised -np 2 "$echo_program" idle 4
expect 0 "a date that has gone back"
mkdir slow
printf '#!/bin/bash\nsleep 4; echo "%s\n%s" >&2\n' 'spillway-mpirun: rank 0 has started' \
    'spillway-mpirun: rank 0 has ended well' >slow/mpirun
chmod +x slow/mpirun
PATH=$work/slow:$PATH LD_PRELOAD=$clock_step supervised "$echo_program"
expect 0 "a date that changes while mpirun starts"

# Stand-ins for a mpirun that hangs: after a verdict, and when it receives a stop signal.
mkdir bin
cat >bin/mpirun <<'STAND_IN'
#!/bin/bash
trap "" USR1 TERM
file=$SPILLWAY_STATUS/status.$SPILLWAY_JOB
printf 'job x\nexit 0\nstatus SW_OK\nrank 2\nmessage done\nend x\n' >"$file" # another job's
sleep 1
printf 'job %s\nexit 0\nstatus SW_OK\nrank 2\nmessage rank 2 on' "$SPILLWAY_JOB" >"$file" # not whole
sleep 1
printf 'job %s\nexit 75\nstatus SW_EPEER\nrank 2\nmessage rank 2 on h3 is lost\nend %s\n' "$SPILLWAY_JOB" \
    "$SPILLWAY_JOB" >"$file"
: >"$0.runs"
sleep 300 &
sleep 300
STAND_IN
chmod +x bin/mpirun
PATH=$work/bin:$PATH supervised "$echo_program"
expect 75 "a mpirun that hangs after a verdict"
grep -qx 'spillway: rank 2 on h3 is lost' err || fail "a mpirun that hangs: no message"
nobody_left "a mpirun that hangs"
sed -i '/^file=/,/^    "/d' bin/mpirun
rm bin/mpirun.runs
PATH=$work/bin:$PATH SPILLWAY_STOP_S=1 "$supervisor" "$echo_program" >out 2>err &
job=$!
within $most test -e bin/mpirun.runs
kill -TERM $job
within $most gone $job || kill -KILL $job
wait $job
grep -q 'not stopped within 1 s' err || fail "a mpirun that does not stop"
nobody_left "a mpirun that does not stop"
PATH=$work/bin:$PATH SPILLWAY_START_S=1 supervised "$echo_program"
expect 75 "a mpirun that starts nothing"
grep -q 'did not start the ranks within 1 s' err || fail "a mpirun that starts nothing: no message"
nobody_left "a mpirun that starts nothing"

# Whatever ends mpirun, with or without a message of its own, unless it tells what is wrong.
for signal in ABRT FPE SYS XCPU; do
    for said in "" "echo spillway-mpirun: rank 0 has started >&2"; do
        printf '#!/bin/bash\n%s\nkill -%s $$\n' "$said" $signal >bin/mpirun
        PATH=$work/bin:$PATH supervised "$echo_program" </dev/null
        expect 75 "a mpirun that ends by $signal${said:+ after the start}"
        grep -q 'run the same command again' err || fail "a mpirun that ends by $signal: no message"
    done
done

# A mpirun that has lost a host ends with code 0: that is no success. A command that starts no job may print nothing.
lost='-----------------------------------------
ORTE has lost communication with a remote daemon.
-----------------------------------------'
for said in "$lost" 'spillway-mpirun: rank 0 has started'; do
    printf '#!/bin/bash\necho "%s" >&2\n' "$said" >bin/mpirun
    PATH=$work/bin:$PATH supervised "$echo_program"
    expect 75 "a mpirun that ends well without its ranks"
    grep -q 'no rank reported that the job was done; run the same' err || fail "a mpirun that ends well: no message"
done
printf '#!/bin/bash\necho "%s\nspillway-mpirun: rank 0 has ended well" >&2\n' "$said" >bin/mpirun
PATH=$work/bin:$PATH supervised "$echo_program"
expect 0 "a job whose status file nobody sees"
[ -s err ] && fail "a job whose status file nobody sees: not quiet"
printf '#!/bin/bash\n' >bin/mpirun
PATH=$work/bin:$PATH supervised "$echo_program"
expect 0 "no job at all"
finish
