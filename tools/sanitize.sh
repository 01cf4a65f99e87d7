#!/usr/bin/env bash
# sanitize.sh ENVIRONMENT address|thread [pytest arguments]: build quantnn with a sanitizer, install it in ENVIRONMENT
# (made anew) and run tests there.
#
#   address  GCC, AddressSanitizer and UndefinedBehaviorSanitizer
#   thread   Clang, ThreadSanitizer, and LLVM's OpenMP, whose tool Archer explains OpenMP's barriers to it
#
# Leaks are not looked for: Python and NumPy leave memory behind at exit.
set -euo pipefail
environment=$1 mode=$2
shift 2
python3 -m venv --clear "$environment"
flags="-O1 -g -fno-omit-frame-pointer"
# the compiler without CMakeLists.txt's optimization, with which a sanitized build takes an hour
compiler() { # NAME
  printf '#!/bin/bash\nfor a; do [[ $a = -O[23s] ]] || set -- "$@" "$a"; shift; done\nexec %s "$@"\n' "$1" >"$environment/compiler"
  chmod +x "$environment/compiler"
  CC=$(realpath "$environment/compiler")
  export CC
}
case $mode in
  address)
    compiler gcc
    export CFLAGS="$flags -fsanitize=address,undefined -fno-sanitize-recover=undefined"
    export LDFLAGS=-fsanitize=address,undefined
    # what a program may not get is a MemoryError, as without the sanitizer
    export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2000
    runtime="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
    run=(env UBSAN_OPTIONS=print_stacktrace=1)
    ;;
  thread)
    resources=$(clang -print-resource-dir)
    libraries=$(realpath "$resources/../..")
    compiler clang
    export CFLAGS="$flags -fsanitize=thread -shared-libsan"
    export LDFLAGS="-fsanitize=thread -shared-libsan -Wl,-rpath,$libraries"
    runtime=$(find -L "$resources" -name libclang_rt.tsan.so -o -name "libclang_rt.tsan-$(uname -m).so" | head -n 1)
    # without address randomization, which takes the sanitizer's place; OpenMP itself is not instrumented
    run=(setarch -R env OMP_TOOL_LIBRARIES="$libraries/libarcher.so"
      TSAN_OPTIONS="ignore_noninstrumented_modules=1 exitcode=66 allocator_may_return_null=1")
    ;;
  *)
    echo "no such mode: $mode" >&2
    exit 2
    ;;
esac
"$environment/bin/pip" install -q '.[test]' -C cmake.build-type=None -C install.strip=false -C "build-dir=build/$mode"
# memory from malloc, so that the sanitizer sees each of Python's allocations
exec "${run[@]}" LD_PRELOAD="$runtime" PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1 \
  "$environment/bin/python" -m pytest -p no:faulthandler -p no:cacheprovider "$@"
