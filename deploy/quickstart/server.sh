# shellcheck shell=bash disable=SC2034,SC2154 # it shares its variables with quickstart.sh
# Part of quickstart.sh: the token, the certificates, the server and the key.

readonly token_label=strongroom-quickstart
# Of the principals' SPIFFE ids.
readonly trust_domain=spiffe://quickstart.example
readonly start_seconds=30
# More than the configuration's shutdown_grace_seconds.
readonly stop_seconds=15

random_pin() { head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# Makes the token unless it is there. Its PINs are in files for their owner only, and never on a
# command line, where other users could read them.
prepare_token() {
  local old_umask
  old_umask=$(umask)
  umask 077
  mkdir -p "$home/tokens"
  local name
  for name in pin so-pin; do
    [[ -s $home/$name ]] || random_pin >"$home/$name"
  done
  cat >"$home/softhsm2.conf" <<END
# Written by deploy/quickstart.sh.
directories.tokendir = $home/tokens
objectstore.backend = file
log.level = ERROR
END
  cat >"$home/strongroomd.yaml" <<END
# Written by deploy/quickstart.sh, for trying out. deploy/strongroomd.yaml is for production.
listen:
  unix:
    - path: $socket
      principal: quickstart
  tcp:
    - address: 127.0.0.1:0  # a free port
tls:
  certificate: $tls/server.pem
  private_key: $tls/server.key
  client_ca: $tls/ca.pem
policy:
  # What the application may do with the key is in the key's own policy.
  - id: operator
    principals: [quickstart]
    operations: ["*"]
  - id: random-bytes
    principals: ["$trust_domain/*"]
    operations: [GenerateRandom]
audit:
  directory: $home/audit
token:
  module: /usr/lib/softhsm/libsofthsm2.so
  token: $token_label
  pin_file: $home/pin
store:
  path: $home/strongroom.db
reservoir:
  path: $home/pairs.db
  pairs: {RSA_2048: 2, RSA_3072: 1, RSA_4096: 1, EC_P256: 4}
END
  umask "$old_umask"
  SOFTHSM2_CONF=$home/softhsm2.conf "$bin/init_token" --label "$token_label" \
    --pin-file "$home/pin" --so-pin-file "$home/so-pin" || fail 'cannot make the token'
}

# Makes an authority, and certificates of it for the server, for an application that will get leave,
# and for a stranger who will get none: for a month, anew if they run out tomorrow. Sets tls.
prepare_certificates() {
  readonly tls=$home/tls
  local old_umask
  old_umask=$(umask)
  umask 077
  mkdir -p "$tls"
  if ! openssl x509 -in "$tls/stranger.pem" -noout -checkend 86400 >/dev/null 2>&1; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 31 \
      -subj '/CN=Strongroom quickstart authority' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
      -keyout "$tls/ca.key" -out "$tls/ca.pem" 2>/dev/null || fail 'cannot make an authority'
    issue server serverAuth 'DNS:localhost,IP:127.0.0.1'
    issue application clientAuth "URI:$trust_domain/application"
    issue stranger clientAuth "URI:$trust_domain/stranger"
  fi
  umask "$old_umask"
}

# issue NAME USAGE ALTERNATIVE-NAMES: a key and its certificate.
issue() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$tls/$1.key" -out "$tls/$1.csr" 2>/dev/null &&
    openssl x509 -req -in "$tls/$1.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -days 30 \
      -extfile <(printf 'extendedKeyUsage=%s\nsubjectAltName=%s\n' "$2" "$3") \
      -out "$tls/$1.pem" 2>/dev/null || fail "cannot make a certificate for $1"
  rm "$tls/$1.csr"
}

# start_server [CONFIG]: starts strongroomd and waits until it serves. Sets server_pid, server_log and
# tcp_address.
start_server() {
  server_log=$home/strongroomd.log
  # It must not hold on to the lock of this run.
  SOFTHSM2_CONF=$home/softhsm2.conf "$bin/strongroomd" --config "${1:-$home/strongroomd.yaml}" \
    >"$server_log" 2>&1 {lock}>&- &
  server_pid=$!
  local deadline=$((SECONDS + start_seconds))
  # The command waits and tries again by itself. The log is looked at too, for another server could
  # have answered.
  until ask KmsService health --timeout 1s && find_tcp_address; do
    server_runs || server_failed 'strongroomd did not start'
    ((SECONDS < deadline)) || server_failed "strongroomd does not serve after $start_seconds s"
  done
}

