//! What the assembler of NAL units must know of a codec.

use std::fmt::Debug;

use bytes::Bytes;
use clipmill_media::{CodecConfig, Leading, RandomAccess};

/// What a NAL unit is to an access unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The access unit delimiter: an access unit begins with it. Not kept.
    Delimiter,
    /// End of sequence or of stream: the last of its access unit.
    EndOfSequence,
    /// Filler data. Not kept.
    Filler,
    /// A parameter set that goes into the configuration.
    ParameterSet,
    /// Supplemental enhancement information before a picture.
    Sei,
    /// Anything else that, after a picture, begins the next access unit.
    Prefix,
    /// Anything that, after a picture, still belongs to it.
    Suffix,
    /// A slice of a primary picture in the base layer.
    Slice,
}

/// How a slice stands to the slice before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    SamePicture,
    /// The other field of the same frame.
    SecondField,
    NewPicture,
}

/// What is known of a picture from its first slice and the SEI before it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PictureFacts {
    /// Its place in output order, where it could be computed.
    pub(super) order: Option<i64>,
    /// It begins a coded video sequence: output order counts anew.
    pub(super) begins_sequence: bool,
    pub(super) random_access: RandomAccess,
    pub(super) leading: Option<Leading>,
}

/// What differs between the codecs.
pub(crate) trait Syntax: Debug + Default + Send {
    /// Bytes of a NAL unit header.
    const HEADER_BYTES: usize;
    /// What is read of a slice.
    type Slice: Copy + Debug + Send;

    /// What the NAL unit with this header is; `None` where `forbidden_zero_bit` is set.
    fn role(header: &[u8]) -> Option<Role>;
    /// Whether there are parameter sets with which slices can be read.
    fn is_ready(&self) -> bool;
    /// Reads and keeps a parameter set. `None` where it cannot be read.
    fn parameter_set(&mut self, nal: &[u8]) -> Option<Bytes>;
    /// The configuration for a picture: its own parameter sets, with those kept where it has none.
    fn config(&mut self, own: &[Bytes], slice: &Self::Slice) -> Option<CodecConfig>;
    /// Whether `config` has exactly this parameter set.
    fn holds(config: &CodecConfig, set: &Bytes) -> bool;
    /// The random access that a recovery point message promises.
    fn recovery(sei: &[u8]) -> Option<RandomAccess>;
    /// Reads a slice; `None` where it is too short to be one.
    fn slice(&self, nal: &[u8]) -> Option<Self::Slice>;
    /// How `next` stands to the slice before it.
    fn relation(&self, previous: &Self::Slice, next: &Self::Slice) -> Relation;
    /// A picture begins; called once for each, in decoding order.
    fn picture(&mut self, slice: &Self::Slice, recovery: Option<RandomAccess>) -> PictureFacts;
    /// Whether a slice refers to no other picture, as far as it can be read.
    fn is_intra(_slice: &Self::Slice) -> bool {
        false
    }
    /// The second field of the last picture begins.
    fn second_field(&mut self, first: &Self::Slice, second: &Self::Slice);
    /// The next picture begins a coded video sequence.
    fn end_of_sequence(&mut self) {}
    /// Something is missing between the last slice and the next.
    fn lost(&mut self) {}
}
