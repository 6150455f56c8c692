//! libFuzzer around [`clipmill_fuzz::whole_cut`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::whole_cut(data));
