//! The commands.

mod montage;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clipmill::{
    AnySource, BoundClip, Clip, ClipError, ClipRequest, Input, Location, Variant, WindowRequest,
    WrittenClip,
};
use serde::Serialize;

use crate::args::{
    Args, Command, Common, CutArgs, FormatChoice, Output, ProbeArgs, RemuxArgs, Renditions,
};
use crate::failure::{DAMAGED, Failure};
use crate::progress::{Bar, Waiting};
use crate::report::{ClipReport, ProbeReport, VariantsReport, clip_text, probe_text};
use crate::serve;

/// What messages call standard output.
const STDOUT: &str = "standard output";

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Cut(args) => cut(args),
        Command::Remux(args) => remux(args),
        Command::Probe(args) => probe(args),
        Command::Serve(args) => serve::serve(args),
        Command::Catalog(command) => serve::catalog(command),
        Command::Spool(command) => crate::spool::spool(command),
        Command::Demo(args) => crate::demo::demo(args),
    }
}

fn cut(args: &CutArgs) -> Result<ExitCode, Failure> {
    let parts = args.parts().map_err(Failure::Usage)?;
    let to_stdout = args.output.output == Path::new("-");
    if args.subtitles.has_files() && to_stdout {
        let message = "--subtitles vtt writes files beside the clip: -o must name one";
        return Err(Failure::Usage(message.to_owned()));
    }
    if args.renditions == Renditions::All && to_stdout {
        let message =
            "--renditions all writes several files: -o must name a file, such as clip.mp4";
        return Err(Failure::Usage(message.to_owned()));
    }
    let ([part], [playlist]) = (parts.as_slice(), args.playlists.as_slice()) else {
        return montage::cut(args, &parts);
    };
    if part.title.is_some() {
        return montage::cut(args, &parts);
    }
    let source = AnySource::for_playlist(playlist, args.allow_outside);
    let request = request(args, part.window);
    let request = when_listed(args, playlist, &source, request)?;
    if args.renditions == Renditions::All {
        return cut_all(args, playlist, &request, &source);
    }
    let bar = Bar::new(args.common.quiet);
    let input = Input::playlist(playlist.clone()).with_source(&source);
    let input = input.with_progress(|progress| bar.observe(progress));
    if streams(args, &part.window) {
        return stream(args, &request, &input, &bar);
    }
    if is_plain_file(&args.output) {
        let path = &args.output.output;
        let written = input.cut_to_path(&request, path);
        bar.finish();
        if let Ok(written) = &written {
            write_subtitles(&written.clip, args, path)?;
        }
        return written_file(written, &args.output, &args.common);
    }
    let clip = input.clip(&request);
    let clip = clip.map_err(|error| Failure::of_input(error, &args.common))?;
    write_subtitles(clip.clip(), args, &args.output.output)?;
    finish(&clip, &args.output, &args.common, &bar)
}

/// What to cut of a window.
pub(crate) fn request(args: &CutArgs, window: WindowRequest) -> ClipRequest {
    let mut request = ClipRequest::new(window).with_cut(args.cut.into());
    request.variant = args.variant.clone();
    request.audio = args.audio.clone();
    request.subtitles = args.subtitles.into();
    request.program = args.common.program;
    request.keys = args.keys.clone();
    request.allow_outside = args.allow_outside;
    request
}

/// The same with `--wait`, once the playlist lists all of it.
pub(crate) fn when_listed(
    args: &CutArgs,
    playlist: &Location,
    source: &AnySource,
    request: ClipRequest,
) -> Result<ClipRequest, Failure> {
    if !args.wait {
        return Ok(request);
    }
    let mut waiting = Waiting::new(args.common.quiet || args.common.json);
    let input = Input::playlist(playlist.clone()).with_source(source);
    let input = input.with_progress(|progress| waiting.observe(progress));
    let request = input.when_listed(&request);
    drop(input);
    waiting.finish();
    request.map_err(|error| Failure::of_input(error, &args.common))
}

