//! Frames of real media, against what ffprobe says of the same files.
