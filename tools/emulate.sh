#!/usr/bin/env bash
# emulate.sh ENVIRONMENT CPU LEVEL [pytest arguments]: run tests on a processor that the machine does not have.
#
# ENVIRONMENT is a virtual environment with quantnn and pytest, CPU a model of QEMU's user mode (qemu-user), LEVEL the
# one that the detector should pick there. An instruction that the processor lacks ends the run. The environment's
# Python becomes one that starts the emulator, in the tests' own subprocesses too.
set -euo pipefail
environment=$1 cpu=$2 level=$3
shift 3
python=$environment/bin/python
if [ -L "$python" ]; then
  real=$(readlink -f "$python")
  rm "$environment"/bin/python*
  # shellcheck disable=SC2016  # the wrapper's own variables
  printf '#!/bin/sh\nexec qemu-%s -cpu "$QUANTNN_EMULATE" -0 "$0" %s "$@"\n' "$(uname -m)" "$real" >"$python"
  chmod +x "$python"
fi
# NumPy's BLAS picks too much for an emulated processor
QUANTNN_EMULATE=$cpu QUANTNN_EXPECT_ISA=$level OPENBLAS_CORETYPE=$([ "$(uname -m)" = x86_64 ] && echo Nehalem || echo ARMV8) \
  exec "$python" -m pytest -p no:cacheprovider "$@"
