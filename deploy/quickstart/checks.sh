# shellcheck shell=bash disable=SC2034,SC2154 # it shares its variables with quickstart.sh
# Part of quickstart.sh: one check for each operation, a row of the table for each check.
#
# A check seals, opens the result again as a caller of that operation would, and compares. It goes
# on after a problem, so that the table says all that is wrong.

readonly pair_specs=(RSA_2048 RSA_3072 RSA_4096 EC_P256 EC_P384 EC_P521 EC_P256K)
# What the strongroom command answers to InvalidCiphertext and the like.
readonly exit_invalid_request=3

check_everything() {
  local begin=$SECONDS
  print_heading
  check_data_key GenerateDataKey KmsService AES_256 32 --key-spec AES_256
  check_data_key GenerateDataKey KmsService AES_128 16 --key-spec AES_128
  check_data_key GenerateDataKey KmsService bytes 1024 --bytes 1024
  check_data_key GenerateDataKeyWithoutPlaintext KmsService AES_256 32 --key-spec AES_256
  check_data_key GenerateDataKeyWithoutPlaintext KmsService AES_128 16 --key-spec AES_128
  check_data_key GenerateDataKeyWithoutPlaintext KmsService bytes 1023 --bytes 1023
  check_batch
  local operation
  for operation in GenerateDataKey AdvanceGenerateDataKey; do
    check_data_key "$operation" KmsInstanceService AES_256 32 # the default
    check_data_key "$operation" KmsInstanceService bytes 1024 --bytes 1024
  done

  check_encrypt Encrypt KmsService
  check_encrypt Encrypt KmsInstanceService
  check_encrypt AdvanceEncrypt KmsInstanceService
  check_decrypt Decrypt KmsService
  check_decrypt Decrypt KmsInstanceService
  check_decrypt AdvanceDecrypt KmsInstanceService
  check_random KmsService
  check_random KmsInstanceService

  check_pairs GenerateDataKeyPair KmsService
  check_pairs GenerateDataKeyPairWithoutPlaintext KmsService
  check_pairs GenerateDataKeyPair KmsInstanceService
  check_pairs GenerateDataKeyPairWithoutPlaintext KmsInstanceService
  check_pairs AdvanceGenerateDataKeyPair KmsInstanceService
  check_pairs AdvanceGenerateDataKeyPairWithoutPlaintext KmsInstanceService
  check_seconds=$((SECONDS - begin))
}

# check_data_key OPERATION SERVICE SPEC BYTES OPTION...
check_data_key() {
  begin_check "$1" "$2" "$3" -
  local -a command=(data-key generate --plaintext-out "$row/secret")
  [[ $operation != *WithoutPlaintext ]] || command=(data-key generate-without-plaintext)
  if seal "${command[@]}" "${@:5}" && open_again && file_size "$row/opened"; then
    ((size == $4)) || problem "has $size bytes, not $4"
    refuse_other_binding
  fi
  end_check
}

# Many keys in one call, of which the first and the last are opened again.
check_batch() {
  begin_check BatchGenerateDataKey KmsService AES_256 -
  mkdir "$row/batch"
  if ask "$service" data-key batch --count 100 --key-id "$alias_name" "${binding[@]}" \
    --ciphertext-out-dir "$row/batch" --plaintext-out-dir "$row/batch"; then
    ms=$ask_ms
    expect_version "$(answer_field key_version_id)" 'the answer names'
    local number
    for number in 001 100; do
      rm -f -- "$row/opened"
      mv "$row/batch/$number.blob" "$row/blob"
      mv "$row/batch/$number.key" "$row/secret"
      open_again || break
    done
    refuse_other_binding
  else
    problem "failed: $(<"$work/error")"
  fi
  end_check
}

# check_pairs OPERATION SERVICE
check_pairs() {
  local pair_spec pair_format
  for pair_spec in "${pair_specs[@]}"; do
    for pair_format in PEM DER; do
      check_pair "$1" "$2" "$pair_spec" "$pair_format"
    done
  done
}

# check_pair OPERATION SERVICE SPEC FORMAT
check_pair() {
  begin_check "$@"
  local -a command=(data-key-pair generate)
  if [[ $operation == *WithoutPlaintext ]]; then
    command=(data-key-pair generate-without-plaintext)
  elif [[ $service == KmsInstanceService ]]; then
    command+=(--private-key-out "$row/secret")
  fi
  if seal "${command[@]}" --spec "$spec" --format "$format" --public-key-out "$row/public" &&
    open_again; then
    private_key_matches || problem 'the private key is not PKCS#8, or not that of the public key'
    refuse_other_binding
  fi
  end_check
}

# check_encrypt OPERATION SERVICE
check_encrypt() {
  begin_check "$@" bytes -
  if seal_own_bytes && open_again; then refuse_other_binding; fi
  end_check
}

# check_decrypt OPERATION SERVICE
check_decrypt() {
  begin_check "$@" bytes -
  if seal_own_bytes && open_again; then
    ms=$open_ms
    refuse_other_binding
  fi
  end_check
}

