//! Which program of a transport stream is taken: the one of which there is most to have, found by a look
//! ahead at the tables and at what of their streams comes in the clear.

use std::collections::BTreeMap;

use crate::packet::{Framing, Header};
use crate::psi::{MAX_PROGRAMS, NULL_PID, PAT_PID, Pat, Program, Sections, intact};
use crate::scrambling::Survey;
use crate::stream_type::{Coding, Elementary};

/// Programs that a message names at most.
const NAMED: usize = 8;
/// Versions of the association table in one segment that are looked at.
const MAX_TABLES: u8 = 32;

impl Program {
    /// Streams that can be carried.
    fn carried(&self) -> impl Iterator<Item = (&Elementary, Coding)> {
        let streams = self.streams.iter();
        streams.filter_map(|stream| Some((stream, *stream.coding.as_ref().ok()?)))
    }

    /// How much of it there is to have: pictures first, then the number of streams, and both rather
    /// of what comes in the clear than of what the map promises.
    fn rank(&self, survey: &Survey) -> (bool, usize, bool, usize) {
        let clear = || {
            let carried = self.carried();
            carried.filter(|(stream, _)| survey.is_clear(stream.pid))
        };
        (
            clear().any(|(_, coding)| coding.is_video()),
            clear().count(),
            self.carried().any(|(_, coding)| coding.is_video()),
            self.carried().count(),
        )
    }

    /// Why nothing can be had of it, where that is so.
    fn obstacle(&self, survey: &Survey) -> Option<Obstacle> {
        if self.carried().next().is_none() {
            return Some(Obstacle::NotCarried);
        }
        let mut present = self
            .carried()
            .filter(|(stream, _)| survey.is_clear(stream.pid) || survey.is_scrambled(stream.pid))
            .peekable();
        let comes = present.peek().is_some();
        let scrambled = present.all(|(stream, _)| survey.is_scrambled(stream.pid));
        (comes && scrambled).then_some(Obstacle::Scrambled)
    }
}

/// That programs were not taken.
#[derive(Debug, Clone)]
pub(crate) struct ProgramNote {
    /// Why, in words.
    pub(crate) text: String,
    /// Something that may have been meant is missing.
    pub(crate) is_loss: bool,
}

/// Why nothing can be had of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    NotCarried,
    Scrambled,
}

/// What a look ahead found.
#[derive(Debug, Default)]
pub(crate) struct ProgramTables {
    /// Every program that the association table lists.
    pub(crate) listed: Vec<(u16, u16)>,
    /// Those whose maps were found.
    pub(crate) programs: Vec<Program>,
    /// The association table.
    pub(crate) pat: Pat,
}

/// One program of those that a look ahead found.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) program: Program,
    /// Why others were not taken, where nothing could be had of them.
    pub(crate) passed_over: Option<ProgramNote>,
}

impl ProgramTables {
    /// The program `wanted`, or that of which there is most to have in `segment`.
    pub(crate) fn choose(
        &mut self,
        wanted: Option<u16>,
        segment: &[u8],
        framing: Framing,
    ) -> Option<Choice> {
        let survey = match self.programs.len() {
            0 | 1 => Survey::default(),
            _ => Survey::of(segment, framing, &self.programs),
        };
        let best = self
            .programs
            .iter()
            .enumerate()
            .filter(|(_, program)| wanted.is_none_or(|wanted| wanted == program.number))
            // The first of equals.
            .max_by_key(|(at, program)| (program.rank(&survey), std::cmp::Reverse(*at)))
            .map(|(at, _)| at)?;
        let program = self.programs.swap_remove(best);
        let mut others = Vec::new();
        if wanted.is_none() && program.obstacle(&survey).is_none() {
            let obstacles = self.programs.iter().filter_map(|other| {
                let obstacle = other.obstacle(&survey)?;
                Some((other.number, obstacle))
            });
            others.extend(obstacles);
            others.sort_by_key(|&(number, _)| number);
        }
        let passed_over = (!others.is_empty()).then(|| {
            let reasons = others
                .iter()
                .take(NAMED)
                .map(|(number, obstacle)| match obstacle {
                    Obstacle::NotCarried => {
                        format!("program {number} has nothing that can be carried")
                    }
                    Obstacle::Scrambled => format!("program {number} is scrambled"),
                });
            let reasons: Vec<String> = reasons.collect();
            ProgramNote {
                text: format!(
                    "program {} is taken, as {}",
                    program.number,
                    reasons.join(", ")
                ),
                is_loss: others
                    .iter()
                    .any(|&(_, obstacle)| obstacle == Obstacle::Scrambled),
            }
        });
        Some(Choice {
            program,
            passed_over,
        })
    }
}

