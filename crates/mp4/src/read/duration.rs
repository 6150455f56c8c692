//! How long a whole MP4 is presented (ISO/IEC 14496-12, 8.2.2, 8.8.2 and 8.8.4 to 8.8.12).

use std::time::Duration;

use clipmill_media::{LimitExceeded, Limits};

use super::ReadError;
use super::fragment::{Header, Run, decode_time};
use super::init::{Defaults, defaults, media_header, track_id};
use super::walk::{BoxAt, Boxes};

/// How long a movie is presented: as its `moov` says, and where that does not know of fragments, as they do.
#[derive(Debug, Clone)]
pub struct MovieDuration {
    /// What the `moov` says.
    stated: Duration,
    /// That is of all fragments, too.
    whole: bool,
    tracks: Vec<Track>,
}

#[derive(Debug, Clone)]
struct Track {
    id: u32,
    timescale: u32,
    defaults: Defaults,
    /// When its fragments begin and end, in its own ticks.
    fragments: Option<(u64, u64)>,
}

impl MovieDuration {
    /// Reads a `moov`, header and all.
    ///
    /// # Errors
    /// When it is none, makes no sense, has no track, or has more of them than `limits` allow.
    pub fn of(moov: &[u8], limits: &Limits) -> Result<Self, ReadError> {
        let moov = Boxes::new(moov).find(|one| one.kind == *b"moov");
        let moov = moov.ok_or(ReadError::NoInit)?;
        if moov.cut {
            return Err(moov.error("moov", "reaches past its end"));
        }
        let mvhd = moov.child(b"mvhd");
        let mvhd = mvhd.ok_or_else(|| moov.error("moov", "has no mvhd box"))?;
        let times = times(&mvhd).ok_or_else(|| mvhd.short("moov/mvhd"))?;
        let mut stated = times.duration();
        let mut tracks = Vec::new();
        for trak in moov.children(0).filter(|one| one.kind == *b"trak") {
            let count = (tracks.len() as u64).saturating_add(1);
            LimitExceeded::check("tracks of a movie", count, limits.tracks as u64)?;
            let id = trak.child(b"tkhd").and_then(|tkhd| track_id(&tkhd));
            let id = id.ok_or_else(|| trak.error("moov/trak", "has no track identifier"))?;
            let mdhd = trak.child(b"mdia").and_then(|mdia| mdia.child(b"mdhd"));
            let mdhd = mdhd.ok_or_else(|| trak.error("moov/trak", "has no mdhd box"))?;
            let path = "moov/trak/mdia/mdhd";
            let (timescale, _) = media_header(&mdhd).ok_or_else(|| mdhd.short(path))?;
            if stated.is_zero() {
                // Some writers fill in the tracks alone.
                stated = stated.max(self::times(&mdhd).unwrap_or_default().duration());
            }
            tracks.push(Track {
                id,
                timescale,
                defaults: Defaults::default(),
                fragments: None,
            });
        }
        if tracks.is_empty() {
            return Err(moov.error("moov", "lists no track"));
        }
        let mut whole = false;
        if let Some(mvex) = moov.child(b"mvex") {
            let all = mvex.child(b"mehd").and_then(|mehd| fragments(&mehd));
            if let Some(all) = all.filter(|all| *all > 0) {
                stated = stated.max(seconds(all, times.timescale));
                whole = true;
            }
            let all = mvex.children(0).filter(|one| one.kind == *b"trex");
            for (id, defaults) in all.filter_map(|trex| defaults(&trex)) {
                for track in tracks.iter_mut().filter(|track| track.id == id) {
                    track.defaults = defaults;
                }
            }
        }
        Ok(Self {
            stated,
            whole,
            tracks,
        })
    }

    /// Reads a `moof` of the movie, header and all.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn fragment(&mut self, moof: &[u8]) -> Result<(), ReadError> {
        let moof = Boxes::new(moof).find(|one| one.kind == *b"moof");
        let moof = moof.ok_or(ReadError::NoFragment)?;
        for traf in moof.children(0).filter(|one| one.kind == *b"traf") {
            let header = Header::of(&traf)?;
            let mut known = self.tracks.iter_mut();
            let Some(track) = known.find(|track| track.id == header.track) else {
                continue;
            };
            let defaults = header.defaults(track.defaults);
            let last = track.fragments.map(|(_, end)| end);
            let begin = decode_time(&traf)?.or(last).unwrap_or_default();
            let mut end = begin;
            for trun in traf.children(0).filter(|one| one.kind == *b"trun") {
                let run = Run::of(&trun, defaults)?;
                end = end.saturating_add(run.ticks());
            }
            track.fragments = Some(match track.fragments {
                Some((first, last)) => (first.min(begin), last.max(end)),
                None => (begin, end),
            });
        }
        Ok(())
    }

    /// How long it is presented; zero where nothing says so.
    #[must_use]
    pub fn get(&self) -> Duration {
        if self.whole {
            return self.stated;
        }
        let timed = |edge: fn((u64, u64)) -> u64| {
            let all = self.tracks.iter();
            all.filter_map(move |track| Some(seconds(edge(track.fragments?), track.timescale)))
        };
        let (begin, end) = (timed(|all| all.0).min(), timed(|all| all.1).max());
        // Where the `moov` has samples of its own, fragments come behind them.
        let begin = begin.filter(|_| self.stated.is_zero()).unwrap_or_default();
        let fragments = end.unwrap_or_default().saturating_sub(begin);
        self.stated.max(fragments)
    }
}

/// What `mvhd` (8.2.2) and `mdhd` (8.4.2) say: they begin alike.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    timescale: u32,
    ticks: u64,
}

impl Times {
    fn duration(self) -> Duration {
        seconds(self.ticks, self.timescale)
    }
}

