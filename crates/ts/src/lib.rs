//! MPEG-TS (ISO/IEC 13818-1) segments turned into a [`SegmentIndex`](clipmill_media::SegmentIndex).
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod assemble;
