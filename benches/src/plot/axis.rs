//! Where values lie on an axis, and which are written beside it.

/// How values become distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// By their logarithm.
    Log,
    /// From zero, with a line at every multiple.
    Every(f64),
}

/// A range of values that is to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<f64>,
    log: bool,
}

impl Range {
    /// One that holds these values.
    pub(super) fn of(values: impl Iterator<Item = f64>, scale: Scale) -> Self {
        let log = scale == Scale::Log;
        let values: Vec<f64> = values
            .filter(|v| v.is_finite() && (!log || *v > 0.0))
            .collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match scale {
            _ if values.is_empty() => Self {
                low: if log { 1.0 } else { 0.0 },
                high: if log { 10.0 } else { 1.0 },
                ticks: Vec::new(),
                log,
            },
            Scale::Log => logarithmic(least, most),
            Scale::Linear => linear(most),
            Scale::Every(step) => every(most, step),
        }
    }

    /// 0 at the low end, 1 at the high one.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (value, low, high) = if self.log {
            (
                value.max(f64::MIN_POSITIVE).log10(),
                self.low.log10(),
                self.high.log10(),
            )
        } else {
            (value, self.low, self.high)
        };
        (value - low) / (high - low)
    }
}

fn logarithmic(least: f64, most: f64) -> Range {
    let wide = (most / least).log10() > 2.2;
    let steps: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decade = |value: f64| value.log10().floor() as i32;
    let all: Vec<f64> = (decade(least)..=decade(most) + 1)
        .flat_map(|exponent| steps.iter().map(move |step| step * 10f64.powi(exponent)))
        .collect();
    // A little beyond the values, so that no point lies on the frame.
    let near = 1.0 + 1e-9;
    let low = all.iter().copied().rfind(|tick| *tick <= least * near);
    let high = all
        .iter()
        .copied()
        .find(|tick| *tick >= most / near && *tick > least * near);
    let (low, high) = (low.unwrap_or(least), high.unwrap_or(most * 2.0));
    Range {
        low,
        high,
        ticks: all
            .into_iter()
            .filter(|tick| (low..=high).contains(tick))
            .collect(),
        log: true,
    }
}

fn linear(most: f64) -> Range {
    let most = if most > 0.0 { most } else { 1.0 };
    // Four to ten steps of 1, 2 or 5 times a power of ten.
    let rough = most / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(rough);
    let count = (most / step - 1e-9).ceil().max(1.0);
    Range {
        low: 0.0,
        high: count * step,
        ticks: (0..=count as u32).map(|n| f64::from(n) * step).collect(),
        log: false,
    }
}

fn every(most: f64, step: f64) -> Range {
    let mut shown = step.max(1e-9);
    while most / shown > 12.0 {
        shown *= 2.0;
    }
    let count = (most / shown).floor() as u32;
    Range {
        low: 0.0,
        high: most.max(shown),
        ticks: (0..=count).map(|n| f64::from(n) * shown).collect(),
        log: false,
    }
}

/// A tick as it is written: no more digits than it has.
pub(super) fn label(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text.split_once('.') {
        None if text.len() > 4 => {
            let (thousands, rest) = text.split_at(text.len() - 3);
            format!("{thousands}\u{2009}{rest}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(values: &[f64], scale: Scale) -> Range {
        Range::of(values.iter().copied(), scale)
    }

    #[test]
    fn linear_axes_begin_at_zero_and_end_on_a_round_number() {
        let range = range(&[3.0, 9.3], Scale::Linear);
        assert_eq!(range.ticks, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!((range.place(0.0), range.place(10.0)), (0.0, 1.0));
        assert_eq!(self::range(&[0.0], Scale::Linear).high, 1.0);
    }

    #[test]
    fn logarithmic_axes_hold_all_values() {
        let wide = range(&[0.002, 47.0], Scale::Log);
        assert_eq!(wide.ticks.len(), 6);
        assert!(wide.low <= 0.002 && wide.high >= 47.0);
        let streams = range(&[10.0, 100.0, 300.0, 1000.0], Scale::Log);
        assert!((streams.place(10.0)).abs() < 1e-9 && (streams.place(1000.0) - 1.0).abs() < 1e-9);
        assert!(streams.ticks.len() >= 4);
        let one = range(&[10.0], Scale::Log);
        assert!(one.high > one.low);
    }

    #[test]
    fn intervals_are_marked() {
        let range = range(&[0.0, 185.0], Scale::Every(60.0));
        assert_eq!(range.ticks, [0.0, 60.0, 120.0, 180.0]);
        assert!(self::range(&[3600.0], Scale::Every(10.0)).ticks.len() < 14);
    }

    #[test]
    fn labels_are_short() {
        assert_eq!(label(0.05), "0.05");
        assert_eq!(label(1000.0), "1000");
        assert_eq!(label(25_000.0), "25\u{2009}000");
        assert_eq!(label(0.1 + 0.2), "0.3");
    }
}
