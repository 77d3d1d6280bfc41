#!/usr/bin/env bash
# Installs the Debian 12 packages that Strongroom needs. Does nothing if all are there.
set -euo pipefail

usage() {
  cat <<'END'
Usage: deploy/install-packages.sh [build|test]

  build  what building and running needs (the default)
  test   that, and what tests/run.sh needs

Exit codes: 0 all are installed, 1 some are missing and cannot be installed, 64 wrong arguments.
END
}

# Bazel, the compiler and what the code links with. deploy/docker/Dockerfile lists the runtime half.
readonly build_packages=(
  bazel-bootstrap bazel-rules-java  # the build itself; without network
  g++
  golang-github-gogo-googleapis-dev # google/rpc/*.proto
  grpc-proto                        # grpc/health/v1/health.proto
  libabsl-dev
  libcli11-dev
  libgoogle-perftools-dev           # tcmalloc
  libgrpc++-dev
  libp11-kit-dev                    # the PKCS#11 header, token URIs
  libprotobuf-dev
  libsofthsm2                       # the token
  libspdlog-dev
  libsqlite3-dev
  libssl-dev
  libyaml-cpp-dev
  nlohmann-json3-dev
  openssl                           # quickstart.sh checks keys with it
  protobuf-compiler
  protobuf-compiler-grpc
)

readonly test_packages=(
  clang libclang-rt-14-dev # lock annotations; sanitizers
  clang-format
  faketime                 # days pass in the end-to-end tests
  jq
  libgmock-dev
  libgtest-dev
  python3-grpcio           # a client that is not ours
  python3-protobuf
  python3-pytest
  softhsm2
  systemd                  # systemd-analyze
)

is_installed() {
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

main() {
  local purpose=${1:-build}
  local -a wanted=("${build_packages[@]}")
  case $purpose in
    build) ;;
    test) wanted+=("${test_packages[@]}") ;;
    -h | --help)
      usage
      return
      ;;
    *)
      usage >&2
      return 64
      ;;
  esac
  if (($# > 1)); then
    usage >&2
    return 64
  fi

  local -a missing=()
  local package
  for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0

  if ((EUID != 0)); then
    printf 'Packages are missing: %s\nAs root, run: %s %s\n' \
      "${missing[*]}" "$(realpath "${BASH_SOURCE[0]}")" "$purpose" >&2
    return 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install --yes -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}"
}

main "$@"
