//! One track out of those of several parts.
//!
//! Sound goes on without an edit: frames follow one another, and where a part's sound is due by more
//! than half a frame earlier or later than that, the frame before it is made shorter or longer.
//!
//! Pictures that are decoded and not shown, before a part's first and behind its last, are given a
//! tick each between the two parts, which the edit list leaves out. So the media itself goes on nearly
//! without a hole, and players that know no more than the first edit stay in step. What ffmpeg makes of an
//! edit is on time if the first picture of it that is decoded is decoded as long ahead of it as with
//! the first edit; it is.
//!
//! Where parts have other parameter sets, there is one edit, and these ticks are the last of the picture
//! before them.

use std::sync::Arc;

use clipmill_media::{CLOCK_90K, CodecConfig};
use clipmill_mp4::{Edit, MovieSample, Run, Track};

use crate::timeline::{Ticks, rescale, to_ticks};

/// A track of a part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) track: &'a Track,
    /// Where the part begins in the montage.
    pub(super) begin: Ticks,
    /// The number of the part's first segment in the montage.
    pub(super) first_segment: u32,
}

/// What of a piece is shown, by its edit list.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// When its first frame is shown in the montage.
    from: Ticks,
    /// When its last one ends.
    to: Ticks,
    /// Where `from` is in its media, in its timescale.
    media: i64,
}

impl Piece<'_> {
    fn shown(&self) -> Shown {
        let mut from = self.begin;
        for edit in &self.track.edits {
            let lasting = Ticks::try_from(edit.duration).unwrap_or(Ticks::MAX);
            match edit.media_time {
                None => from += lasting,
                Some(media) => {
                    return Shown {
                        from,
                        to: from + lasting,
                        media: i64::try_from(media).unwrap_or(i64::MAX),
                    };
                }
            }
        }
        // Without edits it is shown from its beginning to its end.
        let all = self.track.samples.iter().map(|s| i64::from(s.duration));
        Shown {
            from,
            to: from + to_ticks(all.sum(), self.track.timescale),
            media: 0,
        }
    }
}

/// A track in the making.
struct Joined {
    track: Track,
}

