//! libFuzzer around [`clipmill_fuzz::playlist`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::playlist(data));
