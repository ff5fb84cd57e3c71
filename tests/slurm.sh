#!/bin/bash
# A real Slurm on one machine, for tests of batch jobs: munged and slurmctld on the pretend host h1
# of tests/hosts.sh, a slurmd on every host, everything below SW_HOSTS. Needs root, and Debian's
# slurmctld, slurmd, slurm-client and munge; no service of the machine is touched.
#   slurm.sh up [N [CPUS [FILE]]]  N hosts (3) of CPUS cpus (2); FILE has more lines for slurm.conf:
#                                  nodes on paper (State=CLOUD), for sbatch --test-only
#   slurm.sh down | status | logs
#   slurm.sh exec CMD…             sbatch, srun, squeue, scancel, … on h1
#   slurm.sh start JOB             a job that was requeued waits two minutes: let it start now
#   slurm.sh wait JOB [SECONDS]    until it has ended (60): prints its state; exit 124 if it has not
#   slurm.sh running JOB [SECONDS] until it runs
set -u
here=$(cd "$(dirname "$0")" && pwd)
export SW_HOSTS=${SW_HOSTS:-/tmp/sw-hosts}
state=$SW_HOSTS/slurm
export SLURM_CONF=$state/slurm.conf

die() {
    echo "slurm.sh: $*" >&2
    exit 1
}
on() { bash "$here/hosts.sh" exec "$@"; }

configure() { # N CPUS [FILE]
    local n=$1 cpus=$2
    cat <<CONF
ClusterName=pretend
SlurmctldHost=h1
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$state/munge/socket
CredType=cred/munge
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/spool-%n
# one each: the hosts share /tmp, and srun --mpi=pmix puts a folder here
TmpFS=$state/tmp-%n
SlurmctldPidFile=$state/ctld.pid
SlurmdPidFile=$state/slurmd-%n.pid
SlurmctldLogFile=$state/ctld.log
SlurmdLogFile=$state/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
JobRequeue=1
GresTypes=gpu
# quick to notice and to act
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait=5
SlurmdTimeout=20
SlurmctldTimeout=20
InactiveLimit=0
MinJobAge=600
# for the nodes on paper: never woken
SuspendProgram=/bin/true
ResumeProgram=/bin/true
SuspendTime=INFINITE
NodeName=h[1-$n] CPUs=$cpus RealMemory=2000 State=UNKNOWN
PartitionName=hosts Nodes=h[1-$n] Default=YES MaxTime=INFINITE State=UP
CONF
    [ $# -lt 3 ] || cat "$3"
}

up() {
    local n=${1:-3} cpus=${2:-2} program
    for program in slurmctld slurmd munged; do
        [ -x "/usr/sbin/$program" ] || die "there is no /usr/sbin/$program: install its package"
    done
    bash "$here/hosts.sh" up "$n" || exit 1
    mkdir -p "$state/munge" "$state/ctld" || die "cannot write $state"
    head -c 1024 /dev/urandom >"$state/munge/key"
    chmod 400 "$state/munge/key"
    configure "$n" "$cpus" "${@:3}" >"$SLURM_CONF"
    sed -n 's/^\(NodeName=[^ ]*\).* Gres=\([a-z]*\):\([0-9]*\).*/\1 Name=\2 Count=\3/p' "$SLURM_CONF" \
        >"$state/gres.conf"
    on h1 /usr/sbin/munged --force --key-file="$state/munge/key" --socket="$state/munge/socket" \
        --pid-file="$state/munged.pid" --log-file="$state/munged.log" \
        --seed-file="$state/munge/seed" || die "munged did not start: $(tail -n 3 "$state/munged.log")"
    on h1 /usr/sbin/slurmctld || die "slurmctld did not start: $(tail -n 3 "$state/ctld.log")"
    for i in $(seq "$n"); do
        mkdir -p "$state/spool-h$i" "$state/tmp-h$i"
        chmod 1777 "$state/tmp-h$i"
        on "h$i" /usr/sbin/slurmd -N "h$i" ||
            die "slurmd did not start on h$i: $(tail -n 3 "$state/slurmd-h$i.log")"
    done
    for _ in $(seq 150); do
        [ "$(on h1 sinfo -h -p hosts -o %D -t idle 2>/dev/null)" = "$n" ] && return
        sleep 0.2
    done
    on h1 sinfo >&2
    die "not every node is idle; slurm.sh logs says more"
}

down() {
    if [ -e "$SLURM_CONF" ]; then
        timeout 10 bash "$here/hosts.sh" exec h1 scancel --user=root 2>/dev/null
        for _ in $(seq 30); do
            [ -z "$(timeout 5 bash "$here/hosts.sh" exec h1 squeue -h 2>/dev/null)" ] && break
            sleep 0.2
        done
    fi
    bash "$here/hosts.sh" down # ends whatever runs on the hosts, the daemons too
}

# Slurm lets two minutes pass. Two seconds it needs: nodes take credentials no newer than the
# kill, by the second, for those of the killed turn.
start() {
    sleep 2
    on h1 scontrol update "JobId=$1" StartTime=now
}

# "JobState=… Restarts=… ExitCode=…" of a job
job_state() {
    on h1 scontrol -o show job "$1" 2>/dev/null |
        grep -oE '\b(JobState|Restarts|ExitCode)=[^ ]*' | tr '\n' ' '
}
# until JOB SECONDS PATTERN: the state it then has; 124 when it has not come to that
until_state() {
    local text='' end=$((SECONDS + $2))
    while :; do
        text=$(job_state "$1")
        [[ $text =~ $3 ]] && break
        if [ $SECONDS -ge $end ]; then
            echo "$text"
            return 124
        fi
        sleep 0.3
    done
    echo "$text"
}

verb=${1:-help}
shift
case $verb in
up) up "$@" ;;
down) down ;;
status) on h1 sinfo && on h1 squeue ;;
logs) tail -n 15 "$state"/*.log ;;
exec) on h1 "$@" ;;
start) start "$1" ;;
wait) until_state "$1" "${2:-60}" 'JobState=(COMPLETED|FAILED|TIMEOUT|CANCELLED|NODE_FAIL|DEADLINE)' ;;
running) until_state "$1" "${2:-60}" 'JobState=RUNNING' ;;
*) sed -n '2,14s/^# \{0,1\}//p' "$0" ;;
esac
