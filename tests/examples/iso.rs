//! Says what ISO/IEC 14496-12 has against the MP4 files that it is given.
#![forbid(unsafe_code)]

fn main() {
    let mut faulty = false;
    for path in std::env::args().skip(1) {
        let faults = match std::fs::read(&path) {
            Ok(file) => clipmill_tests::iso::faults(&file),
            Err(error) => vec![error.to_string()],
        };
        for fault in &faults {
            println!("{path}: {fault}");
        }
        faulty |= !faults.is_empty();
    }
    std::process::exit(i32::from(faulty));
}
