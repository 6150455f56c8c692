//! Macroblocks of I slices, as far as it takes to find where they end (7.3.5, 9.3.2 and 9.3.3.1).

use super::Coding;
use super::engine::Engine;
use super::tables::{LAST_8X8, SIGNIFICANT_8X8};

/// What later macroblocks ask of one.
#[derive(Clone, Copy, Default)]
pub(super) struct Macroblock {
    kind: Kind,
    transform_8x8: bool,
    /// `intra_chroma_pred_mode` is not 0.
    chroma_mode: bool,
    /// `CodedBlockPatternLuma`: a bit for each quarter.
    luma: u8,
    /// `CodedBlockPatternChroma`.
    chroma: u8,
    /// Which blocks of luma have coefficients, in raster order.
    blocks: u16,
    /// The same of the blocks of DC: luma, Cb, Cr.
    dc: [bool; 3],
    /// The same of the AC blocks of Cb and Cr, in raster order.
    ac: [u8; 2],
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// `I_NxN`.
    #[default]
    Blocks,
    /// `Intra_16x16`.
    Whole,
    /// `I_PCM`.
    Pcm,
}

/// `ctxBlockCat` (table 9-42).
#[derive(Clone, Copy)]
enum Category {
    LumaDc,
    LumaAc,
    Luma,
    ChromaDc,
    ChromaAc,
    Luma8x8,
}

impl Category {
    /// First contexts of `coded_block_flag`, `significant_coeff_flag`, `last_significant_coeff_flag`,
    /// `coeff_abs_level_minus1`, and the number of coefficients.
    fn contexts(self) -> (usize, usize, usize, usize, usize) {
        match self {
            Self::LumaDc => (85, 105, 166, 227, 16),
            Self::LumaAc => (89, 120, 181, 237, 15),
            Self::Luma => (93, 134, 195, 247, 16),
            Self::ChromaDc => (97, 149, 210, 257, 4),
            Self::ChromaAc => (101, 152, 213, 266, 15),
            Self::Luma8x8 => (0, 402, 417, 426, 64),
        }
    }
}

/// The macroblocks on the left and above, where they are of the slice.
#[derive(Clone, Copy)]
pub(super) struct Neighbours {
    pub(super) left: Option<Macroblock>,
    pub(super) above: Option<Macroblock>,
}

impl Neighbours {
    /// How many of the two are so, the one above counted `weight` times.
    fn count(self, weight: usize, is: impl Fn(&Macroblock) -> bool) -> usize {
        let left = usize::from(self.left.as_ref().is_some_and(&is));
        let above = usize::from(self.above.as_ref().is_some_and(&is));
        left.saturating_add(above.saturating_mul(weight))
    }
}

/// `mb_qp_delta` of the macroblock before is not 0.
pub(super) type QpChanged = bool;

/// Reads one macroblock. `None` where there is nothing of the kind.
pub(super) fn read(
    engine: &mut Engine<'_>,
    coding: &Coding,
    neighbours: Neighbours,
    qp_changed: &mut QpChanged,
) -> Option<Macroblock> {
    let mut own = Macroblock::default();
    if engine.bin(
        neighbours
            .count(1, |mb| mb.kind != Kind::Blocks)
            .saturating_add(3),
    )? {
        if engine.terminates()? {
            *qp_changed = false;
            return pcm(engine, coding);
        }
        own.kind = Kind::Whole;
        own.luma = if engine.bin(6)? { 15 } else { 0 };
        if engine.bin(7)? {
            own.chroma = if engine.bin(8)? { 2 } else { 1 };
        }
        engine.bin(9)?;
        engine.bin(10)?;
    } else {
        if coding.transform_8x8 {
            let context = neighbours
                .count(1, |mb| mb.transform_8x8)
                .saturating_add(399);
            own.transform_8x8 = engine.bin(context)?;
        }
        for _ in 0..if own.transform_8x8 { 4 } else { 16 } {
            if !engine.bin(68)? {
                for _ in 0..3 {
                    engine.bin(69)?;
                }
            }
        }
    }
    if coding.has_chroma {
        let context = neighbours.count(1, |mb| mb.chroma_mode).saturating_add(64);
        own.chroma_mode = engine.bin(context)?;
        if own.chroma_mode && engine.bin(67)? {
            engine.bin(67)?;
        }
    }
    if own.kind == Kind::Blocks {
        pattern(engine, coding, neighbours, &mut own)?;
    }
    if own.kind == Kind::Whole || own.luma | own.chroma != 0 {
        *qp_changed = qp_delta(engine, coding, *qp_changed)?;
        residual(engine, neighbours, &mut own)?;
    } else {
        *qp_changed = false;
    }
    Some(own)
}

