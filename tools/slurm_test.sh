#!/usr/bin/env bash
# Test under Slurm.
#   [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=] slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [test.py options]
set -euo pipefail

if (($# < 4)); then
  echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]" >&2
  exit 2
fi
partition=$1
job_name=$2
config=$3
checkpoint=$4
shift 4

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
gpus_per_node=${GPUS_PER_NODE:-8}
cpus_per_task=${CPUS_PER_TASK:-5}
export PYTHONPATH=$tools/..${PYTHONPATH:+:$PYTHONPATH}
read -ra srun_args <<<"${SRUN_ARGS:-}"

set -x
exec srun \
  --partition="$partition" \
  --job-name="$job_name" \
  --gres=gpu:"$gpus_per_node" \
  --ntasks="${GPUS:-8}" \
  --ntasks-per-node="$gpus_per_node" \
  --cpus-per-task="$cpus_per_task" \
  --kill-on-bad-exit=1 \
  "${srun_args[@]}" \
  "${PYTHON:-python}" -u "$tools/test.py" "$config" "$checkpoint" --launcher slurm "$@"
