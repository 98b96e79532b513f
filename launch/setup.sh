# setup.sh: what smallbatch is built and tested with: Debian's packages, the programs, the demo's photographs, the peers that tests and
# benchmarks compare with. Sourced; $root is the project's folder.
# shellcheck shell=bash disable=SC2034,SC2154
say() { printf '%s\n' "$*"; }
die() { printf 'run: %s\n' "$*" >&2; exit 1; }

build_packages="gcc make pkg-config libvips-dev libtiff-dev libjpeg-dev libzmq3-dev libmsgpack-dev libyaml-dev libjansson-dev libdnnl-dev libcsv-dev libncurses-dev liblapacke-dev liblbfgs-dev libprotobuf-c-dev protobuf-c-compiler zlib1g-dev gnuplot-nox"
check_packages="libcmocka-dev g++ python3 python3-pip python3-torch python3-torchvision python3-numpy python3-sklearn python3-pil shellcheck cppcheck clang-format clang-tidy spin chromium"

# Installs what is missing of the named Debian packages.
need() {
    local missing=() package sudo=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
        if [ "$package" = libmsgpack-dev ] && dpkg-query -W -f '${Status}' libmsgpack-c-dev 2>/dev/null | grep -q 'ok installed'; then continue; fi
        missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    [ -z "$sudo" ] || command -v sudo >/dev/null || die "these Debian packages are missing and there is no sudo: ${missing[*]}"
    say "installing ${missing[*]}"
    $sudo apt-get update -qq >/dev/null 2>&1 || true
    if ! apt-cache show libmsgpack-dev >/dev/null 2>&1; then missing=("${missing[@]/#libmsgpack-dev/libmsgpack-c-dev}"); fi
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/tmp/smallbatch-apt.$$ 2>&1 ||
        { tail -n 5 /tmp/smallbatch-apt.$$ >&2; die "apt-get could not install ${missing[*]}"; }
    rm -f /tmp/smallbatch-apt.$$
}

# Makes target $1, unless all of it is current: the project's folder may be one that cannot be written.
build() {
    [ -z "${SB_BUILD:-}" ] || return 0
    ! make -q -s -C "$root" "$1" >/dev/null 2>&1 || return 0
    # shellcheck disable=SC2086
    need $build_packages
    local log=$root/build/make.log
    if ! { mkdir -p "$root/build" && : >"$log"; }; then die "$root is not built, and cannot be written"; fi
    if ! make -j"$(nproc)" -C "$root" "$1" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        die "the build failed; all of it is in $log"
    fi
}

# From PyPI, since Debian has neither: what our encoders are compared with. Tests that have to do without skip.
fetch_timm() {
    [ ! -d "$root"/build/timm ] || return 0
    rm -rf "$root"/build/timm.new
    local packages=(timm==1.0.31 safetensors==0.8.0)
    if /usr/bin/python3 -m pip install -q --no-deps --no-compile --root-user-action=ignore --target "$root"/build/timm.new "${packages[@]}" >"$root"/build/timm.log 2>&1; then
        mv "$root"/build/timm.new "$root"/build/timm
    else
        say "timm cannot be had from PyPI ($root/build/timm.log says why): what is compared with it is skipped"
    fi
}

# From PyPI, 7 MB: TensorBoard's reader and its projector, which read what we write for them (tests/pipeline/tensorboard.py). Of what TensorBoard
# needs, what these two do; the test skips without.
fetch_tensorboard() {
    [ ! -d "$root"/build/tensorboard ] || return 0
    rm -rf "$root"/build/tensorboard.new
    local packages=(tensorboard==2.21.0 protobuf==6.33.2 absl-py==2.3.1 werkzeug==3.1.4 markupsafe==3.0.3)
    if /usr/bin/python3 -m pip install -q --no-deps --no-compile --root-user-action=ignore --target "$root"/build/tensorboard.new "${packages[@]}" >"$root"/build/tensorboard.log 2>&1; then
        mv "$root"/build/tensorboard.new "$root"/build/tensorboard
    else
        say "TensorBoard cannot be had from PyPI ($root/build/tensorboard.log says why): what is written for it is not read with it"
    fi
}

