//! `clipmill serve` and `clipmill catalog`: the only commands that need a runtime.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clipmill_server::catalog::{SledCatalog, rebuild};
use clipmill_server::config::{Flags, Settings, Variables, variables};
use clipmill_server::storage::LocalStore;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::args::{CatalogCommand, ServeArgs, ServerArgs};
use crate::failure::Failure;

/// Serves until a signal ends it.
pub(crate) fn serve(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let flags = args.flags().map_err(Failure::Usage)?;
    let variables = read_variables()?;
    log(&variables)?;
    let settings = Settings::load(&flags, &variables);
    let settings = settings.map_err(|error| Failure::Usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::server)?;
    let served = runtime.block_on(async {
        let (sender, settings) = watch::channel(Arc::new(settings));
        let hang_up = signal(SignalKind::hangup()).map_err(Failure::server)?;
        let end = End::new().map_err(Failure::server)?;
        tokio::spawn(reload(hang_up, flags, variables, sender));
        let served = clipmill_server::serve(settings, end.comes()).await;
        served.map_err(Failure::server)
    });
    // What still blocks by now has had its time.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

/// Looks after the catalog while no server runs.
pub(crate) fn catalog(command: &CatalogCommand) -> Result<ExitCode, Failure> {
    let CatalogCommand::Rebuild(args) = command;
    let variables = read_variables()?;
    log(&variables)?;
    let settings = Settings::load(&args.flags(), &variables);
    let settings = settings.map_err(|error| Failure::Usage(error.to_string()))?;
    let opened = SledCatalog::open(&settings.data_dir).map_err(Failure::server)?;
    let store = LocalStore::default();
    // What it waits for is done by threads beside it.
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(Failure::server)?;
    for app in &settings.apps {
        let paths = app.paths();
        let rebuilt = runtime.block_on(rebuild(&opened.catalog, &store, &paths));
        let rebuilt = rebuilt.map_err(Failure::server)?;
        println!("{}: {} clips", app.name, rebuilt.clips);
        if rebuilt.unknown > 0 {
            println!("{}: {} files without a record", app.name, rebuilt.unknown);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl ServerArgs {
    fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            apps: self.app.clone(),
            ..Flags::default()
        }
    }
}

impl ServeArgs {
    fn flags(&self) -> Result<Flags, String> {
        let interval = self.interval.as_deref().map(clipmill::parse_duration);
        let interval = interval
            .transpose()
            .map_err(|error| format!("--interval: {error}"))?;
        if interval.is_some_and(|interval| interval.subsec_nanos() != 0 || interval.is_zero()) {
            return Err("--interval: whole seconds, at least one".to_owned());
        }
        Ok(Flags {
            listen: self.listen.clone(),
            public_base_url: self.public_base_url.clone(),
            interval,
            ..self.server.flags()
        })
    }
}

pub(crate) fn read_variables() -> Result<Variables, Failure> {
    variables().map_err(|error| Failure::Usage(error.to_string()))
}

/// Logs to standard error: `CLIPMILL_LOG` says what, `CLIPMILL_LOG_FORMAT=json` how.
pub(crate) fn log(variables: &Variables) -> Result<(), Failure> {
    let text = variables
        .get("CLIPMILL_LOG")
        .map_or("info,sled=warn", String::as_str);
    let filter = EnvFilter::try_new(text)
        .map_err(|error| Failure::Usage(format!("CLIPMILL_LOG: {error}")))?;
    let plain = !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!plain);
    // A second call, from another command in the same process, changes nothing.
    let _ = match variables.get("CLIPMILL_LOG_FORMAT").map(String::as_str) {
        None | Some("text") => log.try_init(),
        Some("json") => log.json().flatten_event(true).try_init(),
        Some(_) => {
            let message = "CLIPMILL_LOG_FORMAT is neither text nor json";
            return Err(Failure::Usage(message.to_owned()));
        }
    };
    Ok(())
}

/// The signals that end the server.
pub(crate) struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl End {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the first of them. A second one ends the process at once.
    pub(crate) async fn comes(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            eprintln!("clipmill: stopped at once");
            std::process::exit(1);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Reads the settings anew at each SIGHUP. Settings that make no sense change nothing.
async fn reload(
    mut hang_up: Signal,
    flags: Flags,
    variables: Variables,
    settings: watch::Sender<Arc<Settings>>,
) {
    while hang_up.recv().await.is_some() {
        match Settings::load(&flags, &variables) {
            Ok(new) => {
                let new = Arc::new(new);
                let changed = settings.send_if_modified(|settings| {
                    let changed = **settings != *new;
                    *settings = new;
                    changed
                });
                tracing::info!(changed, "configuration read");
            }
            Err(error) => {
                tracing::error!(%error, "configuration not read; what was known still holds");
            }
        }
    }
}