/// Subtitles in files beside the clip.
pub(crate) fn write_subtitles(
    clip: &Clip,
    args: &CutArgs,
    clip_path: &Path,
) -> Result<(), Failure> {
    if !args.subtitles.has_files() {
        return Ok(());
    }
    let mut names: Vec<String> = Vec::new();
    for subtitles in &clip.subtitles {
        let language = subtitles.language.to_string();
        let name = match clip.subtitles.as_slice() {
            [_] => "vtt".to_owned(),
            _ if !names.contains(&format!("{language}.vtt")) => format!("{language}.vtt"),
            _ => format!("{language}-{}.vtt", names.len() + 1),
        };
        let path = clip_path.with_extension(&name);
        subtitles.write_to_path(&path).map_err(Failure::Job)?;
        names.push(name);
    }
    Ok(())
}

/// One clip of each variant.
fn cut_all(
    args: &CutArgs,
    playlist: &Location,
    request: &ClipRequest,
    source: &AnySource,
) -> Result<ExitCode, Failure> {
    let playlist = || Input::playlist(playlist.clone()).with_source(source);
    let variants = playlist().variants(request);
    let variants = variants.map_err(|error| Failure::of_input(error, &args.common))?;
    let mut report = AllWritten::default();
    for variant in &variants {
        let path = labelled(&args.output.output, &variant.label);
        let bar = Bar::new(args.common.quiet);
        let input = playlist().with_progress(|progress| bar.observe(progress));
        let written = write_one(args, &variant.request, &input, &path);
        bar.finish();
        let written = written.map_err(|error| Failure::of_input(error, &args.common))?;
        report.add(args, &written, &path, &variant.variant)?;
    }
    Ok(report.finish(args))
}

/// The clips of several variants.
#[derive(Default)]
pub(crate) struct AllWritten {
    report: VariantsReport,
    damaged: bool,
}

impl AllWritten {
    /// Says what was written.
    pub(crate) fn add(
        &mut self,
        args: &CutArgs,
        written: &WrittenClip,
        path: &Path,
        variant: &Variant,
    ) -> Result<(), Failure> {
        write_subtitles(&written.clip, args, path)?;
        let (clip, name) = (&written.clip, path.display().to_string());
        warn(clip, &args.common);
        self.damaged |= clip.is_damaged();
        if args.common.json {
            let format = args.output.format.name();
            self.report.push(clip, name, written.bytes, format, variant);
        } else if !args.common.quiet {
            eprint!("{}", clip_text(clip, &name, written.bytes));
        }
        Ok(())
    }

    pub(crate) fn finish(self, args: &CutArgs) -> ExitCode {
        if args.common.json {
            print_json(&self.report);
        }
        match args.common.strict && self.damaged {
            true => ExitCode::from(DAMAGED),
            false => ExitCode::SUCCESS,
        }
    }
}

fn write_one(
    args: &CutArgs,
    request: &ClipRequest,
    input: &Input<'_, &AnySource>,
    path: &Path,
) -> Result<WrittenClip, ClipError> {
    if matches!(args.output.format, FormatChoice::Mp4) {
        return input.cut_to_path(request, path);
    }
    let clip = input.clip(request)?;
    let bytes = clip.write_as(args.output.format.into(), path)?;
    let clip = clip.into_clip();
    Ok(WrittenClip { clip, bytes })
}

/// `clip.mp4` as `clip.720p.mp4`.
pub(crate) fn labelled(path: &Path, label: &str) -> PathBuf {
    if label.is_empty() {
        return path.to_owned();
    }
    match path.extension() {
        Some(extension) => {
            let mut label = std::ffi::OsString::from(label);
            label.push(".");
            label.push(extension);
            path.with_extension(label)
        }
        None => path.with_extension(label),
    }
}

/// Whether the clip can flow to standard output as it is made: its end is the playlist's.
fn streams(args: &CutArgs, window: &WindowRequest) -> bool {
    args.output.output == Path::new("-")
        && matches!(args.output.format, FormatChoice::Fmp4)
        && window.to.is_none()
        && window.duration.is_none()
}

