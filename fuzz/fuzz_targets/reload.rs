//! libFuzzer around [`clipmill_fuzz::reload`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::reload(data));
