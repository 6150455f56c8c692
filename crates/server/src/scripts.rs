//! A program of the operator's that is run after each clip, with the clip's path and its application
//! (`muxer_finish_script`; `muxerFinishScript` in Ant Media Server).
//!
//! It is started without a shell, in a process group and with an environment of its own: nothing that
//! this server was told, no secret, reaches it. Clips never wait for it. Unlike a webhook it is run once
//! at most: what waits when the server is killed is not run.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// So many run at once.
const AT_ONCE: usize = 2;

/// So many wait.
const WAITING: usize = 1000;

/// How often it is looked whether one has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How much of the end of its error output is logged when a script fails, in bytes.
const OUTPUT_BYTES: usize = 400;

/// What its environment has of ours, where we have it.
const INHERITED: [&str; 7] = ["HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "USER"];

/// What is run after each clip of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishScript {
    /// The program.
    pub program: PathBuf,
    /// How long it may take; then it is killed, with all that it started.
    pub timeout: Duration,
}

struct Job {
    script: FinishScript,
    clip: PathBuf,
    app: String,
}

/// Runs programs, a few at once.
#[derive(Debug, Clone)]
pub(crate) struct Scripts {
    queue: SyncSender<Job>,
    pending: Arc<AtomicUsize>,
}

impl Scripts {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel::<Job>(WAITING);
        let jobs = Arc::new(Mutex::new(jobs));
        let pending = Arc::new(AtomicUsize::new(0));
        for number in 0..AT_ONCE {
            let (jobs, pending) = (Arc::clone(&jobs), Arc::clone(&pending));
            let work = move || work(&jobs, &pending);
            let name = format!("script-{number}");
            std::thread::Builder::new().name(name).spawn(work)?;
        }
        Ok(Self { queue, pending })
    }

    /// Has a program run for a clip, some time.
    pub(crate) fn run(&self, script: &FinishScript, clip: &Path, app: &str) {
        let clip = std::path::absolute(clip).unwrap_or_else(|_| clip.to_owned());
        let job = Job {
            script: script.clone(),
            clip,
            app: app.to_owned(),
        };
        self.pending.fetch_add(1, Ordering::SeqCst);
        if let Err(refused) = self.queue.try_send(job) {
            self.pending.fetch_sub(1, Ordering::SeqCst);
            let (TrySendError::Full(job) | TrySendError::Disconnected(job)) = refused;
            tracing::error!(
                app = job.app,
                clip = %job.clip.display(),
                "muxer_finish_script is not run: too many are waiting"
            );
        }
    }

    /// How many run or wait.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::SeqCst)
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, pending: &AtomicUsize) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let begun = Instant::now();
        let done = run(&job);
        let (app, clip) = (&job.app, job.clip.display());
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match done {
            Ok(()) => tracing::info!(app, %clip, took_ms, "muxer_finish_script has run"),
            Err(error) => {
                tracing::error!(app, %clip, took_ms, error, "muxer_finish_script failed");
            }
        }
        pending.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs one to its end.
fn run(job: &Job) -> Result<(), String> {
    let program = &job.script.program;
    let ours = INHERITED
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    let child = Command::new(program)
        .arg(&job.clip)
        .arg(&job.app)
        .env_clear()
        .envs(ours)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = child.map_err(|error| format!("{}: {error}", program.display()))?;
    let mut output = ErrorOutput::of(&mut child);
    let status = wait(&mut child, &mut output, job.script.timeout);
    output.read();
    let output = output.last_line();
    match status.map_err(|error| error.to_string())? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}{output}")),
        None => {
            let seconds = job.script.timeout.as_secs_f64();
            Err(format!("killed after {seconds} s{output}"))
        }
    }
}

/// Waits until it ends; `None` when it had to be killed.
fn wait(
    child: &mut Child,
    output: &mut ErrorOutput,
    timeout: Duration,
) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= timeout {
            let group = Pid::from_child(child);
            if kill_process_group(group, Signal::KILL).is_err() {
                child.kill()?;
            }
            child.wait()?;
            return Ok(None);
        }
        // A program whose pipe is full would wait for ever.
        output.read();
        std::thread::sleep(LOOK);
    }
}

/// The end of what a program writes to its standard error.
struct ErrorOutput {
    from: Option<std::process::ChildStderr>,
    last: Vec<u8>,
}

impl ErrorOutput {
    fn of(child: &mut Child) -> Self {
        let from = child.stderr.take();
        // What it started may keep it open for longer than it lives.
        let from = from.filter(|from| rustix::io::ioctl_fionbio(from, true).is_ok());
        Self {
            from,
            last: Vec::new(),
        }
    }

    fn read(&mut self) {
        let Some(from) = &mut self.from else { return };
        let mut piece = [0; 4096];
        // As much as a pipe holds.
        for _ in 0..16 {
            match from.read(&mut piece) {
                Ok(count) if count > 0 => {
                    self.last
                        .extend_from_slice(piece.get(..count).unwrap_or_default());
                    let surplus = self.last.len().saturating_sub(OUTPUT_BYTES);
                    self.last.drain(..surplus);
                }
                _ => return,
            }
        }
    }

    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.last);
        let line = text.lines().rfind(|line| !line.trim().is_empty());
        line.map_or_else(String::new, |line| format!(": {}", line.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn job(folder: &Path, text: &str, timeout: Duration) -> Job {
        let program = folder.join("script");
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Job {
            script: FinishScript { program, timeout },
            clip: folder.join("a $(b) c.mp4"),
            app: "live".to_owned(),
        }
    }

    #[test]
    fn it_gets_the_path_and_the_app_and_nothing_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let text = format!(
            "{{ echo \"$1|$2|$#\"; env; pwd; ls /proc/self/fd | wc -l; }} > {}",
            out.display()
        );
        let job = job(folder.path(), &text, Duration::from_secs(60));
        run(&job).unwrap();
        let output = fs::read_to_string(&out).unwrap();
        let arguments = format!("{}|live|2\n", job.clip.display());
        assert!(output.starts_with(&arguments), "{output}");
        // Whatever runs these tests has it in its environment.
        assert!(
            std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !output.contains("CARGO"),
            "{output}"
        );
        assert!(output.lines().any(|line| line == "/"), "{output}");
    }

    #[test]
    fn failures_are_told_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let patience = Duration::from_secs(60);
        let failing = job(
            folder.path(),
            "yes | head -c 300000 >&2; echo no room >&2; exit 3",
            patience,
        );
        let error = run(&failing).unwrap_err();
        assert!(
            error.contains("3") && error.ends_with(": no room"),
            "{error}"
        );
        let mut missing = job(folder.path(), "", patience);
        missing.script.program = folder.path().join("nothing");
        assert!(
            run(&missing).unwrap_err().contains("nothing: "),
            "not found"
        );
    }

    #[test]
    fn one_that_takes_too_long_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        let text = format!("(sleep 2; touch {}) & sleep 600", alive.display());
        let slow = job(folder.path(), &text, Duration::from_millis(300));
        let error = run(&slow).unwrap_err();
        assert_eq!(error, "killed after 0.3 s");
        std::thread::sleep(Duration::from_millis(2500));
        assert!(!alive.exists());
    }
}
