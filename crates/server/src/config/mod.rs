//! The settings: a TOML file, `CLIPMILL_…` variables over it, flags over both.
//!
//! [`Settings::load`] either gives settings that can be used or says in one line what is wrong and
//! where ([`ConfigError`]).

mod error;
mod of_stream;
mod overlay;
mod pulled;
mod units;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clipmill::source::Reach;
use serde::{Deserialize, Deserializer};
use url::Url;

pub use self::error::ConfigError;
use self::overlay::{Overlay, Text};
pub use self::pulled::{ELSEWHERE, check_pull};
pub use self::units::{format_age, parse_age, parse_size};
use crate::domain::{PullSource, is_stream_id};
use crate::scripts::FinishScript;
use crate::storage::AppPaths;

/// A configuration file with every key there is: those that have a default with it, the others
/// behind a `#`.
pub const SAMPLE: &str = include_str!("sample.toml");

/// First path segments that are not applications.
const RESERVED: [&str; 5] = ["healthz", "readyz", "metrics", "openapi.json", "v1"];

/// What the server was told: the keys of the top level of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Where it listens: `HOST:PORT`.
    #[serde(deserialize_with = "values::address")]
    pub listen: String,
    /// The catalog, queued webhooks, and segments that are kept from deletion.
    pub data_dir: PathBuf,
    /// How the world reaches it, without a slash at the end.
    #[serde(deserialize_with = "base_url")]
    pub public_base_url: String,
    /// Connections open at once.
    #[serde(deserialize_with = "values::at_least_one")]
    pub max_connections: usize,
    /// How long a client may take over the head of a request.
    #[serde(deserialize_with = "values::age")]
    pub header_timeout: Duration,
    /// Clips that are cut at once; `None`: one for each core.
    #[serde(deserialize_with = "values::some_at_least_one")]
    pub workers: Option<usize>,
    /// Bytes of segments that are kept from deletion for clips to come, over all streams.
    #[serde(deserialize_with = "values::size")]
    pub spool_max_bytes: u64,
    /// The applications.
    #[serde(rename = "app", deserialize_with = "apps")]
    pub apps: Vec<Arc<AppSettings>>,
}

/// Who may push a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushers<'a> {
    /// Nobody.
    Nobody,
    /// Whoever knows this token.
    WhoKnows(&'a str),
    /// Whoever can call, which is this machine alone.
    Anybody,
}

