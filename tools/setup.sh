# The other tools source this file; it is not a command.
#
# It makes the virtual environment .venv at the repository's root and keeps it up to date:
#   ensure_env demo   the package and what it needs to run; torch only where the native engine cannot be built
#   ensure_env torch  the same, and torch
#   ensure_env docs   the first, and what builds the documentation
#   ensure_env test   all of these, and the checkers, the tests' tools and the reference codecs.
#                     As root it also installs the Debian packages that the tests need; otherwise it says which are missing
#   ensure_corpus     the first, and what tools/corpus resamples and synthesises speech with (corpus.txt)
#   ensure_listen     the first, and soxr, which tools/listen resamples with
#   ensure_quality    the second, and what tools/quality measures with (quality.txt); with "pesq" PESQ too
#   ensure_fuzz       the second, and what tools/fuzz fuzzes with (fuzz.txt)
# Each level leaves a stamp in .venv: a hash of everything that decides what is installed. So a second call does nothing
# until one of these files changes. PYTHON=/path/to/python3.x chooses the interpreter of a new environment.

# Without CDPATH, with which cd goes elsewhere, or prints where it went.
ROOT="$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="$ROOT/.venv"
PY="$VENV/bin/python"

say() { printf '== %s\n' "$*"; }

die() {
    printf '!! %s\n' "$*" >&2
    exit 1
}

# True if apt-get can be used.
may_install() { command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; }

install_debian() {
    say "installing Debian packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null && return 0
    say "installing $* failed: install them by hand"
    return 1
}

