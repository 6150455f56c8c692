//! libFuzzer around [`clipmill_fuzz::splice`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::splice(data));
