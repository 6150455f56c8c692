//! `clipmill spool`: what the server keeps of its streams.

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clipmill_server::catalog::SledCatalog;
use clipmill_server::config::{Flags, Settings};
use clipmill_server::spool::{KeptStream, list, trim, verify};
use serde::Serialize;

use crate::args::{DataArgs, SpoolCommand};
use crate::failure::Failure;
use crate::report::size;
use crate::serve::read_variables;

/// What is kept of a stream, for machines.
#[derive(Debug, Serialize)]
struct StreamReport<'a> {
    app: &'a str,
    stream: &'a str,
    from: Option<String>,
    to: Option<String>,
    segments_in_dvr_window: u64,
    segments_needed: u64,
    bytes: u64,
}

pub(crate) fn spool(command: &SpoolCommand) -> Result<ExitCode, Failure> {
    match command {
        SpoolCommand::Ls { data, json } => ls(data, *json),
        SpoolCommand::Verify { data } => {
            let folder = data.folder()?;
            let verified = verify(&folder, &mut |_, _| {});
            let verified = verified.map_err(|error| unreadable(&folder, &error))?;
            for (path, reason) in &verified.damaged {
                println!("{}: {reason}", path.display());
            }
            let damaged = verified.damaged.len();
            println!(
                "{} segments are whole, {damaged} are damaged",
                verified.whole
            );
            Ok(ExitCode::from(u8::from(damaged > 0)))
        }
        SpoolCommand::Trim {
            data,
            keep,
            max_bytes,
        } => {
            let folder = data.folder()?;
            // Nobody else may have it: the server knows what lies in the windows.
            let _catalog = SledCatalog::open(&folder).map_err(Failure::server)?;
            let trimmed = trim(&folder, *keep, *max_bytes);
            let trimmed = trimmed.map_err(|error| unreadable(&folder, &error))?;
            println!(
                "removed {} segments, {}",
                trimmed.segments,
                size(trimmed.bytes)
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn ls(data: &DataArgs, json: bool) -> Result<ExitCode, Failure> {
    let folder = data.folder()?;
    let streams = list(&folder).map_err(|error| unreadable(&folder, &error))?;
    if json {
        let streams: Vec<_> = streams.iter().map(StreamReport::of).collect();
        println!("{}", serde_json::json!({ "streams": streams }));
        return Ok(ExitCode::SUCCESS);
    }
    for stream in &streams {
        let instant = |time| date(time).unwrap_or_else(|| "?".to_owned());
        println!(
            "{}/{}: {} to {}, {} segments in the DVR window, {} needed by clips to come, {}",
            stream.app,
            stream.stream,
            instant(stream.from),
            instant(stream.to),
            stream.in_window,
            stream.needed,
            size(stream.bytes)
        );
    }
    if streams.is_empty() {
        println!("nothing is kept in {}", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

impl<'a> StreamReport<'a> {
    fn of(stream: &'a KeptStream) -> Self {
        Self {
            app: &stream.app,
            stream: &stream.stream,
            from: date(stream.from),
            to: date(stream.to),
            segments_in_dvr_window: stream.in_window,
            segments_needed: stream.needed,
            bytes: stream.bytes,
        }
    }
}

impl DataArgs {
    fn folder(&self) -> Result<PathBuf, Failure> {
        let variables = read_variables()?;
        if self.config.is_none() && !variables.contains_key("CLIPMILL_CONFIG") {
            let named = variables.get("CLIPMILL_DATA_DIR").map(PathBuf::from);
            let folder = self.data_dir.clone().or(named);
            return Ok(folder.unwrap_or_else(|| Settings::default().data_dir));
        }
        let flags = Flags {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            ..Flags::default()
        };
        let settings = Settings::load(&flags, &variables);
        let settings = settings.map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(settings.data_dir)
    }
}

fn date(time: Option<DateTime<Utc>>) -> Option<String> {
    Some(time?.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn unreadable(folder: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::Server(format!("{}: {error}", folder.display()))
}
