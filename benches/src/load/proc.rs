//! What Linux tells of a process from outside (proc(5)).

use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Seconds of processor time that a process has used so far; it counts in hundredths.
pub(super) fn cpu_seconds(id: u32) -> f64 {
    ticks(&read(&format!("/proc/{id}/stat"))) / 100.0
}

/// User and system time of a line of `/proc/…/stat`, in ticks.
fn ticks(stat: &str) -> f64 {
    // The name, in parentheses, may hold anything; state is field 3, utime and stime 14 and 15.
    let Some((_, after)) = stat.rsplit_once(')') else {
        return 0.0;
    };
    let fields = after.split_whitespace().skip(14 - 3).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum()
}

/// A line of `/proc/…/status`: memory in KiB, or a number.
pub(super) fn status_kib(id: u32, name: &str) -> u64 {
    let text = read(&format!("/proc/{id}/status"));
    number(&text, name)
}

/// Bytes that a process has made dirty so far; they reach the disk later.
pub(super) fn written_bytes(id: u32) -> u64 {
    number(&read(&format!("/proc/{id}/io")), "write_bytes")
}

fn number(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

/// Files that a process has open.
pub(super) fn open_files(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count)
}

/// Bytes that the disk which holds `folder` has taken so far, from whomever.
pub(super) fn disk_written_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = folder.metadata() else {
        return 0;
    };
    let device = metadata.dev();
    // As glibc packs it.
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    sectors_written(&read("/proc/diskstats"), major, minor) * 512
}

fn sectors_written(diskstats: &str, major: u64, minor: u64) -> u64 {
    let mut lines = diskstats.lines().map(|line| line.split_whitespace());
    lines
        .find_map(|mut fields| {
            let is_it = fields.next()?.parse() == Ok(major) && fields.next()?.parse() == Ok(minor);
            // The name; reads: done, merged, sectors, time; writes: done, merged, sectors.
            is_it.then(|| fields.nth(7)?.parse().ok()).flatten()
        })
        .unwrap_or(0)
}

/// Bytes free on the disk that holds `folder`.
pub(super) fn free_bytes(folder: &Path) -> f64 {
    rustix::fs::statvfs(folder).map_or(0.0, |stat| (stat.f_bavail * stat.f_frsize) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(ticks(stat), 300.0);
        assert_eq!(ticks(""), 0.0);
    }

    #[test]
    fn lines_are_found_by_their_whole_name() {
        let io = "rchar: 1\nwchar: 2\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
        assert_eq!(number(io, "write_bytes"), 4096);
        assert_eq!(number("VmRSS:\t  123 kB\n", "VmRSS"), 123);
        assert_eq!(number(io, "none"), 0);
    }

    #[test]
    fn sectors_of_the_right_disk() {
        let text = " 254 0 vda 1 2 3 4 5 6 700 8 0 0 0\n 254 1 vda1 1 2 3 4 5 6 9 8 0 0 0\n";
        assert_eq!(sectors_written(text, 254, 0), 700);
        assert_eq!(sectors_written(text, 254, 1), 9);
        assert_eq!(sectors_written(text, 8, 0), 0);
    }

    #[test]
    fn this_process_is_seen() {
        let own = std::process::id();
        assert!(status_kib(own, "VmRSS") > 0 && open_files(own) > 0);
        assert!(status_kib(own, "Threads") > 0);
    }
}
