//! What the file, the variables and the flags say, one over the other, as one TOML table.
//!
//! Each value remembers who said it by its span: those of the file have their place in its text, those
//! of variables and flags a number behind its end.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{AppSettings, ConfigError, Retention, Settings, Variables};
use crate::domain::PullSource;

/// A file is not larger than this.
const LARGEST: u64 = 1 << 20;

/// Variables that name no key.
const ELSEWHERE: [&str; 4] = ["CONFIG", "APP", "LOG", "LOG_FORMAT"];

/// The keys of each table, as serde knows them: they are named nowhere else. Then what the table is called,
/// and what stands before its keys in variables.
fn sections() -> [(&'static [&'static str], &'static str, &'static str); 3] {
    [
        (keys_of::<Settings>(), "top level", ""),
        (keys_of::<AppSettings>(), "[[app]]", ""),
        (keys_of::<Retention>(), "retention", "retention_"),
    ]
}

/// Every key there is.
#[cfg(test)]
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    sections().into_iter().flat_map(|(keys, ..)| keys).copied()
}

/// A configuration file.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) path: Option<PathBuf>,
    text: String,
}

impl Text {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let at = |message: String| ConfigError::at(Some(path), None, message);
        let found = std::fs::metadata(path).map_err(|error| at(error.to_string()))?;
        if found.len() > LARGEST {
            return Err(at("too large for a configuration".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| at(error.to_string()))?;
        Ok(Self::new(path, text))
    }

    pub(super) fn new(path: &Path, text: String) -> Self {
        let path = Some(path.to_owned());
        Self { path, text }
    }
}

/// All that is said, the last word on each key.
#[derive(Debug)]
pub(super) struct Overlay<'t> {
    file: &'t Text,
    table: DeTable<'t>,
    /// Who said what the file did not.
    origins: Vec<String>,
}

impl<'t> Overlay<'t> {
    /// What the file says.
    pub(super) fn new(file: &'t Text) -> Result<Self, ConfigError> {
        let mut overlay = Self {
            file,
            table: DeTable::new(),
            origins: Vec::new(),
        };
        let parsed = DeTable::parse(&file.text).map_err(|error| overlay.fault(&error))?;
        overlay.table = parsed.into_inner();
        match unknown_key(&overlay.table) {
            Some((span, message)) => Err(overlay.fault_at(Some(span), message)),
            None => Ok(overlay),
        }
    }

    /// Another application, or another folder for one that is known: `NAME=STREAMS_DIR`.
    pub(super) fn add_app(&mut self, origin: &str, text: &str) -> Result<(), ConfigError> {
        let Some((name, folder)) = text.split_once('=').filter(|(_, f)| !f.is_empty()) else {
            let message = format!("`{text}` is not NAME=STREAMS_DIR");
            return Err(ConfigError::of(origin, message));
        };
        let mut apps = self.apps();
        let known = apps.find(|app| {
            let known = app.get("name").map(Spanned::get_ref);
            known.and_then(DeValue::as_str) == Some(name)
        });
        let app = [("name", name), ("streams_dir", folder)];
        if let Some(known) = known {
            let span = known.get("streams_dir").map_or(0..0, Spanned::span);
            let folder = DeValue::String(folder.to_owned().into());
            known.insert(key("streams_dir"), Spanned::new(span, folder));
            return Ok(());
        }
        drop(apps);
        let span = self.origin(origin);
        let app = app.map(|(name, value)| {
            let value = DeValue::String(value.to_owned().into());
            (key(name), Spanned::new(span.clone(), value))
        });
        let app = Spanned::new(span.clone(), DeValue::Table(app.into_iter().collect()));
        let empty = || Spanned::new(span, DeValue::Array(toml::de::DeArray::new()));
        let all = self.table.entry(key("app")).or_insert_with(empty);
        if let DeValue::Array(all) = all.get_mut() {
            all.push(app);
        }
        Ok(())
    }

    /// Applies the overrides of the environment. A variable that stands for a key of `[[app]]` holds
    /// for every application.
    pub(super) fn apply(&mut self, variables: &Variables) {
        for (name, value) in variables {
            let key = name.trim_start_matches("CLIPMILL_");
            if !ELSEWHERE.contains(&key) && !self.set(name, &key.to_ascii_lowercase(), value) {
                let known = sections().into_iter().flat_map(|(keys, _, prefix)| {
                    let names = keys.iter().map(move |key| format!("{prefix}{key}"));
                    names.map(|name| format!("CLIPMILL_{}", name.to_ascii_uppercase()))
                });
                let known: Vec<_> = known.collect();
                let near = nearest(name, known.iter().map(String::as_str));
                tracing::warn!("{name} is not a variable of Clipmill's; did you mean {near}?");
            }
        }
    }

