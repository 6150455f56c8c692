//! Which assembler takes which coding.

use clipmill_media::Limits;

use crate::assemble::Assemble;
use crate::stream_type::{Coding, Elementary};

/// The assembler of a stream that is coded as `coding`.
pub(crate) fn assembler(entry: &Elementary, coding: Coding, limits: &Limits) -> Box<dyn Assemble> {
    crate::testing::recorder(entry, coding, limits)
}
