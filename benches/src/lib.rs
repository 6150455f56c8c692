//! Inputs and measures for the benches of Clipmill.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot measure stops"
)]

pub mod load;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Makes an HLS stream of `seconds` below `folder`, once: 1080p30 H.264 High with B-frames at
/// 5 Mbit/s and AAC at 128 kbit/s in segments of 2 s, an EVENT playlist. The pictures are 64 s of
/// noisy test pattern, over and over. Gives the playlist, or `None` where ffmpeg is absent.
///
/// # Panics
/// When ffmpeg fails.
#[must_use]
pub fn stream(folder: &Path, seconds: u32) -> Option<PathBuf> {
    let out = folder.join(format!("stream-{seconds}"));
    let playlist = out.join("index.m3u8");
    if playlist.is_file() {
        return Some(playlist);
    }
    if !clipmill_tests::tools::installed(&["ffmpeg"]) {
        return None;
    }
    let loops = folder.join("v64.mp4");
    if !loops.is_file() {
        println!("encoding 64 s of 1080p30");
        let half = folder.join("half.mp4");
        ffmpeg(
            "-f lavfi -i testsrc2=size=1920x1080:rate=30,noise=alls=14:allf=t,format=yuv420p -t 64 \
             -c:v libx264 -preset veryfast -profile:v high -b:v 4700k -maxrate 5500k -bufsize 9400k \
             -g 60 -keyint_min 60 -sc_threshold 0 -an",
            &half,
        );
        std::fs::rename(half, &loops).unwrap();
    }
    let sound = folder.join(format!("a{seconds}.m4a"));
    ffmpeg(
        &format!(
            "-f lavfi -i anoisesrc=color=pink:amplitude=0.3:sample_rate=48000:seed=1,aformat=channel_layouts=stereo \
             -t {seconds} -c:a aac -b:a 128k"
        ),
        &sound,
    );
    let making = folder.join("making");
    std::fs::create_dir_all(&making).unwrap();
    ffmpeg(
        &format!(
            "-stream_loop -1 -i {} -i {} -map 0:v -map 1:a -c copy -t {seconds} -f hls -hls_time 2 \
             -hls_playlist_type event -hls_segment_type mpegts -hls_segment_filename {}/seg%05d.ts",
            loops.display(),
            sound.display(),
            making.display()
        ),
        &making.join("index.m3u8"),
    );
    std::fs::rename(making, out).unwrap();
    Some(playlist)
}

/// Makes a minute of small live media below `folder`, once: 640x360 H.264 and AAC at 1.5 Mbit/s in
/// segments of exactly 2 s. Gives the segments, or `None` where ffmpeg is absent.
///
/// # Panics
/// When ffmpeg fails.
#[must_use]
pub fn small_stream(folder: &Path) -> Option<Vec<PathBuf>> {
    let out = folder.join("small");
    let playlist = out.join("index.m3u8");
    if !playlist.is_file() {
        if !clipmill_tests::tools::installed(&["ffmpeg"]) {
            return None;
        }
        std::fs::create_dir_all(&out).unwrap();
        ffmpeg(
            &format!(
                "-f lavfi -i testsrc2=size=640x360:rate=25,noise=alls=14:allf=t,format=yuv420p \
                 -f lavfi -i sine=frequency=440:sample_rate=48000 -t 60 -c:v libx264 \
                 -preset veryfast -b:v 1400k -maxrate 1600k -bufsize 2800k -g 50 -keyint_min 50 \
                 -sc_threshold 0 -c:a aac -b:a 96k -f hls -hls_time 2 -hls_playlist_type vod \
                 -hls_segment_filename {}/seg%03d.ts",
                out.display()
            ),
            &playlist,
        );
    }
    Some(segments(&playlist))
}

fn ffmpeg(args: &str, out: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args.split_whitespace())
        .arg(out)
        .status()
        .unwrap();
    assert!(status.success(), "ffmpeg does not make {}", out.display());
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

/// Copies files one after the other through a buffer of 1 MiB: the floor for whatever reads every
/// byte and writes it again.
///
/// # Panics
/// When a file cannot be read or written.
pub fn copy(from: &[PathBuf], to: &Path) {
    let mut out = File::create(to).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for path in from {
        let mut file = File::open(path).unwrap();
        loop {
            match file.read(&mut buffer).unwrap() {
                0 => break,
                len => out.write_all(&buffer[..len]).unwrap(),
            }
        }
    }
}

/// What one run of a program took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// From start to end.
    pub wall: Duration,
    /// The most memory that it held, in KiB; 0 where `/proc` does not tell.
    pub peak_kib: u64,
}

/// Runs a program to its end. Its memory is looked at every other millisecond, and the kernel keeps
/// the peak (`VmHWM`), so that only growth in the last moment can be missed.
///
/// # Panics
/// When it fails.
pub fn measure(command: &mut Command) -> Taken {
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}: {status}");
            return Taken {
                wall: begun.elapsed(),
                peak_kib,
            };
        }
        let status = std::fs::read_to_string(&status_file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The middle one.
#[must_use]
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