# From PyPI where the CUDA toolkit has come without them: what machine code is read with (tests/cuda/sass.py), which skips without.
fetch_disassembler() {
    local toolkit=${CUDA:-/usr/local/cuda}/bin
    if [ ! -x "$toolkit/nvcc" ] || [ -x "$toolkit/nvdisasm" ] || [ -d "$root"/build/disassembler ]; then return 0; fi
    rm -rf "$root"/build/disassembler.new
    local packages=(nvidia-cuda-nvdisasm==13.5.37 nvidia-cuda-cuobjdump==13.5.37)
    if /usr/bin/python3 -m pip install -q --no-deps --no-compile --root-user-action=ignore --target "$root"/build/disassembler.new "${packages[@]}" >"$root"/build/disassembler.log 2>&1; then
        mv "$root"/build/disassembler.new "$root"/build/disassembler
    else
        say "nvdisasm cannot be had from PyPI ($root/build/disassembler.log says why): machine code is not looked at"
    fi
}

# For the peers of ./run bench, not installed: Debian's PyTorch multiplies with whatever BLAS there is, and the
# reference one is many times slower.
fetch_openblas() {
    [ ! -d "$root"/build/openblas ] || return 0
    local archive
    rm -rf "$root"/build/openblas.new
    mkdir -p "$root"/build/openblas.new
    (cd "$root"/build/openblas.new && apt-get download -qq libopenblas0-pthread libgfortran5 >/dev/null 2>&1) ||
        die "OpenBLAS cannot be had from Debian's archive, and the bench's peers would be slow without it"
    for archive in "$root"/build/openblas.new/*.deb; do dpkg -x "$archive" "$root"/build/openblas.new || die "dpkg cannot unpack $archive"; done
    mv "$root"/build/openblas.new "$root"/build/openblas
}

# PyTorch of today from PyPI, for `./run bench --peer=pypi`. Its wheel wants NVIDIA's libraries even where there is no GPU.
fetch_pytorch() {
    [ ! -d "$root"/build/pytorch ] || return 0
    rm -rf "$root"/build/pytorch.new
    say "fetching PyTorch from PyPI, with what its wheel wants: about 3 GB, and 5 GB in $root/build/pytorch"
    /usr/bin/python3 -m pip install -q --no-compile --no-cache-dir --root-user-action=ignore --target "$root"/build/pytorch.new torch torchvision >"$root"/build/pytorch.log 2>&1 ||
        die "PyTorch cannot be had from PyPI ($root/build/pytorch.log says why); without --peer=pypi the peer is Debian's"
    mv "$root"/build/pytorch.new "$root"/build/pytorch
}

# The demo's photographs, from Debian's archive, not installed; by one process at a time.
fetch_photographs() {
    mkdir -p "$root"/data/demo
    (flock 9 && { [ -f "$root"/data/demo/.complete ] || unpack_photographs; }) 9<"$root"/data/demo || exit 1
}

unpack_photographs() {
    say "fetching 14 photographs (27 MB) from Debian's archive"
    local folder
    folder=$(mktemp -d) || exit 1
    # shellcheck disable=SC2064
    trap "rm -rf '$folder'" EXIT
    (cd "$folder" && apt-get download -qq lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 >/dev/null 2>&1) ||
        { (apt-get update -qq || sudo apt-get update -qq) >/dev/null 2>&1
          (cd "$folder" && apt-get download -qq lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 >/dev/null 2>&1) ||
              die "apt-get could not download lomiri-wallpapers-16.04 and lomiri-wallpapers-20.04"; }
    local package
    for package in "$folder"/*.deb; do dpkg-deb -x "$package" "$folder" || die "dpkg-deb could not unpack $package"; done
    local file
    for file in "$folder"/usr/share/backgrounds/*.jpg; do
        case ${file##*/} in analogpattern* | umang* | Fossa* | Infinite-Sea* | Painting*) continue ;; esac # drawn, not photographed
        cp "$file" "$root"/data/demo/ || exit 1
    done
    touch "$root"/data/demo/.complete
}
