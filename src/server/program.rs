//! The program behind the command line.

use std::sync::Arc;

use tokio::sync::watch;

use super::{accounts, acts::ServerActs, settings};
use crate::admin::cli::{Program, Ready, Running};
use crate::admin::{Acts, Finding, Level};
use crate::config::{Loaded, ModuleSettings};
use crate::hooks::Listed;
use crate::hooks::command::Command;
use crate::net::tls::{TlsOptions, TlsStore};
use crate::runtime::clock::Clock;
use crate::state::secret::server_secret;
use crate::store::{OpenError, Options, Store};

/// waxwing, as its command line sees it.
#[derive(Default)]
pub struct Waxwing {
    extra: &'static [Listed],
}

impl Waxwing {
    /// With modules from outside the list.
    pub fn with(extra: &'static [Listed]) -> Self {
        Waxwing { extra }
    }
}

impl Program for Waxwing {
    fn modules(&self) -> Vec<ModuleSettings> {
        let all = crate::modules::LIST.iter().chain(self.extra);
        all.map(Listed::settings).collect()
    }

    fn commands(&self) -> Vec<&'static Command> {
        let all = crate::modules::LIST.iter().chain(self.extra);
        all.flat_map(|module| module.commands).collect()
    }

    fn serve<'a>(
        &'a self,
        loaded: Loaded,
        ready: Ready,
        stop: watch::Receiver<bool>,
    ) -> Running<'a> {
        Box::pin(super::run::run(loaded, self.extra, ready, stop))
    }

    fn acts(&self, loaded: &Loaded) -> Result<Arc<dyn Acts>, String> {
        let config = &loaded.config;
        settings::make_private(&config.server.data_dir)?;
        let clock = Clock::system();
        let store =
            Store::open(settings::store(config), clock.clone()).map_err(|e| e.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let secret = runtime
            .block_on(server_secret(&store))
            .map_err(|e| e.to_string())?;
        let accounts = accounts(config, &store, &clock, secret);
        Ok(Arc::new(ServerActs::new(config, store, accounts, None)))
    }

    fn check_certificates(&self, loaded: &Loaded) -> Vec<Finding> {
        super::check::certificates(loaded, self.extra)
    }

    fn check_relay(&self, loaded: &Loaded, running: bool) -> Vec<Finding> {
        super::relay_check::relay(loaded, running)
    }

    fn store(&self, loaded: &Loaded) -> Options {
        settings::store(&loaded.config)
    }

    fn check_store(&self, loaded: &Loaded) -> Finding {
        store_finding(loaded)
    }

    fn fingerprint(&self, loaded: &Loaded, domain: &str) -> Result<String, String> {
        settings::make_private(&loaded.config.server.data_dir)?;
        let certificates = settings::certificates(&loaded.config)?;
        let tls = TlsStore::open(TlsOptions::new(certificates)).map_err(|e| e.to_string())?;
        Ok(tls.choose(Some(domain), None).fingerprint_text())
    }
}

fn store_finding(loaded: &Loaded) -> Finding {
    let options = settings::store(&loaded.config);
    if !options.path.exists() {
        let text = format!("the store will be made in {}", options.path.display());
        return Finding::new(Level::Note, text);
    }
    match Store::open(options, Clock::system()) {
        Ok(_) => Finding::new(Level::Good, "the store opens"),
        Err(error @ OpenError::Locked { .. }) => Finding::new(Level::Note, error.to_string()),
        Err(error) => Finding::new(Level::Error, error.to_string()),
    }
}
