//! Cuts a stream in every way, and compares what came out with what was sent.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::truth::{self, DECODED, Frame, Run, Truth, first_line, listed};
use super::{But, CUTS, Combination, edits, senders};
use crate::binary::clipmill;
use crate::mp4;
use crate::tools::ffmpeg;

/// What is cut within, in seconds since the playlist began.
const WITHIN: (f64, f64) = (1.3, 3.7);

/// Sound and pictures are this near to each other's time, in seconds: half a frame of sound of the
/// longest kind and a little, as sound is believed by its frame lengths.
const NEAR: f64 = 0.013;

/// Two instants that are the same but for rounding to ticks.
const SAME: f64 = 0.000_03;

/// What is wrong with each of the [`CUTS`].
pub(super) fn judge(one: &Combination, folder: &Path) -> Result<Vec<Option<String>>, String> {
    let stream = folder.join("stream");
    let scratch = folder.join("scratch");
    for folder in [&stream, &scratch] {
        fs::create_dir_all(folder).unwrap();
    }
    senders::send(one, &stream)?;
    let truth = truth::read(&stream.join(one.playlist), &scratch)?;
    if truth
        .runs
        .iter()
        .all(|run| run.video.is_empty() && run.sounds.is_empty())
    {
        return Err("nothing was sent".to_owned());
    }
    let playlist = match one.edit {
        Some(edit) => edits::edit(edit, &stream, one.playlist),
        None => edits::Edited::of(stream.join(one.playlist)),
    };
    let cut = |n: usize| {
        let out = scratch.join(format!("{n}.mp4"));
        cut_and_compare(one, &truth, &playlist.arguments(), CUTS[n], &out).err()
    };
    Ok((0..CUTS.len()).map(cut).collect())
}

fn cut_and_compare(
    one: &Combination,
    truth: &Truth,
    playlist: &[OsString],
    (mode, whole, format): (&str, bool, &str),
    out: &PathBuf,
) -> Result<(), String> {
    let mut args: Vec<OsString> = vec!["cut".into()];
    args.extend(playlist.iter().cloned());
    args.extend(["-o".into(), out.into(), "--json".into()]);
    args.extend(["--cut", mode, "--format", format].map(OsString::from));
    if !whole {
        let (from, to) = WITHIN;
        args.extend(
            ["--from", &format!("+{from}s"), "--to", &format!("+{to}s")].map(OsString::from),
        );
    }
    let run = clipmill(args);
    if one.but.contains(&But::NoSync) && !whole && mode == "keyframe" {
        let told = run.code == 1 && run.stderr.contains("nothing in the window");
        return if told {
            Ok(())
        } else {
            Err(format!("exit {}", run.code))
        };
    }
    if run.code != 0 {
        return Err(format!("exit {}: {}", run.code, run.stderr.trim()));
    }
    let report = run.json();
    // Whole segments may begin in the middle of a group.
    let is_of_sync = |said: &Value| said.to_string().contains("begins without a sync sample");
    let without_sync = report["warnings"]
        .as_array()
        .is_some_and(|all| all.iter().any(is_of_sync));
    for what in ["gaps", "warnings"] {
        let said = &report[what];
        let mut rest = said.as_array().into_iter().flatten();
        let none = rest.all(|said| mode == "segment" && is_of_sync(said));
        if !none && !one.but.contains(&But::Lost) && !one.but.contains(&But::Warned) {
            return Err(format!("{what}: {said}"));
        }
    }
    if begins_with_sync(out)? == without_sync {
        return Err(format!(
            "begins without a sync sample: {without_sync} is said"
        ));
    }
    if one.but.contains(&But::NoSync) && without_sync {
        return Ok(());
    }
    let mut seen = look(one, out, truth, whole, without_sync)?;
    // ffmpeg gives times below 0 to frames that edit lists hide in fragmented files, and in AV1.
    seen.video.retain(|frame| frame.time > -SAME);
    if !whole {
        // Nor does it heed where those edit lists end.
        let end = report["duration_ms"].as_f64().unwrap_or(f64::INFINITY) / 1000.0;
        seen.video.retain(|frame| frame.time < end - SAME);
    }
    if mode == "exact" && !whole {
        begin_in_full(truth, &mut seen);
    }
    let placed = Placed::of(one, truth, &seen)?;
    if whole {
        placed.is_all(one)
    } else {
        placed.is_within(one, truth, mode, seen.is_late)
    }
}

