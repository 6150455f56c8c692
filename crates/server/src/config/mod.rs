//! The settings: a TOML file, `CLIPMILL_…` variables over it, flags over both.
//!
//! [`Settings::load`] either gives settings that can be used or says in one line what is wrong and
//! where ([`ConfigError`]).

mod error;
mod file;
mod units;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clipmill::source::Reach;
use url::Url;

pub use self::error::ConfigError;
use self::file::{File, Retained};
pub use self::units::{parse_age, parse_size};
use crate::scripts::FinishScript;
use crate::storage::AppPaths;

/// A configuration file with every key there is: those that have a default with it, the others
/// behind a `#`.
pub const SAMPLE: &str = include_str!("sample.toml");

/// How long a program may take that is run after a clip.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(300);

/// First path segments that are not applications.
const RESERVED: [&str; 4] = ["healthz", "readyz", "metrics", "openapi.json"];

/// What the server was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens: `HOST:PORT`.
    pub listen: String,
    /// The catalog, queued webhooks, and segments that are kept from deletion.
    pub data_dir: PathBuf,
    /// How the world reaches it, without a slash at the end.
    pub public_base_url: String,
    /// Connections open at once.
    pub max_connections: usize,
    /// How long a client may take over the head of a request.
    pub header_timeout: Duration,
    /// Clips that are cut at once; `None`: one for each core.
    pub workers: Option<usize>,
    /// Bytes of segments that are kept from deletion for clips to come, over all streams.
    pub spool_max_bytes: u64,
    /// The applications.
    pub apps: Vec<Arc<AppSettings>>,
}

/// What the server was told about one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// Its name: the first segment of its URLs.
    pub name: String,
    /// Where the media server writes its playlists, at whatever depth.
    pub streams_dir: PathBuf,
    /// Where clips go; `None`: beside the playlist.
    pub clips_dir: Option<PathBuf>,
    /// Periodic clips from the start.
    pub enabled: bool,
    /// How long a periodic clip is.
    pub interval: Duration,
    /// Remove segments that no later clip needs.
    pub delete_hls_after_clip: bool,
    /// The longest clip that may be asked for by range.
    pub max_clip: Duration,
    /// Whom to tell, where a broadcast names nobody else.
    pub listener_hook_url: Option<String>,
    /// How webhooks are written.
    pub webhook_content_type: WebhookContentType,
    /// Signs webhooks.
    pub webhook_secret: Option<String>,
    /// How long a receiver may take.
    pub webhook_timeout: Duration,
    /// How long a webhook is tried.
    pub webhook_max_age: Duration,
    /// REST calls carry a token signed with it.
    pub jwt_secret: Option<String>,
    /// Where URLs may lead that clients of the REST interface or playlists name.
    pub reach: Reach,
    /// How long a segment is waited for that is listed and not there.
    pub segment_patience: Duration,
    /// The longest file that may be uploaded, in bytes; 0: none may.
    pub upload_max_bytes: u64,
    /// What is run after each clip.
    pub finish_script: Option<FinishScript>,
    /// How long clips are kept.
    pub retention: Retention,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// No longer than this.
    pub max_age: Option<Duration>,
    /// No more bytes than this, over all clips of the application.
    pub max_bytes: Option<u64>,
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
            Some(path) => File::read(&path)?,
            None => File::default(),
        };
        Self::merge(file, flags, variables)
    }

    /// Reads the settings from a text.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let file = File::parse(Path::new("clipmill.toml"), text)?;
        Self::merge(file, &Flags::default(), &Variables::new())
    }

    /// An application.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&Arc<AppSettings>> {
        self.apps.iter().find(|app| app.name == name)
    }

    fn merge(file: File, flags: &Flags, variables: &Variables) -> Result<Self, ConfigError> {
        let mut file = file;
        file.override_with(variables)?;
        for text in &flags.apps {
            file.add_app("--app", text)?;
        }
        if let Some(listen) = &flags.listen {
            file::parse_listen(listen).map_err(|fault| ConfigError::of("--listen", fault))?;
        }
        if let Some(base) = &flags.public_base_url {
            file::parse_web_address(base)
                .map_err(|fault| ConfigError::of("--public-base-url", fault))?;
        }
        let listen = flags.listen.clone().or(file.listen);
        let listen = listen.unwrap_or_else(|| "127.0.0.1:5080".to_owned());
        let base = flags.public_base_url.clone().or(file.public_base_url);
        let base = base.unwrap_or_else(|| format!("http://{listen}"));
        let mut apps = Vec::<Arc<AppSettings>>::new();
        for mut app in file.app {
            if let Some(interval) = flags.interval {
                app.interval_seconds = Some(interval.as_secs().max(1));
            }
            let (line, mut app) = (app.line, AppSettings::from(app));
            // Whoever can call us then is on this machine already.
            if app.reach == Reach::PublicAndLoopback && !is_loopback(&listen) {
                app.reach = Reach::Public;
            }
            let misnamed = if apps.iter().any(|other| other.name == app.name) {
                Some("is named twice")
            } else if !crate::model::is_app_name(&app.name) {
                Some("may have letters, digits, `.`, `_` and `-` in its name, and no dot first")
            } else if RESERVED.contains(&app.name.as_str()) {
                Some("has a name that means something else in a URL")
            } else {
                None
            };
            let fault = |what: &str| {
                let message = format!("application `{}` {what}", app.name);
                Err(ConfigError::at(file.path.as_deref(), line, message))
            };
            if let Some(misnamed) = misnamed {
                return fault(misnamed);
            }
            if let Some(other) = apps.iter().find(|other| other.overlaps(&app)) {
                return fault(&format!("shares a folder with `{}`", other.name));
            }
            apps.push(Arc::new(app));
        }
        if apps.is_empty() {
            let message = "no application: name one with --app NAME=STREAMS_DIR, or [[app]]";
            return Err(ConfigError::at(file.path.as_deref(), None, message));
        }
        Ok(Self {
            listen,
            data_dir: flags
                .data_dir
                .clone()
                .or(file.data_dir)
                .unwrap_or_else(|| PathBuf::from("clipmill-data")),
            public_base_url: base.trim_end_matches('/').to_owned(),
            max_connections: file.max_connections.unwrap_or(4096),
            header_timeout: file.header_timeout.unwrap_or(Duration::from_secs(10)),
            workers: file.workers,
            spool_max_bytes: file.spool_max_bytes.unwrap_or(20_000_000_000),
            apps,
        })
    }
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
            clips_dir: None,
            enabled: true,
            interval: Duration::from_secs(600),
            delete_hls_after_clip: false,
            max_clip: Duration::from_secs(21_600),
            listener_hook_url: None,
            webhook_content_type: WebhookContentType::Json,
            webhook_secret: None,
            webhook_timeout: Duration::from_secs(5),
            webhook_max_age: Duration::from_secs(24 * 3600),
            jwt_secret: None,
            reach: Reach::PublicAndLoopback,
            segment_patience: Duration::from_secs(2),
            upload_max_bytes: 10_000_000_000,
            finish_script: None,
            retention: Retention::default(),
        }
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