find_tcp_address() {
  tcp_address=$(sed -n 's/.*"event":"listening","address":"\(127[^"]*\)".*/\1/p' "$server_log")
  [[ -n $tcp_address ]]
}

server_runs() { [[ $(jobs -rp) == "$server_pid" ]]; }

# Ends this run with the server's last words.
server_failed() {
  tail -n 20 "$server_log" >&2
  fail "$1; its log is above, and whole in $server_log"
}

# Stops the server if it runs: calls under way end first, and nothing is left behind.
stop_server() {
  [[ -n $server_pid ]] || return 0
  local pid=$server_pid status=0
  server_pid=''
  kill -TERM "$pid" 2>/dev/null || true
  timeout "$stop_seconds" tail --pid="$pid" --sleep-interval=0.02 -f /dev/null ||
    kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" || status=$?
  ((status == 0)) || printf 'quickstart: strongroomd ended with status %s\n' "$status" >&2
}

# ask SERVICE COMMAND...: runs the strongroom command against the listener that stands for the
# service, over TCP with the certificate of the caller (the application, unless `caller` says
# otherwise). Sets ask_ms; the answer is in $work/answer, an error in $work/error, both in JSON.
ask() {
  local -a where=(--address "unix:$socket")
  if [[ $1 == KmsInstanceService ]]; then
    where=(--address "$tcp_address" --service instance --tls-ca "$tls/ca.pem"
      --tls-cert "$tls/$caller.pem" --tls-key "$tls/$caller.key")
  fi
  local begin=$EPOCHREALTIME status=0
  "$bin/strongroom" "${@:2}" "${where[@]}" --output json >"$work/answer" 2>"$work/error" ||
    status=$?
  ask_ms=$(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
  return "$status"
}

# answer_field NAME, error_field NAME: a text of the last answer or error, empty if there is none.
# They are of a kind that needs no escapes in JSON: ids and reasons.
answer_field() { json_text "$1" "$work/answer"; }
error_field() { json_text "$1" "$work/error"; }
json_text() {
  local pattern="\"$1\": ?\"([^\"]*)\""
  if [[ $(<"$2") =~ $pattern ]]; then printf '%s' "${BASH_REMATCH[1]}"; fi
}

# ask_or_fail COMMAND...: for what has to work before anything can be checked.
ask_or_fail() {
  ask KmsService "$@" || fail "strongroom $*: $(<"$work/error")"
}

# Creates the key with its alias, and a second version, unless they are there. Sets key_id,
# initial_version and primary_version.
prepare_key() {
  if ! ask KmsService key describe "$alias_name"; then
    [[ $(error_field reason) == Forbidden.AliasNotFound ]] ||
      fail "strongroom key describe: $(<"$work/error")"
    ask_or_fail key create --description 'quickstart'
    ask_or_fail alias create "$alias_name" --key-id "$(answer_field key_id)"
    ask_or_fail key describe "$alias_name"
  fi
  if [[ $(answer_field initial_key_version_id) == "$(answer_field primary_key_version_id)" ]]; then
    ask_or_fail key rotate "$alias_name"
    ask_or_fail key describe "$alias_name"
  fi
  key_id=$(answer_field key_id)
  cat >"$work/policy.json" <<END
{"statements": [{"statementId": "application", "principals": ["$trust_domain/application"],
                 "operations": ["group:use"]}]}
END
  ask_or_fail key policy put "$alias_name" --file "$work/policy.json"
  ask_or_fail key describe "$alias_name"
  initial_version=$(answer_field initial_key_version_id)
  primary_version=$(answer_field primary_key_version_id)
  [[ -n $initial_version && $initial_version != "$primary_version" ]] ||
    fail 'the key was rotated, and its initial and primary version are the same'
}
