//! libFuzzer around [`clipmill_fuzz::window`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::window(data));
