//! What a sample entry says (ISO/IEC 14496-12, 8.5.2), as far as reading samples depends on it.

use std::sync::Arc;

use clipmill_media::{CodecConfig, VideoFormat};

use super::nal::{NalFormat, ParameterSets};

/// One way in which the samples of a track are coded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// `None` while its parameter sets are yet to come in the samples.
    pub(super) config: Option<Arc<CodecConfig>>,
    /// How NAL units lie in the samples, where they are made of such.
    pub(super) nal: Option<NalFormat>,
    /// What the entry says of the pictures beside the codec's own headers.
    pub(super) stated: VideoFormat,
    /// The parameter sets of an entry whose samples may bring others.
    pub(super) sets: ParameterSets,
}

impl Entry {
    pub(super) fn of(config: CodecConfig) -> Self {
        Self {
            config: Some(Arc::new(config)),
            nal: None,
            stated: VideoFormat::default(),
            sets: ParameterSets::default(),
        }
    }

    /// The same with pictures that are turned by so many degrees.
    pub(super) fn rotated(mut self, degrees: u16) -> Self {
        self.stated.rotation = degrees;
        if let Some(config) = &mut self.config
            && let Some(video) = Arc::make_mut(config).video_mut()
        {
            video.rotation = degrees;
        }
        self
    }
}