/// A picture that is on display for long when a clip begins is presented from then on: the clip begins
/// in the middle of it. Here it is put where all of it would have been.
fn begin_in_full(truth: &Truth, seen: &mut Seen) {
    let sent = flat(&truth.runs, |run| &run.video);
    let [first, second, ..] = seen.video.as_mut_slice() else {
        return;
    };
    let mut pairs = sent.windows(2).map(|pair| (pair[0].1, pair[1].1));
    if let Some((one, next)) = pairs.find(|(a, b)| a.hash == first.hash && b.hash == second.hash) {
        let length = next.time - one.time;
        if length > 0.5 && second.time - first.time <= length {
            first.time = second.time - length;
        }
    }
}

/// Whether decoding can begin at the first picture of a clip.
fn begins_with_sync(file: &Path) -> Result<bool, String> {
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    let movie = mp4::read(&bytes)?;
    let pictures = movie.tracks.iter().find(|track| track.is_video());
    let first = pictures.and_then(|track| track.samples.first());
    Ok(first.is_none_or(|first| first.sync))
}

/// What a player gets of a clip.
struct Seen {
    /// Pictures are shown only from the first sync sample on, which is not the first one of all.
    is_late: bool,
    video: Vec<Frame>,
    sounds: Vec<Vec<Frame>>,
}

fn look(
    one: &Combination,
    file: &Path,
    truth: &Truth,
    whole: bool,
    is_late: bool,
) -> Result<Seen, String> {
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    let movie = mp4::read(&bytes)?;
    let faults = movie.faults(&bytes);
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    let has_video = movie.tracks.iter().any(mp4::Track::is_video);
    let has_sound = movie.tracks.iter().any(mp4::Track::is_audio);
    let path = file.to_str().unwrap();
    // Pictures that refer to lost ones are complained of.
    let is_lossy = one.but.contains(&But::Lost);
    let mut args = vec!["-copyts", "-i", path];
    if !is_lossy {
        args.insert(0, "-xerror");
    }
    if has_video {
        args.extend(["-map", "0:v:0"]);
        args.extend(
            "-vsync passthrough -enc_time_base -1 -c:v rawvideo -pix_fmt yuv420p".split(' '),
        );
        args.extend(["-f", "framehash", "-hash", "md5", "-"]);
    }
    if has_sound {
        args.extend(["-map", "0:a", "-f", "null", "/dev/null"]);
    }
    let run = ffmpeg(args);
    let expected = is_late
        || is_lossy
        || !truth.complaints.is_empty()
        || one.but.contains(&But::NewSets)
        || (!whole && one.but.contains(&But::OpenGroups));
    if run.code != 0 || !(run.stderr.is_empty() || expected) {
        return Err(format!("ffmpeg: {} {}", run.code, first_line(&run.stderr)));
    }
    let sounds = movie.tracks.iter().filter(|track| track.is_audio());
    let sounds = sounds.map(|track| sound(one, track, movie.timescale, file));
    Ok(Seen {
        is_late,
        video: if has_video {
            listed(&run.stdout)
        } else {
            Vec::new()
        },
        sounds: sounds.collect(),
    })
}

/// The frames of sound that are presented.
fn sound(one: &Combination, track: &mp4::Track, timescale: u32, file: &Path) -> Vec<Frame> {
    let hashes = hashes(one, file, track.id);
    let samples = track.samples.iter().enumerate();
    let shown = samples.filter_map(|(n, sample)| {
        // A frame belongs to the clip if its middle does.
        let half = i64::from(sample.duration / 2);
        let middle = track.presented(sample.pts + half, timescale)?;
        let hash = hashes.get(n).cloned().unwrap_or_default();
        let time = middle - half as f64 / f64::from(track.timescale);
        let key = true;
        Some(Frame { time, hash, key })
    });
    shown.collect()
}

