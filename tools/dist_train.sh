#!/usr/bin/env bash
# Train with several processes. Without a GPU, GPUS is the number of processes on the CPU.
#   [NNODES=1 NODE_RANK=0 MASTER_ADDR=127.0.0.1 PORT=29500] dist_train.sh CONFIG GPUS [train.py options]
set -euo pipefail

if (($# < 2)); then
  echo "usage: $0 CONFIG GPUS [options of train.py]" >&2
  exit 2
fi
config=$1
gpus=$2
shift 2

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
threads=$(($(nproc) / gpus))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
export PYTHONPATH=$tools/..${PYTHONPATH:+:$PYTHONPATH}

exec "${PYTHON:-python}" -m torch.distributed.run \
  --nnodes="${NNODES:-1}" \
  --node-rank="${NODE_RANK:-0}" \
  --master-addr="${MASTER_ADDR:-127.0.0.1}" \
  --master-port="${PORT:-29500}" \
  --nproc-per-node="$gpus" \
  "$tools/train.py" "$config" --launcher pytorch "$@"
