//! Runs the programs that send.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::table::RTMP_MODULE;
use super::{Combination, Sender};
use crate::binary::{Run, finish_within};
use crate::server::{eventually, free_address};

/// What command lines have in common, by the word that stands for it.
const WORDS: [(&str, &str); 9] = [
    ("@ffmpeg", "ffmpeg -v error -nostdin -y"),
    ("@av", "@v @a -t 6"),
    ("@v", "-f lavfi -i testsrc2=size=160x90:rate=25"),
    ("@a", "-f lavfi -i sine=frequency=440:sample_rate=48000"),
    (
        "@h264",
        "-c:v libx264 -preset ultrafast -threads 1 -pix_fmt yuv420p",
    ),
    (
        "@h265",
        "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params",
    ),
    ("@aac", "-c:a aac -b:a 64k"),
    ("@hls", "-f hls -hls_time 1 -hls_list_size 0"),
    ("@fmp4", "@hls -hls_segment_type fmp4"),
];

/// A few seconds of a stream are written in this time, or the sender hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What `timeout` ends with when it has ended what it ran.
const TIMED_OUT: i32 = 124;

/// Sends a stream into a folder.
pub(super) fn send(one: &Combination, folder: &Path) -> Result<(), String> {
    match one.sender {
        Sender::Commands(lines) => lines.iter().try_for_each(|line| run(line, folder)),
        Sender::Rtmp {
            directives,
            publishers,
        } => publish(directives, publishers, folder),
    }
}

fn run(line: &str, folder: &Path) -> Result<(), String> {
    let words = words(line);
    // GStreamer's hlssink2 with a single stream now and then never ends on a busy machine.
    let tries = if words[0].starts_with("gst") { 4 } else { 1 };
    let mut run = once(&words, folder);
    for _ in 1..tries {
        if run.code != TIMED_OUT {
            break;
        }
        run = once(&words, folder);
    }
    if run.code == 0 {
        return Ok(());
    }
    let last = run.stderr.lines().last().unwrap_or_default();
    Err(format!("not sent: {} {}: {last}", words[0], run.code))
}

fn once(words: &[String], folder: &Path) -> Run {
    let mut command = Command::new("timeout");
    command.arg("25").args(words).current_dir(folder);
    finish_within(command, PATIENCE)
}

/// The words of a line; `'` keeps blanks together.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for (n, quoted) in line.split('\'').enumerate() {
        if n % 2 == 1 {
            words.push(quoted.to_owned());
            continue;
        }
        for word in quoted.split_whitespace() {
            match WORDS.iter().find(|(short, _)| *short == word) {
                Some((_, long)) => words.extend(self::words(long)),
                None => words.push(word.to_owned()),
            }
        }
    }
    words
}

/// Ends with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx with its RTMP module takes what ffmpeg publishes, in real time.
fn publish(directives: &str, publishers: &[&str], folder: &Path) -> Result<(), String> {
    let address = free_address();
    let text = format!(
        "load_module {RTMP_MODULE};\n\
         daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/nginx.log info;\n\
         events {{}}\n\
         rtmp {{ server {{ listen {address}; application live {{\n\
         live on; hls on; hls_path {0}; hls_fragment 1s; hls_playlist_length 5m;\n\
         {directives} }} }} }}\n",
        folder.display()
    );
    let config = folder.join("nginx.conf");
    fs::write(&config, text).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(&config).arg("-p").arg(folder);
    nginx
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _nginx = Running(nginx.spawn().map_err(|error| format!("nginx: {error}"))?);
    eventually("nginx listens", || {
        std::net::TcpStream::connect(address).ok()
    });
    for (n, publisher) in publishers.iter().enumerate() {
        if n > 0 {
            std::thread::sleep(Duration::from_millis(1500));
        }
        run(
            &format!("{publisher} -f flv rtmp://{address}/live/cam"),
            folder,
        )?;
    }
    // It writes the last segment when the publisher has gone.
    eventually("the last segment", || {
        let log = fs::read_to_string(folder.join("nginx.log")).unwrap_or_default();
        // Said by the publisher, and when its connection has ended.
        (log.matches("deleteStream").count() >= 2 * publishers.len()).then_some(())
    });
    Ok(())
}