/// The checksums of a track's samples, edit lists apart. Decoding needs the frame before, which the
/// first one of a clip has not.
fn hashes(one: &Combination, file: &Path, id: u32) -> Vec<String> {
    let map = format!("0:i:{id}");
    let path = file.to_str().unwrap();
    let mut args = vec!["-ignore_editlist", "1", "-i", path, "-map", &map];
    args.extend(["-c", "copy"]);
    if one.but.contains(&But::SoundIsRewritten) {
        args.extend(DECODED);
    }
    args.extend(["-f", "framehash", "-hash", "md5", "-"]);
    let frames = listed(&ffmpeg(args).stdout);
    frames.into_iter().map(|frame| frame.hash).collect()
}

/// A track of a clip, found again in what was sent.
struct Found {
    /// Positions, in all runs one after the other.
    first: usize,
    last: usize,
    /// How many in between are not there.
    skipped: usize,
    /// How many were sent.
    sent: usize,
    /// What is added to the time of each run.
    shifts: Vec<Option<f64>>,
}

struct Placed {
    video: Option<Found>,
    sounds: Vec<Found>,
}

fn flat<'a>(runs: &'a [Run], of: impl Fn(&'a Run) -> &'a [Frame]) -> Vec<(usize, &'a Frame)> {
    let runs = runs.iter().enumerate();
    runs.flat_map(|(n, run)| of(run).iter().map(move |frame| (n, frame)))
        .collect()
}

fn sound_of(run: &Run, n: usize) -> &[Frame] {
    run.sounds.get(n).map_or(&[], Vec::as_slice)
}

impl Placed {
    fn of(one: &Combination, truth: &Truth, seen: &Seen) -> Result<Self, String> {
        let sent = flat(&truth.runs, |run| &run.video);
        let video = match (sent.is_empty(), seen.video.is_empty()) {
            (true, true) => None,
            (true, false) => return Err("pictures that were not sent".to_owned()),
            (false, true) => return Err("no pictures".to_owned()),
            (false, false) => Some(find("pictures", one, &sent, &seen.video, None, false)?),
        };
        let most = truth
            .runs
            .iter()
            .map(|run| run.sounds.len())
            .max()
            .unwrap_or(0);
        if seen.sounds.len() != most {
            return Err(format!("{} tracks of sound of {most}", seen.sounds.len()));
        }
        let shifts = video
            .as_ref()
            .map_or(&[][..], |found: &Found| &found.shifts);
        let decoded = one.but.contains(&But::SoundIsRewritten);
        let sounds = seen.sounds.iter().enumerate().map(|(n, sound)| {
            let sent = flat(&truth.runs, |run| sound_of(run, n));
            find(
                &format!("sound {n}"),
                one,
                &sent,
                sound,
                Some(shifts),
                decoded,
            )
        });
        let sounds = sounds.collect::<Result<Vec<_>, _>>()?;
        let placed = Self { video, sounds };
        if !one.but.contains(&But::SoundUntimed) {
            placed.in_step()?;
        }
        Ok(placed)
    }

    /// Sound and pictures keep their offset.
    fn in_step(&self) -> Result<(), String> {
        let Some(video) = &self.video else {
            return Ok(());
        };
        for (n, sound) in self.sounds.iter().enumerate() {
            for (run, (a, b)) in video.shifts.iter().zip(&sound.shifts).enumerate() {
                if let (Some(a), Some(b)) = (a, b)
                    && (a - b).abs() > NEAR
                {
                    let off = (b - a) * 1000.0;
                    return Err(format!("sound {n} is {off:.1} ms late in run {run}"));
                }
            }
        }
        Ok(())
    }

    fn tracks(&self) -> impl Iterator<Item = (String, &Found)> {
        let sounds = self.sounds.iter().enumerate();
        let sounds = sounds.map(|(n, found)| (format!("sound {n}"), found));
        self.video
            .iter()
            .map(|found| ("pictures".to_owned(), found))
            .chain(sounds)
    }

