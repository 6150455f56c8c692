//! The TOML file, and the variables that stand over it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::units::{parse_age, parse_size};
use super::{ConfigError, Variables, WebhookContentType};

/// A file is not larger than this.
const LARGEST: u64 = 1 << 20;

const TOP: &[&str] = &[
    "app",
    "data_dir",
    "header_timeout",
    "listen",
    "max_connections",
    "public_base_url",
    "spool_max_bytes",
    "workers",
];
const APP: &[&str] = &[
    "allow_private_addresses",
    "clips_dir",
    "delete_hls_after_clip",
    "enabled",
    "interval_seconds",
    "jwt_secret",
    "listener_hook_url",
    "max_clip_seconds",
    "muxer_finish_script",
    "muxer_finish_timeout",
    "name",
    "retention",
    "segment_patience",
    "streams_dir",
    "upload_max_bytes",
    "webhook_content_type",
    "webhook_max_age",
    "webhook_secret",
    "webhook_timeout",
];
const RETENTION: &[&str] = &["max_age", "max_bytes"];

/// Every key there is.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    [TOP, APP, RETENTION].into_iter().flatten().copied()
}

/// The file as it is written: what it does not say is absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    #[serde(skip)]
    pub(super) path: Option<PathBuf>,
    #[serde(deserialize_with = "address")]
    pub(super) listen: Option<String>,
    pub(super) data_dir: Option<PathBuf>,
    #[serde(deserialize_with = "web_address")]
    pub(super) public_base_url: Option<String>,
    #[serde(deserialize_with = "at_least_one")]
    pub(super) max_connections: Option<usize>,
    #[serde(deserialize_with = "age")]
    pub(super) header_timeout: Option<Duration>,
    #[serde(deserialize_with = "at_least_one")]
    pub(super) workers: Option<usize>,
    #[serde(deserialize_with = "size")]
    pub(super) spool_max_bytes: Option<u64>,
    pub(super) app: Vec<App>,
}

/// `[[app]]`.
#[derive(Debug, Deserialize)]
pub(super) struct App {
    #[serde(skip)]
    pub(super) line: Option<usize>,
    pub(super) name: String,
    pub(super) streams_dir: PathBuf,
    pub(super) clips_dir: Option<PathBuf>,
    pub(super) enabled: Option<bool>,
    #[serde(default, deserialize_with = "at_least_one")]
    pub(super) interval_seconds: Option<u64>,
    pub(super) delete_hls_after_clip: Option<bool>,
    #[serde(default, deserialize_with = "at_least_one")]
    pub(super) max_clip_seconds: Option<u64>,
    #[serde(default, deserialize_with = "web_address")]
    pub(super) listener_hook_url: Option<String>,
    #[serde(default, deserialize_with = "content_type")]
    pub(super) webhook_content_type: Option<WebhookContentType>,
    pub(super) webhook_secret: Option<String>,
    #[serde(default, deserialize_with = "age")]
    pub(super) webhook_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "age")]
    pub(super) webhook_max_age: Option<Duration>,
    pub(super) jwt_secret: Option<String>,
    pub(super) allow_private_addresses: Option<bool>,
    #[serde(default, deserialize_with = "age")]
    pub(super) segment_patience: Option<Duration>,
    #[serde(default, deserialize_with = "size")]
    pub(super) upload_max_bytes: Option<u64>,
    pub(super) muxer_finish_script: Option<PathBuf>,
    #[serde(default, deserialize_with = "age")]
    pub(super) muxer_finish_timeout: Option<Duration>,
    pub(super) retention: Option<Retained>,
}

