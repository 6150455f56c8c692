use std::ops::Range;
use std::sync::Arc;

use crate::boxes::{Boxes, media_data_header};
use crate::chunks::{self, Chunk};
use crate::moov::{self, Content, OwnTracks, TrackChunks};
use crate::plan::{self, TrackPlan};
use crate::regions::{Region, RegionContent, Regions, SampleRange};
use crate::{FragmentOptions, LayoutError, MediaSpan, Movie, MovieSample, Span, fragmented, tags};

/// An MP4 file as a value: its length is known, and any range of its bytes can be rendered.
#[derive(Debug, Clone)]
pub struct Layout {
    movie: Arc<Movie>,
    regions: Vec<Region>,
    len: u64,
}

impl Layout {
    /// A progressive file: `ftyp`, `moov`, `mdat`. The media of a segment lies in one piece, in
    /// the order of the segments, inside it interleaved in chunks of half a second; so one
    /// segment at a time is enough to render it.
    ///
    /// # Errors
    /// When the movie holds no sample, contradicts itself, or a number does not fit its field.
    pub fn progressive(movie: impl Into<Arc<Movie>>) -> Result<Self, LayoutError> {
        Self::progressive_at(movie.into(), None)
    }

    /// The same file with its media from byte `media_at` on, wherever its `moov` ends: a `free`
    /// box fills what is left between them. So the media can be written before the `moov` is
    /// known.
    ///
    /// # Errors
    /// As [`progressive`](Self::progressive), and when `moov` does not fit before `media_at`.
    pub fn progressive_behind(
        movie: impl Into<Arc<Movie>>,
        media_at: u64,
    ) -> Result<Self, LayoutError> {
        Self::progressive_at(movie.into(), Some(media_at))
    }

    fn progressive_at(movie: Arc<Movie>, media_at: Option<u64>) -> Result<Self, LayoutError> {
        let plans = plan::tracks_with_samples(&movie, false)?;
        let chunks = chunks::interleave(&plans)?;
        let head = progressive_head(&movie, &plans, &chunks, media_at)?;
        let mut regions = Regions::default();
        regions.push(RegionContent::Bytes(head.into()), None)?;
        for chunk in chunks {
            let media = SampleRange::from(chunk);
            let track = movie.tracks.get(chunk.track);
            let restart = track.filter(|track| plan::is_restart(track, chunk.first));
            let first = restart.and_then(|track| track.samples.get(chunk.first as usize));
            let Some(first) = first else {
                regions.push(RegionContent::Media(media), Some(chunk.len))?;
                continue;
            };
            let first = u64::from(first.size);
            let (restart, rest) = media.split_first();
            regions.push(RegionContent::Media(restart), Some(first))?;
            let len = chunk.len.saturating_sub(first);
            regions.push(RegionContent::Media(rest), Some(len))?;
        }
        Ok(Self::new(movie, regions))
    }

    /// A fragmented file: `ftyp`, `moov`, `sidx`, then `moof` and `mdat` again and again. No
    /// fragment holds media of two segments.
    ///
    /// # Errors
    /// When the movie holds no sample, contradicts itself, or a number does not fit its field.
    pub fn fragmented(
        movie: impl Into<Arc<Movie>>,
        options: FragmentOptions,
    ) -> Result<Self, LayoutError> {
        let movie = movie.into();
        let regions = fragmented::lay_out(&movie, &options)?;
        Ok(Self::new(movie, regions))
    }

    fn new(movie: Arc<Movie>, regions: Regions) -> Self {
        let (regions, len) = regions.into_inner();
        Self {
            movie,
            regions,
            len,
        }
    }

    /// Length of the file in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a layout is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The movie that it was made from.
    #[must_use]
    pub fn movie(&self) -> &Movie {
        &self.movie
    }

    /// The bytes at `range` of the file, in order; what lies past the end is left out.
    pub fn spans(&self, range: Range<u64>) -> impl Iterator<Item = Span<'_>> {
        let first = self
            .regions
            .partition_point(|region| region.end <= range.start);
        let mut begin = match first
            .checked_sub(1)
            .and_then(|before| self.regions.get(before))
        {
            Some(before) => before.end,
            None => 0,
        };
        let regions = self.regions.get(first..).unwrap_or_default();
        regions
            .iter()
            .map_while(move |region| {
                let at = begin;
                begin = region.end;
                (at < range.end && range.start < range.end).then(|| {
                    let from = range.start.max(at).saturating_sub(at);
                    let to = range.end.min(region.end).saturating_sub(at);
                    self.span(region, from..to, region.end.saturating_sub(at))
                })
            })
            .filter(|span| !span.is_empty())
    }

    /// The bytes at `range` of a region that is `len` bytes long.
    fn span<'a>(&self, region: &'a Region, range: Range<u64>, len: u64) -> Span<'a> {
        match &region.content {
            RegionContent::Bytes(bytes) => {
                let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
                let bytes = bytes.get(at(range.start)..at(range.end));
                Span::Bytes(bytes.unwrap_or_default())
            }
            RegionContent::Media(source) => {
                let track = self.movie.tracks.get(source.track);
                let samples = track.map_or(&[][..], |track| track.samples.as_slice());
                let end = source.first.saturating_add(source.count);
                let samples = plan::slice(samples, source.first..end);
                Span::Media(narrow(source, samples, range, len))
            }
        }
    }
}

