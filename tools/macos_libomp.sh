#!/usr/bin/env bash
# macos_libomp.sh PREFIX: build LLVM's OpenMP library for the deployment target of the wheels and install it.
#
# Homebrew's library runs on its own macOS and later only, so delocate refuses it. The commit's name is its checksum:
# git refuses anything else. This copy registers itself in the process under a name of its own: two copies of libomp
# with one name (torch has one, scikit-learn has one) end the process.
set -euo pipefail
prefix=$1
commit=87f0227cb60147a26a1eeb4fb06e3b505e9c7261 # llvmorg-20.1.8
export MACOSX_DEPLOYMENT_TARGET=${MACOSX_DEPLOYMENT_TARGET:-11.0}

source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cd "$source"
git init -q .
git remote add origin https://github.com/llvm/llvm-project.git
git sparse-checkout set openmp cmake
git fetch -q --depth 1 --filter=blob:none origin "$commit"
git checkout -q "$commit"
sed -i.orig 's/__KMP_REGISTERED_LIB_/__QUANTNN_KMP_LIB_/' openmp/runtime/src/kmp_runtime.cpp
test "$(grep -c __QUANTNN_KMP_LIB_ openmp/runtime/src/kmp_runtime.cpp)" -ge 2
cmake -S openmp -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$prefix" \
  -DOPENMP_STANDALONE_BUILD=ON -DOPENMP_ENABLE_LIBOMPTARGET=OFF -DLIBOMP_INSTALL_ALIASES=OFF \
  -DCMAKE_INSTALL_NAME_DIR="$prefix/lib"
cmake --build build --target install --parallel
test -f "$prefix/include/omp.h" && test -f "$prefix/lib/libomp.dylib"
