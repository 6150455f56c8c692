//! Movie fragments (ISO/IEC 14496-12, 8.8.4 to 8.8.8 and 8.8.12): the samples that one lists.

use std::ops::Range;

use super::ReadError;
use super::init::Defaults;
use super::walk::{BoxAt, Fields};

/// Samples of one run that are looked at to find where its data lies.
const MOST: usize = 1 << 20;

const TRAF: &str = "moof/traf";
const TFHD: &str = "moof/traf/tfhd";
const TFDT: &str = "moof/traf/tfdt";
const TRUN: &str = "moof/traf/trun";

/// `tfhd`: what holds for all runs of a track fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) track: u32,
    base: Option<u64>,
    description: Option<u32>,
    duration: Option<u32>,
    size: Option<u32>,
    flags: Option<u32>,
    /// `default-base-is-moof`.
    base_is_moof: bool,
}

impl Header {
    /// The header of a track fragment.
    pub(super) fn of(traf: &BoxAt<'_>) -> Result<Self, ReadError> {
        let tfhd = traf.child(b"tfhd");
        let tfhd = tfhd.ok_or_else(|| traf.error(TRAF, "has no tfhd box"))?;
        Self::read(tfhd.fields()).ok_or_else(|| tfhd.short(TFHD))
    }

    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let (_, flags) = fields.version()?;
        let track = fields.u32()?;
        let base = match flags & 0x1 {
            0 => None,
            _ => Some(fields.u64()?),
        };
        let mut optional = |flag: u32| match flags & flag {
            0 => Some(None),
            _ => fields.u32().map(Some),
        };
        Some(Self {
            track,
            base,
            description: optional(0x2)?,
            duration: optional(0x8)?,
            size: optional(0x10)?,
            flags: optional(0x20)?,
            base_is_moof: flags & 0x2_0000 != 0,
        })
    }

    /// With what the `moov` says where this header says nothing.
    pub(super) fn defaults(&self, trex: Defaults) -> Defaults {
        Defaults {
            description: self.description.unwrap_or(trex.description),
            duration: self.duration.unwrap_or(trex.duration),
            size: self.size.unwrap_or(trex.size),
            flags: self.flags.unwrap_or(trex.flags),
        }
    }

    /// Where offsets of runs may count from, the likeliest first: `moof` is where the fragment begins,
    /// `last` where the data of the track fragment before it ends, `file` where in its file the segment
    /// begins, if it is known to be a part of one.
    ///
    /// A base of its own counts from the start of the file (8.8.7). That may have been cut up since into
    /// files of their own, and nobody knows where: then it is nearly always at the fragment.
    pub(super) fn bases(&self, moof: u64, last: Option<u64>, file: Option<u64>) -> Vec<u64> {
        match self.base {
            Some(base) => {
                let known = base.checked_sub(file.unwrap_or(0));
                known.into_iter().chain([moof]).collect()
            }
            None if self.base_is_moof => vec![moof],
            None => vec![last.unwrap_or(moof)],
        }
    }

    /// Whether the base is the only one that there can be.
    pub(super) fn is_sure(&self) -> bool {
        self.base.is_none()
    }
}

/// Where the data of the runs of a track fragment lies, if they count from `base`.
pub(super) fn places(traf: &BoxAt<'_>, defaults: Defaults, base: u64) -> Option<Vec<Range<u64>>> {
    let mut at = base;
    let runs = traf.children(0).filter(|one| one.kind == *b"trun");
    runs.map(|trun| {
        let run = Run::of(&trun, defaults).ok()?;
        if let Some(offset) = run.data_offset {
            at = base.checked_add_signed(offset.into())?;
        }
        let begin = at;
        // As many as the box has room for, or as samples may be.
        for listed in run.take(MOST) {
            at = at.checked_add(listed.size.into())?;
        }
        Some(begin..at)
    })
    .collect()
}

/// `tfdt`: when the first sample is decoded.
pub(super) fn decode_time(traf: &BoxAt<'_>) -> Result<Option<u64>, ReadError> {
    let Some(tfdt) = traf.child(b"tfdt") else {
        return Ok(None);
    };
    let read = || {
        let mut fields = tfdt.fields();
        let (version, _) = fields.version()?;
        fields.sized(version == 1)
    };
    read().map(Some).ok_or_else(|| tfdt.short(TFDT))
}

/// A sample as a run lists it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
    pub(super) composition_offset: i32,
}

/// `trun`: samples that lie one behind the other.
#[derive(Debug, Clone)]
pub(super) struct Run<'a> {
    /// Where its data begins, from the base of the fragment; behind the run before it when absent.
    pub(super) data_offset: Option<i32>,
    count: u32,
    flags: u32,
    first_flags: Option<u32>,
    defaults: Defaults,
    fields: Fields<'a>,
}

impl<'a> Run<'a> {
    pub(super) fn of(trun: &BoxAt<'a>, defaults: Defaults) -> Result<Self, ReadError> {
        let run = Self::read(trun.fields(), defaults).ok_or_else(|| trun.short(TRUN))?;
        let per_sample = (run.flags & 0xf00).count_ones().saturating_mul(4);
        let table = u64::from(run.count).saturating_mul(per_sample.into());
        if table > run.fields.rest().len() as u64 {
            return Err(trun.short(TRUN));
        }
        Ok(run)
    }

    fn read(mut fields: Fields<'a>, defaults: Defaults) -> Option<Self> {
        let (_, flags) = fields.version()?;
        let count = fields.u32()?;
        let data_offset = match flags & 0x1 {
            0 => None,
            _ => Some(i32::from_be_bytes(fields.array()?)),
        };
        let first_flags = match flags & 0x4 {
            0 => None,
            _ => Some(fields.u32()?),
        };
        Some(Self {
            data_offset,
            count,
            flags,
            first_flags,
            defaults,
            fields,
        })
    }

    /// How many samples it lists.
    pub(super) fn len(&self) -> u64 {
        self.count.into()
    }

    /// How long they last together.
    pub(super) fn ticks(self) -> u64 {
        if self.flags & 0x100 == 0 {
            return self.len().saturating_mul(self.defaults.duration.into());
        }
        let durations = self.map(|listed| u64::from(listed.duration));
        durations.fold(0, u64::saturating_add)
    }
}

impl Iterator for Run<'_> {
    type Item = Listed;

    fn next(&mut self) -> Option<Listed> {
        self.count = self.count.checked_sub(1)?;
        let mut field = |flag: u32, otherwise: u32| match self.flags & flag {
            0 => Some(otherwise),
            _ => self.fields.u32(),
        };
        let duration = field(0x100, self.defaults.duration)?;
        let size = field(0x200, self.defaults.size)?;
        let first = self.first_flags.take();
        let flags = field(0x400, self.defaults.flags)?;
        // Version 0 has them unsigned, yet writers put negative ones in there, too.
        let offset = field(0x800, 0)?;
        Some(Listed {
            duration,
            size,
            flags: first.unwrap_or(flags),
            composition_offset: i32::from_be_bytes(offset.to_be_bytes()),
        })
    }
}
