//! Tracks whose samples are few and small: timed metadata, chapters. All of their media is one chunk,
//! which lies with the description of the movie.

use clipmill_media::Language;

use crate::boxes::{self, Boxes, UNITY, version, wide};
use crate::{Edit, LayoutError};

type Result<T> = std::result::Result<T, LayoutError>;

/// What such a track's boxes say.
#[derive(Debug)]
pub(crate) struct SmallTrack {
    pub(crate) id: u32,
    pub(crate) created: u64,
    /// Of `tkhd` (ISO/IEC 14496-12, 8.3.2).
    pub(crate) flags: u32,
    /// Kind and name.
    pub(crate) handler: (&'static [u8; 4], &'static str),
    /// Ticks per second of the durations.
    pub(crate) timescale: u32,
    /// When its first sample is due, in ticks of the movie.
    pub(crate) begin: u64,
    /// When its last sample ends, in ticks of the movie.
    pub(crate) end: u64,
    pub(crate) durations: Vec<u32>,
    /// In bytes.
    pub(crate) sizes: Vec<usize>,
}

impl SmallTrack {
    /// `trak` (8.3) with the media header that `header` writes, and one sample entry of this kind
    /// whose content `entry` writes; gives where the offset of its only chunk is to be put.
    pub(crate) fn write(
        &self,
        b: &mut Boxes,
        header: impl FnOnce(&mut Boxes) -> Result<()>,
        kind: &[u8; 4],
        entry: impl FnOnce(&mut Boxes) -> Result<()>,
    ) -> Result<usize> {
        let media: u64 = self.durations.iter().map(|&one| u64::from(one)).sum();
        let mut place = 0;
        b.boxed(b"trak", |b| {
            let version = version(self.created, self.end);
            b.full(b"tkhd", version, self.flags, |b| {
                wide(b, version, self.created);
                wide(b, version, self.created);
                b.u32(self.id);
                b.u32(0);
                wide(b, version, self.end);
                b.zeros(16);
                UNITY.iter().for_each(|&value| b.u32(value));
                b.zeros(8);
                Ok(())
            })?;
            let empty = (self.begin > 0).then_some(Edit {
                duration: self.begin,
                media_time: None,
            });
            let rest = Edit {
                duration: self.end.saturating_sub(self.begin),
                media_time: Some(0),
            };
            let edits: Vec<Edit> = empty.into_iter().chain([rest]).collect();
            b.boxed(b"edts", |b| boxes::edit_list(b, &edits))?;
            b.boxed(b"mdia", |b| {
                let version = self::version(self.created, media);
                b.full(b"mdhd", version, 0, |b| {
                    wide(b, version, self.created);
                    wide(b, version, self.created);
                    b.u32(self.timescale);
                    wide(b, version, media);
                    b.u16(Language::UNDETERMINED.packed());
                    b.u16(0);
                    Ok(())
                })?;
                boxes::handler(b, self.handler.0, self.handler.1)?;
                b.boxed(b"minf", |b| {
                    header(b)?;
                    b.boxed(b"dinf", |b| {
                        b.table(b"dref", 0, |b| {
                            b.full(b"url ", 0, 1, |_| Ok(()))?;
                            Ok(1)
                        })
                    })?;
                    b.boxed(b"stbl", |b| {
                        place = self.tables(b, kind, entry)?;
                        Ok(())
                    })
                })
            })
        })?;
        Ok(place)
    }

    fn tables(
        &self,
        b: &mut Boxes,
        kind: &[u8; 4],
        entry: impl FnOnce(&mut Boxes) -> Result<()>,
    ) -> Result<usize> {
        b.full(b"stsd", 0, 0, |b| {
            b.u32(1);
            b.boxed(kind, |b| {
                b.zeros(6);
                b.u16(1);
                entry(b)
            })
        })?;
        b.table(b"stts", 0, |b| {
            for &duration in &self.durations {
                b.u32(1);
                b.u32(duration);
            }
            Ok(u32::try_from(self.durations.len()).unwrap_or(u32::MAX))
        })?;
        let count = self.sizes.len();
        b.table(b"stsc", 0, |b| {
            b.u32(1);
            b.count(count, "a count of samples")?;
            b.u32(1);
            Ok(1)
        })?;
        b.full(b"stsz", 0, 0, |b| {
            b.u32(0);
            b.count(count, "a count of samples")?;
            for &size in &self.sizes {
                b.count(size, "the size of a sample")?;
            }
            Ok(())
        })?;
        let mut place = 0;
        b.table(b"stco", 0, |b| {
            place = b.len();
            b.u32(0);
            Ok(1)
        })?;
        Ok(place)
    }
}
