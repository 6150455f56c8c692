//! Tracks that never shared a clock: timestamps of one program count from one clock (ISO/IEC 13818-1,
//! 2.4.2), and media that is sent together is presented together, so what lies far from the pictures
//! that it came with is moved to where they are.

use super::{JUMP_FORWARD, Remark, RemarkKind, Runs, TOGETHER, Ticks, Timeline};
use clipmill_media::TrackKind;

impl Timeline {
    /// Moves the tracks that have no time in common with the leading one in the same segments, so that
    /// both begin together; or go on together, where a track's clock jumps alone.
    pub(super) fn share_clock(&mut self, runs: &mut [Runs], segment: u64) {
        let Some(lead) = self.leading_track() else {
            return;
        };
        let Some(leading) = runs.iter().find(|run| run.track == lead) else {
            return;
        };
        let leading: Vec<(Ticks, Ticks)> = leading.extents().collect();
        let Some(&(begin, _)) = leading.first() else {
            return;
        };
        // What was told by how much others of the same clock were moved.
        let mut moved: Option<(Ticks, Ticks)> = None;
        for run in runs.iter_mut() {
            let track = &self.tracks[run.track];
            if run.track == lead || track.kind == TrackKind::Text {
                continue;
            }
            let near = |by: Ticks| run.is_near(&leading, by);
            if near(0) {
                continue;
            }
            let Some((first, _)) = run.extents().next() else {
                continue;
            };
            let by = match moved {
                _ if near(-track.apart) => -track.apart,
                Some((other, by)) if (first - other).abs() <= TOGETHER => by,
                _ => {
                    // It goes on where it ended, if that is where the pictures are.
                    let own = track.end.map(|end| end - self.shift);
                    let own = own.filter(|own| (own - begin).abs() <= TOGETHER);
                    own.unwrap_or(begin) - first
                }
            };
            moved = Some((first, by));
            run.move_by(by);
            let track = &mut self.tracks[run.track];
            track.apart += by;
            if track.apart != 0 {
                let (kind, behind) = (track.kind, track.apart);
                self.remarks.push(Remark {
                    segment,
                    kind: RemarkKind::OtherClock { kind, behind },
                });
            }
        }
    }
}

impl Runs {
    /// When its pieces begin and end.
    fn extents(&self) -> impl Iterator<Item = (Ticks, Ticks)> + '_ {
        let pieces = self.pieces.iter();
        pieces.map(|piece| (piece.first_pts, piece.last_pts))
    }

    /// Whether its first piece, moved by some ticks, is near any of the others, or any of its own near
    /// the first of the others.
    fn is_near(&self, others: &[(Ticks, Ticks)], by: Ticks) -> bool {
        let near = |(begin, end): (Ticks, Ticks), other: (Ticks, Ticks)| {
            let pause = (begin + by - other.1).max(other.0 - end - by);
            pause <= JUMP_FORWARD
        };
        let first = self.extents().next();
        let own = first.is_none_or(|first| others.iter().any(|&other| near(first, other)));
        own || others
            .first()
            .is_some_and(|&other| self.extents().any(|own| near(own, other)))
    }

    fn move_by(&mut self, by: Ticks) {
        self.offset += by;
        for piece in &mut self.pieces {
            piece.move_by(by);
        }
    }
}
