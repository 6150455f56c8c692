//! What happens in a history, drawn by lot.

/// A generator of numbers that need not be good ones (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Lot(u64);

impl Lot {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// How the sequence numbers go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    GoOn,
    StartOver,
    Jump(u64),
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// A segment of so many pictures is written and listed.
    Publish {
        pictures: u64,
        /// It begins with a sync sample.
        sync: bool,
        /// Its `EXTINF` is so many milliseconds off, and its date.
        jitter: i64,
        /// The time stamps leap over so much before it, in ms.
        pause: u64,
    },
    /// One is listed that is not there, or comes after so many milliseconds.
    PublishMissing(Option<u64>),
    /// The last segment is listed again.
    ListTwice,
    /// The playlist is told.
    Tell,
    /// An old one is.
    TellOld(usize),
    /// Its beginning is.
    TellShort(usize),
    /// It is, with two segments in the wrong order.
    TellSwapped(usize),
    /// An action is done: the one at this position.
    Act(usize),
    /// It fails.
    Fail(usize, u64),
    /// The next so many periodic clips can't be read, or places stored.
    Spoil(u32),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// The clock on the wall jumps, in milliseconds.
    Jump(i64),
    /// The publisher begins anew.
    Restart {
        /// Its playlist goes on.
        same_playlist: bool,
        same_names: bool,
        numbers: Numbers,
        /// Media time since, in ms; backwards too.
        leap: i64,
    },
    /// Another playlist takes the place of this one.
    Move,
    /// `EXT-X-ENDLIST`.
    Finish,
    /// The playlist is removed.
    Remove,
    /// Periodic clips of so many milliseconds.
    On(u64),
    /// None.
    Off,
    /// A clip of the last so many milliseconds.
    Clip(u64),
    /// One from so long ago, until then, in ms from now.
    Range(u64, i64),
    Since,
    Record,
    Stop,
    /// The stream is over.
    End,
    /// The process ends and starts again.
    Crash,
    /// It does so when an action is done, and before it is told so.
    CrashAfter(usize),
}

/// A stream, and what happens to it.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) dated: bool,
    pub(super) sound: bool,
    /// Files are deleted that are not listed any more.
    pub(super) deletes: bool,
    /// Segments listed at a time.
    pub(super) listed: usize,
    pub(super) periodic: Option<u64>,
    pub(super) window: Option<u64>,
    /// Periodic clips end on multiples of their interval since midnight.
    pub(super) aligned: bool,
    pub(super) happenings: Vec<Happening>,
}

impl History {
    pub(super) fn of(seed: u64) -> Self {
        let mut lot = Lot::new(seed);
        let length = 10 + lot.below(70);
        let calm = lot.one_in(3);
        let mut happenings = Vec::new();
        while (happenings.len() as u64) < length {
            draw(&mut lot, calm, &mut happenings);
        }
        Self {
            dated: lot.one_in(2),
            sound: lot.one_in(4),
            deletes: lot.one_in(3),
            listed: 1 + lot.below(6) as usize,
            periodic: (!lot.one_in(5)).then(|| 1000 + lot.below(9000)),
            window: lot.one_in(3).then(|| 1000 + lot.below(20_000)),
            aligned: lot.one_in(3),
            happenings,
        }
    }
}

fn draw(lot: &mut Lot, calm: bool, all: &mut Vec<Happening>) {
    use Happening::*;
    let acts = |lot: &mut Lot, all: &mut Vec<Happening>| {
        for _ in 0..lot.below(5) {
            let at = if lot.one_in(4) {
                lot.below(3) as usize
            } else {
                0
            };
            all.push(Act(at));
        }
    };
    let kind = lot.below(if calm { 60 } else { 100 });
    match kind {
        0..40 => {
            let pause = if lot.one_in(12) { lot.below(30_000) } else { 0 };
            all.push(Publish {
                pictures: 2 + lot.below(4),
                sync: !lot.one_in(6),
                jitter: lot.below(401) as i64 - 200,
                pause,
            });
            all.push(Pass(lot.below(4000)));
            all.push(Tell);
            acts(lot, all);
        }
        40..50 => acts(lot, all),
        50..56 => all.push(Pass(lot.below(12_000))),
        56..60 => {
            let late = lot.one_in(2).then(|| lot.below(4000));
            all.push(PublishMissing(late));
            all.push(Tell);
        }
        60..63 => all.push(ListTwice),
        63..66 => all.push(TellOld(lot.below(4) as usize)),
        66..68 => all.push(TellShort(lot.below(4) as usize)),
        68..70 => all.push(TellSwapped(lot.below(4) as usize)),
        70..75 => {
            let at = lot.below(2) as usize;
            for _ in 0..1 + lot.below(2) {
                all.push(Fail(at, lot.below(5)));
            }
            if lot.one_in(4) {
                all.push(Spoil(1 + lot.below(7) as u32));
            }
        }
        75..77 => all.push(Jump(lot.below(7_200_000) as i64 - 3_600_000)),
        77..83 => {
            if lot.one_in(2) {
                all.push(Pass(lot.below(20_000)));
            }
            let numbers = match lot.below(3) {
                0 => Numbers::GoOn,
                1 => Numbers::StartOver,
                _ => Numbers::Jump(lot.below(2000)),
            };
            all.push(Restart {
                same_playlist: lot.one_in(2),
                same_names: lot.one_in(2),
                numbers,
                leap: lot.below(100_000) as i64 - 20_000,
            });
        }
        83 => all.push(Move),
        84 => all.push(Finish),
        85 => all.push(Remove),
        86..89 => all.push(On(1000 + lot.below(9000))),
        89..91 => all.push(Off),
        91 => all.push(Clip(lot.below(20_000))),
        92 => all.push(Range(lot.below(20_000), lot.below(20_000) as i64 - 10_000)),
        93 => all.push(Since),
        94 => all.push(Record),
        95 => all.push(Stop),
        96 => all.push(if lot.one_in(4) { End } else { Tell }),
        97 => all.push(CrashAfter(lot.below(3) as usize)),
        _ => all.push(Crash),
    }
}

/// The shortest history that can be found by leaving things out and that still fails.
pub(super) fn shrink(mut history: History, fails: impl Fn(&History) -> bool) -> History {
    let mut size = history.happenings.len() / 2;
    while size > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < history.happenings.len() {
            let mut tried = history.clone();
            let past = (at + size).min(tried.happenings.len());
            tried.happenings.drain(at..past);
            if fails(&tried) {
                history = tried;
                shorter = true;
            } else {
                at += size;
            }
        }
        if !shorter || size > 1 {
            size /= 2;
        }
    }
    let simpler = [
        History {
            dated: !history.dated,
            ..history.clone()
        },
        History {
            sound: false,
            ..history.clone()
        },
        History {
            deletes: false,
            ..history.clone()
        },
        History {
            window: None,
            ..history.clone()
        },
        History {
            aligned: false,
            ..history.clone()
        },
        History {
            listed: 6,
            ..history.clone()
        },
    ];
    for tried in simpler {
        let tried = History {
            happenings: history.happenings.clone(),
            ..tried
        };
        if fails(&tried) {
            return tried;
        }
    }
    history
}
