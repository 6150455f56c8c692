//! The access units of one segment, gathered until their times are known.

use std::ops::Range;
use std::sync::Arc;

use clipmill_media::{
    CodecConfig, Damage, DamageKind, DamageLog, Leading, LimitExceeded, Limits, RandomAccess,
    Sample, TrackBuilder, TrackIndex,
};

use super::believed::Stamp;
use super::timing::{Resolved, Timing};

/// One access unit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Picture {
    pub(super) stamp: Stamp,
    pub(super) random_access: RandomAccess,
    /// `None` where only its time, compared with that of the random access point before it,
    /// can tell.
    pub(super) leading: Option<Leading>,
    /// Byte offset in the segment.
    pub(super) offset: u64,
}

/// An access unit that has ended.
#[derive(Debug)]
struct Ended {
    picture: Picture,
    /// Index among the configurations; `None` before the first one is known.
    config: Option<usize>,
    units_end: usize,
}

/// Access units in decoding order.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    list: Vec<Ended>,
    units: Vec<Range<u64>>,
    configs: Vec<Arc<CodecConfig>>,
    timing: Timing,
}

impl Pictures {
    /// Forgets the access units, not what was learnt from them.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.units.clear();
        self.configs.clear();
    }

    /// Adds bytes of the elementary stream to the access unit in the making.
    pub(super) fn add_unit(
        &mut self,
        unit: Range<u64>,
        limits: &Limits,
    ) -> Result<(), LimitExceeded> {
        // Bounds what start codes with next to nothing between them may cost.
        LimitExceeded::check(
            "units of a track",
            self.units.len() as u64,
            (limits.samples as u64).saturating_mul(8),
        )?;
        if unit.start < unit.end {
            self.units.push(unit);
        }
        Ok(())
    }

    /// Ends the access unit in the making; nothing where it has no bytes.
    pub(super) fn end(
        &mut self,
        picture: Picture,
        config: Option<&Arc<CodecConfig>>,
        limits: &Limits,
    ) -> Result<(), LimitExceeded> {
        let units_end = self.units.len();
        if self.list.last().map_or(0, |last| last.units_end) == units_end {
            return Ok(());
        }
        LimitExceeded::check(
            "samples of a track",
            self.list.len() as u64,
            limits.samples as u64,
        )?;
        let config = config.map(|config| {
            let known = self.configs.iter().rposition(|known| known == config);
            known.unwrap_or_else(|| {
                self.configs.push(Arc::clone(config));
                self.configs.len().saturating_sub(1)
            })
        });
        self.list.push(Ended {
            picture,
            config,
            units_end,
        });
        Ok(())
    }

    /// Moves everything into `track` and is empty again. `config` is the one in force at the end.
    pub(super) fn finish(
        &mut self,
        mut track: TrackBuilder,
        pid: u16,
        config: Option<&Arc<CodecConfig>>,
        damage: &mut DamageLog,
    ) -> Result<TrackIndex, LimitExceeded> {
        let list = std::mem::take(&mut self.list);
        let units = std::mem::take(&mut self.units);
        let configs = std::mem::take(&mut self.configs);
        let first = configs.first().or(config);
        let Some(first) = first else {
            if let Some(Ended { picture, .. }) = list.first() {
                let dropped = units
                    .iter()
                    .map(|unit| unit.end.saturating_sub(unit.start))
                    .sum();
                damage.push(Damage {
                    offset: picture.offset,
                    pid: Some(pid),
                    kind: DamageKind::LostBytes { dropped },
                });
            }
            return Ok(track.finish());
        };
        // Known, even if there is no picture.
        track.config(first)?;
        let video = first.video();
        let stamps: Vec<_> = list.iter().map(|ended| ended.picture.stamp).collect();
        let dues = self.timing.resolve(
            &stamps,
            video.and_then(|video| video.frame_rate),
            video.and_then(|video| video.reorder_depth),
        );
        let Some(Resolved { dues, strays }) = dues else {
            if let Some(Ended { picture, .. }) = list.first() {
                damage.push(Damage {
                    offset: picture.offset,
                    pid: Some(pid),
                    kind: DamageKind::NoTimestamp,
                });
            }
            return Ok(track.finish());
        };
        for stray in strays.into_iter().filter_map(|at| list.get(at)) {
            damage.push(Damage {
                offset: stray.picture.offset,
                pid: Some(pid),
                kind: DamageKind::StrayTimestamp,
            });
        }
        let mut units = units.into_iter();
        let mut taken = 0usize;
        let mut open_since: Option<i64> = None;
        for (ended, due) in list.iter().zip(dues) {
            let picture = &ended.picture;
            let count = ended.units_end.saturating_sub(taken);
            taken = ended.units_end;
            for unit in units.by_ref().take(count) {
                track.push_unit(unit)?;
            }
            match picture.random_access {
                RandomAccess::Open => open_since = Some(due.pts),
                RandomAccess::Closed | RandomAccess::Gradual(_) => open_since = None,
                RandomAccess::None => {}
            }
            let leads = open_since.is_some_and(|since| due.pts < since);
            let leading =
                picture
                    .leading
                    .unwrap_or(if leads { Leading::Skipped } else { Leading::No });
            let config = ended.config.and_then(|at| configs.get(at));
            let config = track.config(config.unwrap_or(first))?;
            let offset = due.pts.saturating_sub(due.dts);
            track.push_sample(Sample {
                dts: due.dts,
                composition_offset: i32::try_from(offset).unwrap_or_default(),
                duration: 0,
                size: 0,
                config,
                random_access: picture.random_access,
                leading,
            })?;
        }
        Ok(track.finish())
    }
}