/// What the server was told about one application: the keys of `[[app]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AppSettings {
    /// Its name: the first segment of its URLs.
    pub name: String,
    /// Where the media server writes its playlists, at whatever depth, and where those lie that come
    /// otherwise. Where nothing is said and streams come otherwise, a folder in the data folder.
    pub streams_dir: PathBuf,
    /// Nobody said where streams lie: the folder is ours, and made where it is absent.
    #[serde(skip)]
    pub owns_streams_dir: bool,
    /// Where clips go; `None`: beside the playlist.
    pub clips_dir: Option<PathBuf>,
    /// Periodic clips from the start.
    #[serde(deserialize_with = "values::truth")]
    pub enabled: bool,
    /// How long a periodic clip is.
    #[serde(rename = "interval_seconds", deserialize_with = "values::seconds")]
    pub interval: Duration,
    /// Periodic clips end on multiples of that since midnight UTC.
    #[serde(deserialize_with = "values::truth")]
    pub align: bool,
    /// Remove segments that no later clip needs.
    #[serde(deserialize_with = "values::truth")]
    pub delete_hls_after_clip: bool,
    /// The longest clip that may be asked for by range.
    #[serde(rename = "max_clip_seconds", deserialize_with = "values::seconds")]
    pub max_clip: Duration,
    /// Whom to tell, where a broadcast names nobody else.
    #[serde(deserialize_with = "values::web_address")]
    pub listener_hook_url: Option<String>,
    /// How webhooks are written.
    #[serde(deserialize_with = "values::content_type")]
    pub webhook_content_type: WebhookContentType,
    /// Signs webhooks.
    #[serde(deserialize_with = "values::text")]
    pub webhook_secret: Option<String>,
    /// How long a receiver may take.
    #[serde(deserialize_with = "values::age")]
    pub webhook_timeout: Duration,
    /// How long a webhook is tried.
    #[serde(deserialize_with = "values::age")]
    pub webhook_max_age: Duration,
    /// REST calls carry a token signed with it.
    #[serde(deserialize_with = "values::text")]
    pub jwt_secret: Option<String>,
    /// Where URLs may lead that clients of the REST interface or playlists name.
    #[serde(rename = "allow_private_addresses", deserialize_with = "values::reach")]
    pub reach: Reach,
    /// How much of each stream is kept, whatever its source still lists; `None`: as long as it lists.
    #[serde(deserialize_with = "values::some_age")]
    pub dvr_window: Option<Duration>,
    /// Bytes of its segments that are kept from deletion; `None`: no fewer than over all applications.
    #[serde(deserialize_with = "values::some_size")]
    pub spool_max_bytes: Option<u64>,
    /// How long a segment is waited for that is listed and not there.
    #[serde(deserialize_with = "values::age")]
    pub segment_patience: Duration,
    /// How long a recording whose end is open waits for a stream that has ended to come back.
    #[serde(deserialize_with = "values::age")]
    pub recording_patience: Duration,
    /// The longest file that may be uploaded, in bytes; 0: none may.
    #[serde(deserialize_with = "values::size")]
    pub upload_max_bytes: u64,
    /// Whoever pushes streams knows it; `None`: whoever can call, while that is this machine alone.
    #[serde(deserialize_with = "values::text")]
    pub ingest_token: Option<String>,
    /// Streams that have a token of their own, in place of that.
    pub ingest_tokens: BTreeMap<String, String>,
    /// The longest file that may be pushed, in bytes; 0: none may.
    #[serde(deserialize_with = "values::size")]
    pub ingest_max_bytes: u64,
    /// How many bytes of one stream are taken in a second; what comes faster waits.
    #[serde(deserialize_with = "values::some_size")]
    pub ingest_max_rate: Option<u64>,
    /// How long whoever pushes a file may send nothing of it.
    #[serde(deserialize_with = "values::age")]
    pub ingest_timeout: Duration,
    /// The program that is run after each clip.
    #[serde(deserialize_with = "values::program")]
    pub muxer_finish_script: Option<PathBuf>,
    /// How long it may take.
    #[serde(deserialize_with = "values::age")]
    pub muxer_finish_timeout: Duration,
    /// How long clips are kept.
    pub retention: Retention,
    /// Streams that are pulled from other servers.
    pub pull: Vec<PullSource>,
}

/// How webhooks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WebhookContentType {
    /// `application/json`.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

/// How long clips are kept. Nothing said: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// No longer than this.
    #[serde(deserialize_with = "values::some_age")]
    pub max_age: Option<Duration>,
    /// No more bytes than this, over all clips of the application.
    #[serde(deserialize_with = "values::some_size")]
    pub max_bytes: Option<u64>,
    /// So many bytes are left free on the disk of its clips.
    #[serde(deserialize_with = "values::some_size")]
    pub min_free: Option<u64>,
}

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The file.
    pub config: Option<PathBuf>,
    /// [`Settings::listen`].
    pub listen: Option<String>,
    /// [`Settings::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// [`Settings::public_base_url`].
    pub public_base_url: Option<String>,
    /// `NAME=STREAMS_DIR`, each an application.
    pub apps: Vec<String>,
    /// [`AppSettings::interval`] of every application.
    pub interval: Option<Duration>,
}

/// The `CLIPMILL_…` variables.
pub type Variables = BTreeMap<String, String>;