# True if this package runs on the Python $1, and that Python can make a virtual environment with pip.
usable_python() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Prints the first usable interpreter. 3.11 comes first: the pinned versions are tested with it.
find_python() {
    local candidate candidates=(python3.11 python3.12 python3.13 python3)
    if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if usable_python "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# Installs Python with venv, as root on Debian and Ubuntu. Elsewhere it says what is missing.
install_python() {
    local need="Python 3.11 or newer with its venv module"
    if [ -n "${PYTHON:-}" ]; then
        die "PYTHON=$PYTHON is not $need"
    elif ! command -v apt-get >/dev/null 2>&1; then
        die "$need is missing: install it, or name it with PYTHON=/path/to/python3"
    elif [ "$(id -u)" -ne 0 ]; then
        die "$need is missing: run 'sudo apt-get install python3 python3-venv' (python3.11 python3.11-venv where python3 is older), then this command again"
    fi
    install_debian python3 python3-venv || exit 1
    if ! find_python >/dev/null; then
        say "python3 is older than 3.11: installing python3.11 python3.11-venv"
        install_debian python3.11 python3.11-venv || exit 1
    fi
}

# True if there is a Node with a WebSocket: built in (22), behind a switch (20.10), or from Debian's package.
node_has_websocket() {
    node -e 'process.exit(typeof WebSocket === "function" ? 0 : 1)' || node --experimental-websocket -e 0 ||
        { command -v node && [ -e /usr/share/nodejs/ws/wrapper.mjs ]; }
} >/dev/null 2>&1

# What the tests need from the system: shells to complete in, virtual sound devices, Opus to compare with, a browser and
# Node for the page and its client, and an emulated 64-bit Arm for the native engine. Installed as root on Debian and
# Ubuntu. Elsewhere this says what is missing.
install_for_tests() {
    local missing=() program
    PATH="$PATH:/sbin" ldconfig -p 2>/dev/null | grep 'libportaudio\.so\.2' >/dev/null || missing+=(libportaudio2)
    compgen -G '/usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so' >/dev/null || missing+=(libasound2-plugins)
    for program in pulseaudio ffmpeg sox lame chromium zsh fish; do
        command -v "$program" >/dev/null 2>&1 || missing+=("$program")
    done
    command -v node >/dev/null 2>&1 || missing+=(nodejs node-ws)
    node_has_websocket || missing+=(node-ws)
    if [ "$(uname -m)" = x86_64 ] && compiler >/dev/null 2>&1; then
        command -v qemu-aarch64 >/dev/null 2>&1 || missing+=(qemu-user)
        command -v aarch64-linux-gnu-g++ >/dev/null 2>&1 || missing+=(g++-aarch64-linux-gnu)
    fi
    if [ ${#missing[@]} -eq 0 ]; then return 0; fi
    if may_install; then
        install_debian "${missing[@]}" || exit 1
    else
        say "missing for some tests: run 'sudo apt-get install ${missing[*]}' (Debian and Ubuntu)"
    fi
}

# The C++ compiler that the native engine is built with, if there is one.
compiler() { command -v "${CXX:-c++}" || command -v g++ || command -v clang++; }

# The native engine needs a C++ compiler. It is installed as root on Debian and Ubuntu. Elsewhere the package computes
# with torch, and this says what to install. pip brings CMake and Ninja if they are missing.
offer_compiler() {
    if compiler >/dev/null 2>&1 || [ "${STREAMRVQ_NATIVE:-}" = 0 ]; then return 0; fi
    if may_install && install_debian g++; then return 0; fi
    say "no C++ compiler: streamrvq will compute with torch. For the native engine, which is faster and smaller, install one (Debian: g++) and run this again"
}

# A SHA-256 of stdin. macOS has shasum, Linux sha256sum.
sha256() { if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi; }

# Waits until no other tool changes .venv, and keeps others waiting until descriptor 9 is closed. macOS has no flock(1).
# There Python takes the same lock: it is the descriptor's, so it outlives that Python and ends with this shell. A folder as
# the lock would outlive a shell that is killed. Without any Python there is nothing yet to protect.
take_turn() {
    local python
    exec 9>"$ROOT/.venv.lock"
    if command -v flock >/dev/null 2>&1; then
        flock 9
    elif python="$(find_python)"; then
        "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
    fi
}

# The hash of everything that decides what is in the environment.
env_hash() {
    {
        printf '%s\n' "$ROOT"
        "$PY" -c 'import sys; print(sys.version)'
        grep __version__ "$ROOT/streamrvq/__init__.py"
        cat "$ROOT/pyproject.toml" "$ROOT/tools/constraints.txt" "$ROOT/tools/reference.txt" "$ROOT/tools/setup.sh" "$ROOT/tools/hatch_build.py"
        find "$ROOT/streamrvq/engine/native" \( -name CMakeLists.txt -o -name '*.[ch]pp' \) -print0 | LC_ALL=C sort -z | xargs -0 cat
        compiler || true
    } | sha256 | cut -d ' ' -f 1
}

pip_install() {
    "$PY" -m pip --quiet --quiet --disable-pip-version-check --no-input install -c "$ROOT/tools/constraints.txt" "$@"
}

# torch alone, at its pinned version: resolved together with the rest, it may be downloaded more than once.
install_torch() {
    local pinned
    pinned="$(grep '^torch==' "$ROOT/tools/constraints.txt")"
    say "installing $pinned"
    pip_install "$pinned"
}

# True if the package in the environment can compute without torch.
native_engine() { "$PY" -c 'from streamrvq.engine.native.library import load_library; load_library()' 2>/dev/null; }

install_into_env() {
    case "$1" in torch | test) install_torch ;; esac
    if [ "$1" = test ]; then
        say "installing streamrvq (editable), the checkers, the tests' tools, the documentation's and the reference codecs"
        pip_install --no-warn-conflicts -e "$ROOT[corpus,cuda,dev,docs,ray,reference,torch,uvloop]"
        pip_install --no-deps -r "$ROOT/tools/reference.txt"
        return
    elif [ "$1" = docs ]; then
        say "installing streamrvq (editable) and what builds the documentation"
        pip_install --no-warn-conflicts -e "$ROOT[docs]"
    else
        say "installing streamrvq (editable) and what it needs to run"
        pip_install --no-warn-conflicts -e "$ROOT"
    fi
    # Also for the documentation: its environment counts as one that tools/demo can use.
    if ! native_engine && ! "$PY" -c 'import torch' 2>/dev/null; then
        say "there is no native engine: torch computes instead"
        install_torch
    fi
}

# True if the environment has everything of level $1 at the hash $2. A larger level contains the smaller ones.
env_has() {
    local level levels=(demo torch docs test)
    case "$1" in
    torch) levels=(torch test) ;;
    docs) levels=(docs test) ;;
    test) levels=(test) ;;
    esac
    for level in "${levels[@]}"; do
        if [ "$(cat "$VENV/.stamp-$level" 2>/dev/null)" = "$2" ]; then return 0; fi
    done
    return 1
}

