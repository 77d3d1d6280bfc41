# Checks of form, for tests/run.sh: formatting, the contract's style, lock annotations, the service unit.

# sources FOLDER...: all C++ sources in the folders, each with a NUL behind it.
sources() {
  find "$@" \( -name '*.cc' -o -name '*.h' \) -print0
}

formatted() {
  sources platform hsm server client tests deploy | xargs -0 clang-format --dry-run --Werror
}

# buf, the linter, is on npm only; its version is in tests/package.json.
install_buf() {
  buf_folder=${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-tools
  mkdir -p "$buf_folder" && cp tests/package.json "$buf_folder/" &&
    npm install --prefix "$buf_folder" --no-audit --no-fund --no-package-lock --loglevel=error
}

contract_is_lint_clean() {
  (cd proto && "$buf_folder/node_modules/.bin/buf" lint)
}

# Compiles nothing: clang only reads the sources, with the generated headers that the build left.
locks_are_annotated() {
  bazel build "${cache[@]}" --noshow_progress --show_result=0 \
    //proto:strongroom_cc_proto @googleapis//:rpc_cc_proto @grpc_proto//:health_cc_proto || return 1
  local bin
  bin=$(bazel info bazel-bin 2>/dev/null)
  find platform hsm server client -name '*.cc' -print0 |
    xargs -0 -n 4 -P "$(nproc)" clang++ -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Wthread-safety \
      -Wthread-safety-beta -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL -DSPDLOG_SHARED_LIB -iquote . \
      -isystem "$bin/proto" -isystem "$bin/external/googleapis" -isystem "$bin/external/grpc_proto" \
      -isystem /usr/include/p11-kit-1
}

# With a program that is on every machine in the place of strongroomd, which is installed on few.
unit_is_valid() {
  sed 's#^ExecStart=/usr/bin/strongroomd#ExecStart=/bin/true#' deploy/systemd/strongroomd.service \
    >"$results/strongroomd.service"
  systemd-analyze verify --man=no "$results/strongroomd.service"
}

pkcs11_stays_inside() {
  ! sources platform server client hsm | grep -zv '^hsm/internal/' | xargs -0 grep -nE '#include.*pkcs11\.h'
}

# A child would inherit the token's logged-in sessions.
server_does_not_fork() {
  ! sources platform hsm server | xargs -0 grep -nE '\b(v?fork|clone|popen|system|posix_spawnp?|exec[lv]p?e?) *\('
}

# Every test that the threat model names, in its two spellings.
threat_model_names_tests() {
  local name missing=0
  while read -r name; do
    if [[ $name == *.py::* ]]; then
      grep -q "^def ${name##*::}(" "tests/e2e/${name%%::*}" && continue
    else
      grep -rqE "^TEST(_F|_P)?\(${name%%.*}, ${name##*.}\)" tests --include='*.cc' && continue
    fi
    echo "docs/threat-model.md names $name, and there is no such test"
    missing=1
  done < <(grep -oE '`([A-Za-z0-9]+Test\.[A-Za-z0-9]+|[a-z_]+_test\.py::[a-z0-9_]+)`' docs/threat-model.md | tr -d '`')
  return "$missing"
}

check "sources are formatted" formatted
if install_buf >"$results/buf.log" 2>&1; then
  check "the contract is lint-clean" contract_is_lint_clean
else
  # Said, and not counted: Debian has no buf, and its npm would bring 350 packages along.
  echo "NOT RUN the contract is lint-clean: buf could not be installed from npm: $(tail -n 1 "$results/buf.log")"
fi
check "locks are held where annotations say" locks_are_annotated
check "PKCS#11 types stay in hsm/internal" pkcs11_stays_inside
check "the server does not fork" server_does_not_fork
check "the threat model names tests that exist" threat_model_names_tests
check "the systemd unit is valid" unit_is_valid
