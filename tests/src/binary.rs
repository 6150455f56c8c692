//! Runs the `clipmill` binary.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// No job of these tests may take longer, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a finished run left.
#[derive(Debug, Clone)]
pub struct Run {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// The command line, for messages.
    pub line: String,
}

impl Run {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is not one JSON value.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "{}: standard output is no JSON ({error}): {}\nstandard error: {}",
                self.line,
                String::from_utf8_lossy(&self.stdout),
                self.stderr
            )
        })
    }

    /// This run, which must have ended with `code`.
    ///
    /// # Panics
    /// When it ended otherwise.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.line, self.stderr);
        self
    }
}

/// Runs `clipmill` with these arguments and nothing on standard input.
///
/// # Panics
/// When it cannot be started, or takes longer than five minutes.
pub fn clipmill<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    let mut command = command(path());
    command.args(args);
    finish(command)
}

/// A command that knows nothing of how these tests are run.
#[must_use]
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_remove("NO_COLOR");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CLIPMILL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs any command to its end, with nothing on standard input.
///
/// # Panics
/// When it cannot be started, or takes longer than five minutes.
pub fn finish(command: Command) -> Run {
    finish_within(command, PATIENCE)
}

/// The same, with less or more patience.
///
/// # Panics
/// When it cannot be started, or takes longer than that.
pub fn finish_within(mut command: Command, patience: Duration) -> Run {
    let line = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    std::thread::scope(|threads| {
        let stdout = threads.spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        });
        let stderr = threads.spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).map(|_| bytes)
        });
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > patience {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{line}: still running after {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Run {
            code: status.code().unwrap_or(-1),
            stdout: stdout.join().unwrap().unwrap(),
            stderr: String::from_utf8_lossy(&stderr.join().unwrap().unwrap()).into_owned(),
            line,
        }
    })
}

/// Where the binary is. `cargo test --workspace` has built it before any test runs; where only
/// this package is tested it may be missing or old, and is built here, into the same place.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        // A test is target/PROFILE/deps/NAME, an example target/PROFILE/examples/NAME, a program
        // target/PROFILE/NAME.
        let this = std::env::current_exe().unwrap();
        let folder = this.parent().unwrap();
        let profile_dir = if folder.ends_with("deps") || folder.ends_with("examples") {
            folder.parent().unwrap()
        } else {
            folder
        };
        let binary = profile_dir.join(format!("clipmill{}", std::env::consts::EXE_SUFFIX));
        if is_stale(&binary) {
            build(profile_dir);
        }
        assert!(binary.is_file(), "{} is not there", binary.display());
        binary
    })
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

fn is_stale(binary: &Path) -> bool {
    let Ok(built) = binary.metadata().and_then(|metadata| metadata.modified()) else {
        return true;
    };
    newest_source(&root().join("crates"), built) > built
}

fn newest_source(folder: &Path, mut newest: SystemTime) -> SystemTime {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name() != Some(OsStr::new("tests")) {
                newest = newest_source(&path, newest);
            }
        } else if path.extension().is_some_and(|e| e == "rs" || e == "toml") {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            newest = newest.max(modified.unwrap_or(newest));
        }
    }
    newest
}

fn build(profile_dir: &Path) {
    let _ = writeln!(std::io::stderr(), "building the clipmill binary first");
    let profile = match profile_dir.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells this test about its own package would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            cargo.env_remove(&name);
        }
    }
    let built = cargo
        .args(["build", "-q", "-p", "clipmill-cli", "--profile", profile])
        .arg("--target-dir")
        .arg(profile_dir.parent().unwrap())
        .current_dir(root())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(built.success(), "the clipmill binary does not build");
}
