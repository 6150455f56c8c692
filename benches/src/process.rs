//! Runs programs, and tells what they took.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use wait4::Wait4;

use crate::interrupt;

/// What one run of a program took, with all programs that it started and waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of processor time outside the kernel.
    pub user: f64,
    /// Seconds of processor time in the kernel.
    pub system: f64,
    /// The most memory that was resident, in KiB. Linux counts from what this program held when it
    /// started the other, so less than that (see [`own_peak_kib`]) cannot be told.
    pub peak_kib: u64,
}

/// Why there is no figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// It took longer than it may.
    TooLong,
    /// Somebody wanted the run to end.
    Interrupted,
    /// It could not be started, or failed; with the end of what it said.
    Broken(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => f.write_str("took longer than it may"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

/// Runs a program to its end, at most `limit`. It gets a process group of its own, which ends
/// with it.
///
/// # Errors
/// When it fails or takes too long.
///
/// # Panics
/// When there is no room for what it says.
pub fn measure(command: &mut Command, limit: Duration) -> Result<Taken, Failed> {
    let mut said = tempfile::tempfile().unwrap();
    let errors = said.try_clone().unwrap();
    let begun = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .process_group(0)
        .spawn();
    let mut child = child.map_err(|error| Failed::Broken(error.to_string()))?;
    let group = Pid::from_child(&child);
    let ended = Mutex::new(false);
    let (used, wall, why) = std::thread::scope(|threads| {
        let guard = threads.spawn(|| {
            loop {
                // Looked at under the lock, so that the group is not of somebody else by now.
                let ended = ended.lock().unwrap();
                if *ended {
                    return None;
                }
                let why = if interrupt::asked() {
                    Some(Failed::Interrupted)
                } else {
                    (begun.elapsed() > limit).then_some(Failed::TooLong)
                };
                if why.is_some() {
                    let _ = kill_process_group(group, Signal::KILL);
                    return why;
                }
                drop(ended);
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        let used = child.wait4();
        let wall = begun.elapsed();
        *ended.lock().unwrap() = true;
        guard.thread().unpark();
        (used, wall, guard.join().unwrap())
    });
    if let Some(why) = why {
        return Err(why);
    }
    let used = used.map_err(|error| Failed::Broken(error.to_string()))?;
    if !used.status.success() {
        let why = last_line(&mut said).unwrap_or_default();
        return Err(Failed::Broken(format!("{}: {why}", used.status)));
    }
    Ok(Taken {
        wall: wall.as_secs_f64(),
        user: used.rusage.utime.as_secs_f64(),
        system: used.rusage.stime.as_secs_f64(),
        peak_kib: used.rusage.maxrss / 1024,
    })
}

fn last_line(said: &mut std::fs::File) -> Option<String> {
    use std::io::{Read, Seek, SeekFrom};
    let end = said.seek(SeekFrom::End(0)).ok()?;
    said.seek(SeekFrom::Start(end.saturating_sub(500))).ok()?;
    let mut bytes = Vec::new();
    said.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}

/// The most memory that this program has held, in KiB: peaks of others below it cannot be told.
#[must_use]
pub fn own_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn the_cost_of_a_pipeline_is_that_of_all_its_programs() {
        let mut command = Command::new("sh");
        // The loop runs in a program that the shell waits for.
        command.args([
            "-c",
            "(i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done); true",
        ]);
        let taken = measure(&mut command, LIMIT).unwrap();
        assert!(taken.user + taken.system > 0.0 && taken.wall > 0.0);
        assert!(taken.peak_kib > 0);
    }

    #[test]
    fn a_failure_is_told_in_the_programs_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such luck >&2; exit 3"]);
        let failed = measure(&mut command, LIMIT).unwrap_err();
        assert_eq!(
            failed,
            Failed::Broken("exit status: 3: no such luck".into())
        );
        let failed = measure(&mut Command::new("/nowhere/program"), LIMIT).unwrap_err();
        assert!(matches!(failed, Failed::Broken(_)));
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000; true"]);
        let failed = measure(&mut command, Duration::from_millis(50)).unwrap_err();
        assert_eq!(failed, Failed::TooLong);
    }
}
