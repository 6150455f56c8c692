//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clipmill_bench::compare::{self, InputName, Template};
use clipmill_bench::load::{Options, PlaylistKind, dvr};
use clipmill_bench::units;

/// Measures Clipmill, and what else does its work.
#[derive(Debug, Parser)]
#[command(
    name = "clipmill-bench",
    version,
    after_help = "\
Inputs are made with ffmpeg, once, and kept in --dir. Everything else that a run writes is removed at
its end, also after Ctrl-C. Servers listen on the loopback address alone."
)]
pub(crate) struct Args {
    /// Where inputs are kept and outputs written: a folder on the disk to be measured [default:
    /// target/bench]
    #[arg(long, global = true, env = "CLIPMILL_BENCH_DIR", value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Cut an hour of 5 Mbit/s within 64 MiB of memory, or fail
    Memory {
        /// Seconds of stream
        #[arg(default_value_t = 3_600)]
        seconds: u32,
    },
    /// Clipmill, a plain copy, and what else cuts HLS on this machine, in turns, as a Markdown table
    Compare(CompareArgs),
    /// A server with many live streams: what it costs, how late its clips are, how fast it answers
    ServeLoad(LoadArgs),
    /// A server that keeps hours of many streams: memory, disk, and how soon a clip of the oldest begins to come
    Dvr(DvrArgs),
    /// Draw what `compare` and `serve-load` wrote with --json, as SVG
    Plot {
        /// Their files
        #[arg(required = true, value_name = "JSON")]
        files: Vec<PathBuf>,
        /// Where the pictures go
        #[arg(long, short, default_value = ".", value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Copy files into one, a mebibyte at a time: the yardstick of `compare`
    #[command(hide = true)]
    Copy {
        /// Where the buffer begins in its page
        #[arg(long, default_value_t = 0)]
        offset: usize,
        out: PathBuf,
        files: Vec<PathBuf>,
    },
    /// Count what is in an MP4, as JSON
    #[command(hide = true)]
    Samples { file: PathBuf },
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  compare                                  one segment, and ten minutes
  compare --inputs S,A,B,C --json all.json one hour and 2160p H.265 too (4 GB of inputs)
  compare --inputs A --only copy,clipmill --rounds 21
  compare --peer 'mine=mytool --in {playlist} --out {out}'

Programs run in turns on a warm cache, each into a new file on the same disk, after one run to warm up.
What they write is read by ffprobe's and our own independent readers and held against the input. Ratios
are to `copy, aligned`: 1 MiB reads and writes through a buffer that begins on a page, the fastest
plain copy there is; `copy, as malloc gives it` is the one that most programs would write.")]
pub(crate) struct CompareArgs {
    /// What is cut
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "S,A",
        value_name = "S|A|B|C,…"
    )]
    inputs: Vec<InputName>,
    /// Runs of each program, after one to warm up
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Only programs whose names hold one of these
    #[arg(long, value_delimiter = ',', value_name = "TEXT,…")]
    only: Vec<String>,
    /// Another program. In its command {playlist} is the input, or {segments} its files in order,
    /// {concat} the same as one file, {list} a list for ffmpeg's concat demuxer, {seconds} its length;
    /// {out} is the MP4 to write, {step} a file on the way
    #[arg(long, value_parser = Template::named, value_name = "NAME=COMMAND")]
    peer: Vec<(String, Template)>,
    /// All runs of one program on one input together: slow ones run fewer times
    #[arg(long, default_value = "60", value_parser = units::seconds, value_name = "DURATION")]
    budget: u64,
    /// One run; what takes longer is ended
    #[arg(long, default_value = "180", value_parser = units::seconds, value_name = "DURATION")]
    limit: u64,
    /// Also write all that was seen to a file, for `plot`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl CompareArgs {
    pub(crate) fn options(&self) -> compare::Options {
        compare::Options {
            inputs: self.inputs.clone(),
            rounds: self.rounds.max(1),
            only: self.only.clone(),
            others: self.peer.clone(),
            budget: self.budget,
            limit: self.limit,
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dvr                                 20 streams, 4 h of each, at 100 kbit/s
  dvr --streams 200 --bits 50k        as many as a large site has (18 GB of disk)

Hours are played faster than real time, as fast as the server takes them in, through playlists and segments
as in life. Room on the disk: twice what streams x window x bits come to.")]
pub(crate) struct DvrArgs {
    /// Streams
    #[arg(long, default_value_t = 20)]
    streams: usize,
    /// How far back each reaches
    #[arg(long, default_value = "4h", value_parser = units::seconds, value_name = "DURATION")]
    window: u64,
    /// Bits per second of a stream
    #[arg(long, default_value = "100k", value_parser = units::bits_per_second, value_name = "BITS")]
    bits: u64,
}

impl DvrArgs {
    pub(crate) fn options(&self) -> dvr::Options {
        dvr::Options {
            streams: self.streams.max(1),
            window: self.window.max(600),
            bits: self.bits,
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  serve-load --streams 200                         200 streams for three minutes
  serve-load --curve 10,100,300,1000 --json c.json the cost of a stream, by how many there are
  serve-load --streams 200 --history 1h            and clips of one hour meanwhile
  serve-load --streams 1000 --pull                 pulled from a web server of the harness
  serve-load --streams 500 --seconds 300 --keep-bytes 10GB

Media servers are played by hard links to real media of 2 s a segment and playlists that are rewritten
as media servers do; streams begin within --spread, without a pattern. Which clips were made and when
is told from the entries and files, not from what the server counts. Exit code 1: clips were missed or
torn, or something failed.")]
pub(crate) struct LoadArgs {
    /// Live streams
    #[arg(long, default_value_t = 200)]
    streams: usize,
    /// Several numbers of live streams instead, one run for each
    #[arg(long, value_delimiter = ',', value_name = "N,N,…")]
    curve: Vec<usize>,
    /// How long they are played
    #[arg(long, default_value = "180", value_parser = units::seconds, value_name = "DURATION")]
    seconds: u64,
    /// Between periodic clips
    #[arg(long, default_value = "60", value_parser = units::seconds, value_name = "DURATION")]
    interval: u64,
    /// Of a stream
    #[arg(long, default_value = "1.5M", value_parser = units::bits_per_second, value_name = "BITS/S")]
    bitrate: u64,
    /// Clips asked for per second: in turns stored, in the answer, and, where the server can, virtual
    #[arg(long, default_value_t = 4.0, value_name = "RATE")]
    on_demand: f64,
    /// What the playlists are like
    #[arg(long, default_value = "sliding")]
    playlists: PlaylistKind,
    /// Within how many seconds the streams begin: 2 s has them all reach their boundaries together
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    spread: f64,
    /// Have the server pull the streams from a web server, in place of a folder. Clips are later by as much as it is
    /// asked for playlists
    #[arg(long)]
    pull: bool,
    /// One more stream, with so much behind it, of all of which clips are asked for
    #[arg(long, value_parser = units::seconds, value_name = "DURATION")]
    history: Option<u64>,
    /// How many such clips
    #[arg(long, default_value_t = 20)]
    probes: usize,
    /// Have the server delete the oldest clips above so many bytes (missed clips are then not told
    /// from deleted ones)
    #[arg(long, value_parser = units::bytes, value_name = "BYTES")]
    keep_bytes: Option<u64>,
    /// Also write all that was seen to a file, for `plot`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl LoadArgs {
    /// Of streams, one run for each.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        if self.curve.is_empty() {
            vec![self.streams]
        } else {
            self.curve.clone()
        }
    }

    pub(crate) fn options(&self, streams: usize) -> Options {
        Options {
            streams: streams.max(1),
            seconds: self.seconds,
            interval: self.interval,
            bits: self.bitrate,
            on_demand: self.on_demand,
            playlists: self.playlists,
            spread: self.spread.max(0.0),
            pull: self.pull,
            history: self.history.unwrap_or(0),
            probes: self.probes,
            keep_bytes: self.keep_bytes,
        }
    }
}
