//! What a figure was measured on.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// A machine, as far as it decides what things cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that this program may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The kernel's name and version.
    pub kernel: String,
    /// The type of file system that inputs and outputs lie on.
    pub file_system: String,
    /// Programs that wanted a processor as the measurement began, averaged over a minute: what else
    /// went on.
    pub load: String,
    /// Clipmill's version, with the revision it was built from where that is known.
    pub clipmill: String,
    /// The compiler's version.
    pub rustc: String,
}

impl Machine {
    /// This one, with files in `folder`.
    #[must_use]
    pub fn here(folder: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| -> Option<String> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let revision = first_line("git", &["describe", "--always", "--dirty"]);
        let revision = revision.map_or_else(String::new, |revision| format!(" ({revision})"));
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib.unwrap_or(0) / 1024,
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            file_system: file_system(folder, &read("/proc/self/mounts")),
            load: read("/proc/loadavg").split(' ').next().unwrap_or("").into(),
            clipmill: format!("clipmill {}{revision}", env!("CARGO_PKG_VERSION")),
            rustc: first_line("rustc", &["--version"]).unwrap_or_else(|| "unknown rustc".into()),
        }
    }

    /// One paragraph.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "{} cores of {}, {:.0} GiB, {}, {}; {}, {}, {} build; load {} at the start.",
            self.cores,
            self.cpu,
            self.memory_mib as f64 / 1024.0,
            self.kernel,
            self.file_system,
            self.clipmill,
            self.rustc,
            if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            self.load,
        )
    }
}

/// The first line that a program prints, if there is such a program.
#[must_use]
pub fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let run = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&run.stdout);
    let line = text.lines().next()?.trim().to_owned();
    run.status.success().then_some(line)
}

/// The type of the file system that holds `folder`: that of the longest mount point above it.
fn file_system(folder: &Path, mounts: &str) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = mounts.filter(|(point, _)| folder.starts_with(point));
    let nearest = above.max_by_key(|(point, _)| point.len());
    nearest.map_or("unknown", |(_, kind)| kind).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_point_tells_the_file_system() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /nowhere/tmp tmpfs rw 0 0\n";
        let kind = |folder: &str| file_system(Path::new(folder), mounts);
        assert_eq!(kind("/nowhere/tmp/x"), "tmpfs");
        assert_eq!(kind("/nowhere/temporary"), "ext4");
        assert_eq!(file_system(Path::new("/x"), ""), "unknown");
    }
}