    fn is_all(&self, one: &Combination) -> Result<(), String> {
        for (name, found) in self.tracks() {
            let missing = found.first + found.skipped + (found.sent - 1 - found.last);
            if missing > 0 && !one.but.contains(&But::Lost) {
                return Err(format!(
                    "{missing} of {} {name} missing: {} first, {} inside, {} last",
                    found.sent,
                    found.first,
                    found.skipped,
                    found.sent - 1 - found.last
                ));
            }
        }
        Ok(())
    }

    fn is_within(
        &self,
        one: &Combination,
        truth: &Truth,
        mode: &str,
        is_late: bool,
    ) -> Result<(), String> {
        for (name, found) in self.tracks() {
            if found.skipped > 0 && !one.but.contains(&But::Lost) {
                return Err(format!("{} {name} missing inside", found.skipped));
            }
        }
        // Where media is lost, what a window holds depends on which pictures are left to begin with.
        let free = [But::WrongDurations, But::Lost];
        if one.but.iter().any(|but| free.contains(but)) || truth.runs.len() > 1 {
            return Ok(());
        }
        let run = &truth.runs[0];
        let (leading, found, name) = match (&self.video, self.sounds.first()) {
            (Some(found), _) => (run.video.as_slice(), found, "pictures"),
            (None, Some(found)) => (sound_of(run, 0), found, "sound"),
            (None, None) => return Err("nothing".to_owned()),
        };
        let began = run.video.iter().chain(run.sounds.iter().flatten());
        let began = match leading.first() {
            Some(first) if !run.video.is_empty() => first.time,
            _ => began.map(|frame| frame.time).fold(f64::INFINITY, f64::min),
        };
        let since = |frame: &Frame| frame.time - began;
        let longest = truth.durations.iter().copied().fold(0.0, f64::max);
        let from_to = |wanted: (usize, usize)| {
            let near = |a: usize, b: usize| a.abs_diff(b) <= 1;
            if near(found.first, wanted.0) && near(found.last, wanted.1) {
                return Ok(());
            }
            Err(format!(
                "{name} {}..={} for {}..={}",
                found.first, found.last, wanted.0, wanted.1
            ))
        };
        let at = |instant: f64| leading.partition_point(|frame| since(frame) < instant - SAME);
        let (from, to) = WITHIN;
        match mode {
            "exact" => from_to((at(from), at(to).saturating_sub(1)))?,
            "keyframe" => {
                let key = |from: usize| {
                    let mut rest = leading.iter().skip(from);
                    rest.position(|frame| frame.key).map(|more| from + more)
                };
                let first = key(at(from)).ok_or("no sync sample")?;
                let end = key(at(to)).unwrap_or(leading.len());
                if one
                    .but
                    .iter()
                    .any(|but| matches!(but, But::OpenGroups | But::Refresh))
                {
                    // What is shown before a sync sample may be decoded after it.
                    let near = found.first >= first && found.last + 4 >= end && found.last < end;
                    if !near {
                        return from_to((first, end - 1));
                    }
                } else if found.first != first {
                    return Err(format!(
                        "begins at {} and not at the sync sample {first}",
                        found.first
                    ));
                }
            }
            _ => {
                let (first, last) = (since(&leading[found.first]), since(&leading[found.last]));
                let covers = (is_late || first <= from + 0.05) && last >= to - longest.min(1.1);
                let near = first >= from - longest - 0.1 && last <= to + longest + 0.1;
                if !covers || !near {
                    return Err(format!("{first:.3} s to {last:.3} s"));
                }
            }
        }
        if is_late || one.but.contains(&But::SoundUntimed) {
            return Ok(());
        }
        // Servers put the sound of a segment's last pictures into the next one; of open groups and
        // gradual refreshes, pictures before the next sync sample belong to what comes behind it.
        let loose = mode == "segment"
            || one
                .but
                .iter()
                .any(|but| matches!(but, But::OpenGroups | But::Refresh));
        let asked = (mode == "exact").then_some(began + from);
        self.sound_fits(run, asked, if loose { 0.35 } else { 2.0 * NEAR })
    }

