//! Several windows, of one or several playlists, in one MP4.

use std::process::ExitCode;

use clipmill::{AnySource, BoundClip, ClipError, ClipRequest, Input, Variant, WrittenClip};

use super::{AllWritten, finish, labelled, request, when_listed, write_subtitles};
use crate::args::{CutArgs, Part, Renditions};
use crate::failure::Failure;
use crate::progress::Bar;

pub(crate) fn cut(args: &CutArgs, parts: &[Part]) -> Result<ExitCode, Failure> {
    let all = args.renditions == Renditions::All;
    if all && args.playlists.len() > 1 {
        let message =
            "--renditions all cuts one playlist: those of several may have other variants";
        return Err(Failure::Usage(message.to_owned()));
    }
    let sources: Vec<AnySource> = args
        .playlists
        .iter()
        .map(|playlist| AnySource::for_playlist(playlist, args.allow_outside))
        .collect();
    let mut requests = Vec::with_capacity(parts.len());
    for part in parts {
        let (playlist, source) = (&args.playlists[part.playlist], &sources[part.playlist]);
        let request = request(args, part.window);
        requests.push(when_listed(args, playlist, source, request)?);
    }
    let bar = Bar::new(args.common.quiet);
    let inputs = args.playlists.iter().zip(&sources);
    let inputs = inputs.map(|(playlist, source)| {
        let input = Input::playlist(playlist.clone()).with_source(source);
        input.with_progress(|progress| bar.observe(progress))
    });
    let inputs: Vec<_> = inputs.collect();
    if all {
        let all = cut_all(args, parts, &requests, &inputs[0]);
        bar.finish();
        let mut report = AllWritten::default();
        for (label, variant, written) in all? {
            let path = labelled(&args.output.output, &label);
            report.add(args, &written, &path, &variant)?;
        }
        return Ok(report.finish(args));
    }
    let montage = join(args, parts, &requests, |part| &inputs[part.playlist])?;
    write_subtitles(montage.clip(), args, &args.output.output)?;
    finish(&montage, &args.output, &args.common, &bar)
}

fn join<'i, 'p: 'i, 's: 'i>(
    args: &CutArgs,
    parts: &[Part],
    requests: &[ClipRequest],
    input: impl Fn(&Part) -> &'i Input<'p, &'s AnySource>,
) -> Result<BoundClip<'i>, Failure> {
    let mut clips = Vec::with_capacity(parts.len());
    for (number, (part, request)) in (1..).zip(parts.iter().zip(requests)) {
        let clip = input(part).clip(request).map_err(|error| {
            let failure = Failure::of_input(error, &args.common);
            Failure::Part(number, Box::new(failure))
        })?;
        clips.push((clip, part.title.clone()));
    }
    BoundClip::montage(clips).map_err(|error| Failure::of_input(error, &args.common))
}

/// A montage of each variant, with its label.
fn cut_all(
    args: &CutArgs,
    parts: &[Part],
    requests: &[ClipRequest],
    input: &Input<'_, &AnySource>,
) -> Result<Vec<(String, Variant, WrittenClip)>, Failure> {
    let of_input = |error| Failure::of_input(error, &args.common);
    let windows = requests.iter().map(|request| input.variants(request));
    let windows: Vec<_> = windows
        .collect::<Result<_, ClipError>>()
        .map_err(of_input)?;
    let mut all = Vec::new();
    let Some(first) = windows.first() else {
        return Ok(all);
    };
    for variant in first {
        // A live multivariant playlist may change between two looks.
        let same = windows.iter().flat_map(|variants| {
            let mut variants = variants.iter();
            variants.find(|other| other.variant.uri == variant.variant.uri)
        });
        let requests: Vec<ClipRequest> = same.map(|same| same.request.clone()).collect();
        let montage = join(args, parts, &requests, |_| input)?;
        let path = labelled(&args.output.output, &variant.label);
        let bytes = montage.write_as(args.output.format.into(), path);
        let bytes = bytes.map_err(of_input)?;
        let clip = montage.into_clip();
        let written = WrittenClip { clip, bytes };
        all.push((variant.label.clone(), variant.variant.clone(), written));
    }
    Ok(all)
}
