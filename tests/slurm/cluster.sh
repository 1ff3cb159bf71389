#!/usr/bin/env bash
# A real two-node Slurm cluster on loopback, for tests and for trying things out (needs root).
#
#   bash tests/slurm/cluster.sh install        slurm-wlm, munge and, for accounting, slurmdbd and
#                                              mariadb-server, from Debian or Ubuntu
#   bash tests/slurm/cluster.sh start          some ten seconds
#   export SLURM_CONF=$(bash tests/slurm/cluster.sh conf)    then sinfo, sbatch, squeue as anywhere
#   bash tests/slurm/cluster.sh kill-node n2   as if the node had lost power
#   bash tests/slurm/cluster.sh start-node n2
#   bash tests/slurm/cluster.sh stop
#
# Everything lies in $ISOFLOP_SLURM (default: isoflop-slurm below the temporary directory): nothing
# of the machine's own Slurm or munge is touched.
set -euo pipefail

DIR=${ISOFLOP_SLURM:-${TMPDIR:-/tmp}/isoflop-slurm}
export SLURM_CONF=$DIR/slurm.conf
NODES=(n1 n2)

install() {
    local missing=()
    for program in slurmctld slurmd slurmdbd sbatch munged mariadbd; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "installing Slurm, munge and MariaDB (missing: ${missing[*]})"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        slurm-wlm munge slurmdbd mariadb-server >/dev/null
}

configure() {
    mkdir -p "$DIR"/{state,log,munge,spool,database}
    chmod 700 "$DIR/munge"
    [ -f "$DIR/munge/key" ] || head -c 1024 /dev/urandom >"$DIR/munge/key"
    chmod 400 "$DIR/munge/key"
    cat >"$SLURM_CONF" <<CONF
ClusterName=isoflop
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=27817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.%n.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=5
InactiveLimit=0
MinJobAge=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
MailProg=/bin/true
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=27819
AccountingStoragePass=$DIR/munge/socket
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=27831 CPUs=1 RealMemory=8000
NodeName=n2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=27832 CPUs=1 RealMemory=8000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=60 State=UP OverSubscribe=NO GraceTime=20
PartitionName=urgent Nodes=n1,n2 PriorityTier=10 MaxTime=60 State=UP OverSubscribe=NO PreemptMode=OFF
CONF
    cat >"$DIR/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket
DbdHost=$(hostname)
DbdAddr=127.0.0.1
DbdPort=27819
SlurmUser=root
PidFile=$DIR/slurmdbd.pid
LogFile=$DIR/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=27820
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
CONF
    chmod 600 "$DIR/slurmdbd.conf"
}

# A database server of our own, on loopback, and Slurm's accounting over it.
start_accounting() {
    local client=(mariadb --no-defaults --user=root --socket="$DIR/database.sock")
    [ -d "$DIR/database/mysql" ] || mariadb-install-db --no-defaults --user=root \
        --auth-root-authentication-method=normal --datadir="$DIR/database" >"$DIR/log/install.log"
    mariadbd --no-defaults --user=root --datadir="$DIR/database" --socket="$DIR/database.sock" \
        --pid-file="$DIR/database.pid" --port=27820 --bind-address=127.0.0.1 \
        --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
        >"$DIR/log/database.log" 2>&1 &
    until_so 30 "${client[@]}" -e 'SELECT 1'
    "${client[@]}" -e "CREATE DATABASE IF NOT EXISTS slurm;
        CREATE USER IF NOT EXISTS slurm@'127.0.0.1' IDENTIFIED BY 'slurm';
        GRANT ALL ON slurm.* TO slurm@'127.0.0.1'"
    SLURM_CONF=$DIR/slurm.conf slurmdbd
    until_so 30 sacctmgr --noheader show cluster
    sacctmgr --immediate add cluster isoflop >/dev/null
}

# until_so SECONDS COMMAND...: wait until a command succeeds.
until_so() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "no answer: $*; see $DIR/log" >&2; exit 1; }
        sleep 0.5
    done
}

start() {
    configure
    munged --force --key-file="$DIR/munge/key" --socket="$DIR/munge/socket" \
        --pid-file="$DIR/munge/pid" --log-file="$DIR/log/munged.log" --seed-file="$DIR/munge/seed"
    start_accounting
    slurmctld -c
    for node in "${NODES[@]}"; do start_node "$node"; done
    for _ in $(seq 60); do
        [ "$(sinfo -h -t idle -o %D 2>/dev/null || true)" = "${#NODES[@]}" ] && { sinfo; return; }
        sleep 0.5
    done
    echo "the cluster did not come up; see $DIR/log" >&2
    exit 1
}

start_node() {
    mkdir -p "$DIR/spool/$1"
    slurmd -N "$1"
}

# Loss of power: the daemons and every process that they started, none of which can tell a tale. The
# step daemons are stopped first: one that saw its job die would report a failure, which is not
# requeued, instead of falling silent.
kill_node() {
    local step steps=() doomed=()
    for step in $(pgrep -f "slurmstepd: \[" || true); do
        grep -qz "^SLURMD_NODENAME=$1\$" "/proc/$step/environ" 2>/dev/null || on_node "$step" "$1" \
            || continue
        steps+=("$step")
    done
    kill -9 "$(cat "$DIR/slurmd.$1.pid")"
    for step in "${steps[@]}"; do kill -STOP "$step" 2>/dev/null || true; done
    for step in "${steps[@]}"; do doomed+=("$step" $(descendants "$step")); done
    for step in "${doomed[@]}"; do kill -9 "$step" 2>/dev/null || true; done
}

on_node() { # a step daemon keeps its node's log open
    ls -l "/proc/$1/fd" 2>/dev/null | grep -q "slurmd.$2.log"
}

descendants() {
    local child
    for child in $(pgrep -P "$1" || true); do echo "$child"; descendants "$child"; done
}

stop() {
    scancel --user="$(id -un)" 2>/dev/null || true
    for pidfile in "$DIR"/slurmd.*.pid "$DIR"/{slurmctld.,slurmdbd.,database.,munge/}pid; do
        [ -f "$pidfile" ] && kill "$(cat "$pidfile")" 2>/dev/null || true
    done
    for _ in $(seq 20); do
        ls "$DIR"/slurm*.pid "$DIR"/database.pid 2>/dev/null | grep -q . || break
        sleep 0.5
    done
    rm -rf "$DIR"
}

case "${1:-help}" in
    install) install ;;
    start) start ;;
    stop) stop ;;
    conf) echo "$SLURM_CONF" ;;
    start-node) start_node "$2" ;;
    kill-node) kill_node "$2" ;;
    *) sed -n '2,12p' "$0" ;;
esac
