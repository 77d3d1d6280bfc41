# shellcheck shell=bash disable=SC2034,SC2154 # it shares its variables with quickstart.sh
# Part of quickstart.sh: who may do what, and the record of it.

# What the strongroom command answers to Forbidden.NoPermission.
readonly exit_not_permitted=5

# Shows and checks that a stranger is denied, and that the trail has it and is whole.
check_authority() {
  local status=0
  say 'A stranger with a certificate of the same authority asks for a data key'
  caller=stranger
  ask KmsInstanceService data-key generate --key-id "$alias_name" \
    --ciphertext-out "$work/stolen.blob" --plaintext-out "$work/stolen.key" || status=$?
  caller=application
  if ((status != exit_not_permitted)) || [[ $(error_field reason) != Forbidden.NoPermission ]] ||
    [[ -e $work/stolen.key ]]; then
    authority_problem "the stranger was not denied: $(<"$work/error")"
  fi
  printf '%s: %s\n' "$(error_field reason)" "$(error_field message)"
  denied_request=$(error_field request_id)

  say "Verifying the audit trail in $home/audit"
  if "$bin/strongroom" audit verify "$home/audit" --address "unix:$socket"; then
    printf 'The denied call, as the trail has it:\n'
    grep -h --max-count=1 "\"request_id\":\"$denied_request\"" "$home"/audit/*.jsonl ||
      authority_problem 'the trail does not have the denied call'
  else
    authority_problem 'the audit trail does not verify'
  fi
}

authority_problem() {
  failed_rows=$((failed_rows + 1))
  failures+=("$1")
}
