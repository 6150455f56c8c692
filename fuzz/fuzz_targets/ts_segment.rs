//! libFuzzer around [`clipmill_fuzz::ts_segment`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::ts_segment(data));
