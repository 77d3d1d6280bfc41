# shellcheck shell=bash disable=SC2034,SC2154 # it shares its variables with quickstart.sh
# Part of quickstart.sh: the table, for people and as JSON.

readonly columns='%-42s  %-18s  %-8s  %-6s  %-7s  %6s  %6s  %6s  %6s  %s\n'

json_rows=()
failures=()
failed_rows=0

print_heading() {
  # shellcheck disable=SC2059
  printf "$columns" OPERATION SERVICE SPEC FORMAT VERSION PUBLIC SEALED SECRET MS RESULT
}

# add_row OPERATION SERVICE SPEC FORMAT VERSION PUBLIC SEALED SECRET MS [PROBLEM...]
# Sizes are in bytes; "-" stands for what an operation does not have.
add_row() {
  local result='round trip ok' ok=true
  # What nothing was sealed by has nothing to open.
  [[ $7 != - ]] || result=ok
  if (($# > 9)); then
    result=FAILED ok=false
    failed_rows=$((failed_rows + 1))
    local problem
    for problem in "${@:10}"; do
      failures+=("$1 of $2, $3 ($4): $problem")
    done
  fi
  # shellcheck disable=SC2059
  printf "$columns" "${@:1:9}" "$result"

  local row
  row=$(printf '"operation":"%s","service":"%s","spec":"%s"' "$1" "$2" "$3")
  row+=$(printf ',"format":%s,"key_version":%s' \
    "$(json_text_or_null "$4")" "$(json_text_or_null "$5")")
  row+=$(printf ',"public_key_bytes":%s,"ciphertext_bytes":%s,"plaintext_bytes":%s' \
    "${6/#-/null}" "${7/#-/null}" "${8/#-/null}")
  json_rows+=("{$row,\"ok\":$ok,\"ms\":$9}")
}

json_text_or_null() {
  if [[ $1 == - ]]; then printf null; else printf '"%s"' "$1"; fi
}

write_json() {
  local IFS=$'\n'
  # A comma behind every row but the last.
  printf '[\n%s\n]\n' "$(sed '$!s/$/,/' <<<"${json_rows[*]}")" >"$1"
}

report_outcome() {
  if ((failed_rows == 0)); then
    cat <<END

${#json_rows[@]} checks in $check_seconds s, all passed: every result opened to what was sealed, under
the right key version, and to nobody with another binding.
END
    return
  fi
  printf '\n'
  printf 'FAILED: %s\n' "${failures[@]}"
  printf '%s of %s checks failed.\n' "$failed_rows" "${#json_rows[@]}"
}
