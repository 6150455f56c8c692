//! Event messages of segments (`emsg`: ISO/IEC 23009-1, 5.10.3.3; ISO/IEC 23000-19, 7.4.5).

use bytes::Bytes;
use clipmill_media::{CLOCK_90K, TimedEvent};

use super::walk::{BoxAt, Fields};

/// An event message, as it is written.
#[derive(Debug)]
pub(super) struct Message {
    /// Version 1: on the presentation's timeline. Version 0: from where the segment begins.
    time: Time,
    event: TimedEvent,
}

#[derive(Debug)]
enum Time {
    Absolute(i64),
    FromSegment(i64),
}

impl Message {
    /// Reads an `emsg`; `None` where it is none that makes sense.
    pub(super) fn of(emsg: &BoxAt<'_>) -> Option<Self> {
        let mut fields = emsg.fields();
        let (version, _) = fields.version()?;
        let texts = |fields: &mut Fields<'_>| Some((string(fields)?, string(fields)?));
        let mut text = None;
        if version == 0 {
            text = Some(texts(&mut fields)?);
        }
        let timescale = fields.u32()?;
        let time = match version {
            0 => Time::FromSegment(ticks(fields.u32()?.into(), timescale)?),
            1 => Time::Absolute(ticks(i64::try_from(fields.u64()?).ok()?, timescale)?),
            _ => return None,
        };
        let duration = match fields.u32()? {
            u32::MAX => 0,
            duration => u32::try_from(ticks(duration.into(), timescale)?).unwrap_or(0),
        };
        let id = fields.u32()?;
        let (scheme, value) = match text {
            Some(text) => text,
            None => texts(&mut fields)?,
        };
        Some(Self {
            time,
            event: TimedEvent {
                time: 0,
                duration,
                scheme,
                value,
                id,
                data: Bytes::copy_from_slice(fields.rest()),
            },
        })
    }

    /// The event, in a segment that is presented from `begin` on.
    pub(super) fn at(self, begin: Option<i64>) -> Option<TimedEvent> {
        let time = match self.time {
            Time::Absolute(time) => time,
            Time::FromSegment(delta) => begin?.checked_add(delta)?,
        };
        Some(TimedEvent { time, ..self.event })
    }
}

/// A time in units of 1/`timescale` s, in 90 kHz ticks.
pub(super) fn ticks(time: i64, timescale: u32) -> Option<i64> {
    let scaled = i128::from(time).checked_mul(CLOCK_90K.into())?;
    i64::try_from(scaled.checked_div(timescale.into())?).ok()
}

/// Text up to a zero.
fn string(fields: &mut Fields<'_>) -> Option<String> {
    let len = fields.rest().iter().position(|&byte| byte == 0)?;
    let text = String::from_utf8(fields.take(len)?.to_vec()).ok()?;
    fields.skip(1)?;
    Some(text)
}