# check_random SERVICE
check_random() {
  local length=1024
  begin_check GenerateRandom "$1" bytes -
  version=-
  if ask "$service" random --bytes "$length" --plaintext-out "$row/opened" &&
    ms=$ask_ms &&
    ask "$service" random --bytes "$length" --plaintext-out "$row/other"; then
    file_size "$row/opened"
    ((size == length)) || problem "has $size bytes, not $length"
    ! cmp -s "$row/opened" "$row/other" || problem 'gave the same bytes twice'
  else
    problem "failed: $(<"$work/error")"
  fi
  end_check
}

# begin_check OPERATION SERVICE SPEC FORMAT: sets these and what follows from them, for the
# functions below.
begin_check() {
  operation=$1 service=$2 spec=$3 format=$4
  version=primary expected_version=$primary_version
  advance=()
  binding=(--context table=orders --context row=42)
  other_binding=(--context table=orders --context row=43)
  if [[ $service == KmsInstanceService ]]; then
    binding=(--aad row-42) other_binding=(--aad row-43)
    if [[ $operation == Advance* ]]; then
      advance=(--advance)
    else
      version=initial expected_version=$initial_version
    fi
  fi
  ms=0 open_ms=0 problems=()
  row=$work/row
  rm -rf -- "$row"
  mkdir "$row"
}

problem() { problems+=("$1"); }

end_check() {
  server_runs || server_failed 'strongroomd stopped'
  local -a sizes=()
  local name
  for name in public blob opened; do
    file_size "$row/$name"
    sizes+=("$size")
  done
  add_row "$operation" "$service" "$spec" "$format" "$version" "${sizes[@]}" "$ms" "${problems[@]}"
}

# file_size FILE: sets `size` to its bytes, or to "-" if it is not there.
file_size() {
  size=-
  if [[ -e $1 ]]; then size=$(stat --format=%s "$1"); fi
}

# seal COMMAND...: into $row/blob, bound, under the key.
seal() {
  if ! ask "$service" "$@" --key-id "$alias_name" "${advance[@]}" "${binding[@]}" \
    --ciphertext-out "$row/blob"; then
    problem "failed: $(<"$work/error")"
    return 1
  fi
  ms=$ask_ms
  # The plain operations of the instance service do not tell; opening does.
  local told
  told=$(answer_field key_version_id)
  if [[ -n $told ]]; then expect_version "$told" 'the answer names'; fi
}

seal_own_bytes() {
  head -c 4096 /dev/urandom >"$row/secret"
  seal encrypt --in "$row/secret"
}

# expect_version ID WHO: notes a problem unless it is the version that has to seal. The table shows
# the one that did.
expect_version() {
  [[ $1 != "$expected_version" ]] || return 0
  problem "$2 version $1 where $version has to seal"
  case $1 in
    "$initial_version") version=initial ;;
    "$primary_version") version=primary ;;
    *) version=other ;;
  esac
}

# open_blob FILE BINDING...: opens $row/blob into a file, with the counterpart of the operation.
open_blob() {
  local -a key=(--key-id "$alias_name")
  ask "$service" decrypt "${key[@]}" "${advance[@]}" --in "$row/blob" --plaintext-out "$1" "${@:2}"
}

# Opens the blob, into $row/opened. It has to be what the operation returned, if it did.
open_again() {
  if ! open_blob "$row/opened" "${binding[@]}"; then
    problem "does not open: $(<"$work/error")"
    return 1
  fi
  open_ms=$ask_ms
  if [[ -e $row/secret ]] && ! cmp -s "$row/secret" "$row/opened"; then
    problem 'opens to other bytes than were sealed'
  fi
  local told
  told=$(answer_field key_version_id)
  [[ -n $told ]] || told=$(version_by_other_service)
  expect_version "$told" 'opening names'
}

# The classic Decrypt opens what the instance service made, and tells the version of everything.
version_by_other_service() {
  ask KmsService decrypt --in "$row/blob" --plaintext-out "$row/opened-there" "${binding[@]}" &&
    cmp -s "$row/opened" "$row/opened-there" && answer_field key_version_id
}

refuse_other_binding() {
  local status=0 reason
  open_blob "$row/refused" "${other_binding[@]}" || status=$?
  reason=$(error_field reason)
  if ((status != exit_invalid_request)) || [[ $reason != InvalidCiphertext ]] ||
    [[ -e $row/refused ]]; then
    problem "answers ${reason:-with the secret} to another binding, not InvalidCiphertext"
  fi
}

# Whether $row/opened is a private key in PKCS#8 and $row/public is its public key, both encoded as
# asked: the same public key can be derived from it, and verifies what it signs.
private_key_matches() {
  openssl pkcs8 -nocrypt -inform "$format" -in "$row/opened" 2>/dev/null |
    openssl pkey -pubout -outform "$format" -out "$row/derived" 2>/dev/null &&
    cmp -s "$row/derived" "$row/public" &&
    openssl dgst -sha256 -keyform "$format" -sign "$row/opened" -out "$row/signature" \
      "$row/public" 2>/dev/null &&
    openssl dgst -sha256 -keyform "$format" -verify "$row/public" -signature "$row/signature" \
      "$row/public" >/dev/null 2>&1
}