impl Joined {
    fn new(pieces: &[Piece<'_>]) -> Option<Self> {
        let first = pieces.first()?.track;
        let count = pieces.iter().map(|piece| piece.track.samples.len()).sum();
        let track = Track {
            id: None,
            name: first.name.clone(),
            configs: Vec::new(),
            edits: Vec::new(),
            samples: Vec::with_capacity(count),
            runs: Vec::new(),
            restarts: Vec::new(),
            ..*first
        };
        Some(Self { track })
    }

    /// Adds the runs of a piece; gives what its configurations are called here.
    fn begin(&mut self, piece: &Piece<'_>) -> Vec<u16> {
        if let Ok(first @ 1..) = u32::try_from(self.track.samples.len()) {
            self.track.restarts.push(first);
        }
        let before = u32::try_from(self.track.samples.len()).unwrap_or(u32::MAX);
        let own = piece.track.restarts.iter();
        let own = own.map(|number| number.saturating_add(before));
        self.track.restarts.extend(own);
        self.track
            .runs
            .extend(piece.track.runs.iter().map(|run| Run {
                segment: run.segment + piece.first_segment,
                ..*run
            }));
        let configs = piece.track.configs.iter();
        configs.map(|config| self.config(config)).collect()
    }

    fn config(&mut self, config: &Arc<CodecConfig>) -> u16 {
        let known = self.track.configs.iter().position(|known| known == config);
        let at = known.unwrap_or_else(|| {
            self.track.configs.push(Arc::clone(config));
            self.track.configs.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    fn push(&mut self, sample: &MovieSample, configs: &[u16]) {
        let config = configs.get(usize::from(sample.config)).copied();
        self.track.samples.push(MovieSample {
            config: config.unwrap_or(u16::MAX),
            ..*sample
        });
    }

    fn end_last(&mut self, duration: i64) {
        if let Some(last) = self.track.samples.last_mut() {
            last.duration = u32::try_from(duration).unwrap_or(u32::MAX);
        }
    }

    /// Shows nothing until `from`.
    fn wait(&mut self, from: Ticks) {
        if from > 0 {
            self.track.edits.push(Edit {
                duration: from.unsigned_abs(),
                media_time: None,
            });
        }
    }

    /// Shows the media from `media` on for so long.
    fn show(&mut self, lasting: Ticks, media: i64) {
        self.track.edits.push(Edit {
            duration: lasting.max(0).unsigned_abs(),
            media_time: Some(media.max(0).unsigned_abs()),
        });
    }
}

/// Joins pictures, or text. The last picture of a part stays until the first of the next one.
pub(super) fn join_shown(pieces: &[Piece<'_>]) -> Option<Track> {
    let mut joined = Joined::new(pieces)?;
    let placed = place(pieces, joined.track.timescale, has_one_edit(pieces));
    let times = DecodeTimes::new(&placed);
    let first = placed.first()?;
    // Media times count from when the very first picture is decoded.
    let begin = times.of(0, 0, 0);
    joined.wait(first.shown.from);
    let mut edits = placed.iter().filter(|part| part.begins_edit).peekable();
    while let Some(part) = edits.next() {
        let end = edits.peek().map(|next| next.shown.from);
        let end = end.or(placed.last().map(|last| last.shown.to));
        let lasting = end.unwrap_or(part.shown.to) - part.shown.from;
        joined.show(lasting, part.at - begin);
    }
    let mut last_dts: Option<i64> = None;
    for (number, (part, piece)) in placed.iter().zip(pieces).enumerate() {
        let configs = joined.begin(piece);
        let mut time = 0;
        for (at, sample) in piece.track.samples.iter().enumerate() {
            let mut dts = times.of(number, at, time);
            if let Some(last) = last_dts {
                dts = dts.max(last + 1);
                joined.end_last(dts - last);
            }
            let pts = time + i64::from(sample.composition_offset);
            let offset = part.presented(pts, number == 0) - dts;
            let composition_offset = i32::try_from(offset).unwrap_or(i32::MAX);
            let sample = MovieSample {
                composition_offset,
                ..*sample
            };
            joined.push(&sample, &configs);
            last_dts = Some(dts);
            time += i64::from(piece.track.samples[at].duration);
        }
    }
    Some(joined.track)
}

/// When pictures are decoded.
struct DecodeTimes<'a> {
    placed: &'a [Placed],
    /// How long ahead of an edit the first picture of it that is decoded is, where there are several.
    lead: Option<i64>,
}

impl<'a> DecodeTimes<'a> {
    fn new(placed: &'a [Placed]) -> Self {
        let edits = || placed.iter().filter(|part| part.begins_edit);
        // None is decoded later than it was, and what is hidden behind an edit is so in time.
        let leads = edits().map(|part| part.order.lead);
        let hidden = placed.iter().map(|part| part.order.behind.len() as i64);
        let lead = leads.chain(hidden).max();
        Self {
            placed,
            lead: lead.filter(|_| edits().count() > 1),
        }
    }

    /// Of a sample of a piece, which is decoded at `time` there: as it was, unless the next edit
    /// is due.
    fn of(&self, piece: usize, sample: usize, time: i64) -> i64 {
        let part = &self.placed[piece];
        let natural = part.at + time - part.shown.media;
        let Some(lead) = self.lead else {
            // What is hidden between two pieces is presented ahead of the second.
            let left = (part.order.samples - sample) as i64;
            let end = part.end.map(|end| end - left);
            return end.map_or(natural, |end| natural.min(end));
        };
        let own = part.order.first_shown;
        let dts = match part.begins_edit {
            true if sample == own => part.at - lead,
            true if sample < own => natural.min(part.at - lead - (own - sample) as i64),
            _ => natural,
        };
        match self.placed.get(piece + 1) {
            Some(next) if next.begins_edit => {
                let between = part.order.samples - sample + next.order.first_shown;
                dts.min(next.at - lead - between as i64)
            }
            _ => dts,
        }
    }
}

/// Where the media of a piece is in that of the montage.
struct Placed {
    shown: Shown,
    order: Order,
    /// Where its first shown picture is.
    at: i64,
    /// Where its last one ends, if another piece follows, and what is hidden of both begins.
    end: Option<i64>,
    /// Whether an edit begins with it: it is the first, or something is hidden before it.
    begins_edit: bool,
}

/// Whether all is to be presented by one edit. ffmpeg decodes some pictures twice where there are several,
/// and then mistakes which sample entry the others have.
fn has_one_edit(pieces: &[Piece<'_>]) -> bool {
    let mut configs = pieces.iter().flat_map(|piece| &piece.track.configs);
    let first = configs.next();
    configs.any(|other| Some(other) != first)
}

/// Whether pictures that pieces hide will be shown, for a tick each.
pub(super) fn shows_hidden(pieces: &[Piece<'_>]) -> bool {
    let mut between = pieces.windows(2).filter_map(|pair| {
        let [before, behind] = pair else { return None };
        let before = Order::of(before.track, before.shown());
        let behind = Order::of(behind.track, behind.shown());
        Some(before.behind.len() + behind.before.len())
    });
    has_one_edit(pieces) && between.any(|hidden| hidden > 0)
}

fn place(pieces: &[Piece<'_>], timescale: u32, one_edit: bool) -> Vec<Placed> {
    let own = |ticks: Ticks| rescale(ticks, CLOCK_90K, timescale);
    let mut placed: Vec<Placed> = Vec::with_capacity(pieces.len());
    // Where the edit began that is not over, in the montage and in the media.
    let mut open: Option<(Ticks, i64)> = None;
    for piece in pieces {
        let shown = piece.shown();
        let order = Order::of(piece.track, shown);
        let before = placed.last_mut();
        let hidden = before
            .as_ref()
            .map_or(0, |before| before.order.behind.len() + order.before.len());
        let (from, media) = match open {
            None => (shown.from, shown.media),
            Some((from, media)) if hidden == 0 || one_edit => (from, media),
            // One more, so that their times of decoding have room too.
            Some((from, media)) => {
                let end = media + own(shown.from - from);
                (shown.from, end + hidden as i64 + 1)
            }
        };
        let begins_edit = open.replace((from, media)) != open;
        let at = media + own(shown.from - from);
        if let Some(before) = before {
            before.end = Some(at - hidden as i64 - i64::from(begins_edit));
        }
        placed.push(Placed {
            shown,
            order,
            at,
            end: None,
            begins_edit,
        });
    }
    placed
}

impl Placed {
    /// When a picture is presented that has this time in its own piece.
    fn presented(&self, pts: i64, is_first: bool) -> i64 {
        let moved = self.at + pts - self.shown.media;
        let before = self.order.before.len();
        match (self.order.find(pts), self.end) {
            (Found::Before(rank), _) if !is_first => self.at - (before - rank) as i64,
            (Found::Shown, _) => moved.max(self.at),
            (Found::Behind(rank), Some(end)) => end + rank as i64,
            // Before the first piece and behind the last there is room for them as they are.
            (Found::Before(_) | Found::Behind(_), _) => moved,
        }
    }
}

/// The pictures of a piece that are not shown, in the order of their presentation times.
struct Order {
    before: Vec<i64>,
    behind: Vec<i64>,
    /// Where the piece is shown, in its media.
    from: i64,
    to: i64,
    /// The first in the order of decoding that is shown.
    first_shown: usize,
    /// How long before the first is shown that one is decoded.
    lead: i64,
    /// How many samples there are.
    samples: usize,
}

/// Where a picture lies.
enum Found {
    /// Before the first that is shown: which of those.
    Before(usize),
    Shown,
    /// Behind the last that is shown: which of those.
    Behind(usize),
}

impl Order {
    fn of(track: &Track, shown: Shown) -> Self {
        let timescale = track.timescale;
        // An edit is told to the tick, and media may be finer than that.
        let rounded = match timescale > CLOCK_90K {
            true => i64::from(timescale / CLOCK_90K) / 2 + 1,
            false => 0,
        };
        let lasting = rescale(shown.to - shown.from, CLOCK_90K, timescale);
        let mut order = Self {
            before: Vec::new(),
            behind: Vec::new(),
            from: shown.media - rounded,
            to: shown.media + lasting - rounded,
            first_shown: track.samples.len(),
            lead: 0,
            samples: track.samples.len(),
        };
        let mut time = 0;
        for (number, sample) in track.samples.iter().enumerate() {
            let pts = time + i64::from(sample.composition_offset);
            if pts < order.from {
                order.before.push(pts);
            } else if pts >= order.to {
                order.behind.push(pts);
            } else if number < order.first_shown {
                order.first_shown = number;
                order.lead = shown.media - time;
            }
            time += i64::from(sample.duration);
        }
        order.before.sort_unstable();
        order.behind.sort_unstable();
        order
    }

    fn find(&self, pts: i64) -> Found {
        if pts < self.from {
            Found::Before(self.before.partition_point(|other| *other < pts))
        } else if pts >= self.to {
            Found::Behind(self.behind.partition_point(|other| *other < pts))
        } else {
            Found::Shown
        }
    }
}

/// Joins sound.
pub(super) fn join_sound(pieces: &[Piece<'_>]) -> Option<Track> {
    let mut joined = Joined::new(pieces)?;
    let timescale = joined.track.timescale;
    let own = |ticks: Ticks| rescale(ticks, CLOCK_90K, timescale);
    let (first, last) = (pieces.first()?.shown(), pieces.last()?.shown());
    // Where the media has come to.
    let mut position = 0;
    for piece in pieces {
        let shown = piece.shown();
        let due = own(shown.from - first.from) - (shown.media - first.media);
        position += joined.meet(due - position);
        let configs = joined.begin(piece);
        for sample in &piece.track.samples {
            joined.push(sample, &configs);
            position += i64::from(sample.duration);
        }
    }
    joined.wait(first.from);
    let media = to_ticks(position - first.media, timescale);
    joined.show((last.to - first.from).min(media), first.media);
    Some(joined.track)
}

impl Joined {
    /// Makes the last frames longer by `apart`, or shorter by less than nothing, if that is more than
    /// half a frame; says by how much it could.
    fn meet(&mut self, apart: i64) -> i64 {
        let Some(last) = self.track.samples.last_mut() else {
            return 0;
        };
        let frame = i64::from(last.duration);
        if apart.abs() * 2 <= frame {
            return 0;
        }
        if apart > 0 {
            self.end_last(frame + apart);
            return apart;
        }
        let mut left = -apart;
        for sample in self.track.samples.iter_mut().rev() {
            if left == 0 {
                break;
            }
            let taken = left.min(i64::from(sample.duration) - 1).max(0);
            sample.duration -= u32::try_from(taken).unwrap_or_default();
            left -= taken;
        }
        apart + left
    }
}
