//! What can be typed.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{
    ArgMatches, Args as ClapArgs, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use clipmill::{
    AudioChoice, Cut, Format, Location, SubtitleChoice, TimeSpec, VariantChoice, WindowRequest,
    parse_duration,
};
use clipmill_server::config::{parse_age, parse_size};

/// Cuts MP4 clips out of HLS streams, without transcoding.
#[derive(Debug, Parser)]
#[command(
    name = "clipmill",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  clipmill cut live/index.m3u8 -o clip.mp4 --last 30s
  clipmill cut https://example.com/live.m3u8 -o goal.mp4 --from 2026-11-22T14:05:00Z --duration 20s
  clipmill remux seg1.ts seg2.ts -o whole.mp4
  clipmill probe live/index.m3u8
  clipmill serve --app live=/var/www/hls --interval 30s

Exit codes: 0 done; 1 the job failed; 2 wrong usage; 3 with --strict, something was damaged
or missing."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// What was typed; with a message and an exit code of its own where that makes no sense.
    pub(crate) fn read() -> Self {
        let matches = Self::command().get_matches();
        let mut args = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let (Command::Cut(cut), Some((_, matches))) = (&mut args.command, matches.subcommand()) {
            cut.assign_windows(matches);
        }
        args
    }
}

const SERVE_EXAMPLES: &str = "\
Examples:
  clipmill serve --app live=/usr/local/antmedia/webapps/live/streams
  clipmill serve --app live=/var/www/hls --interval 30s --listen 0.0.0.0:5080
  clipmill serve --config /etc/clipmill.toml";

