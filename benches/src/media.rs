//! The inputs: real media, made by ffmpeg, once.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a stream is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 1080p30 H.264 High with B-frames at 5 Mbit/s, AAC at 128 kbit/s.
    Hd,
    /// 2160p30 H.265 at 20 Mbit/s, AAC at 128 kbit/s.
    Uhd,
    /// 360p25 H.264 and AAC at 96 kbit/s, together at so many bits per second: what many streams
    /// at once are made of.
    Small(u64),
}

impl Kind {
    fn name(self) -> String {
        match self {
            Self::Hd => "h264-1080p".to_owned(),
            Self::Uhd => "h265-2160p".to_owned(),
            Self::Small(bits) => format!("h264-360p-{}k", bits / 1000),
        }
    }

    /// Arguments that make pictures which can be played over and over.
    fn pictures(self) -> String {
        let source = |size: &str, rate: u32, seconds: u32| {
            format!(
                "-f lavfi -i testsrc2=size={size}:rate={rate},noise=alls=14:allf=t,format=yuv420p \
                 -t {seconds} -g {0} -keyint_min {0} -sc_threshold 0 -an",
                2 * rate
            )
        };
        match self {
            Self::Hd => format!(
                "{} -c:v libx264 -preset veryfast -profile:v high -b:v 4700k -maxrate 5500k -bufsize 9400k",
                source("1920x1080", 30, 64)
            ),
            Self::Uhd => format!(
                "{} -c:v libx265 -preset ultrafast -b:v 19500k -maxrate 22M -bufsize 40M \
                 -x265-params log-level=error:keyint=60:min-keyint=60:scenecut=0:open-gop=0",
                source("3840x2160", 30, 16)
            ),
            Self::Small(bits) => {
                let video = bits.saturating_sub(96_000).max(30_000) / 1000;
                format!(
                    "{} -c:v libx264 -preset veryfast -b:v {video}k -maxrate {}k -bufsize {}k",
                    source("640x360", 25, 64),
                    video * 11 / 10,
                    video * 2
                )
            }
        }
    }
}

/// Makes an HLS stream of `seconds` below `folder`, once: segments of 2 s, an EVENT playlist, the
/// same minute of pictures over and over under timestamps that never jump. Gives the playlist.
///
/// # Errors
/// A sentence, where ffmpeg is absent, fails or was interrupted.
pub fn stream(folder: &Path, kind: Kind, seconds: u32) -> Result<PathBuf, String> {
    let name = kind.name();
    let out = folder.join(format!("{name}-{seconds}s"));
    let playlist = out.join("index.m3u8");
    if playlist.is_file() {
        return Ok(playlist);
    }
    if !clipmill_tests::tools::installed(&["ffmpeg"]) {
        return Err("ffmpeg is not installed, so there is no media".to_owned());
    }
    let io = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(folder).map_err(io)?;
    // Made under another name, so that what was interrupted is not taken for whole.
    let making = tempfile::tempdir_in(folder).map_err(io)?;
    let pictures = folder.join(format!("{name}.mp4"));
    if !pictures.is_file() {
        eprintln!("encoding a minute of {name}");
        let half = making.path().join("pictures.mp4");
        ffmpeg(&kind.pictures(), &half)?;
        std::fs::rename(half, &pictures).map_err(io)?;
    }
    let (bits, volume) = match kind {
        Kind::Small(_) => ("96k", "0.2"),
        Kind::Hd | Kind::Uhd => ("128k", "0.3"),
    };
    let sound = making.path().join("sound.m4a");
    eprintln!("making {seconds} s of {name}");
    ffmpeg(
        &format!(
            "-f lavfi -i anoisesrc=color=pink:amplitude={volume}:sample_rate=48000:seed=1,aformat=channel_layouts=stereo \
             -t {seconds} -c:a aac -b:a {bits}"
        ),
        &sound,
    )?;
    let stream = making.path().join("stream");
    std::fs::create_dir_all(&stream).map_err(io)?;
    ffmpeg(
        &format!(
            "-stream_loop -1 -i {} -i {} -map 0:v -map 1:a -c copy -t {seconds} -f hls -hls_time 2 \
             -hls_playlist_type event -hls_segment_type mpegts -hls_segment_filename {}/seg%05d.ts",
            pictures.display(),
            sound.display(),
            stream.display()
        ),
        &stream.join("index.m3u8"),
    )?;
    std::fs::rename(stream, out).map_err(io)?;
    Ok(playlist)
}

/// Where inputs are kept: the folder that `CLIPMILL_BENCH_DIR` names, else `target/bench`. Programs
/// are `target/PROFILE/NAME`, benches `target/PROFILE/deps/NAME`.
#[must_use]
pub fn default_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("CLIPMILL_BENCH_DIR") {
        return folder.into();
    }
    let this = std::env::current_exe().unwrap_or_default();
    let profile = this
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"));
    let target = profile.and_then(Path::parent);
    target.map_or_else(std::env::temp_dir, |target| target.join("bench"))
}

/// Makes ten seconds of AAC at 128 kbit/s in MPEG-TS below `folder`, once.
///
/// # Errors
/// As [`stream`].
pub fn sound(folder: &Path) -> Result<PathBuf, String> {
    let out = folder.join("aac-10s.ts");
    if out.is_file() {
        return Ok(out);
    }
    if !clipmill_tests::tools::installed(&["ffmpeg"]) {
        return Err("ffmpeg is not installed, so there is no media".to_owned());
    }
    let io = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(folder).map_err(io)?;
    let making = tempfile::tempdir_in(folder).map_err(io)?;
    let half = making.path().join("sound.ts");
    ffmpeg(
        "-f lavfi -i anoisesrc=color=pink:amplitude=0.3:sample_rate=48000:seed=1,aformat=channel_layouts=stereo \
         -t 10 -c:a aac -b:a 128k -f mpegts",
        &half,
    )?;
    std::fs::rename(half, &out).map_err(io)?;
    Ok(out)
}

fn ffmpeg(args: &str, out: &Path) -> Result<(), String> {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args.split_whitespace())
        .arg(out)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("ffmpeg: {error}"))?;
    if !status.success() {
        return Err(format!("ffmpeg does not make {}: {status}", out.display()));
    }
    Ok(())
}

/// The segments of a stream made by [`stream`], in order.
///
/// # Panics
/// When its folder cannot be read.
#[must_use]
pub fn segments(playlist: &Path) -> Vec<PathBuf> {
    let files = clipmill_tests::corpus::files(playlist.parent().unwrap());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "ts");
    files.into_iter().filter(is_segment).collect()
}

/// The first `count` segments of a stream as a stream of its own, in a new folder: its playlist and
/// its segments.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn first_segments(playlist: &Path, count: usize, folder: &Path) -> (PathBuf, Vec<PathBuf>) {
    std::fs::create_dir_all(folder).unwrap();
    let mut text =
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:EVENT\n"
            .to_owned();
    let mut files = Vec::new();
    for (number, file) in segments(playlist).iter().take(count).enumerate() {
        let name = format!("seg{number:05}.ts");
        std::fs::hard_link(file, folder.join(&name)).unwrap();
        let _ = write!(text, "#EXTINF:2.0,\n{name}\n");
        files.push(folder.join(name));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    let playlist = folder.join("index.m3u8");
    std::fs::write(&playlist, text).unwrap();
    (playlist, files)
}