/// The `CLIPMILL_…` variables of this process.
///
/// # Errors
/// When one of them is not UTF-8.
pub fn variables() -> Result<Variables, ConfigError> {
    let ours = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        name.starts_with("CLIPMILL_").then_some((name, value))
    };
    std::env::vars_os()
        .filter_map(ours)
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(ConfigError::of(&name, "is not UTF-8")),
        })
        .collect()
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// When the file cannot be read, says something that makes no sense, or no application is
    /// named at all.
    pub fn load(flags: &Flags, variables: &Variables) -> Result<Self, ConfigError> {
        let named = variables.get("CLIPMILL_CONFIG").map(PathBuf::from);
        let file = match flags.config.clone().or(named) {
            Some(path) => Text::read(&path)?,
            None => Text::default(),
        };
        Self::merge(&file, flags, variables)
    }

    /// Reads the settings from a text.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let file = Text::new(Path::new("clipmill.toml"), text.to_owned());
        Self::merge(&file, &Flags::default(), &Variables::new())
    }

    /// An application.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&Arc<AppSettings>> {
        self.apps.iter().find(|app| app.name == name)
    }

    fn merge(file: &Text, flags: &Flags, variables: &Variables) -> Result<Self, ConfigError> {
        let mut overlay = Overlay::new(file)?;
        // Applications first, as what follows holds for each of them.
        let named = variables.get("CLIPMILL_APP").map_or("", String::as_str);
        for text in named.split(',').filter(|one| !one.trim().is_empty()) {
            overlay.add_app("CLIPMILL_APP", text.trim())?;
        }
        for text in &flags.apps {
            overlay.add_app("--app", text)?;
        }
        overlay.apply(variables);
        let interval = flags
            .interval
            .map(|interval| format!("{}ms", interval.as_millis()));
        let data_dir = flags
            .data_dir
            .as_ref()
            .map(|folder| folder.to_string_lossy().into_owned());
        let said = [
            ("--listen", "listen", flags.listen.clone()),
            ("--data-dir", "data_dir", data_dir),
            (
                "--public-base-url",
                "public_base_url",
                flags.public_base_url.clone(),
            ),
            ("--interval", "interval", interval),
        ];
        for (flag, key, value) in said {
            if let Some(value) = value {
                overlay.set(flag, key, &value);
            }
        }
        let (mut settings, places) = overlay.read()?;
        if let Some(folder) = &flags.data_dir {
            // Its name need not be UTF-8.
            settings.data_dir.clone_from(folder);
        }
        if settings.public_base_url.is_empty() {
            settings.public_base_url = format!("http://{}", settings.listen);
        }
        let all = std::mem::take(&mut settings.apps);
        for (app, place) in all.into_iter().zip(places) {
            let mut app = Arc::unwrap_or_clone(app);
            // Whoever can call us then is on this machine already.
            if app.reach == Reach::PublicAndLoopback && !is_loopback(&settings.listen) {
                app.reach = Reach::Public;
            }
            settings.complete(&mut app);
            settings.check(&app).map_err(|fault| place.fault(fault))?;
            settings.apps.push(Arc::new(app));
        }
        if settings.apps.is_empty() {
            let message = "no application: name one with --app NAME=STREAMS_DIR, or [[app]]";
            return Err(ConfigError::at(file.path.as_deref(), None, message));
        }
        Ok(settings)
    }

    /// Whether streams may be pushed into an application: by those who know its token, or where all who can
    /// call are on this machine.
    #[must_use]
    pub fn takes_pushes(&self, app: &AppSettings) -> bool {
        let has_token = app.ingest_token.is_some() || !app.ingest_tokens.is_empty();
        app.ingest_max_bytes > 0 && (has_token || is_loopback(&self.listen))
    }

    /// Who may push a stream into an application.
    #[must_use]
    pub fn pushers<'a>(&self, app: &'a AppSettings, stream: &str) -> Pushers<'a> {
        let token = app.ingest_tokens.get(stream);
        match token.or(app.ingest_token.as_ref()) {
            _ if app.ingest_max_bytes == 0 => Pushers::Nobody,
            Some(token) => Pushers::WhoKnows(token),
            None if is_loopback(&self.listen) => Pushers::Anybody,
            None => Pushers::Nobody,
        }
    }

    /// Gives an application whose streams come otherwise a folder for them.
    fn complete(&self, app: &mut AppSettings) {
        let makes_streams = self.takes_pushes(app) || !app.pull.is_empty();
        if app.streams_dir.as_os_str().is_empty() && makes_streams {
            app.streams_dir = self.data_dir.join("streams").join(&app.name);
            app.owns_streams_dir = true;
        }
    }

    /// Whether an application can stand beside those that are there already.
    fn check(&self, app: &AppSettings) -> Result<(), String> {
        if app.streams_dir.as_os_str().is_empty() {
            return Err(format!(
                "application `{}` has no streams_dir, no ingest_token for streams that are pushed, and none to pull",
                app.name
            ));
        }
        app.check_pulls()?;
        for (stream, token) in &app.ingest_tokens {
            if !is_stream_id(stream) || token.trim().is_empty() {
                return Err(format!(
                    "application `{}`: ingest_tokens has a name that no stream can have, or an empty token: `{stream}`",
                    app.name
                ));
            }
        }
        let misnamed = if self.app(&app.name).is_some() {
            "is named twice"
        } else if !crate::domain::is_app_name(&app.name) {
            "may have letters, digits, `.`, `_` and `-` in its name, and no dot first"
        } else if RESERVED.contains(&app.name.as_str()) {
            "has a name that means something else in a URL"
        } else {
            let other = self.apps.iter().find(|other| other.overlaps(app));
            return other.map_or(Ok(()), |other| {
                let (name, other) = (&app.name, &other.name);
                Err(format!(
                    "application `{name}` shares a folder with `{other}`"
                ))
            });
        };
        Err(format!("application `{}` {misnamed}", app.name))
    }
}

