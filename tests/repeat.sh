#!/usr/bin/env bash
# Runs the tests of this folder again and again on a machine that is busy with other things: a test
# that needs luck is a defect.
#
#   tests/repeat.sh [TIMES [NAME...]]     10 times all of them by default
#
# NAMEs are parts of names of tests, such as recording::returns. With CORES=0, all of it shares one core;
# LOAD is how many processes of `stress` run beside it (4 by default). The end says how often each program
# was run and how often it failed; the output of a failed run is kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
times=${1:-10}
shift || true

built=$(cargo test --workspace --no-run --message-format=json 2> /dev/null |
  grep '#clipmill-tests@' | grep -o '"executable":"[^"]*/deps/[^"]*"' | cut -d '"' -f 4)
mapfile -t tests <<< "$built"
on=()
[ -z "${CORES:-}" ] || on=(taskset -c "$CORES")
"${on[@]}" stress -q --cpu "${LOAD:-4}" --io 1 &
busy=$!
trap 'kill $busy' EXIT

out=$(mktemp -d)
failures=0
for ((n = 1; n <= times; n++)); do
  for test in "${tests[@]}"; do
    name=$(basename "${test%-*}")
    if "${on[@]}" "$test" "$@" > "$out/last" 2>&1; then
      result=passed
    else
      result=FAILED
      failures=$((failures + 1))
      mv "$out/last" "$out/$name.$n"
    fi
    echo "$name, run $n of $times: $result"
  done
done
echo "${#tests[@]} programs, $times runs each: $failures failed${failures:+, see $out}"
[ "$failures" -eq 0 ]