/// The span of the bytes at `range` of `source`, whose `samples` have `len` bytes in all.
fn narrow(source: &SampleRange, samples: &[MovieSample], range: Range<u64>, len: u64) -> MediaSpan {
    let (mut first, mut end, mut before) = (0u32, source.count, 0u64);
    if range.start > 0 || range.end < len {
        end = 0;
        let mut at = 0u64;
        for sample in samples {
            if at >= range.end {
                break;
            }
            let next = at.saturating_add(sample.size.into());
            end = end.saturating_add(1);
            if next <= range.start {
                first = end;
                before = next;
            }
            at = next;
        }
    }
    let number = |sample: u32| source.source_first.saturating_add(sample);
    MediaSpan {
        segment: source.segment,
        track: source.source_track,
        samples: number(first)..number(end),
        restart: source.restart,
        skip: range.start.saturating_sub(before),
        len: range.end.saturating_sub(range.start),
    }
}

/// `ftyp`, `moov` and the header of `mdat`.
///
/// The offsets in `moov` depend on its size, and its size on whether they need 64 bits. Widening
/// one track's table only moves the media further away, so widening whichever does not fit until
/// all do comes to an end.
fn progressive_head(
    movie: &Movie,
    plans: &[TrackPlan<'_>],
    chunks: &[Chunk],
    media_at: Option<u64>,
) -> Result<Vec<u8>, LayoutError> {
    let too_large = LayoutError::TooLarge { what: "the file" };
    // Where each track's chunks lie in the `mdat`.
    let mut offsets: Vec<Vec<u64>> = vec![Vec::new(); plans.len()];
    let mut tables: Vec<TrackChunks> = plans
        .iter()
        .map(|_| TrackChunks {
            chunks: Vec::new(),
            large: false,
        })
        .collect();
    let mut size = 0u64;
    for chunk in chunks {
        let at = plans.partition_point(|plan| plan.index < chunk.track);
        if let (Some(offsets), Some(table)) = (offsets.get_mut(at), tables.get_mut(at)) {
            offsets.push(size);
            table.chunks.push(*chunk);
        }
        size = size.checked_add(chunk.len).ok_or(too_large.clone())?;
    }
    loop {
        let mut b = Boxes::default();
        tags::brands(&mut b, &progressive_brands(plans))?;
        tags::metadata(&mut b, movie)?;
        let places = moov::movie_box(&mut b, movie, plans, Content::Whole(&tables))?;
        let mut places = places.into_iter();
        let media: Vec<usize> = places.by_ref().take(plans.len()).collect();
        // Timed metadata and chapters are small, and lie in front of the media.
        OwnTracks::new(movie, plans)?.write_media(&mut b, places)?;
        if let Some(media_at) = media_at {
            pad(&mut b, size, media_at)?;
        }
        media_data_header(&mut b, size).ok_or(too_large.clone())?;
        let base = b.len() as u64;
        let mut fits = true;
        for (table, offsets) in tables.iter_mut().zip(&offsets) {
            let last = offsets.last().copied().unwrap_or_default();
            let last = base.checked_add(last).ok_or(too_large.clone())?;
            if !table.large && u32::try_from(last).is_err() {
                table.large = true;
                fits = false;
            }
        }
        if !fits {
            continue;
        }
        for ((table, offsets), mut place) in tables.iter().zip(&offsets).zip(media) {
            for offset in offsets {
                let offset = offset.saturating_add(base).to_be_bytes();
                let width = if table.large { 8usize } else { 4 };
                let skipped = offset.len().saturating_sub(width);
                b.set(place, offset.get(skipped..).unwrap_or_default());
                place = place.saturating_add(width);
            }
        }
        return Ok(b.into_bytes());
    }
}

/// A `free` box (8.1.2) that is as long as it takes for the content of an `mdat` of `size` bytes to
/// begin at `media_at`.
fn pad(b: &mut Boxes, size: u64, media_at: u64) -> Result<(), LayoutError> {
    let no_room = LayoutError::NoRoom { media_at };
    let mut header = Boxes::default();
    media_data_header(&mut header, size).ok_or(no_room.clone())?;
    let end = (b.len() as u64).saturating_add(header.len() as u64);
    let gap = media_at.checked_sub(end).ok_or(no_room.clone())?;
    if gap == 0 {
        return Ok(());
    }
    let content = gap.checked_sub(8).ok_or(no_room.clone())?;
    let content = usize::try_from(content).map_err(|_| no_room)?;
    b.boxed(b"free", |b| {
        b.zeros(content);
        Ok(())
    })
}

/// What a progressive file conforms to (annex E): `isom`; `iso6` for signed composition offsets
/// and sample groups; `iso2`, `mp41` for players that ask for them; `avc1` where there is H.264.
fn progressive_brands(plans: &[TrackPlan<'_>]) -> Vec<[u8; 4]> {
    let mut brands = vec![*b"isom", *b"iso2", *b"iso6"];
    let configs = plans.iter().flat_map(|plan| &plan.track.configs);
    if configs
        .into_iter()
        .any(|config| matches!(**config, clipmill_media::CodecConfig::H264(_)))
    {
        brands.push(*b"avc1");
    }
    brands.push(*b"mp41");
    brands
}
