//! libFuzzer around [`clipmill_fuzz::fmp4_boxes`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::fmp4_boxes(data));
