#!/usr/bin/env bash
# From nothing to data keys sealed in a token, checked: see "deploy/quickstart.sh --help".
set -euo pipefail
export LC_ALL=C # numbers with a point, whatever the user's language

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly repository
# shellcheck source=deploy/quickstart/server.sh
source "$repository/deploy/quickstart/server.sh"
# shellcheck source=deploy/quickstart/table.sh
source "$repository/deploy/quickstart/table.sh"
# shellcheck source=deploy/quickstart/checks.sh
source "$repository/deploy/quickstart/checks.sh"
# shellcheck source=deploy/quickstart/authority.sh
source "$repository/deploy/quickstart/authority.sh"
# shellcheck source=deploy/quickstart/lifecycle.sh
source "$repository/deploy/quickstart/lifecycle.sh"

readonly default_home_name=strongroom-quickstart
readonly alias_name=alias/demo

usage() {
  cat <<END
Usage: deploy/quickstart.sh [--serve] [--json FILE] [--home DIR] [--bin DIR]

Installs the Debian packages that are missing (as root), builds, makes a SoftHSM token with a random
PIN and certificates of an authority of its own, starts strongroomd on a unix socket and on loopback
TCP with TLS, creates a key with $alias_name and a policy, rotates it once, and runs every data-key
operation of both services through the strongroom command. Each result is opened again and checked,
and refused to whoever gives another binding. Prints a table; shows a caller who is denied, verifies
the audit trail, signs with a private key inside the token and verifies outside, and shows the key
rotated by the server itself. A second run uses the token and the key that are there.

  --serve      leave the server running in the foreground; Ctrl-C stops it
  --json FILE  write the table as JSON too
  --home DIR   where the token, its PIN, the certificates, the database and the audit trail are kept;
               only you can read it
               [\$STRONGROOM_HOME, else ~/.local/share/$default_home_name,
               else \${TMPDIR:-/tmp}/$default_home_name-UID]
  --bin DIR    use strongroomd, strongroom and init_token from DIR; install and build nothing
  --help       show this

KmsService is called through the unix socket, as an operator; KmsInstanceService through TCP, as an
application with a client certificate. Times are of the whole command, its start included. For trying
out: deploy/README.md says what production is like.

Exit codes: 0 all is well, 1 something failed, 64 wrong arguments.
END
}

say() { printf '==> %s\n' "$*"; }

fail() {
  printf 'quickstart: %s\n' "$*" >&2
  exit 1
}

wrong_arguments() {
  printf 'quickstart: %s; see deploy/quickstart.sh --help\n' "$*" >&2
  exit 64
}

parse_arguments() {
  serve=false json_file='' home=${STRONGROOM_HOME:-} bin=''
  while (($# > 0)); do
    case $1 in
      --serve) serve=true ;;
      --json | --home | --bin)
        [[ -n ${2:-} ]] || wrong_arguments "$1 takes a value"
        case $1 in
          --json) json_file=$2 ;;
          --home) home=$2 ;;
          --bin) bin=$2 ;;
        esac
        shift
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) wrong_arguments "$1 is not an option" ;;
    esac
    shift
  done
  # Known before minutes of building.
  if [[ -n $json_file ]]; then
    touch -- "$json_file" 2>/dev/null || fail "cannot write $json_file"
  fi
}

home_is_usable() { [[ -n ${HOME:-} && -d $HOME && -w $HOME ]]; }

# Makes the folder of all that is kept: only its owner can look into it.
prepare_home() {
  if [[ -z $home ]] && home_is_usable; then
    home=$HOME/.local/share/$default_home_name
  elif [[ -z $home ]]; then
    home=${TMPDIR:-/tmp}/$default_home_name-$UID
  fi
  home=$(realpath --canonicalize-missing --no-symlinks -- "$home")
  # It goes into configuration files and an address.
  [[ $home =~ ^[[:alnum:]/._@+-]+$ ]] ||
    fail "the path $home has characters other than letters, digits and /._@+-; use --home"
  readonly home socket=$home/strongroom.sock
  # A unix socket's path has at most 107 bytes.
  ((${#socket} <= 107)) || fail "the path $socket is too long for a socket; use --home"
  mkdir -p -- "$home" || fail "cannot make $home; name another folder with --home"
  # Under /tmp, somebody else could have made it.
  [[ -O $home && ! -L $home ]] || fail "$home is a link or not yours; name another with --home"
  chmod 0700 "$home"
}

# Sets `bin` to the folder with the programs.
build() {
  say 'Installing what is missing'
  "$repository/deploy/install-packages.sh" build || exit
  say 'Building (minutes the first time)'
  in_bazel build //server:strongroomd //client:strongroom \
    //deploy/softhsm:init_token || fail 'the build failed'
  local output
  output=$(in_bazel info bazel-bin 2>/dev/null) ||
    fail 'bazel does not say where it built'
  bin=$home/bin
  mkdir -p "$bin"
  # Copies, so that a later build does not change what runs.
  cp --force --dereference --target-directory="$bin" \
    "$output/server/strongroomd" "$output/client/strongroom" "$output/deploy/softhsm/init_token"
}

in_bazel() {
  local -a startup=()
  # Bazel keeps what it built under HOME.
  home_is_usable || startup=("--output_user_root=$home/bazel")
  (cd "$repository" && bazel "${startup[@]}" "$@")
}

check_programs() {
  local program
  bin=$(realpath --canonicalize-missing -- "$bin")
  for program in strongroomd strongroom init_token; do
    [[ -x $bin/$program ]] || fail "there is no program $bin/$program"
  done
}

# Keeps a second run off the same folder, until this one ends.
lock_home() {
  exec {lock}>"$home/lock"
  flock --nonblock "$lock" || fail "another quickstart is using $home"
}

# A folder in memory, where there is one: key bytes do not reach a disk.
make_work_folder() {
  local parent=$home
  [[ -d /dev/shm && -w /dev/shm ]] && parent=/dev/shm
  work=$(mktemp -d "$parent/strongroom-quickstart.XXXXXX") # 0700
}

clean_up() {
  stop_server
  [[ -z $work ]] || rm -rf -- "$work"
}

# Leaves the server running until it is told to stop.
serve() {
  trap 'printf "\n"; exit 0' INT TERM
  cat <<END

strongroomd is serving; Ctrl-C stops it. Its log is $server_log
  unix:$socket (as principal "quickstart")
  $tcp_address (TLS: with $tls/application.pem and .key as
      principal "$trust_domain/application")
Try:
  $bin/strongroom --address unix:$socket data-key generate \\
      --key-id $alias_name --ciphertext-out demo.blob --plaintext-out demo.key
END
  wait "$server_pid" || true
  server_failed 'strongroomd stopped'
}

main() {
  parse_arguments "$@"
  # The command's own variables are for other servers than the one started here.
  unset "${!STRONGROOM_@}"
  work='' server_pid='' caller=application
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP

  prepare_home
  [[ -n $bin ]] || build
  check_programs
  lock_home
  make_work_folder
  say "Preparing the token and certificates in $home"
  prepare_certificates
  prepare_token
  say 'Starting strongroomd'
  start_server
  prepare_key
  say "Running every data-key operation under $alias_name ($key_id); sizes in bytes"
  check_everything
  check_authority
  check_signature
  check_automatic_rotation
  [[ -z $json_file ]] || write_json "$json_file"
  report_outcome
  if $serve; then
    ((failed_rows == 0)) || printf 'quickstart: serving in spite of the failures\n' >&2
    serve
  fi
  stop_server
  ((failed_rows == 0))
}

main "$@"
