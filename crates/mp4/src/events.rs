//! Timed metadata: `emsg` in fragmented files (ISO/IEC 23009-1, 5.10.3.3), a track of its own for each
//! scheme in progressive ones (ISO/IEC 14496-12, 12.3: handler `meta`, `urim` sample entries).

use bytes::Bytes;
use clipmill_media::TimedEvent;

use crate::boxes::Boxes;
use crate::small_track::SmallTrack;
use crate::{LayoutError, MOVIE_TIMESCALE, Movie};

type Result<T> = std::result::Result<T, LayoutError>;

/// An `emsg` of version 1; the time of the event is that of the movie's presentation.
///
/// # Errors
/// When a number does not fit its field.
pub fn event_message(event: &TimedEvent) -> Result<Bytes> {
    let mut b = Boxes::default();
    message(&mut b, event)?;
    Ok(b.into_bytes().into())
}

pub(crate) fn message(b: &mut Boxes, event: &TimedEvent) -> Result<()> {
    b.full(b"emsg", 1, 0, |b| {
        b.u32(MOVIE_TIMESCALE);
        b.u64(event.time.max(0).unsigned_abs());
        // All ones: not known.
        b.u32(if event.duration == 0 {
            u32::MAX
        } else {
            event.duration
        });
        b.u32(event.id);
        string(b, &event.scheme);
        string(b, &event.value);
        b.bytes(&event.data);
        Ok(())
    })
}

/// A string that ends with a zero.
fn string(b: &mut Boxes, text: &str) {
    b.bytes(text.as_bytes());
    b.u8(0);
}

/// The events of one scheme, which become the samples of one track.
#[derive(Debug)]
pub(crate) struct EventTrack<'a> {
    scheme: &'a str,
    samples: Vec<EventSample<'a>>,
}

/// The events that are due at the same instant.
#[derive(Debug)]
struct EventSample<'a> {
    /// In ticks of the movie.
    time: u64,
    events: Vec<&'a TimedEvent>,
}

impl EventSample<'_> {
    fn len(&self) -> usize {
        let lens = self.events.iter().map(|event| event.data.len());
        lens.fold(0, usize::saturating_add)
    }
}

impl<'a> EventTrack<'a> {
    /// The events of a movie that are due before `end`, by their schemes.
    pub(crate) fn all(movie: &'a Movie, end: u64) -> Vec<Self> {
        let mut tracks: Vec<Self> = Vec::new();
        let due = |event: &&TimedEvent| event.time.max(0).unsigned_abs() < end;
        for event in movie.events.iter().filter(due) {
            let known = tracks.iter().position(|track| track.scheme == event.scheme);
            let at = known.unwrap_or_else(|| {
                tracks.push(Self {
                    scheme: &event.scheme,
                    samples: Vec::new(),
                });
                tracks.len().saturating_sub(1)
            });
            if let Some(track) = tracks.get_mut(at) {
                track.push(event);
            }
        }
        tracks
    }

    fn push(&mut self, event: &'a TimedEvent) {
        let time = event.time.max(0).unsigned_abs();
        match self.samples.last_mut() {
            Some(last) if last.time >= time => last.events.push(event),
            _ => self.samples.push(EventSample {
                time,
                events: vec![event],
            }),
        }
    }

    /// Its samples, one behind the other.
    pub(crate) fn write_samples(&self, b: &mut Boxes) {
        for event in self.samples.iter().flat_map(|sample| &sample.events) {
            b.bytes(&event.data);
        }
    }

    /// Bytes of its samples.
    pub(crate) fn len(&self) -> u64 {
        self.samples.iter().map(|sample| sample.len() as u64).sum()
    }

    /// When its first event is due, in ticks of the movie.
    fn begin(&self) -> u64 {
        self.samples.first().map_or(0, |sample| sample.time)
    }

    /// How long each sample lasts: until the next one, the last one until the movie ends.
    fn durations(&self, end: u64) -> Vec<u32> {
        let times = self.samples.iter().map(|sample| sample.time);
        let ends = times.clone().skip(1).chain([end]);
        let lasting = times
            .zip(ends)
            .map(|(begin, end)| end.saturating_sub(begin));
        lasting
            .map(|duration| u32::try_from(duration).unwrap_or(u32::MAX).max(1))
            .collect()
    }

    /// `trak` (8.3); gives where the offset of its only chunk is to be put. `end` is where the movie
    /// ends.
    pub(crate) fn track_box(
        &self,
        b: &mut Boxes,
        id: u32,
        created: u64,
        end: u64,
    ) -> Result<usize> {
        let track = SmallTrack {
            id,
            created,
            // Enabled, in the movie.
            flags: 3,
            handler: (b"meta", "Timed metadata"),
            timescale: MOVIE_TIMESCALE,
            begin: self.begin(),
            end,
            durations: self.durations(end),
            sizes: self.samples.iter().map(EventSample::len).collect(),
        };
        let header = |b: &mut Boxes| b.full(b"nmhd", 0, 0, |_| Ok(()));
        // URIMetaSampleEntry (12.3.3).
        track.write(b, header, b"urim", |b| {
            b.full(b"uri ", 0, 0, |b| {
                string(b, self.scheme);
                Ok(())
            })
        })
    }
}
