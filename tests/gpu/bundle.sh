#!/bin/bash
# Makes build-gpu/bundle.tar.xz: all that a bare machine with a GPU needs, with glibc 2.36 or newer and
# neither network nor compiler: the program, the GPU library without NCCL, the GPU's tests, Open MPI with
# its plugins, and every library but glibc's, the driver's and cuBLAS (which PyTorch brings). Unpacked, its
# gpu.sh runs the steps (tests/gpu/steps.sh).
#
#   tests/gpu.sh bundle [BUILD]
#
# BUILD: a finished build whose simulated GPU stands in for the real one, for trying it all without a GPU
# (tests/cli/test_bundle.sh). SPILLWAY_ARCH: what the real one is built for (90-real).
# BUNDLE: where it is made (build-gpu/bundle).
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=launch/setup.sh
. "$root/launch/setup.sh"
simulated=${1:-}
level=6 # of xz
[ -n "$simulated" ] && level=0
build=${simulated:-$root/build-gpu}
bundle=${BUNDLE:-$root/build-gpu/bundle}
most=$((64 << 20)) # bytes of the archive
# what is left to the machine: glibc, the driver's, and what is too large and comes with PyTorch
theirs='/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|cuda|cublas|cublasLt|nccl|nvidia-ml))\.so'

# libraries FILE…: the paths of those that they need and that the bundle brings.
libraries() { ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ "^/" { print $3 }' | grep -vE "$theirs" | sort -u; }
put() {
    local to=$bundle/$1
    shift
    mkdir -p "$to" && cp -L "$@" "$to/" || die "cannot copy $* to $to"
}
# strip_in FOLDER: debugging is for elsewhere. The simulated GPU finds shared memory by symbols.
strip_in() { find "$bundle/$1" -type f \( -perm -u+x -o -name '*.so*' \) -exec strip --strip-debug {} + 2>/dev/null; }

program() {
    local test
    if [ -n "$simulated" ]; then
        put bin "$build/spillway"
        for test in "$build"/tests/test_gpu_* "$build/tests/test_gpulib_graphs" "$build"/tests/measure_{gpu,decode,memory}; do
            [ -x "$test" ] || continue
            put bin "$test"
            mv "$bundle/bin/${test##*/}" "$bundle/bin/card_$(sed 's/test_gpu\(lib\)\?_/test_/' <<<"${test##*/}")"
        done
        mkdir -p "$bundle/lib"
        cp "$build/tests/libspillway_simgpu.so" "$bundle/lib/libspillway_cuda.so" || die "there is no simulated GPU in $build"
        cp "$build/tests/libspillway_simgpu.so" "$bundle/lib/" # test_graphs is linked with it
    else
        build_into "$build" "spillway spillway_cuda card_tests" -DCUDA=ON -DNCCL=OFF \
            "-DCMAKE_CUDA_ARCHITECTURES=${SPILLWAY_ARCH:-90-real}"
        put bin "$build/spillway" "$build"/tests/card_*
        put lib "$build/libspillway_cuda.so"
    fi
}
# Open MPI's own layout, so that OPAL_PREFIX finds it. Plugins for networks that are not there stay behind.
open_mpi() {
    local plugins plugin
    plugins=$(ompi_info --parsable --path pkglibdir | cut -d: -f3)
    local data
    data=$(ompi_info --parsable --path pkgdatadir | cut -d: -f3)
    [ -d "$plugins" ] && [ -d "$data" ] || die "ompi_info does not tell where Open MPI's plugins lie"
    put bin "$(command -v mpirun)" "$(command -v orted)"
    for plugin in "$plugins"/*.so; do
        ldd "$plugin" | grep -qE 'lib(uc[pst]|fabric|ibverbs|rdmacm|psm)' || put "${plugins#/usr/}" "$plugin"
    done
    mkdir -p "$bundle/${data#/usr/}"
    cp -rL "$data/." "$bundle/${data#/usr/}/"
    # shellcheck disable=SC2046 # several files
    put lib $(libraries "$bundle"/bin/* "$bundle/${plugins#/usr/}"/*.so "$bundle"/lib/*.so)
    for plugin in /usr/lib/*/pmix*/lib/pmix; do # PMIx's plugins, where they are apart
        [ -d "$plugin" ] && put "${plugin#/usr/}" "$plugin"/*.so
    done
}
# Eight layers of true shapes, and whole models; made-up weights need nothing else.
configs() {
    local name from
    for name in gpt-neox-20b opt-30b opt-66b; do
        from=$root/tests/plan/configs/$name/config.json
        put "whole/$name" "$from"
        mkdir -p "$bundle/cuts/$name"
        sed 's/"num_hidden_layers": *[0-9]*/"num_hidden_layers": 8/' "$from" >"$bundle/cuts/$name/config.json"
    done
    mkdir -p "$bundle/cuts/llama-8b"
    cat >"$bundle/cuts/llama-8b/config.json" <<'JSON'
{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 8,
 "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "rms_norm_eps": 1e-5,
 "rope_theta": 500000.0, "max_position_embeddings": 8192, "torch_dtype": "bfloat16"}
JSON
    mkdir -p "$bundle/tests/models"
    cp -r "$root/tests/models/tiny" "$bundle/tests/models/"
}

rm -rf "$bundle" "$bundle.tar.xz"
mkdir -p "$bundle" || die "cannot write to $bundle"
program
open_mpi
configs
strip_in bin
strip_in lib
put . "$root/tests/gpu/steps.sh" "$root/launch/setup.sh"
mv "$bundle/steps.sh" "$bundle/gpu.sh"
git -C "$root" log -1 --format='%h %cs' >"$bundle/commit" 2>/dev/null || echo unknown >"$bundle/commit"
tar -C "$bundle" -cf - . | xz -T0 "-$level" >"$bundle.tar.xz" || die "cannot write $bundle.tar.xz"
bytes=$(stat -c %s "$bundle.tar.xz")
[ "$bytes" -le $most ] || die "$bundle.tar.xz has $bytes bytes, more than $most"
say "$bundle.tar.xz: $bytes bytes, of which the machine may be given $most"
