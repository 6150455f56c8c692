//! libFuzzer around [`clipmill_fuzz::codec_headers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::codec_headers(data));
