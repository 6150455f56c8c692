//! libFuzzer around [`clipmill_fuzz::ts_packets`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clipmill_fuzz::ts_packets(data));