    /// Sets a key, wherever it belongs. False when there is no such key.
    pub(super) fn set(&mut self, origin: &str, name: &str, value: &str) -> bool {
        let span = self.origin(origin);
        let value = || Spanned::new(span.clone(), DeValue::String(value.to_owned().into()));
        let [(top, ..), (app, ..), (retention, _, prefix)] = sections();
        let find = |keys: &'static [&'static str], name: &str| {
            keys.iter().copied().find(|known| *known == name)
        };
        // It stands for `interval_seconds`, and is written as a length of time.
        let name = if name == "interval" {
            "interval_seconds"
        } else {
            name
        };
        if let Some(known) = find(top, name) {
            self.table.insert(key(known), value());
        } else if let Some(known) = find(app, name) {
            self.apps().for_each(|app| {
                app.insert(key(known), value());
            });
        } else if let Some(known) = name
            .strip_prefix(prefix)
            .and_then(|name| find(retention, name))
        {
            for app in self.apps() {
                let empty = || Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
                let kept = app.entry(key("retention")).or_insert_with(empty);
                if let DeValue::Table(kept) = kept.get_mut() {
                    kept.insert(key(known), value());
                }
            }
        } else {
            return false;
        }
        true
    }

    /// What it comes to, and where each application stands.
    pub(super) fn read(mut self) -> Result<(Settings, Vec<Place<'t>>), ConfigError> {
        let apps = match self.table.get("app").map(Spanned::get_ref) {
            Some(DeValue::Array(apps)) => &**apps,
            _ => &[],
        };
        let places = apps.iter().map(|app| self.place(Some(app.span())));
        let places = places.collect();
        let table = Spanned::new(0..self.file.text.len(), std::mem::take(&mut self.table));
        let settings = Settings::deserialize(toml::de::Deserializer::from(table));
        let settings = settings.map_err(|error| self.fault(&error))?;
        Ok((settings, places))
    }

    /// The tables of the applications.
    fn apps(&mut self) -> impl Iterator<Item = &mut DeTable<'t>> {
        let apps = self.table.get_mut("app").map(Spanned::get_mut);
        let apps = match apps {
            Some(DeValue::Array(apps)) => &mut **apps,
            _ => &mut [],
        };
        apps.iter_mut().filter_map(|app| match app.get_mut() {
            DeValue::Table(app) => Some(app),
            _ => None,
        })
    }

    /// The span of what somebody else than the file says.
    fn origin(&mut self, origin: &str) -> Range<usize> {
        self.origins.push(origin.to_owned());
        let at = self.file.text.len() + self.origins.len();
        at..at
    }

    fn place(&self, span: Option<Range<usize>>) -> Place<'t> {
        let at = span.map(|span| span.start);
        let behind = at.and_then(|at| at.checked_sub(self.file.text.len() + 1));
        match behind.and_then(|number| self.origins.get(number)) {
            Some(origin) => Place::Said(origin.clone()),
            None => Place::File(self.file, at.map(|at| line_of(&self.file.text, at))),
        }
    }

    fn fault(&self, error: &toml::de::Error) -> ConfigError {
        self.fault_at(error.span(), error.message())
    }

    fn fault_at(&self, span: Option<Range<usize>>, message: impl Into<String>) -> ConfigError {
        self.place(span).fault(message)
    }
}

/// Where something was said.
#[derive(Debug)]
pub(super) enum Place<'t> {
    /// In the file, on this line.
    File(&'t Text, Option<usize>),
    /// By this variable or flag.
    Said(String),
}

impl Place<'_> {
    pub(super) fn fault(&self, message: impl Into<String>) -> ConfigError {
        match self {
            Self::File(file, line) => ConfigError::at(file.path.as_deref(), *line, message),
            Self::Said(origin) => ConfigError::of(origin, message.into()),
        }
    }
}

fn key(name: &str) -> Spanned<toml::de::DeString<'static>> {
    Spanned::new(0..0, name.to_owned().into())
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The first key that means nothing: where it stands, and what may have been meant.
fn unknown_key(table: &DeTable<'_>) -> Option<(Range<usize>, String)> {
    let [top, app, retention] = sections().map(|(keys, ..)| keys);
    let pull = keys_of::<PullSource>();
    unknown_in(table, top).or_else(|| {
        let mut apps = tables(table.get("app")?);
        apps.find_map(|found| {
            let kept = || tables(found.get("retention")?).find_map(|t| unknown_in(t, retention));
            let pulled = || tables(found.get("pull")?).find_map(|t| unknown_in(t, pull));
            unknown_in(found, app).or_else(kept).or_else(pulled)
        })
    })
}

/// The table that a value is, or those of an array.
fn tables<'a, 'i>(
    value: &'a Spanned<DeValue<'i>>,
) -> Box<dyn Iterator<Item = &'a DeTable<'i>> + 'a> {
    match value.get_ref() {
        DeValue::Table(table) => Box::new(std::iter::once(table)),
        DeValue::Array(all) => Box::new(all.iter().flat_map(tables)),
        _ => Box::new(std::iter::empty()),
    }
}

fn unknown_in(table: &DeTable<'_>, known: &[&str]) -> Option<(Range<usize>, String)> {
    let mut keys = table.keys();
    let key = keys.find(|key| !known.contains(&key.get_ref().as_ref()))?;
    let name = key.get_ref().as_ref();
    let sections = sections();
    let home = sections.iter().find(|(keys, ..)| keys.contains(&name));
    let message = match home {
        Some((_, home, _)) => format!("unknown key `{name}` here; it belongs to the {home}"),
        None => {
            let near = nearest(name, known.iter().copied());
            format!("unknown key `{name}`; did you mean `{near}`?")
        }
    };
    Some((key.span(), message))
}

/// The name that takes the fewest letters to get right.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known
        .min_by_key(|other| distance(name, other))
        .unwrap_or_default()
}

/// Letters to add, remove or change (Levenshtein), whatever their case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The names of a struct's fields, which its `Deserialize` asks a format for.
fn keys_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Asked<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("only structs have keys"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut keys: &'static [&'static str] = &[];
    // It ends in an error, as there is nothing to read.
    let _ = T::deserialize(Asked(&mut keys));
    keys
}