fn pcm(engine: &mut Engine<'_>, coding: &Coding) -> Option<Macroblock> {
    let start = engine.position().checked_next_multiple_of(8)?;
    engine.restart(start.checked_add(coding.pcm_bits)?)?;
    Some(Macroblock {
        kind: Kind::Pcm,
        luma: 15,
        chroma: 2,
        blocks: u16::MAX,
        dc: [true; 3],
        ac: [0xff; 2],
        ..Macroblock::default()
    })
}

/// `coded_block_pattern`.
fn pattern(
    engine: &mut Engine<'_>,
    coding: &Coding,
    neighbours: Neighbours,
    own: &mut Macroblock,
) -> Option<()> {
    let lacks = |mb: Option<Macroblock>, quarter: u8| {
        usize::from(mb.is_some_and(|mb| mb.luma & (1 << quarter) == 0))
    };
    for quarter in 0..4u8 {
        let left = match quarter & 1 {
            0 => lacks(neighbours.left, quarter | 1),
            _ => lacks(Some(*own), quarter & 2),
        };
        let above = match quarter & 2 {
            0 => lacks(neighbours.above, quarter | 2),
            _ => lacks(Some(*own), quarter & 1),
        };
        let context = left.saturating_add(above << 1).saturating_add(73);
        own.luma |= u8::from(engine.bin(context)?) << quarter;
    }
    if coding.has_chroma {
        let context = neighbours.count(2, |mb| mb.chroma != 0).saturating_add(77);
        if engine.bin(context)? {
            let context = neighbours.count(2, |mb| mb.chroma == 2).saturating_add(81);
            own.chroma = if engine.bin(context)? { 2 } else { 1 };
        }
    }
    Some(())
}

/// `mb_qp_delta`; whether it is not 0.
fn qp_delta(engine: &mut Engine<'_>, coding: &Coding, changed: QpChanged) -> Option<QpChanged> {
    if !engine.bin(if changed { 61 } else { 60 })? {
        return Some(false);
    }
    let mut count = 1u32;
    let mut context = 62;
    while engine.bin(context)? {
        context = 63;
        count = count.saturating_add(1);
        if count > coding.qp_steps {
            return None;
        }
    }
    Some(true)
}

fn residual(engine: &mut Engine<'_>, neighbours: Neighbours, own: &mut Macroblock) -> Option<()> {
    if own.kind == Kind::Whole {
        let inc = dc_inc(neighbours, 0);
        own.dc = [block(engine, Category::LumaDc, inc)?, false, false];
    }
    for quarter in 0..4u16 {
        if own.luma & (1 << quarter) == 0 {
            continue;
        }
        let (x, y) = ((quarter & 1) << 1, quarter & 2);
        if own.transform_8x8 {
            block(engine, Category::Luma8x8, 0)?;
            own.blocks |= 0x33 << (y << 2 | x);
            continue;
        }
        let category = match own.kind {
            Kind::Whole => Category::LumaAc,
            _ => Category::Luma,
        };
        for within in 0..4u16 {
            let (x, y) = (x | within & 1, y | within >> 1);
            let has = |mb: Option<Macroblock>, x: u16, y: u16| {
                usize::from(mb.is_none_or(|mb| mb.blocks & (1 << (y << 2 | x)) != 0))
            };
            let left = match x.checked_sub(1) {
                Some(x) => has(Some(*own), x, y),
                None => has(neighbours.left, 3, y),
            };
            let above = match y.checked_sub(1) {
                Some(y) => has(Some(*own), x, y),
                None => has(neighbours.above, x, 3),
            };
            let coded = block(engine, category, left | above << 1)?;
            own.blocks |= u16::from(coded) << (y << 2 | x);
        }
    }
    if own.chroma != 0 {
        for plane in [1, 2] {
            let coded = block(engine, Category::ChromaDc, dc_inc(neighbours, plane))?;
            *own.dc.get_mut(plane)? = coded;
        }
    }
    if own.chroma == 2 {
        for plane in [0, 1] {
            let mut coded = 0u8;
            for at in 0..4u8 {
                let has = |mb: Option<Macroblock>, at: u8| {
                    let of =
                        |mb: Macroblock| mb.ac.get(plane).is_some_and(|ac| ac & (1 << at) != 0);
                    usize::from(mb.is_none_or(of))
                };
                let within = |at: u8| usize::from(coded & (1 << at) != 0);
                let left = match at & 1 {
                    0 => has(neighbours.left, at | 1),
                    _ => within(at & 2),
                };
                let above = match at & 2 {
                    0 => has(neighbours.above, at | 2),
                    _ => within(at & 1),
                };
                coded |= u8::from(block(engine, Category::ChromaAc, left | above << 1)?) << at;
            }
            *own.ac.get_mut(plane)? = coded;
        }
    }
    Some(())
}

