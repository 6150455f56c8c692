#!/usr/bin/env bash
# Makes the seeds that are media again: the first packets of fixtures, and the smallest fragmented MP4
# of every codec, with Debian 12's ffmpeg (5.1). The others are written by hand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

run() { ffmpeg -v error -nostdin -y -bitexact "$@"; }
picture=(-f lavfi -i 'testsrc2=size=64x48:rate=25,format=yuv420p')
beep=(-f lavfi -i 'sine=frequency=330:sample_rate=48000')
exact=(-threads 1 -flags +bitexact -fflags +bitexact -map_metadata -1)
fragments=(-movflags '+empty_moov+default_base_moof+frag_keyframe+delay_moov' -f mp4)

packets() { head -c $((188 * $2)) "../../fixtures/$1"; }
mkdir -p ts_segment fmp4
packets hevc/seg00.ts 24 > ts_segment/hevc
packets languages/seg00.ts 40 > ts_segment/languages
packets demo/seg00.ts 12 > ts_segment/demo

run "${picture[@]}" -t 0.2 -c:v mpeg2video -q:v 20 -g 3 "${exact[@]}" -f mpegts ts_segment/mpeg2
run "${beep[@]}" -t 0.1 -c:a libopus -b:a 8k "${exact[@]}" -f mpegts ts_segment/opus
run "${beep[@]}" -t 0.2 -ac 1 -c:a eac3 -b:a 32k "${exact[@]}" -f mpegts ts_segment/eac3

run "${picture[@]}" "${beep[@]}" -t 0.2 -c:v libx264 -preset slow -crf 45 -bf 1 -g 3 -c:a aac -b:a 8k -ac 1 \
  "${exact[@]}" "${fragments[@]}" fmp4/h264_aac
run "${picture[@]}" -t 0.2 -c:v libx265 -x265-params log-level=error:pools=none:frame-threads=1:info=0:keyint=3 -crf 45 \
  -tag:v hvc1 "${exact[@]}" "${fragments[@]}" fmp4/h265
run "${picture[@]}" -t 0.12 -c:v libaom-av1 -cpu-used 8 -crf 60 -b:v 0 "${exact[@]}" "${fragments[@]}" fmp4/av1
run "${picture[@]}" -t 0.12 -c:v libvpx-vp9 -crf 60 -b:v 0 "${exact[@]}" "${fragments[@]}" fmp4/vp9
for codec in libmp3lame:mp3 ac3:ac3 eac3:eac3 libopus:opus flac:flac; do
  run "${beep[@]}" -t 0.1 -ac 1 -c:a "${codec%%:*}" -b:a 32k -strict -2 "${exact[@]}" "${fragments[@]}" "fmp4/${codec##*:}"
done
