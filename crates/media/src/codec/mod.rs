//! Codec headers, one file per codec, each with the clause of the standard that it follows.

pub mod bits;