ensure_env() {
    local level="$1" python hash
    if [ "$level" = test ]; then install_for_tests; fi
    take_turn
    if [ ! -x "$PY" ] || ! "$PY" -m pip --version >/dev/null 2>&1; then
        find_python >/dev/null || install_python
        python="$(find_python)" || die "no usable Python was found after installing python3-venv"
        say "making .venv with $python"
        rm -rf "$VENV"
        "$python" -m venv "$VENV"
    fi
    offer_compiler
    hash="$(env_hash)"
    if ! env_has "$level" "$hash"; then
        rm -f "$VENV"/.stamp-{demo,torch,docs,test}
        install_into_env "$level"
        printf '%s\n' "$hash" >"$VENV/.stamp-$level"
    fi
    exec 9>&-
}

# Installs, as root on Debian, the packages of the programs that are missing: need_programs PROGRAM:PACKAGES …
need_programs() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=(${pair#*:})
    done
    if [ ${#missing[@]} -eq 0 ]; then return 0; fi
    may_install || die "programs are missing: install the Debian packages ${missing[*]} (sudo apt-get install ${missing[*]}), then run this command again"
    install_debian "${missing[@]}" || exit 1
}

ensure_corpus() {
    ensure_env demo
    take_turn
    "$PY" -c "import onnxruntime, soxr" 2>/dev/null || pip_install -r "$ROOT/tools/corpus.txt"
    exec 9>&-
}

ensure_listen() {
    ensure_env demo
    take_turn
    "$PY" -c "import soxr" 2>/dev/null || pip_install soxr || return
    exec 9>&-
}

ensure_quality() {
    local hash
    ensure_env torch
    need_programs ffmpeg:ffmpeg
    take_turn
    hash="$(env_hash) $(sha256 <"$ROOT/tools/quality.txt")"
    if [ "$(cat "$VENV/.stamp-quality" 2>/dev/null)" != "$hash" ]; then
        say "installing what tools/quality measures with"
        pip_install --no-warn-conflicts -r "$ROOT/tools/quality.txt"
        printf '%s\n' "$hash" >"$VENV/.stamp-quality"
    fi
    if [ "${1:-}" = pesq ] && ! "$PY" -c 'import pesq' 2>/dev/null; then
        need_programs "cc:gcc libc6-dev"
        if ! "$PY" -c 'import os, sysconfig; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null; then
            need_programs "no-python-headers:python$("$PY" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-dev"
        fi
        say "installing PESQ"
        pip_install -r "$ROOT/tools/quality-pesq.txt"
    fi
    exec 9>&-
}

ensure_fuzz() {
    local hash
    ensure_env torch
    take_turn
    hash="$(env_hash) $(sha256 <"$ROOT/tools/fuzz.txt")"
    if [ "$(cat "$VENV/.stamp-fuzz" 2>/dev/null)" != "$hash" ]; then
        say "installing what tools/fuzz fuzzes with"
        # atheris comes as a wheel or not at all: from source it needs a compiler of its own.
        pip_install --no-warn-conflicts --only-binary atheris -r "$ROOT/tools/fuzz.txt" 2>"$VENV/fuzz.log" ||
            die "atheris cannot be installed for $("$PY" -V) on $(uname -sm), which may have no wheel of it: fuzz on Linux with Python 3.11 to 3.13 (pip's words are in .venv/fuzz.log)"
        printf '%s\n' "$hash" >"$VENV/.stamp-fuzz"
    fi
    exec 9>&-
}
