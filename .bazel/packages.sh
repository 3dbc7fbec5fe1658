# shellcheck shell=bash
# Installing Debian packages, for server/run and tests/run, which source this file.

# What it takes to build the server.
BUILD_PACKAGES=(bazel-bootstrap gcc g++ libc6-dev libedit-dev libevent-dev liblz4-dev libseccomp-dev
    libssl-dev libxxhash-dev libzstd-dev)
export BUILD_PACKAGES

say() {
    printf '%s\n' "$*" >&2
}

is_debian_12() {
    [ -r /etc/os-release ] && (
        # shellcheck source=/dev/null
        . /etc/os-release
        [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ]
    )
}

# is_installed PACKAGE
is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# run_as_root COMMAND...
run_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "Installing packages needs root, and there is no sudo. As root, run: $*"
        return 1
    fi
}

# apt_install PACKAGE...
apt_install() {
    run_as_root apt-get update -qq &&
        run_as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@"
}

# install_packages PURPOSE PACKAGE... - installs those that are missing, and says which.
install_packages() {
    local purpose=$1 package log
    local -a missing=()

    shift
    if [ "${ZBCACHED_PACKAGES:-}" = by-hand ]; then
        return
    fi
    if ! is_debian_12; then
        say "This script installs packages on Debian 12 only. $purpose needs what these hold there:"
        say "    $*"
        say "Install them by hand, then set ZBCACHED_PACKAGES=by-hand to go on. Bazel must be 4.2."
        return 1
    fi
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return
    fi
    say "$purpose needs Debian packages that are missing. Installing: ${missing[*]}"
    say "(with what they depend on; this can take some minutes)"
    log=$(mktemp)
    if ! apt_install "${missing[@]}" </dev/null >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        say "Installing failed, see above."
        return 1
    fi
    rm -f "$log"
}