fn serve_help() -> String {
    format!(
        "\
Flags win over variables, variables over the configuration file. CLIPMILL_INTERVAL_SECONDS=60 stands
for interval_seconds of every application, and so on. CLIPMILL_LOG=debug says more,
CLIPMILL_LOG_FORMAT=json says it to machines. SIGTERM and Ctrl-C let running clips finish; SIGHUP
reads the configuration anew.

{SERVE_EXAMPLES}

Configuration file (TOML):

{}",
        clipmill_server::config::SAMPLE
    )
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Cut a window of an HLS playlist into one MP4
    #[command(after_help = "\
Times (T): 2026-11-22T14:05:00Z or with an offset such as +0300, epoch milliseconds, +90s from
the start of the playlist, -30s from its end. Durations (D): 30s, 1m30s, 2h, 1500ms.
Without a window, the whole playlist.

Several --window make a montage: their frames one after the other in one file, each a chapter. T..T
may leave out either end, and =TITLE names the chapter, which else is called by its instant. Of
several playlists each has the windows behind it, or all of it; they need the same codecs.

Examples:
  clipmill cut live/index.m3u8 -o clip.mp4 --last 30s
  clipmill cut live/index.m3u8 -o clip.mp4 --from +1m --to +1m30s --cut keyframe
  clipmill cut match.m3u8 -o goals.mp4 --window +12m3s..+12m20s=1:0 --window +50m..+50m9s=1:1
  clipmill cut cam1.m3u8 --window +5s..+9s cam2.m3u8 --window +9s..+14s -o both.mp4
  clipmill cut live/index.m3u8 -o - --format fmp4 | ffplay -
  clipmill cut https://example.com/live.m3u8 -o next.mp4 --from -5s --duration 30s --wait
  clipmill cut live/master.m3u8 -o clip.mp4 --renditions all    # clip.1080p.mp4, clip.720p.mp4, ...
  clipmill cut mux/index.m3u8 -o news.mp4 --program 2    # of several programs in one stream")]
    Cut(CutArgs),
    /// Join consecutive segments of one stream into one MP4
    #[command(after_help = "\
Fragmented MP4 begins with its initialization segment.

Examples:
  clipmill remux live000.ts live001.ts live002.ts -o live.mp4
  clipmill remux init.mp4 seg1.m4s seg2.m4s -o live.mp4
  clipmill remux mux000.ts mux001.ts -o news.mp4 --program 2    # of several programs")]
    Remux(RemuxArgs),
    /// Say what a playlist or a segment holds
    #[command(after_help = "\
Examples:
  clipmill probe live/index.m3u8
  clipmill probe live000.ts --json")]
    Probe(ProbeArgs),
    /// Cut clips out of live streams, periodically and on demand, and serve them
    #[command(after_help = SERVE_EXAMPLES, after_long_help = serve_help())]
    Serve(ServeArgs),
    /// Look after the server's catalog, while no server runs
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Look after the segments that the server keeps: for clips to come, and for the DVR window
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Play bundled media as a live stream, and cut clips out of it; Ctrl-C removes everything
    #[command(after_help = "\
Example:
  clipmill demo
  clipmill demo --listen 127.0.0.1:8080")]
    Demo(DemoArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5080")]
    pub(crate) listen: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Make the entries of all clips anew, from the clip files alone
    #[command(after_help = "\
Example:
  clipmill catalog rebuild --config /etc/clipmill.toml")]
    Rebuild(ServerArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// Say what is kept, of which streams and from when to when
    #[command(after_help = "\
Examples:
  clipmill spool ls --config /etc/clipmill.toml
  clipmill spool ls --data-dir clipmill-data --json")]
    Ls {
        #[command(flatten)]
        data: DataArgs,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Read all that is kept, and say what of it is damaged; then exit with 1
    #[command(after_help = "\
Example:
  clipmill spool verify --config /etc/clipmill.toml")]
    Verify {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Remove what lies furthest back in the DVR windows, while no server runs
    #[command(after_help = "\
Examples:
  clipmill spool trim --config /etc/clipmill.toml --keep 1h
  clipmill spool trim --data-dir clipmill-data --max-bytes 50GB")]
    #[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["keep", "max_bytes"])))]
    Trim {
        #[command(flatten)]
        data: DataArgs,
        /// Keep so much of each stream
        #[arg(long, value_name = "D", value_parser = parse_age)]
        keep: Option<Duration>,
        /// Keep no more than this, over all streams
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        max_bytes: Option<u64>,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DataArgs {
    /// The configuration file, which names the data folder
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder [default: clipmill-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServerArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the catalog and queued webhooks are kept [default: clipmill-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// An application, and the folder that its media server writes HLS to
    #[arg(long, value_name = "NAME=STREAMS_DIR")]
    pub(crate) app: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Where to listen [default: 127.0.0.1:5080]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// How the world reaches the server
    #[arg(long, value_name = "URL")]
    pub(crate) public_base_url: Option<String>,
    /// How long periodic clips are, for every application
    #[arg(long, value_name = "D")]
    pub(crate) interval: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CutArgs {
    /// The playlist: a path, or an http(s) URL. Several are joined
    #[arg(required = true, value_name = "PLAYLIST", value_parser = location)]
    pub(crate) playlists: Vec<Location>,
    #[command(flatten)]
    window: Window,
    /// A part of a montage, of the playlist before it; give it once for each
    #[arg(
        long = "window",
        value_name = "T..T[=TITLE]",
        allow_hyphen_values = true,
        conflicts_with_all = ["from", "to", "last", "duration"]
    )]
    windows: Vec<String>,
    /// Which of the playlists each of the windows is of.
    #[arg(skip)]
    windows_of: Vec<usize>,
    /// Wait for the end of the window, where a live playlist does not list it yet
    #[arg(long)]
    pub(crate) wait: bool,
    /// Where the clip may begin and end
    #[arg(long, value_enum, default_value_t = CutChoice::Exact)]
    pub(crate) cut: CutChoice,
    /// Of a multivariant playlist: best, worst, NAME, HEIGHTp, or the greatest bandwidth in bit/s
    #[arg(long, default_value = "best", value_parser = VariantChoice::from_str)]
    pub(crate) variant: VariantChoice,
    /// Write one clip, or one of each variant, all of the same instants
    #[arg(long, value_enum, default_value_t = Renditions::One)]
    pub(crate) renditions: Renditions,
    /// Of sound in playlists of its own: all, default, or a language
    #[arg(long, default_value = "all", value_name = "all|default|LANG", value_parser = AudioChoice::from_str)]
    pub(crate) audio: AudioChoice,
    /// Of subtitles in playlists of their own (WebVTT): tracks of the clip, files beside it, or both
    #[arg(long, value_enum, default_value_t = SubtitlesChoice::Track)]
    pub(crate) subtitles: SubtitlesChoice,
    /// Look for keys here first, by the last part of their URI: 16 bytes, or 32 hexadecimal digits
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// Take segments that lie outside the playlist's folder too
    #[arg(long)]
    pub(crate) allow_outside: bool,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is cut of one of the playlists.
#[derive(Debug)]
pub(crate) struct Part {
    /// Which of them.
    pub(crate) playlist: usize,
    pub(crate) window: WindowRequest,
    /// What its chapter is called.
    pub(crate) title: Option<String>,
}

impl CutArgs {
    /// Windows belong to the playlist before them; those before the first one are of that.
    fn assign_windows(&mut self, matches: &ArgMatches) {
        let places = |name: &str| matches.indices_of(name).into_iter().flatten();
        let playlists: Vec<usize> = places("playlists").collect();
        let of = |window: usize| {
            let before = playlists.iter().filter(|playlist| **playlist < window);
            before.count().saturating_sub(1)
        };
        self.windows_of = places("windows").map(of).collect();
    }

    /// What is cut, in order.
    pub(crate) fn parts(&self) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        for playlist in 0..self.playlists.len() {
            let own = self.windows.iter().zip(&self.windows_of);
            let own = own.filter(|(_, of)| **of == playlist);
            let before = parts.len();
            for (text, _) in own {
                let (window, title) = window(text)?;
                parts.push(Part {
                    playlist,
                    window,
                    title,
                });
            }
            if parts.len() == before {
                parts.push(Part {
                    playlist,
                    window: self.window.request()?,
                    title: None,
                });
            }
        }
        Ok(parts)
    }
}

/// `T..T=TITLE`, of which all but the dots may be left out.
fn window(text: &str) -> Result<(WindowRequest, Option<String>), String> {
    let (from, to) = text.split_once("..").ok_or_else(|| {
        format!("--window: {text:?} is no window: write +1m..+1m20s, or +1m..+1m20s=Goal")
    })?;
    let (to, title) = match to.split_once('=') {
        Some((to, title)) => (to, Some(title.to_owned())),
        None => (to, None),
    };
    let instant = |text: &str| {
        let spec = Some(text).filter(|text| !text.is_empty());
        let spec = spec.map(str::parse::<TimeSpec>).transpose();
        spec.map_err(|error| format!("--window: {error}"))
    };
    let request = WindowRequest {
        from: instant(from)?,
        to: instant(to)?,
        ..WindowRequest::default()
    };
    Ok((request, title))
}

#[derive(Debug, ClapArgs)]
struct Window {
    /// Where the clip begins
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    from: Option<String>,
    /// Where it ends
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    to: Option<String>,
    /// The end of the playlist, this long
    #[arg(long, value_name = "D", conflicts_with_all = ["from", "to", "duration"])]
    last: Option<String>,
    /// How long the clip is
    #[arg(long, value_name = "D")]
    duration: Option<String>,
}

impl Window {
    /// The window as it was asked for.
    fn request(&self) -> Result<WindowRequest, String> {
        let instant = |name: &str, text: &Option<String>| {
            let spec = text.as_deref().map(str::parse::<TimeSpec>).transpose();
            spec.map_err(|error| format!("--{name}: {error}"))
        };
        let length = |name: &str, text: &Option<String>| {
            let duration = text.as_deref().map(parse_duration).transpose();
            duration.map_err(|error| format!("--{name}: {error}"))
        };
        Ok(WindowRequest {
            from: instant("from", &self.from)?,
            to: instant("to", &self.to)?,
            last: length("last", &self.last)?,
            duration: length("duration", &self.duration)?,
        })
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RemuxArgs {
    /// Segments of one stream, in order
    #[arg(required = true, value_name = "FILE", value_parser = location)]
    pub(crate) files: Vec<Location>,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ProbeArgs {
    /// A playlist or a segment: a path, or an http(s) URL
    #[arg(value_name = "FILE|PLAYLIST", value_parser = location)]
    pub(crate) input: Location,
    /// Look for keys here first, by the last part of their URI: 16 bytes, or 32 hexadecimal digits
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// Take segments that lie outside the playlist's folder too
    #[arg(long)]
    pub(crate) allow_outside: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Output {
    /// The MP4 to write, in place of what may be there; - for standard output
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// The form of the MP4
    #[arg(long, value_enum, default_value_t = FormatChoice::Mp4)]
    pub(crate) format: FormatChoice,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Common {
    /// Which program of an MPEG-TS stream with several, by its number; by default the one with the
    /// most pictures and sound that are not scrambled
    #[arg(long, value_name = "NUMBER")]
    pub(crate) program: Option<u16>,
    /// Exit with 3 when something was damaged or missing
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Neither progress nor warnings on standard error
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CutChoice {
    /// From sync sample to sync sample: windows in a row share no frame and lose none
    Keyframe,
    /// On the asked frames; what decoding needs before them is hidden by an edit list
    Exact,
    /// Whole segments
    Segment,
}

impl From<CutChoice> for Cut {
    fn from(choice: CutChoice) -> Self {
        match choice {
            CutChoice::Keyframe => Self::Keyframe,
            CutChoice::Exact => Self::Exact,
            CutChoice::Segment => Self::Segment,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Renditions {
    /// The variant that --variant says
    One,
    /// All of them: OUT.mp4 becomes OUT.1080p.mp4, OUT.720p.mp4, ...
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SubtitlesChoice {
    /// A track for each language
    Track,
    /// OUT.vtt beside OUT.mp4; OUT.en.vtt, OUT.de.vtt, ... where there are several
    Vtt,
    /// Tracks and files
    Both,
    /// Neither
    None,
}

impl SubtitlesChoice {
    /// Whether there are files to write.
    pub(crate) fn has_files(self) -> bool {
        matches!(self, Self::Vtt | Self::Both)
    }
}

impl From<SubtitlesChoice> for SubtitleChoice {
    fn from(choice: SubtitlesChoice) -> Self {
        match choice {
            SubtitlesChoice::Track | SubtitlesChoice::Both => Self::Track,
            SubtitlesChoice::Vtt => Self::Aside,
            SubtitlesChoice::None => Self::None,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormatChoice {
    /// Progressive, moov first
    Mp4,
    /// Fragmented (CMAF); on standard output it flows as it is made
    Fmp4,
}

impl FormatChoice {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Fmp4 => "fmp4",
        }
    }
}

impl From<FormatChoice> for Format {
    fn from(choice: FormatChoice) -> Self {
        match choice {
            FormatChoice::Mp4 => Self::Mp4,
            FormatChoice::Fmp4 => Self::Fmp4,
        }
    }
}

fn location(text: &str) -> Result<Location, Infallible> {
    text.parse()
}
