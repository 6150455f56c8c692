#!/usr/bin/env bash
# Runs the fuzz targets one after the other, and says what came of it.
#
#   fuzz/run.sh [SECONDS [TARGET...]]     60 seconds each, all targets
#
# Wants cargo-fuzz (`cargo install cargo-fuzz --locked`) and a C++ compiler; the toolchain that builds
# Clipmill will do, as no sanitizer is used: there is no unsafe code to watch. What is explored is
# kept in fuzz/corpus, so that the next run goes on from there; what breaks is put into fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
shift || true
all=$(sed -n 's/^    ("\([a-z0-9_]*\)", [a-z0-9_]*),$/\1/p' fuzz/src/lib.rs)
targets=${*:-$all}

# Coverage wants no link-time optimisation, and twelve links would take an age with it.
export RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_TARGET_DIR="$PWD/target-fuzz"
options=(--sanitizer none --features libfuzzer --fuzz-dir fuzz)
cargo fuzz build "${options[@]}"

# The dictionary that a target's input is made of.
dictionary() {
  case $1 in
    ts_* | sample_aes) echo ts ;;
    fmp4*) echo mp4 ;;
    playlist | window | reload | whole_cut) echo m3u8 ;;
    http_request) echo http ;;
  esac
}

# The longest input: several packets, fragments or playlists.
longest() {
  case $1 in
    codec_headers | splice) echo 512 ;;
    ts_segment | sample_aes | fmp4) echo 8192 ;;
    *) echo 4096 ;;
  esac
}

failed=0
mkdir -p fuzz/logs
table='| target | executions | per second | edges | features | inputs kept | peak memory | findings |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |'
for target in $targets; do
  log="fuzz/logs/$target.log"
  mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
  words=()
  name=$(dictionary "$target")
  [ -z "$name" ] || words=("-dict=fuzz/dictionaries/$name.dict")
  # An input that takes 10 s, 1 GiB of memory or 256 MiB in one piece is a finding.
  cargo fuzz run "${options[@]}" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -max_len="$(longest "$target")" -timeout=10 -rss_limit_mb=1024 \
    -malloc_limit_mb=256 -print_final_stats=1 "${words[@]}" > "$log" 2>&1 || failed=1
  stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -n 1; }
  last=$(grep -E 'cov: [0-9]+ ft:' "$log" | tail -n 1)
  field() { sed -n "s/.* $1: \([0-9]*\).*/\1/p" <<< "$last"; }
  found=$(find "fuzz/artifacts/$target" -type f | wc -l)
  row="| \`$target\` | $(stat number_of_executed_units) | $(stat average_exec_per_sec) | $(field cov) | $(field ft)"
  row+=" | $(find "fuzz/corpus/$target" -type f | wc -l) | $(stat peak_rss_mb) MiB | $found |"
  echo "$row"
  table+=$'\n'$row
done
printf '\n%s seconds each, %s, %s\n\n%s\n' "$seconds" "$(rustc --version)" "$(date -u +%F)" "$table"
exit "$failed"