impl From<file::App> for AppSettings {
    fn from(app: file::App) -> Self {
        let usual = Self::new(&app.name, &app.streams_dir);
        let secret = |text: Option<String>| text.filter(|text| !text.is_empty());
        let Retained { max_age, max_bytes } = app.retention.unwrap_or_default();
        Self {
            clips_dir: app.clips_dir,
            enabled: app.enabled.unwrap_or(usual.enabled),
            interval: app
                .interval_seconds
                .map_or(usual.interval, Duration::from_secs),
            delete_hls_after_clip: app
                .delete_hls_after_clip
                .unwrap_or(usual.delete_hls_after_clip),
            max_clip: app
                .max_clip_seconds
                .map_or(usual.max_clip, Duration::from_secs),
            listener_hook_url: secret(app.listener_hook_url),
            webhook_content_type: app.webhook_content_type.unwrap_or_default(),
            webhook_secret: secret(app.webhook_secret),
            webhook_timeout: app.webhook_timeout.unwrap_or(usual.webhook_timeout),
            webhook_max_age: app.webhook_max_age.unwrap_or(usual.webhook_max_age),
            jwt_secret: secret(app.jwt_secret),
            reach: match app.allow_private_addresses {
                Some(true) => Reach::Anywhere,
                _ => usual.reach,
            },
            segment_patience: app.segment_patience.unwrap_or(usual.segment_patience),
            upload_max_bytes: app.upload_max_bytes.unwrap_or(usual.upload_max_bytes),
            finish_script: app
                .muxer_finish_script
                .filter(|program| !program.as_os_str().is_empty())
                .map(|program| FinishScript {
                    program: std::path::absolute(&program).unwrap_or(program),
                    timeout: app.muxer_finish_timeout.unwrap_or(SCRIPT_TIMEOUT),
                }),
            retention: Retention { max_age, max_bytes },
            ..usual
        }
    }
}

#[cfg(test)]
mod tests;
