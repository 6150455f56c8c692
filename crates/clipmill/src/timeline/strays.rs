//! Short stretches whose timestamps are of another time, between two that follow each other: an isolated
//! outlier is no discontinuity. Those of pictures in MPEG-TS have been put right where their order is known;
//! these are PES packets of sound, and what other containers have.

use super::pieces::{Runs, UnplacedStretch};
use super::{OVERLAP, Remark, RemarkKind, Ticks, Timeline};

/// More samples than this are a stretch of their own, wherever they lie.
const FEW: usize = 32;

/// What follows exactly where another stretch would end may be so far off, in ticks.
const CLOSE: Ticks = 9_000;

impl Timeline {
    /// Moves stretches that are strays to where their neighbours are.
    pub(super) fn move_strays(&mut self, runs: &mut [Runs], segment: u64) {
        for run in runs {
            if run.pieces.len() < 2 {
                continue;
            }
            let track = &self.tracks[run.track];
            let mut end = track.end.map(|end| end - self.shift);
            let mut moved = 0;
            for at in 0..run.pieces.len() {
                let next = run.pieces.get(at + 1).map(|next| next.first_pts);
                let piece = &mut run.pieces[at];
                let length = piece.length(track.last_duration);
                if let (Some(end), Some(next)) = (end, next)
                    && piece.samples.len() <= FEW
                    && (piece.first_pts - end).abs() > OVERLAP
                    && (next - end - length).abs() <= CLOSE
                {
                    moved += piece.samples.len() as u64;
                    piece.put_at(end);
                }
                end = Some(piece.first_pts + length);
            }
            if moved > 0 {
                let kind = track.kind;
                self.remarks.push(Remark {
                    segment,
                    kind: RemarkKind::Stray {
                        kind,
                        samples: moved,
                    },
                });
            }
        }
    }
}

impl UnplacedStretch {
    /// How long it lasts; `usual` where its last sample does not say how long that does.
    fn length(&self, usual: Ticks) -> Ticks {
        self.last_pts - self.first_pts + self.last_duration.unwrap_or(usual)
    }

    /// Has it begin elsewhere than its timestamps say.
    fn put_at(&mut self, begin: Ticks) {
        let by = begin - self.first_pts;
        self.move_by(by);
        self.stray += by;
    }
}