/// Looks ahead for the tables: packets that come before them must not be lost.
pub(crate) fn look_ahead(segment: &[u8], framing: Framing, wanted: Option<u16>) -> ProgramTables {
    let mut found = ProgramTables::default();
    let mut sections = Sections::default();
    let mut tables: u8 = 0;
    for packet in intact(segment, framing) {
        if Header::of(packet).pid() != PAT_PID {
            continue;
        }
        let pat = &mut found.pat;
        let mut changed = false;
        sections.push(packet, |section| {
            changed |= pat.update(section) == Ok(true);
        });
        if !changed || !found.pat.is_complete() {
            continue;
        }
        // Mostly the first table leads to its maps. Where it does not (leftovers of another
        // stream in front), whatever other tables list is tried together.
        merge(&mut found.listed, found.pat.programs());
        tables = tables.saturating_add(1);
        if tables > MAX_TABLES {
            break;
        }
        if tables == 1 {
            found.programs = maps(segment, framing, &found.listed, wanted);
            if !found.programs.is_empty() {
                return found;
            }
        }
    }
    merge(&mut found.listed, found.pat.programs());
    found.programs = maps(segment, framing, &found.listed, wanted);
    found
}

fn merge(listed: &mut Vec<(u16, u16)>, more: Vec<(u16, u16)>) {
    for program in more {
        if listed.len() < MAX_PROGRAMS && !listed.contains(&program) {
            listed.push(program);
        }
    }
}

/// The maps of the listed programs, in the order of the list.
fn maps(
    segment: &[u8],
    framing: Framing,
    listed: &[(u16, u16)],
    wanted: Option<u16>,
) -> Vec<Program> {
    let mut waiting: Vec<(u16, u16)> = listed
        .iter()
        .copied()
        .filter(|(number, _)| wanted.is_none_or(|wanted| wanted == *number))
        .collect();
    // A flat table: this is asked of every packet.
    let mut watched = vec![false; usize::from(NULL_PID).saturating_add(1)];
    for &(_, pmt_pid) in &waiting {
        if let Some(watched) = watched.get_mut(usize::from(pmt_pid)) {
            *watched = true;
        }
    }
    let mut assembling: BTreeMap<u16, Sections> = BTreeMap::new();
    let mut programs: Vec<Program> = Vec::new();
    for packet in intact(segment, framing) {
        if waiting.is_empty() {
            break;
        }
        let pid = Header::of(packet).pid();
        if watched.get(usize::from(pid)) != Some(&true) {
            continue;
        }
        assembling.entry(pid).or_default().push(packet, |section| {
            let number = section.get(3..).and_then(<[u8]>::first_chunk);
            let key = number.map(|&number| (u16::from_be_bytes(number), pid));
            // Reading a map costs more than asking whether it is wanted.
            let Some(key) = key.filter(|key| waiting.contains(key)) else {
                return;
            };
            if let Ok(Some(program)) = Program::parse(section, pid, key.0) {
                waiting.retain(|&other| other != key);
                programs.push(program);
            }
        });
    }
    let place = |program: &Program| {
        let key = (program.number, program.pmt_pid);
        listed.iter().position(|&other| other == key)
    };
    programs.sort_by_key(place);
    programs
}