/// What holds where nothing is said. There is no application then, and the address by which the world
/// reaches the server follows from `listen`.
impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5080".to_owned(),
            data_dir: PathBuf::from("clipmill-data"),
            public_base_url: String::new(),
            max_connections: 4096,
            header_timeout: Duration::from_secs(10),
            workers: None,
            spool_max_bytes: 20_000_000_000,
            apps: Vec::new(),
        }
    }
}

fn base_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let base = values::web_address(from)?.unwrap_or_default();
    Ok(base.trim_end_matches('/').to_owned())
}

fn apps<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Arc<AppSettings>>, D::Error> {
    let apps = Vec::<AppSettings>::deserialize(from)?;
    Ok(apps.into_iter().map(Arc::new).collect())
}

/// Whether `HOST:PORT` can be reached from this machine alone.
fn is_loopback(listen: &str) -> bool {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

impl AppSettings {
    /// An application with nothing but defaults.
    #[must_use]
    pub fn new(name: &str, streams_dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            streams_dir: streams_dir.to_owned(),
            owns_streams_dir: false,
            clips_dir: None,
            enabled: true,
            interval: Duration::from_secs(600),
            align: false,
            delete_hls_after_clip: false,
            max_clip: Duration::from_secs(21_600),
            listener_hook_url: None,
            webhook_content_type: WebhookContentType::Json,
            webhook_secret: None,
            webhook_timeout: Duration::from_secs(5),
            webhook_max_age: Duration::from_secs(24 * 3600),
            jwt_secret: None,
            reach: Reach::PublicAndLoopback,
            dvr_window: None,
            spool_max_bytes: None,
            segment_patience: Duration::from_secs(2),
            recording_patience: Duration::from_secs(30),
            upload_max_bytes: 10_000_000_000,
            ingest_token: None,
            ingest_tokens: BTreeMap::new(),
            ingest_max_bytes: 1_000_000_000,
            ingest_max_rate: None,
            ingest_timeout: Duration::from_secs(30),
            muxer_finish_script: None,
            muxer_finish_timeout: Duration::from_secs(300),
            retention: Retention::default(),
            pull: Vec::new(),
        }
    }

    /// What is run after each clip.
    #[must_use]
    pub fn finish_script(&self) -> Option<FinishScript> {
        Some(FinishScript {
            program: self.muxer_finish_script.clone()?,
            timeout: self.muxer_finish_timeout,
        })
    }

    /// Whether a folder of one application is, or lies in, a folder of the other: each would take
    /// the other's clips for files that nothing points to.
    fn overlaps(&self, other: &Self) -> bool {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let roots = |app: &Self| -> Vec<PathBuf> {
            let all = [Some(&app.streams_dir), app.clips_dir.as_ref()];
            all.into_iter().flatten().map(absolute).collect()
        };
        let (ours, theirs) = (roots(self), roots(other));
        let mut pairs = ours.iter().flat_map(|a| theirs.iter().map(move |b| (a, b)));
        pairs.any(|(a, b)| a.starts_with(b) || b.starts_with(a))
    }

    /// Where a webhook may lead: anywhere on the host that the operator named.
    #[must_use]
    pub fn webhook_reach(&self, url: &Url) -> Reach {
        let own = self.listener_hook_url.as_deref().map(Url::parse);
        match own {
            Some(Ok(own)) if own.host() == url.host() => Reach::Anywhere,
            _ => self.reach,
        }
    }

    /// Where its files lie.
    #[must_use]
    pub fn paths(&self) -> AppPaths {
        AppPaths {
            app: self.name.clone(),
            streams_dir: self.streams_dir.clone(),
            clips_dir: self.clips_dir.clone(),
        }
    }
}

impl Default for AppSettings {
    /// Without the name and the folder that each application has.
    fn default() -> Self {
        Self::new("", Path::new(""))
    }
}

#[cfg(test)]
mod tests;
