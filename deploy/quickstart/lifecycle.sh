# shellcheck shell=bash disable=SC2034,SC2154 # it shares its variables with quickstart.sh
# Part of quickstart.sh: a private key used inside the token, and a key that rotates by itself.

# Signs with a private key that nobody outside the token has ever seen, and verifies outside.
check_signature() {
  local pair=$work/signing
  say 'Signing inside the token with the private key of a data key pair, and verifying outside'
  rm -rf -- "$pair"
  mkdir "$pair"
  printf 'pay 42 to Alice\n' >"$pair/message"
  if ask KmsService data-key-pair generate-without-plaintext --key-id "$alias_name" \
    --spec EC_P256 --format PEM --context purpose=signing \
    --ciphertext-out "$pair/private.blob" --public-key-out "$pair/public.pem" &&
    ask KmsService data-key-pair sign --private-key-blob "$pair/private.blob" \
      --context purpose=signing --in "$pair/message" --algorithm ECDSA_SHA_256 \
      --signature-out "$pair/signature"; then
    printf 'strongroom data-key-pair sign --algorithm ECDSA_SHA_256: %s bytes in %s ms\n' \
      "$(stat --format=%s "$pair/signature")" "$ask_ms"
    printf 'openssl dgst -sha256 -verify public.pem -signature signature message: '
    openssl dgst -sha256 -verify "$pair/public.pem" -signature "$pair/signature" \
      "$pair/message" || lifecycle_problem 'the signature does not verify'
  else
    lifecycle_problem "signing inside the token failed: $(<"$work/error")"
  fi
}

# The key has sealed more often than a server with this limit lets a version: such a server rotates
# it without being asked. What was sealed before opens all the same.
check_automatic_rotation() {
  readonly rotate_after_uses=20
  local before=$primary_version after='' deadline
  say "Restarting with keys.rotate_after_uses: $rotate_after_uses; the key has sealed more often"
  ask_or_fail data-key generate --key-id "$alias_name" --context row=1 \
    --ciphertext-out "$work/before.blob" --plaintext-out "$work/before.key"
  stop_server
  { cat "$home/strongroomd.yaml" && printf 'keys: {rotate_after_uses: %s}\n' "$rotate_after_uses"; } \
    >"$work/rotating.yaml"
  start_server "$work/rotating.yaml"
  deadline=$((SECONDS + start_seconds))
  while ((SECONDS < deadline)); do
    ask_or_fail key describe "$alias_name"
    after=$(answer_field primary_key_version_id)
    [[ $after == "$before" ]] || break
  done
  if [[ $after == "$before" ]]; then
    lifecycle_problem 'the key was not rotated automatically'
  else
    printf 'primary version before  %s\nprimary version after   %s\n' "$before" "$after"
    grep -h "\"operation\":\"Upkeep.RotateKey\"" "$home"/audit/*.jsonl | tail -n 1
  fi
  if ! ask KmsService decrypt --in "$work/before.blob" --context row=1 \
    --plaintext-out "$work/before.opened" || ! cmp -s "$work/before.key" "$work/before.opened"; then
    lifecycle_problem 'what was sealed before the rotation does not open after it'
  fi
  stop_server
  start_server
}

lifecycle_problem() {
  failed_rows=$((failed_rows + 1))
  failures+=("$1")
}
