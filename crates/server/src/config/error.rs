//! What is wrong with the settings, in one line.

use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with the settings, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    line: Option<usize>,
    message: String,
}

impl ConfigError {
    /// A fault in a file, or in none.
    pub(super) fn at(file: Option<&Path>, line: Option<usize>, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            file: file.map(Path::to_owned),
            line,
            // Parsers explain themselves over several lines.
            message: message.trim().replace('\n', "; "),
        }
    }

    /// A fault in a variable or a flag.
    pub(super) fn of(name: &str, message: impl fmt::Display) -> Self {
        Self::at(None, None, format!("{name}: {message}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: {}", file.display(), self.message),
            (Some(file), None) => write!(f, "{}: {}", file.display(), self.message),
            (None, _) => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConfigError {}