    /// Sound is there from the first picture, or the instant that was asked for in the middle of it, to
    /// the last one.
    fn sound_fits(&self, run: &Run, asked: Option<f64>, near: f64) -> Result<(), String> {
        let Some(video) = &self.video else {
            return Ok(());
        };
        let (first, last) = (run.video[video.first].time, run.video[video.last].time);
        let first = asked.map_or(first, |asked| first.max(asked));
        let next = run
            .video
            .get(video.last + 1)
            .map_or(f64::INFINITY, |frame| frame.time);
        for (n, found) in self.sounds.iter().enumerate() {
            let sound = sound_of(run, n);
            let frame = sound
                .get(1)
                .map_or(0.0, |second| second.time - sound[0].time);
            let near = near.max(frame);
            let (begins, ends) = (sound[found.first].time, sound[found.last].time);
            let before = found.first.checked_sub(1).map(|at| sound[at].time);
            if before.is_some_and(|before| before > first + near) {
                return Err(format!("sound {n} begins {:.3} s late", begins - first));
            }
            let after = sound.get(found.last + 1).map(|frame| frame.time);
            if after.is_some_and(|after| after + near < last) {
                return Err(format!("sound {n} ends {:.3} s early", last - ends));
            }
            if begins + near < first || ends > next + near {
                return Err(format!("sound {n} reaches out of the pictures"));
            }
        }
        Ok(())
    }
}

/// Where frames come from. They come in order, each once. Of decoded sound the first frame is as what
/// came before it makes it. Sound is known with the shifts of the pictures: encoders of a tone repeat
/// themselves, and then it comes from where it would be in step.
fn find(
    name: &str,
    one: &Combination,
    sent: &[(usize, &Frame)],
    seen: &[Frame],
    pictures: Option<&[Option<f64>]>,
    decoded: bool,
) -> Result<Found, String> {
    let same = |at: usize, n: usize| {
        let frame = sent.get(at).map(|(_, frame)| frame);
        frame.is_some_and(|frame| (decoded && n == 0) || frame.hash == seen[n].hash)
    };
    let length = |from: usize| (0..seen.len()).take_while(|n| same(from + n, *n)).count();
    let begins = (0..sent.len()).filter(|at| same(*at, 0));
    let tolerance = if pictures.is_some() { NEAR } else { SAME };
    let off = |at: usize| {
        let (run, frame) = sent[at];
        let shift = pictures.and_then(|shifts| *shifts.get(run)?);
        shift.map_or(0.0, |shift| (seen[0].time - frame.time - shift).abs())
    };
    let begins = begins.map(|at| (length(at), -off(at), at));
    let better = |a: &(usize, f64, usize), b: &(usize, f64, usize)| {
        let by_length = a.0.cmp(&b.0);
        by_length.then(a.1.total_cmp(&b.1)).then(b.2.cmp(&a.2))
    };
    let Some((_, _, first)) = begins.max_by(better) else {
        return Err(format!("the first of the {name} was never sent"));
    };
    if seen.len() > sent.len() {
        return Err(format!("{} {name} of {}", seen.len(), sent.len()));
    }
    let runs = sent.last().map_or(0, |(run, _)| run + 1);
    let mut found = Found {
        first,
        last: first,
        skipped: 0,
        sent: sent.len(),
        shifts: vec![None; runs],
    };
    let (mut at, mut origin) = (first, None);
    for (n, frame) in seen.iter().enumerate() {
        let Some(ahead) = (at..sent.len()).position(|at| same(at, n)) else {
            return Err(format!(
                "{name} {n} of {} was not sent, or comes again",
                seen.len()
            ));
        };
        found.skipped += ahead;
        at += ahead;
        let (run, truth) = sent[at];
        let shift = frame.time - truth.time;
        let known = *found.shifts[run].get_or_insert(shift);
        origin = origin.or(Some(known));
        let free = [But::Lost, But::SoundUntimed];
        let free = one.but.iter().any(|but| free.contains(but));
        if (shift - known).abs() > tolerance && !free {
            let off = (shift - known) * 1000.0;
            return Err(format!("{name} {n} is {off:.2} ms late"));
        }
        found.last = at;
        at += 1;
    }
    Ok(found)
}