/// `ctxIdxInc` of the `coded_block_flag` of a block of DC: 0 is luma. What is not of the slice counts
/// as having coefficients (9.3.3.1.1.9).
fn dc_inc(neighbours: Neighbours, plane: usize) -> usize {
    let has = |mb: Option<Macroblock>| {
        usize::from(mb.is_none_or(|mb| mb.dc.get(plane).is_some_and(|&has| has)))
    };
    has(neighbours.left) | has(neighbours.above) << 1
}

/// `residual_block_cabac` (7.3.5.3.3); whether it has coefficients.
fn block(engine: &mut Engine<'_>, category: Category, inc: usize) -> Option<bool> {
    let (coded, significant, last, level, count) = category.contexts();
    let is_8x8 = matches!(category, Category::Luma8x8);
    let is_chroma_dc = matches!(category, Category::ChromaDc);
    if !is_8x8 && !engine.bin(coded.saturating_add(inc))? {
        return Some(false);
    }
    let mut found = 0usize;
    let end = count.saturating_sub(1);
    let mut ended = false;
    for at in 0..end {
        let (of_significant, of_last) = match category {
            Category::Luma8x8 => (
                usize::from(*SIGNIFICANT_8X8.get(at)?),
                usize::from(*LAST_8X8.get(at)?),
            ),
            Category::ChromaDc => (at.min(2), at.min(2)),
            _ => (at, at),
        };
        if engine.bin(significant.saturating_add(of_significant))? {
            found = found.saturating_add(1);
            if engine.bin(last.saturating_add(of_last))? {
                ended = true;
                break;
            }
        }
    }
    if !ended {
        found = found.saturating_add(1);
    }
    let most = if is_chroma_dc { 3 } else { 4 };
    let (mut ones, mut greater) = (0usize, 0usize);
    for _ in 0..found {
        let first = match greater {
            0 => ones.saturating_add(1).min(4),
            _ => 0,
        };
        if engine.bin(level.saturating_add(first))? {
            let context = level.saturating_add(5).saturating_add(greater.min(most));
            large_level(engine, context)?;
            greater = greater.saturating_add(1);
        } else {
            ones = ones.saturating_add(1);
        }
        engine.bypass()?;
    }
    Some(true)
}

/// The rest of a `coeff_abs_level_minus1` that is not 0: up to 14 ones, then Exp-Golomb of order 0.
fn large_level(engine: &mut Engine<'_>, context: usize) -> Option<()> {
    for _ in 1..14 {
        if !engine.bin(context)? {
            return Some(());
        }
    }
    let mut order = 0u32;
    while engine.bypass()? {
        order = order.saturating_add(1);
        // Levels take 15 + 6 bits at most.
        if order > 22 {
            return None;
        }
    }
    for _ in 0..order {
        engine.bypass()?;
    }
    Some(())
}
