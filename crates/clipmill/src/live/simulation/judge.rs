//! What must hold: of each clip when it is cut, and of everything in the end.

use std::collections::BTreeSet;

use super::super::*;
use super::driver::{Driver, Unit, Verdict};
use crate::cut::{Bounds, select};
use crate::timeline::Ticks;

impl Driver {
    pub(super) fn cut(&mut self, job: CutJob, failure: Option<Failure>) -> Verdict {
        let CutJob {
            action,
            timeline,
            bounds,
            cut,
            purpose,
            ..
        } = job;
        let selection = select(&timeline, bounds, cut);
        let chosen = selection
            .iter()
            .flat_map(|selection| selection.tracks.iter().flatten());
        let mut units = BTreeSet::new();
        for chosen in chosen {
            let placed = &timeline.segments()[chosen.segment];
            let content = placed.index.segment_len as usize;
            let samples = chosen.samples.clone();
            units.extend(samples.map(|sample| (content, chosen.local, sample)));
        }
        if let Purpose::OnDemand { clip, .. } = purpose {
            self.answer(clip)?;
            return match failure {
                Some(failure) => self.tell(Event::Failed(action, failure)),
                None if units.is_empty() => self.tell(Event::Failed(action, Failure::Nothing)),
                None => {
                    self.all_readable(&units)?;
                    self.tell(Event::Done(action))
                }
            };
        }
        if let Purpose::Periodic { boundary, lost, .. } = &purpose {
            self.goes_on_as_written(&boundary.session, bounds, *lost)?;
        }
        let spoiled = self.spoiled > 0;
        self.spoiled = self.spoiled.saturating_sub(1);
        if let Some(failure) = failure.or(spoiled.then_some(Failure::Media)) {
            self.failures += 1;
            if failure == Failure::Media && self.failures >= 4 {
                // Given up.
                for (content, ..) in &units {
                    self.required.remove(content);
                }
                self.failures = 0;
            }
            return self.tell(Event::Failed(action, failure));
        }
        let lost: Vec<_> = timeline
            .segments()
            .iter()
            .filter(|placed| {
                let content = placed.index.segment_len as usize;
                let used = units.iter().any(|(one, ..)| *one == content);
                used && !self.is_readable(content)
            })
            .map(|placed| (placed.number, placed.index.segment_len as usize))
            .collect();
        if !lost.is_empty() {
            for (_, content) in &lost {
                self.required.remove(content);
            }
            let lost = lost.into_iter().map(|(number, _)| number).collect();
            return self.tell(Event::Failed(action, Failure::Lost(lost)));
        }
        if units.is_empty() {
            return self.tell(Event::Failed(action, Failure::Nothing));
        }
        let Purpose::Periodic { boundary, .. } = purpose else {
            return Ok(());
        };
        for unit in units {
            if !self.disk.cut.insert(unit) && !self.looped.contains(&unit.0) {
                return Err(format!("{unit:?} is in two periodic clips"));
            }
        }
        self.failures = 0;
        self.store(boundary)?;
        self.tell(Event::Done(action))
    }

    /// What is lost before a periodic clip, and whether it is the first of its session, is what is written
    /// down: a crash changes neither.
    fn goes_on_as_written(
        &self,
        session: &str,
        bounds: Bounds,
        lost: Option<LostMedia>,
    ) -> Verdict {
        let written = self.disk.boundary.as_ref();
        let written = written.filter(|written| written.session == session);
        let is_first = written.is_some_and(|written| written.from_the_start);
        if (bounds.from == Some(Ticks::MIN)) != is_first {
            return Err(format!("{bounds:?} of {written:?}"));
        }
        if written.and_then(|written| written.lost) != lost {
            return Err(format!("{lost:?} is lost, and not as in {written:?}"));
        }
        Ok(())
    }

    /// Whether the bytes of a content are at hand.
    pub(super) fn is_readable(&self, content: usize) -> bool {
        let mut kept = self.disk.kept.values();
        kept.any(|(.., one)| *one == content) || self.publisher.has(content, self.elapsed)
    }

    pub(super) fn all_readable(&self, units: &BTreeSet<Unit>) -> Verdict {
        // What is not kept may be gone; what was kept must not be.
        let known: BTreeSet<_> = self.indexed.values().map(|(_, content)| *content).collect();
        let lost = units.iter().find(|(content, ..)| {
            let was_kept = known.contains(content) && self.kept_once.contains(content);
            was_kept && !self.is_readable(*content)
        });
        match lost {
            Some(unit) => Err(format!("{unit:?} was released while a clip needed it")),
            None => Ok(()),
        }
    }

    /// Everything that is asked for is done, and nothing comes any more.
    pub(super) fn come_to_rest(&mut self) -> Verdict {
        if let Some(clip) = self.recording.take() {
            self.tell(Event::Command(Command::Stop(clip)))?;
        }
        self.tell_playlist()?;
        let mut steps = 0;
        loop {
            steps += 1;
            if steps > 5000 {
                return Err(format!(
                    "it does not come to rest: {:?}",
                    self.recorder.state()
                ));
            }
            if !self.actions.is_empty() {
                self.act(0, None)?;
            } else if let Some(at) = self.wake.take() {
                self.go_to(at);
                self.tell(Event::Time)?;
            } else {
                break;
            }
        }
        let state = self.recorder.state().clone();
        if state != State::Idle {
            return Err(format!("it rests in {state:?}, and nothing wakes it"));
        }
        if let Some((segment, _)) = self.disk.kept.first_key_value() {
            return Err(format!("{segment:?} is kept for ever"));
        }
        if let Some(clip) = self.asked.first() {
            return Err(format!("{clip:?} is never answered"));
        }
        if let Some(session) = &self.disk.announced {
            return Err(format!("{session} never ends"));
        }
        for content in &self.required {
            let index = &self.publisher.contents[*content].index;
            for (track, known) in index.tracks.iter().enumerate() {
                for sample in 0..known.samples().len() {
                    if !self.disk.cut.contains(&(*content, track, sample)) {
                        return Err(format!("{:?} is in no clip", (content, track, sample)));
                    }
                }
            }
        }
        Ok(())
    }
}
