//! libFuzzer around [`clipmill_fuzz::sample_aes`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::sample_aes(data));
