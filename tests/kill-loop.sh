#!/usr/bin/env bash
# kill -9 in a loop, under a live stream: the same test as CI's, longer.
#
#   tests/kill-loop.sh [KILLS]     200 by default
#
# After the last one every picture and every frame of sound of the stream is in one clip and no other,
# every entry has its file, every file its entry, every webhook came, and nothing is left over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
CLIPMILL_KILLS=${1:-200} exec cargo test -p clipmill-tests --test server -- --exact \
  recording::killed_at_any_moment_nothing_is_lost_and_nothing_twice --nocapture