fn times(header: &BoxAt<'_>) -> Option<Times> {
    let mut fields = header.fields();
    let (version, _) = fields.version()?;
    let wide = version == 1;
    fields.skip(if wide { 16 } else { 8 })?;
    let timescale = fields.u32()?;
    let ticks = fields.sized(wide)?;
    // All ones: nobody knows.
    let unknown = ticks == if wide { u64::MAX } else { u32::MAX.into() };
    Some(Times {
        timescale,
        ticks: if unknown { 0 } else { ticks },
    })
}

fn fragments(mehd: &BoxAt<'_>) -> Option<u64> {
    let mut fields = mehd.fields();
    let (version, _) = fields.version()?;
    fields.sized(version == 1)
}

fn seconds(ticks: u64, timescale: u32) -> Duration {
    let scale = u64::from(timescale);
    let whole = ticks.checked_div(scale).unwrap_or_default();
    let rest = ticks.checked_rem(scale).unwrap_or_default();
    let nanos = rest.saturating_mul(1_000_000_000).checked_div(scale);
    Duration::from_secs(whole).saturating_add(Duration::from_nanos(nanos.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len()).unwrap().saturating_add(8);
        [&size.to_be_bytes(), &kind[..], body].concat()
    }

    fn header(kind: &[u8; 4], timescale: u32, ticks: u32) -> Vec<u8> {
        let mut body = vec![0; 12];
        body.extend(timescale.to_be_bytes());
        body.extend(ticks.to_be_bytes());
        body.extend([0; 80]);
        boxed(kind, &body)
    }

    fn movie(stated: u32, media: u32, extra: &[u8]) -> Vec<u8> {
        let mut tkhd = vec![0; 12];
        tkhd.extend(7_u32.to_be_bytes());
        let mdia = boxed(b"mdia", &header(b"mdhd", 90_000, media));
        let trak = boxed(b"trak", &[boxed(b"tkhd", &tkhd), mdia].concat());
        let parts = [header(b"mvhd", 1000, stated), trak, extra.to_vec()];
        boxed(b"moov", &parts.concat())
    }

    fn duration(moov: &[u8]) -> u128 {
        let limits = Limits::default();
        MovieDuration::of(moov, &limits).unwrap().get().as_millis()
    }

    #[test]
    fn the_movie_header_comes_first_and_the_tracks_where_it_says_nothing() {
        assert_eq!(duration(&movie(2500, 90_000, &[])), 2500);
        assert_eq!(duration(&movie(0, 90_000, &[])), 1000);
        assert_eq!(duration(&movie(u32::MAX, 90_000, &[])), 1000);
        assert_eq!(duration(&movie(0, 0, &[])), 0);
    }

    #[test]
    fn fragments_count_from_the_first_to_the_last() {
        let trex: Vec<u8> = [0, 7, 1, 3000, 0, 0_u32]
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect();
        let moov = movie(0, 0, &boxed(b"mvex", &boxed(b"trex", &trex)));
        let mut read = MovieDuration::of(&moov, &Limits::default()).unwrap();
        let fragment = |time: u32, count: u32| {
            let numbers = |all: &[u32]| -> Vec<u8> {
                all.iter().flat_map(|number| number.to_be_bytes()).collect()
            };
            let tfhd = boxed(b"tfhd", &numbers(&[0, 7]));
            let tfdt = boxed(b"tfdt", &numbers(&[0, time]));
            let trun = boxed(b"trun", &numbers(&[0, count]));
            boxed(b"moof", &boxed(b"traf", &[tfhd, tfdt, trun].concat()))
        };
        read.fragment(&fragment(900_000, 30)).unwrap();
        read.fragment(&fragment(990_000, 15)).unwrap();
        assert_eq!(read.get().as_millis(), 1500);
        // As many as can be listed without a byte for each: no loop over them.
        read.fragment(&fragment(0, u32::MAX)).unwrap();
        assert_eq!(read.get().as_secs(), 143_165_576);
        // The first samples are in the `moov`.
        let moov = movie(1000, 0, &boxed(b"mvex", &boxed(b"trex", &trex)));
        let mut behind = MovieDuration::of(&moov, &Limits::default()).unwrap();
        behind.fragment(&fragment(90_000, 90)).unwrap();
        assert_eq!(behind.get().as_millis(), 4000);
        // The header of all of them knows what is presented of it.
        let mehd = boxed(b"mehd", &[0, 0, 0, 0, 0, 0, 5, 0xdc]);
        let moov = movie(
            0,
            0,
            &boxed(b"mvex", &[mehd, boxed(b"trex", &trex)].concat()),
        );
        let mut stated = MovieDuration::of(&moov, &Limits::default()).unwrap();
        stated.fragment(&fragment(0, 100)).unwrap();
        assert_eq!(stated.get().as_millis(), 1500);
        // A run for which there is no room.
        assert!(read.fragment(&fragment(0, 1)[..40]).is_err());
    }

    #[test]
    fn what_is_no_movie_is_refused() {
        let limits = Limits::default();
        let whole = movie(2500, 90_000, &[]);
        for len in 0..whole.len() {
            assert!(MovieDuration::of(&whole[..len], &limits).is_err(), "{len}");
        }
        let alone = boxed(b"moov", &header(b"mvhd", 1000, 2500));
        assert!(MovieDuration::of(&alone, &limits).is_err());
        // A clock that does not tick tells nothing, and is divided by nowhere.
        let stopped = movie(0, 0, &[]);
        let stopped: Vec<u8> = {
            let at = stopped.windows(4).position(|four| four == b"mvhd").unwrap();
            let mut bytes = stopped;
            bytes[at..][16..20].fill(0);
            bytes
        };
        assert_eq!(duration(&stopped), 0);
    }
}
