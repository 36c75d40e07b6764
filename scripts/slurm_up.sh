#!/usr/bin/env bash
# A Slurm of one node on loopback, for tests: controller, node and munge, from Debian packages, without systemd.
#   scripts/slurm_up.sh         install what is missing, configure, start, wait until the node takes jobs; safe to repeat
#   scripts/slurm_up.sh down    end what this started, and delete its state
# Needs root: Debian's Slurm starts jobs as their user, and reads /etc/slurm/slurm.conf. No accounting is kept,
# as on many small clusters. SLURM_TEST_DIR holds state, logs and the key.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin  # where Debian has the daemons; not on everybody's path
DIR=${SLURM_TEST_DIR:-${TMPDIR:-/tmp}/transferlab-slurm}
CONF=/etc/slurm/slurm.conf
MARK="# by scripts/slurm_up.sh of transferlab"
NODE=$(hostname -s)

is_up() { [ -s "$DIR/$1.pid" ] && kill -0 "$(cat "$DIR/$1.pid")" 2>/dev/null; }

end() { # ends a daemon of ours by its pid file
    is_up "$1" || return 0
    local pid
    pid=$(cat "$DIR/$1.pid")
    kill "$pid"
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
}

[ "$(id -u)" = 0 ] || { echo "scripts/slurm_up.sh: needs root, to install Slurm and to start jobs. Run it with sudo." >&2; exit 3; }

if [ "${1:-up}" = down ]; then
    is_up slurmctld && { scancel --me || true; }
    for daemon in slurmd slurmctld munged; do end "$daemon"; done
    grep -qsF "$MARK" "$CONF" && rm "$CONF"
    rm -rf "$DIR"
    exit 0
fi

for command in slurmctld slurmd munged sbatch srun; do
    command -v "$command" >/dev/null && continue
    command -v apt-get >/dev/null || { echo "scripts/slurm_up.sh: no $command, and no apt-get to install it" >&2; exit 3; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
    break
done
if [ -f "$CONF" ] && ! grep -qF "$MARK" "$CONF"; then
    echo "scripts/slurm_up.sh: $CONF belongs to another Slurm; this machine's own is not touched" >&2
    exit 3
fi

umask 022
mkdir -p "$DIR"/{state,spool,munge} /etc/slurm
chmod 755 "$DIR" "$DIR"/{state,spool,munge}
[ -s "$DIR/munge.key" ] || { (umask 077 && head -c 1024 /dev/urandom >"$DIR/munge.key"); }
is_up munged || munged --force --key-file="$DIR/munge.key" --socket="$DIR/munge/socket" --pid-file="$DIR/munged.pid" \
    --log-file="$DIR/munged.log" --seed-file="$DIR/munge.seed" --num-threads=2

cat >"$DIR/slurm.conf" <<CONFIG
$MARK
ClusterName=transferlab
SlurmctldHost=$NODE(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job waits before it starts again: 120 s unless said
AuthInfo=socket=$DIR/munge/socket,cred_expire=5
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.pid
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.log
# containers delegate no cgroups
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0,requeue_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
KillWait=20
MinJobAge=300
# it pretends to have 8 cores and 64 GB, so that jobs of tests, which mostly wait, run beside each other
SlurmdParameters=config_overrides
NodeName=$NODE NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes=$NODE Default=YES MaxTime=INFINITE PriorityTier=1
# jobs of this one get a while to end by themselves before they are preempted
PartitionName=grace Nodes=$NODE MaxTime=INFINITE PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=$NODE MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
CONFIG
if ! cmp -s "$DIR/slurm.conf" "$CONF"; then
    for daemon in slurmd slurmctld; do end "$daemon"; done
    cp "$DIR/slurm.conf" "$CONF"
fi
is_up slurmctld || slurmctld
is_up slurmd || slurmd -N "$NODE"
for _ in $(seq 100); do
    case "$(sinfo --noheader --partition=main --format=%T 2>/dev/null)" in
    idle | mixed | allocated) exit 0 ;;
    down* | drain*) scontrol update "nodename=$NODE" state=resume 2>/dev/null || true ;;
    esac
    sleep 0.3
done
echo "scripts/slurm_up.sh: Slurm did not come up" >&2
tail -n 5 "$DIR"/*.log >&2
exit 1
