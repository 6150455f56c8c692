//! The combinations.

use super::edits::Edit;
use super::{But, Combination, Sender};

const fn sent(name: &'static str, lines: &'static [&'static str]) -> Combination {
    Combination {
        name,
        part: false,
        needs: &[],
        sender: Sender::Commands(lines),
        playlist: "index.m3u8",
        edit: None,
        but: &[],
    }
}

const fn gst(name: &'static str, lines: &'static [&'static str]) -> Combination {
    Combination {
        needs: &["gst-launch-1.0"],
        ..sent(name, lines)
    }
}

const fn rtmp(
    name: &'static str,
    directives: &'static str,
    publishers: &'static [&'static str],
) -> Combination {
    Combination {
        needs: &["nginx", RTMP_MODULE],
        sender: Sender::Rtmp {
            directives,
            publishers,
        },
        playlist: "cam.m3u8",
        ..sent(name, &[])
    }
}

/// A plain stream that something is done to.
const fn edited(name: &'static str, edit: Edit) -> Combination {
    Combination {
        edit: Some(edit),
        ..sent(
            name,
            &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @hls index.m3u8"],
        )
    }
}

impl Combination {
    const fn part(self) -> Self {
        Self { part: true, ..self }
    }

    const fn but(self, but: &'static [But]) -> Self {
        Self { but, ..self }
    }

    const fn listed_in(self, playlist: &'static str) -> Self {
        Self { playlist, ..self }
    }

    const fn edited(self, edit: Edit) -> Self {
        Self {
            edit: Some(edit),
            ..self
        }
    }
}

/// Where Debian has nginx's RTMP module.
pub(super) const RTMP_MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// An encoder in real time, as RTMP has it.
const PUBLISHER: &str =
    "ffmpeg -v error -nostdin -re @v -re @a -t 6 @h264 -tune zerolatency -g 25 @aac";

/// All of them.
pub const COMBINATIONS: &[Combination] = &[
    // Pictures.
    sent("H.264, closed groups, no B-pictures", &["@ffmpeg @av @h264 -g 25 @aac @hls index.m3u8"]),
    sent("H.264, B-pictures", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @hls index.m3u8"]).part(),
    sent("H.264, open groups", &["@ffmpeg @av @h264 -g 25 -bf 3 -x264-params open-gop=1:bframes=3:b-adapt=0 @aac @hls index.m3u8"]).but(&[But::OpenGroups]),
    sent("H.264, open groups, fMP4", &["@ffmpeg @av @h264 -g 25 -bf 3 -x264-params open-gop=1:bframes=3:b-adapt=0 @aac @fmp4 index.m3u8"]).but(&[But::OpenGroups]),
    sent("H.264, B-pyramid", &["@ffmpeg @av @h264 -g 40 -bf 7 -x264-params b-pyramid=normal:b-adapt=0:ref=4 @aac @hls index.m3u8"]),
    sent("H.264, strict B-pyramid, fMP4", &["@ffmpeg @av @h264 -g 40 -bf 5 -x264-params b-pyramid=strict:b-adapt=0:ref=4 @aac @fmp4 index.m3u8"]),
    sent("H.264, intra refresh", &["@ffmpeg @av @h264 -g 25 -x264-params intra-refresh=1 @aac @hls -hls_flags split_by_time index.m3u8"]).but(&[But::Refresh]),
    sent("H.264, one key picture in the first segment alone", &["@ffmpeg @av @h264 -g 1000 @aac @hls -hls_flags split_by_time index.m3u8"]).but(&[But::NoSync]),
    sent("H.264, key pictures only", &["@ffmpeg @av @h264 -g 1 @aac @hls index.m3u8"]),
    sent("H.264, fields", &["@ffmpeg -f lavfi -i testsrc2=size=160x96:rate=25 @a -t 6 -vf setfield=tff @h264 -flags +ilme+ildct -x264-params tff=1 -g 25 -bf 2 @aac @hls index.m3u8"]),
    sent("H.264, fields, bottom first", &["@ffmpeg -f lavfi -i testsrc2=size=160x96:rate=25 @a -t 6 -vf setfield=bff @h264 -x264-params bff=1 -g 25 @aac @hls index.m3u8"]),
    sent("H.264, many slices", &["@ffmpeg @av @h264 -slices 4 -g 25 -bf 2 @aac @hls index.m3u8"]),
    sent("H.264, no access unit delimiters", &["@ffmpeg @av @h264 -x264-params aud=0 -g 25 @aac @hls index.m3u8"]),
    sent("H.264, 4:4:4", &["@ffmpeg @av -c:v libx264 -preset ultrafast -threads 1 -pix_fmt yuv444p -g 25 @aac @hls index.m3u8"]),
    sent("H.264, 10 bits, fMP4", &["@ffmpeg @av -c:v libx264 -preset ultrafast -threads 1 -pix_fmt yuv420p10le -g 25 @aac @fmp4 index.m3u8"]),
    sent("H.264, cropped", &["@ffmpeg -f lavfi -i testsrc2=size=158x86:rate=25 @a -t 6 @h264 -g 25 @aac @hls index.m3u8"]),
    sent("H.265", &["@ffmpeg @av @h265 log-level=0:keyint=25:bframes=3 -tag:v hvc1 @aac @fmp4 index.m3u8"]),
    sent("H.265, open groups, TS", &["@ffmpeg @av @h265 log-level=0:keyint=25:bframes=3:open-gop=1 @aac @hls index.m3u8"]).but(&[But::OpenGroups]),
    sent("H.265, closed groups, TS", &["@ffmpeg @av @h265 log-level=0:keyint=25:bframes=2:open-gop=0 @aac @hls index.m3u8"]),
    sent("H.265, hev1", &["@ffmpeg @av @h265 log-level=0:keyint=25:bframes=0:repeat-headers=1 -tag:v hev1 @aac @fmp4 index.m3u8"]),
    sent("H.265, 10 bits", &["@ffmpeg @av -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params log-level=0:keyint=25 -tag:v hvc1 @aac @fmp4 index.m3u8"]),
    sent("MPEG-2 video, MPEG audio", &["@ffmpeg @av -c:v mpeg2video -g 12 -bf 2 -q:v 3 -c:a mp2 @hls index.m3u8"]).but(&[But::OpenGroups]),
    sent("MPEG-2 video, closed groups", &["@ffmpeg @av -c:v mpeg2video -g 12 -bf 2 -flags +cgop -sc_threshold 1000000000 -q:v 3 -c:a mp2 @hls index.m3u8"]),
    sent("MPEG-2 video, fields", &["@ffmpeg @av -vf setfield=tff -c:v mpeg2video -flags +ilme+ildct -g 12 -bf 2 -q:v 3 @aac @hls index.m3u8"]).but(&[But::OpenGroups]),
    sent("AV1", &["@ffmpeg @av -c:v libaom-av1 -cpu-used 8 -usage realtime -threads 1 -g 25 @aac @fmp4 index.m3u8"]),
    sent("AV1 of SVT", &["@ffmpeg @av -c:v libsvtav1 -preset 12 -g 25 @aac @fmp4 index.m3u8"]),
    sent("VP9", &["@ffmpeg @av -c:v libvpx-vp9 -cpu-used 8 -deadline realtime -g 25 @aac @fmp4 index.m3u8"]),
    // Time.
    sent("1 picture a second", &["@ffmpeg @av -r 1 @h264 -g 1 @aac @hls index.m3u8"]),
    sent("5 pictures a second", &["@ffmpeg @av -r 5 @h264 -g 5 -bf 1 @aac @hls index.m3u8"]),
    sent("12.5 pictures a second", &["@ffmpeg @av -r 25/2 @h264 -g 12 @aac @hls index.m3u8"]),
    sent("24000/1001 pictures a second", &["@ffmpeg @av -r 24000/1001 @h264 -g 24 -bf 2 @aac @hls index.m3u8"]),
    sent("30000/1001 pictures a second, fMP4", &["@ffmpeg @av -r 30000/1001 @h264 -g 30 -bf 2 @aac @fmp4 index.m3u8"]),
    sent("50 pictures a second", &["@ffmpeg -f lavfi -i testsrc2=size=160x90:rate=50 @a -t 6 @h264 -g 50 -bf 2 @aac @hls index.m3u8"]),
    sent("60000/1001 pictures a second", &["@ffmpeg -f lavfi -i testsrc2=size=160x90:rate=60000/1001 @a -t 6 @h264 -g 60 @aac @hls index.m3u8"]),
    sent("120 pictures a second", &["@ffmpeg -f lavfi -i testsrc2=size=160x90:rate=120 @a -t 6 @h264 -g 120 -bf 2 @aac @hls index.m3u8"]),
    sent("120 pictures a second, fMP4", &["@ffmpeg -f lavfi -i testsrc2=size=160x90:rate=120 @a -t 6 @h264 -g 120 -bf 2 @aac @fmp4 index.m3u8"]),
    sent("variable frame rate", &["@ffmpeg @av -vf 'select=not(mod(n\\,2))+gt(mod(n\\,7)\\,4)' -vsync vfr @h264 -g 25 -bf 2 @aac @hls index.m3u8"]).part(),
    sent("variable frame rate, fMP4", &["@ffmpeg @av -vf 'select=not(mod(n\\,2))+gt(mod(n\\,7)\\,4)' -vsync vfr @h264 -g 25 @aac @fmp4 index.m3u8"]),
    sent("timestamps that wrap", &["@ffmpeg @av -output_ts_offset 95440.7 @h264 -g 25 -bf 2 @aac @hls index.m3u8"]).part(),
    sent("timestamps just before they wrap", &["@ffmpeg @av -output_ts_offset 95436 @h264 -g 25 -bf 2 @aac @hls index.m3u8"]),
    sent("timestamps beyond 2^33, fMP4", &["@ffmpeg @av -output_ts_offset 95440.7 @h264 -g 25 -bf 2 @aac @fmp4 index.m3u8"]),
    sent("timestamps that begin below zero", &["@ffmpeg @av -output_ts_offset -1.4 @h264 -g 25 -bf 2 @aac @hls -muxdelay 0 -muxpreload 0 index.m3u8"]),
    sent("timestamps that begin at zero", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @hls -muxdelay 0 -muxpreload 0 index.m3u8"]),
    // Sound.
    sent("5.1 AAC", &["@ffmpeg @av @h264 -g 25 @aac -ac 6 @hls index.m3u8"]),
    sent("7.1 AAC", &["@ffmpeg @av @h264 -g 25 -c:a aac -b:a 256k -ac 8 @hls index.m3u8"]),
    sent("7.1 AAC, fMP4", &["@ffmpeg @av @h264 -g 25 -c:a aac -b:a 256k -ac 8 @fmp4 index.m3u8"]),
    sent("mono AAC at 8 kHz", &["@ffmpeg @av @h264 -g 25 -c:a aac -ar 8000 -ac 1 @hls index.m3u8"]),
    sent("AAC at 44.1 kHz", &["@ffmpeg @av @h264 -g 25 @aac -ar 44100 @hls index.m3u8"]),
    sent("AAC at 96 kHz", &["@ffmpeg @av @h264 -g 25 -c:a aac -ar 96000 @hls index.m3u8"]),
    sent("AAC in LATM", &["@ffmpeg @av @h264 -g 25 @aac -aac_pns 0 @hls -hls_segment_options mpegts_flags=latm index.m3u8"]).but(&[But::SoundIsRewritten, But::Warned]),
    sent("MP3", &["@ffmpeg @av @h264 -g 25 -bf 2 -c:a libmp3lame @hls index.m3u8"]),
    sent("MP3 at 22.05 kHz", &["@ffmpeg @av @h264 -g 25 -c:a libmp3lame -ar 22050 @hls index.m3u8"]),
    sent("MP3, fMP4", &["@ffmpeg @av @h264 -g 25 -c:a libmp3lame @fmp4 index.m3u8"]),
    sent("AC-3, 5.1", &["@ffmpeg @av @h264 -g 25 -c:a ac3 -ac 6 @hls index.m3u8"]),
    sent("AC-3, fMP4", &["@ffmpeg @av @h264 -g 25 -c:a ac3 @fmp4 index.m3u8"]),
    sent("E-AC-3", &["@ffmpeg @av @h264 -g 25 -bf 2 -c:a eac3 @hls index.m3u8"]),
    sent("E-AC-3, fMP4", &["@ffmpeg @av @h264 -g 25 -c:a eac3 @fmp4 index.m3u8"]),
    sent("Opus", &["@ffmpeg @av @h264 -g 25 -c:a libopus @hls index.m3u8"]),
    sent("Opus, fMP4", &["@ffmpeg @av @h264 -g 25 -c:a libopus @fmp4 index.m3u8"]),
    sent("Opus, frames of 60 ms", &["@ffmpeg @av @h264 -g 25 -c:a libopus -frame_duration 60 @hls index.m3u8"]),
    sent("FLAC, fMP4", &["@ffmpeg @av @h264 -g 25 -c:a flac -strict -2 @fmp4 index.m3u8"]),
    sent("DTS", &["@ffmpeg @av @h264 -g 25 -c:a dca -strict -2 @hls index.m3u8"]),
    sent("two languages", &["@ffmpeg @v @a -f lavfi -i sine=frequency=880:sample_rate=48000 -t 6 -map 0 -map 1 -map 2 -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu @h264 -g 25 -bf 2 @aac @hls index.m3u8"]).part(),
    sent("two languages of two codecs", &["@ffmpeg @v @a -f lavfi -i sine=frequency=880:sample_rate=48000 -t 6 -map 0 -map 1 -map 2 @h264 -g 25 -c:a:0 aac -c:a:1 ac3 @hls index.m3u8"]),
    sent("two languages, fMP4", &["@ffmpeg @v @a -f lavfi -i sine=frequency=880:sample_rate=48000 -t 6 -map 0 -map 1 -map 2 @h264 -g 25 @aac @fmp4 index.m3u8"]),
    // Tracks.
    sent("sound that starts late", &["@ffmpeg @v -itsoffset 2.2 @a -t 6 @h264 -g 25 -bf 2 @aac @hls index.m3u8"]),
    sent("sound that stops early", &["@ffmpeg @v -f lavfi -i sine=frequency=440:sample_rate=48000:duration=2.5 -t 6 @h264 -g 25 -bf 2 @aac @hls index.m3u8"]),
    sent("sound that stops early, fMP4", &["@ffmpeg @v -f lavfi -i sine=frequency=440:sample_rate=48000:duration=2.5 -t 6 @h264 -g 25 -bf 2 @aac @fmp4 index.m3u8"]),
    sent("pictures that start late", &["@ffmpeg -itsoffset 0.8 @v @a -t 6 @h264 -g 25 -bf 2 @aac @hls index.m3u8"]),
    sent("pictures that stop early", &["@ffmpeg -f lavfi -i testsrc2=size=160x90:rate=25:duration=4.2 @a -t 6 @h264 -g 25 -bf 2 @aac @hls index.m3u8"]),
    sent("sound alone", &["@ffmpeg @a -t 6 @aac @hls index.m3u8"]),
    sent("sound alone, fMP4", &["@ffmpeg @a -t 6 @aac @fmp4 index.m3u8"]),
    sent("pictures alone", &["@ffmpeg @v -t 6 @h264 -g 25 -bf 2 @hls index.m3u8"]),
    sent("pictures alone, fMP4", &["@ffmpeg @v -t 6 @h264 -g 25 -bf 2 @fmp4 index.m3u8"]),
    // ffmpeg's muxer.
    sent("split_by_time", &["@ffmpeg @av @h264 -g 40 -bf 2 @aac -f hls -hls_time 0.7 -hls_list_size 0 -hls_flags split_by_time index.m3u8"]),
    sent("split_by_time, fMP4", &["@ffmpeg @av @h264 -g 40 -bf 2 @aac -f hls -hls_time 0.7 -hls_list_size 0 -hls_flags split_by_time -hls_segment_type fmp4 index.m3u8"]).but(&[But::WrongDurations]),
    sent("append_list", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @hls -hls_flags append_list index.m3u8", "@ffmpeg @av @h264 -g 25 -bf 2 @aac @hls -hls_flags append_list index.m3u8"]).part(),
    sent("append_list, fMP4", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @fmp4 -hls_flags append_list index.m3u8", "@ffmpeg @av @h264 -g 25 -bf 2 @aac @fmp4 -hls_flags append_list index.m3u8"]),
    sent("append_list and discont_start", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @hls -hls_flags append_list+discont_start index.m3u8", "@ffmpeg -f lavfi -i testsrc2=size=160x90:rate=50 @a -t 6 @h264 -profile main -refs 2 -g 50 @aac @hls -hls_flags append_list+discont_start index.m3u8"]).but(&[But::NewSets]),
    sent("omit_endlist", &["@ffmpeg @av @h264 -g 25 @aac @hls -hls_flags omit_endlist index.m3u8"]),
    sent("single_file", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @hls -hls_flags single_file index.m3u8"]),
    sent("single_file, fMP4", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @fmp4 -hls_flags single_file index.m3u8"]).part(),
    sent("round_durations", &["@ffmpeg @av @h264 -g 20 -bf 2 @aac @hls -hls_flags round_durations index.m3u8"]).but(&[But::WrongDurations]),
    sent("program_date_time", &["@ffmpeg @av @h264 -g 25 @aac @hls -hls_flags program_date_time+independent_segments index.m3u8"]),
    sent("init time, epoch numbers", &["@ffmpeg @av @h264 -g 10 @aac @hls -hls_init_time 0.4 -hls_start_number_source epoch index.m3u8"]),
    sent("names by the clock in folders", &["@ffmpeg @av @h264 -g 25 @aac @hls -strftime 1 -strftime_mkdir 1 -hls_flags second_level_segment_index -hls_segment_filename %Y/s-%H-%%03d.ts index.m3u8"]),
    sent("AES-128", &["sh -c 'printf 0123456789abcdef > k; printf \"k\\nk\\n00000000000000000000000000000009\\n\" > info'", "@ffmpeg @av @h264 -g 25 @aac @hls index.m3u8", "@ffmpeg @av @h264 -g 25 @aac @hls -hls_key_info_file info enc.m3u8"]).edited(Edit::Instead("enc.m3u8")),
    sent("M2TS packets", &["@ffmpeg @av @h264 -g 25 @aac @hls -hls_segment_options mpegts_m2ts_mode=1 index.m3u8"]).but(&[But::Warned]),
    sent("PES packets of one frame", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @hls -hls_segment_options pes_payload_size=0:mpegts_flags=pat_pmt_at_frames index.m3u8"]),
    sent("the segment muxer", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac -f segment -segment_time 1 -segment_format mpegts -segment_list index.m3u8 s%d.ts"]).but(&[But::WrongDurations]),
    sent("the segment muxer, times reset", &["@ffmpeg @av @h264 -g 25 @aac -f segment -segment_time 1 -segment_format mpegts -segment_list index.m3u8 s%d.ts", "@ffmpeg @av @h264 -g 25 @aac -f segment -segment_time 1 -segment_format mpegts -reset_timestamps 1 -segment_list reset.m3u8 r%d.ts"]).edited(Edit::Instead("reset.m3u8")).but(&[But::WrongDurations, But::Warned]),
    sent("the DASH muxer's HLS", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac -f dash -seg_duration 1 -hls_playlist 1 -window_size 0 manifest.mpd"]).listed_in("master.m3u8"),
    sent("the DASH muxer's HLS, one file", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac -f dash -seg_duration 1 -hls_playlist 1 -single_file 1 -window_size 0 manifest.mpd"]).listed_in("master.m3u8"),
    sent("variants with sound in playlists of its own", &["@ffmpeg @v @a -f lavfi -i sine=frequency=880:sample_rate=48000 -t 6 -map 0:v -map 1:a -map 2:a @h264 -g 25 -bf 2 @aac @hls -master_pl_name index.m3u8 -var_stream_map 'v:0,agroup:s a:0,agroup:s,language:en,default:yes a:1,agroup:s,language:de' v%v.m3u8"]).part(),
    sent("variants with sound in playlists of its own, fMP4", &["@ffmpeg @v @a -f lavfi -i sine=frequency=880:sample_rate=48000 -t 6 -map 0:v -map 1:a -map 2:a @h264 -g 25 -bf 2 @aac @fmp4 -master_pl_name index.m3u8 -var_stream_map 'v:0,agroup:s a:0,agroup:s,language:en,default:yes a:1,agroup:s,language:de' v%v.m3u8"]).part(),
    // shaka-packager's and MediaMTX's forms.
    Combination { needs: &["packager"], ..sent("shaka-packager, on demand", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac in.mp4", "packager in=in.mp4,stream=video,output=v.mp4,playlist_name=v.m3u8 in=in.mp4,stream=audio,output=a.mp4,playlist_name=a.m3u8,hls_group_id=audio,hls_name=en --segment_duration 1 --hls_master_playlist_output index.m3u8"]) },
    Combination { needs: &["packager"], ..sent("shaka-packager, segments", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac in.mp4", "packager in=in.mp4,stream=video,init_segment=v/init.mp4,segment_template=v/$Number$.m4s,playlist_name=v.m3u8 in=in.mp4,stream=audio,init_segment=a/init.mp4,segment_template=a/$Number$.m4s,playlist_name=a.m3u8,hls_group_id=audio,hls_name=en --segment_duration 1 --hls_master_playlist_output index.m3u8"]) },
    Combination { needs: &["packager"], ..sent("shaka-packager, MPEG-TS and packed audio", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac in.mp4", "packager in=in.mp4,stream=video,segment_template=v/$Number$.ts,playlist_name=v.m3u8 in=in.mp4,stream=audio,segment_template=a/$Number$.aac,playlist_name=a.m3u8,hls_group_id=audio,hls_name=en --segment_duration 1 --hls_master_playlist_output index.m3u8"]) }.but(&[But::SoundUntimed]),
    sent("low latency, parts of fMP4", &["@ffmpeg @av @h264 -g 5 @aac -f hls -hls_time 0.2 -hls_list_size 0 -hls_segment_type fmp4 index.m3u8"]).edited(Edit::Parts(5)),
    sent("low latency, parts of MPEG-TS", &["@ffmpeg @av @h264 -g 5 @aac -f hls -hls_time 0.2 -hls_list_size 0 index.m3u8"]).edited(Edit::Parts(5)),
    // GStreamer.
    gst("GStreamer, hlssink2", &["gst-launch-1.0 -q videotestsrc num-buffers=150 pattern=ball ! video/x-raw,width=160,height=90,framerate=25/1 ! x264enc key-int-max=25 threads=1 tune=zerolatency ! h264parse ! queue ! s.video audiotestsrc num-buffers=280 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! voaacenc ! aacparse ! queue ! s.audio hlssink2 name=s send-keyframe-requests=false target-duration=1 playlist-length=0 max-files=0 playlist-location=index.m3u8 location=s%03d.ts"]),
    gst("GStreamer, hlssink2, B-pictures", &["gst-launch-1.0 -q videotestsrc num-buffers=150 pattern=ball ! video/x-raw,width=160,height=90,framerate=25/1 ! x264enc key-int-max=25 bframes=3 b-adapt=false threads=1 rc-lookahead=3 sync-lookahead=0 ! h264parse ! queue ! s.video audiotestsrc num-buffers=280 samplesperbuffer=1024 ! audio/x-raw,rate=44100 ! voaacenc ! aacparse ! queue ! s.audio hlssink2 name=s send-keyframe-requests=false target-duration=1 playlist-length=0 max-files=0 playlist-location=index.m3u8 location=s%03d.ts"]),
    gst("GStreamer, hlssink2, pictures alone", &["gst-launch-1.0 -q videotestsrc num-buffers=150 pattern=ball ! video/x-raw,width=160,height=90,framerate=25/1 ! x264enc key-int-max=25 threads=1 tune=zerolatency ! h264parse ! queue ! s.video hlssink2 name=s send-keyframe-requests=false target-duration=1 playlist-length=0 max-files=0 playlist-location=index.m3u8 location=s%03d.ts"]),
    gst("GStreamer, hlssink2, sound alone", &["gst-launch-1.0 -q audiotestsrc num-buffers=280 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! voaacenc ! aacparse ! queue ! s.audio hlssink2 name=s send-keyframe-requests=false target-duration=1 playlist-length=0 max-files=0 playlist-location=index.m3u8 location=s%03d.ts"]),
    gst("GStreamer, mpegtsmux and hlssink", &["gst-launch-1.0 -q videotestsrc num-buffers=150 pattern=ball ! video/x-raw,width=160,height=90,framerate=25/1 ! x264enc key-int-max=25 threads=1 tune=zerolatency ! h264parse ! queue ! m. audiotestsrc num-buffers=280 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! avenc_ac3 ! ac3parse ! queue ! m. mpegtsmux name=m ! hlssink target-duration=1 playlist-length=0 max-files=0 playlist-location=index.m3u8 location=s%03d.ts"]),
    gst("GStreamer, mpegtsmux, H.265 and MP3", &["gst-launch-1.0 -q videotestsrc num-buffers=150 pattern=ball ! video/x-raw,width=160,height=90,framerate=25/1 ! x265enc key-int-max=25 speed-preset=ultrafast ! h265parse ! queue ! m. audiotestsrc num-buffers=280 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! lamemp3enc ! mpegaudioparse ! queue ! m. mpegtsmux name=m alignment=7 ! filesink location=s.ts", "sh -c 'printf \"#EXTM3U\\n#EXT-X-TARGETDURATION:6\\n#EXTINF:6,\\ns.ts\\n#EXT-X-ENDLIST\\n\" > index.m3u8'"]).but(&[But::WrongDurations]),
    gst("GStreamer, mpegtsmux, Opus", &["gst-launch-1.0 -q videotestsrc num-buffers=150 pattern=ball ! video/x-raw,width=160,height=90,framerate=25/1 ! x264enc key-int-max=25 threads=1 tune=zerolatency ! h264parse ! queue ! m. audiotestsrc num-buffers=280 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! opusenc ! queue ! m. mpegtsmux name=m ! filesink location=s.ts", "sh -c 'printf \"#EXTM3U\\n#EXT-X-TARGETDURATION:6\\n#EXTINF:6,\\ns.ts\\n#EXT-X-ENDLIST\\n\" > index.m3u8'"]).but(&[But::WrongDurations]),
    gst("GStreamer, mpegtsmux, M2TS", &["gst-launch-1.0 -q videotestsrc num-buffers=150 pattern=ball ! video/x-raw,width=160,height=90,framerate=25/1 ! x264enc key-int-max=25 threads=1 tune=zerolatency ! h264parse ! queue ! m. audiotestsrc num-buffers=280 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! voaacenc ! aacparse ! queue ! m. mpegtsmux name=m m2ts-mode=true ! filesink location=s.ts", "sh -c 'printf \"#EXTM3U\\n#EXT-X-TARGETDURATION:6\\n#EXTINF:6,\\ns.ts\\n#EXT-X-ENDLIST\\n\" > index.m3u8'"]).but(&[But::WrongDurations]),
    // nginx with its RTMP module.
    rtmp("nginx-rtmp", "", &[PUBLISHER]).part(),
    rtmp("nginx-rtmp, hls_nested", "hls_nested on;", &[PUBLISHER]).listed_in("cam/index.m3u8"),
    rtmp("nginx-rtmp, hls_variant", "hls_variant _hi BANDWIDTH=800000; hls_variant _lo BANDWIDTH=200000;", &[PUBLISHER]),
    rtmp("nginx-rtmp, hls_continuous, publisher restarts", "hls_continuous on;", &[PUBLISHER, PUBLISHER]),
    rtmp("nginx-rtmp, publisher restarts", "hls_cleanup off;", &[PUBLISHER, PUBLISHER]),
    rtmp("nginx-rtmp, hls_fragment_naming timestamp, aligned", "hls_fragment_naming timestamp; hls_fragment_slicing aligned;", &[PUBLISHER]),
    rtmp("nginx-rtmp, hls_fragment_naming system", "hls_fragment_naming system; hls_continuous on;", &[PUBLISHER, PUBLISHER]),
    rtmp("nginx-rtmp, B-pictures, MP3 that it does not write", "", &["ffmpeg -v error -nostdin -re @v -re @a -t 6 @h264 -g 25 -bf 2 -c:a libmp3lame -ar 44100"]),
    // The first segment lasts 0.15 s less than its EXTINF says.
    rtmp("nginx-rtmp, sound alone", "", &["ffmpeg -v error -nostdin -re @a -t 6 @aac"]).but(&[But::WrongDurations]),
    rtmp("nginx-rtmp, pictures alone", "", &["ffmpeg -v error -nostdin -re @v -t 6 @h264 -g 25"]),
    // Names and playlists.
    edited("names in another script", Edit::Rename("直播间-", "直播间-")),
    edited("names in another script, escaped", Edit::Rename("直播-", "%E7%9B%B4%E6%92%AD-")),
    edited("names with spaces", Edit::Rename("a b ", "a b ")),
    edited("names with %", Edit::Rename("100% ", "100%25%20")),
    edited("names with ? and #", Edit::Rename("a?b#c", "a%3Fb%23c")),
    edited("names with a query", Edit::Text(|text| text.replace(".ts\n", ".ts?token=a%2Fb&c=1\n"))),
    edited("absolute paths", Edit::Absolute),
    edited("absolute URIs", Edit::Http),
    edited("//host URIs", Edit::Host),
    edited("CR alone", Edit::Text(|text| text.replace('\n', "\r"))),
    edited("CR and LF, a byte order mark", Edit::Text(|text| format!("\u{feff}{}", text.replace('\n', "\r\n")))),
    edited("tabs and blanks", Edit::Text(|text| text.replace(",\n", ", \t\n").replace(".ts\n", ".ts\t \n").replace("DURATION:", "DURATION: "))),
    edited("2 MB of tags", Edit::Text(|text| {
        let tag = "#EXT-X-SOMETHING:A=\"0123456789\",B=2\n".repeat(55_000);
        text.replacen("#EXTINF", &format!("{tag}#EXTINF"), 1)
    })),
    edited("EXTINF without a comma or a title", Edit::Text(|text| text.replace(",\n", "\n"))),
    sent("lower-case attribute names", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @fmp4 index.m3u8"])
        .edited(Edit::Text(|text| text.replace("URI=", "uri="))),
    sent("blanks between attributes", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @fmp4 -hls_flags single_file index.m3u8"])
        .edited(Edit::Text(|text| text.replace(",BYTERANGE=", " , BYTERANGE = "))),
    // Damage.
    edited("an empty segment", Edit::Cut(2, 0)).but(&[But::Lost]),
    edited("an empty segment at the beginning", Edit::Cut(0, 0)).but(&[But::Lost]),
    edited("an empty segment at the end", Edit::Cut(5, 0)).but(&[But::Lost]),
    edited("half a segment", Edit::Cut(2, 50)).but(&[But::Lost]),
    sent("half a segment, fMP4", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @fmp4 index.m3u8"])
        .edited(Edit::Cut(2, 50)).but(&[But::Lost]),
    sent("an empty segment, fMP4", &["@ffmpeg @av @h264 -g 25 -bf 2 @aac @fmp4 index.m3u8"])
        .edited(Edit::Cut(3, 0)).but(&[But::Lost]),
];
