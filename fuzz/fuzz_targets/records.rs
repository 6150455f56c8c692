//! libFuzzer around [`clipmill_fuzz::records`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::records(data));