fn stream(
    args: &CutArgs,
    request: &ClipRequest,
    input: &Input<'_, &AnySource>,
    bar: &Bar,
) -> Result<ExitCode, Failure> {
    let clip = input.stream(request, Path::new(STDOUT), &mut io::stdout().lock());
    bar.finish();
    let clip = clip.map_err(|error| Failure::of_input(error, &args.common))?;
    warn(&clip, &args.common);
    Ok(code(&clip, &args.common))
}

fn remux(args: &RemuxArgs) -> Result<ExitCode, Failure> {
    let mut request = ClipRequest::default();
    request.program = args.common.program;
    let bar = Bar::new(args.common.quiet);
    // Files that were named one by one may lie anywhere.
    let input = Input::files(args.files.iter().cloned());
    let input = input.with_progress(|progress| bar.observe(progress));
    if is_plain_file(&args.output) {
        let path = &args.output.output;
        let written = input.cut_to_path(&request, path);
        bar.finish();
        return written_file(written, &args.output, &args.common);
    }
    let clip = input.clip(&request);
    let clip = clip.map_err(|error| Failure::of_input(error, &args.common))?;
    finish(&clip, &args.output, &args.common, &bar)
}

/// Whether the output is a file with its `moov` first, which is written while its segments are
/// read.
fn is_plain_file(output: &Output) -> bool {
    output.output != Path::new("-") && matches!(output.format, FormatChoice::Mp4)
}

/// Says what a file holds.
fn written_file(
    written: Result<WrittenClip, ClipError>,
    output: &Output,
    common: &Common,
) -> Result<ExitCode, Failure> {
    let written = written.map_err(|error| Failure::of_input(error, common))?;
    report(&written.clip, written.bytes, output, common);
    Ok(code(&written.clip, common))
}

/// Writes the clip and says what it holds.
pub(crate) fn finish(
    clip: &BoundClip<'_>,
    output: &Output,
    common: &Common,
    bar: &Bar,
) -> Result<ExitCode, Failure> {
    let format = output.format.into();
    let written = if output.output == Path::new("-") {
        clip.write_to(format, Path::new(STDOUT), &mut io::stdout().lock())
    } else {
        clip.write_as(format, &output.output)
    };
    bar.finish();
    let bytes = written.map_err(Failure::Job)?;

    report(clip.clip(), bytes, output, common);
    Ok(code(clip.clip(), common))
}

fn report(clip: &Clip, bytes: u64, output: &Output, common: &Common) {
    let name = output.output.display().to_string();
    warn(clip, common);
    if output.output == Path::new("-") {
        return;
    }
    if common.json {
        print_json(&ClipReport::new(clip, name, bytes, output.format.name()));
    } else if !common.quiet {
        eprint!("{}", clip_text(clip, &name, bytes));
    }
}

fn probe(args: &ProbeArgs) -> Result<ExitCode, Failure> {
    let mut request = ClipRequest::default();
    request.program = args.common.program;
    request.keys = args.keys.clone();
    request.allow_outside = args.allow_outside;
    let source = AnySource::for_playlist(&args.input, args.allow_outside);
    let bar = Bar::new(args.common.quiet);
    let input = Input::playlist(args.input.clone()).with_source(source);
    let input = input.with_progress(|progress| bar.observe(progress));
    let probe = input.probe(&request);
    bar.finish();
    let probe = probe.map_err(|error| Failure::of_input(error, &args.common))?;
    let input = args.input.to_string();
    warn(&probe.clip, &args.common);
    if args.common.json {
        print_json(&ProbeReport::new(&probe, input));
    } else {
        print(&probe_text(&probe, &input));
    }
    Ok(code(&probe.clip, &args.common))
}

fn warn(clip: &Clip, common: &Common) {
    if common.quiet {
        return;
    }
    for warning in &clip.warnings {
        eprintln!("clipmill: warning: {warning}");
    }
}

fn code(clip: &Clip, common: &Common) -> ExitCode {
    if common.strict && clip.is_damaged() {
        return ExitCode::from(DAMAGED);
    }
    ExitCode::SUCCESS
}

fn print_json(report: &impl Serialize) {
    match serde_json::to_string_pretty(report) {
        Ok(json) => print(&format!("{json}\n")),
        Err(error) => eprintln!("clipmill: {error}"),
    }
}

/// A reader that has gone away is no failure of ours.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