/// `retention`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Retained {
    #[serde(deserialize_with = "age")]
    pub(super) max_age: Option<Duration>,
    #[serde(deserialize_with = "size")]
    pub(super) max_bytes: Option<u64>,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let at = |message: String| ConfigError::at(Some(path), None, message);
        let found = std::fs::metadata(path).map_err(|error| at(error.to_string()))?;
        if found.len() > LARGEST {
            return Err(at("too large for a configuration".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| at(error.to_string()))?;
        Self::parse(path, &text)
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let fault = |error: toml::de::Error| {
            let line = error.span().map(|span| line_of(text, span.start));
            ConfigError::at(Some(path), line, error.message())
        };
        let table = DeTable::parse(text).map_err(fault)?;
        if let Some((at, message)) = unknown_key(table.get_ref()) {
            return Err(ConfigError::at(
                Some(path),
                Some(line_of(text, at)),
                message,
            ));
        }
        let apps = table.get_ref().get("app").map(Spanned::get_ref);
        let lines: Vec<_> = match apps {
            Some(DeValue::Array(apps)) => apps
                .iter()
                .map(|app| line_of(text, app.span().start))
                .collect(),
            _ => Vec::new(),
        };
        let mut file: Self = toml::from_str(text).map_err(fault)?;
        for (app, line) in file.app.iter_mut().zip(lines) {
            app.line = Some(line);
        }
        file.path = Some(path.to_owned());
        Ok(file)
    }

    /// `NAME=STREAMS_DIR`: another application, or another folder for one that is known.
    pub(super) fn add_app(&mut self, from: &str, text: &str) -> Result<(), ConfigError> {
        let Some((name, folder)) = text.split_once('=').filter(|(_, f)| !f.is_empty()) else {
            return Err(ConfigError::of(
                from,
                format!("`{text}` is not NAME=STREAMS_DIR"),
            ));
        };
        match self.app.iter_mut().find(|app| app.name == name) {
            Some(app) => app.streams_dir = folder.into(),
            None => self.app.push(App::new(name, folder.into())),
        }
        Ok(())
    }

    /// Lets variables have their way. Those that stand for a key of `[[app]]` hold for every
    /// application.
    pub(super) fn override_with(&mut self, variables: &Variables) -> Result<(), ConfigError> {
        if let Some(text) = variables.get("CLIPMILL_APP") {
            for one in text.split(',').filter(|one| !one.trim().is_empty()) {
                self.add_app("CLIPMILL_APP", one.trim())?;
            }
        }
        for (name, text) in variables {
            let wrong = |message: String| ConfigError::of(name, message);
            let known = self.override_one(name, text).map_err(wrong)?;
            if !known {
                let known: Vec<_> = keys().map(variable).collect();
                let near = nearest(name, known.iter().map(String::as_str));
                tracing::warn!("{name} is not a variable of Clipmill's; did you mean {near}?");
            }
        }
        Ok(())
    }

    fn override_one(&mut self, name: &str, text: &str) -> Result<bool, String> {
        let key = name.trim_start_matches("CLIPMILL_").to_ascii_lowercase();
        let value = || Value::of(text);
        match key.as_str() {
            // Said elsewhere.
            "config" | "app" | "log" | "log_format" => {}
            "listen" => self.listen = address(value()).said()?,
            "data_dir" => self.data_dir = Some(text.into()),
            "public_base_url" => self.public_base_url = web_address(value()).said()?,
            "max_connections" => self.max_connections = at_least_one(value()).said()?,
            "header_timeout" => self.header_timeout = age(value()).said()?,
            "workers" => self.workers = at_least_one(value()).said()?,
            "spool_max_bytes" => self.spool_max_bytes = size(value()).said()?,
            _ => {
                for app in &mut self.app {
                    if !app.override_one(&key, text)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }
}

impl App {
    fn new(name: &str, streams_dir: PathBuf) -> Self {
        Self {
            line: None,
            name: name.to_owned(),
            streams_dir,
            clips_dir: None,
            enabled: None,
            interval_seconds: None,
            delete_hls_after_clip: None,
            max_clip_seconds: None,
            listener_hook_url: None,
            webhook_content_type: None,
            webhook_secret: None,
            webhook_timeout: None,
            webhook_max_age: None,
            jwt_secret: None,
            allow_private_addresses: None,
            segment_patience: None,
            upload_max_bytes: None,
            muxer_finish_script: None,
            muxer_finish_timeout: None,
            retention: None,
        }
    }

    fn override_one(&mut self, key: &str, text: &str) -> Result<bool, String> {
        let value = || Value::of(text);
        let retention = |app: &mut Self| *app.retention.get_or_insert_default();
        match key {
            "enabled" => self.enabled = Some(truth(text)?),
            "interval" => self.interval_seconds = Some(parse_age(text)?.as_secs().max(1)),
            "interval_seconds" => self.interval_seconds = at_least_one(value()).said()?,
            "delete_hls_after_clip" => self.delete_hls_after_clip = Some(truth(text)?),
            "max_clip_seconds" => self.max_clip_seconds = at_least_one(value()).said()?,
            "listener_hook_url" => self.listener_hook_url = web_address(value()).said()?,
            "webhook_content_type" => self.webhook_content_type = content_type(value()).said()?,
            "webhook_secret" => self.webhook_secret = Some(text.to_owned()),
            "webhook_timeout" => self.webhook_timeout = age(value()).said()?,
            "webhook_max_age" => self.webhook_max_age = age(value()).said()?,
            "jwt_secret" => self.jwt_secret = Some(text.to_owned()),
            "allow_private_addresses" => self.allow_private_addresses = Some(truth(text)?),
            "segment_patience" => self.segment_patience = age(value()).said()?,
            "upload_max_bytes" => self.upload_max_bytes = size(value()).said()?,
            "muxer_finish_script" => self.muxer_finish_script = Some(text.into()),
            "muxer_finish_timeout" => self.muxer_finish_timeout = age(value()).said()?,
            "retention_max_age" => {
                let max_age = age(value()).said()?;
                self.retention = Some(Retained {
                    max_age,
                    ..retention(self)
                });
            }
            "retention_max_bytes" => {
                let max_bytes = size(value()).said()?;
                self.retention = Some(Retained {
                    max_bytes,
                    ..retention(self)
                });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn variable(key: &str) -> String {
    let section = if RETENTION.contains(&key) {
        "RETENTION_"
    } else {
        ""
    };
    format!("CLIPMILL_{section}{}", key.to_ascii_uppercase())
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The first key that means nothing: where it stands, and what may have been meant.
fn unknown_key(table: &DeTable<'_>) -> Option<(usize, String)> {
    let tables = |value: &Spanned<DeValue<'_>>, known: &[&str]| match value.get_ref() {
        DeValue::Table(table) => check(table, known),
        DeValue::Array(all) => all.iter().find_map(|one| match one.get_ref() {
            DeValue::Table(table) => check(table, known),
            _ => None,
        }),
        _ => None,
    };
    fn check(table: &DeTable<'_>, known: &[&str]) -> Option<(usize, String)> {
        let mut unknown = table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()));
        let key = unknown.next()?;
        let name = key.get_ref().as_ref();
        let near = nearest(name, known.iter().copied());
        let elsewhere = [
            (TOP, "top level"),
            (APP, "[[app]]"),
            (RETENTION, "retention"),
        ];
        let home = elsewhere.iter().find(|(keys, _)| keys.contains(&name));
        let message = match home {
            Some((_, home)) => format!("unknown key `{name}` here; it belongs to the {home}"),
            None => format!("unknown key `{name}`; did you mean `{near}`?"),
        };
        Some((key.span().start, message))
    }
    if let Some(found) = check(table, TOP) {
        return Some(found);
    }
    let apps = table.get("app")?;
    tables(apps, APP).or_else(|| match apps.get_ref() {
        DeValue::Array(all) => all.iter().find_map(|app| match app.get_ref() {
            DeValue::Table(app) => tables(app.get("retention")?, RETENTION),
            _ => None,
        }),
        _ => None,
    })
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

/// What a variable holds.
struct Value<'a>(&'a str);

type Said = de::value::Error;

impl<'a> Value<'a> {
    fn of(text: &'a str) -> de::value::StrDeserializer<'a, Said> {
        de::IntoDeserializer::into_deserializer(Self(text).0)
    }
}

trait InWords<T> {
    fn said(self) -> Result<T, String>;
}

impl<T> InWords<T> for Result<T, Said> {
    fn said(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

struct TextOr<F>(F, &'static str);

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for TextOr<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.0)(&number.to_string()).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.0)(&number.to_string()).map_err(E::custom)
    }
}

fn age<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    from.deserialize_any(TextOr(parse_age, "a length of time such as \"30d\""))
        .map(Some)
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    from.deserialize_any(TextOr(parse_size, "a size such as \"500GB\""))
        .map(Some)
}

fn at_least_one<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr + PartialEq + Default,
{
    let parse = |text: &str| match text.trim().parse::<T>() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err(format!("`{text}` is not a whole number from 1 up")),
    };
    from.deserialize_any(TextOr(parse, "a whole number from 1 up"))
        .map(Some)
}

/// `HOST:PORT`, or an IPv6 address in brackets and a port.
fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    from.deserialize_any(TextOr(parse_listen, "HOST:PORT"))
        .map(Some)
}

pub(super) fn parse_listen(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not HOST:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let named = !host.is_empty() && !host.contains([':', '/', ' ', '[', ']']);
    let good = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => named,
    };
    match port.parse::<u16>() {
        Ok(_) if good => Ok(text.to_owned()),
        _ => Err(wrong()),
    }
}

pub(super) fn parse_web_address(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(text.to_owned())
        }
        _ => Err(format!("`{text}` is not an http(s) address")),
    }
}

fn web_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let parse = |text: &str| match text {
        "" => Ok(None),
        text => parse_web_address(text).map(Some),
    };
    from.deserialize_any(TextOr(parse, "an http(s) address"))
}

fn content_type<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<WebhookContentType>, D::Error> {
    let parse = |text: &str| match text {
        "application/json" => Ok(WebhookContentType::Json),
        "application/x-www-form-urlencoded" => Ok(WebhookContentType::Form),
        _ => Err(format!(
            "`{text}` is neither application/json nor application/x-www-form-urlencoded"
        )),
    };
    from.deserialize_any(TextOr(parse, "a content type"))
        .map(Some)
}

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}
