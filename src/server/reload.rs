//! A reload: the configuration is read and checked whole, everything it needs is made ready, and then it is put in place in
//! one step that cannot fail. Whatever is wrong before that step leaves the server as it was.

use std::sync::Arc;

use super::live::{Live, State};
use super::{Offered, federation, guests, hosts, meet, settings, stream_hosts};
use crate::admin::{Reloaded, log};
use crate::components::Programs;
use crate::config::{Administration, Config, Listen, ListenKind, Loaded, diff, without_restart};
use crate::federation::Terms;
use crate::http::{Exposition, serve_metrics};
use crate::net::{
    ConnectionLimits, Fronts, Listeners, bind_or_take, serve_bound, serve_components, serve_web,
    tls,
};
use crate::router::Hosts;
use crate::stream::Settings;

/// Everything new, ready, and not yet in use.
struct Ready {
    loaded: Loaded,
    hosts: Hosts,
    settings: Arc<Settings>,
    certificates: tls::Prepared,
    connections: ConnectionLimits,
    /// Of federation, if it is on.
    terms: Option<Terms>,
    listeners: Vec<(Listen, Vec<tokio::net::TcpListener>)>,
    exposition: Option<Exposition>,
}

impl Live {
    /// Reads the configuration again and applies it, or changes nothing. Reads files: not for a network worker.
    ///
    /// # Errors
    /// What is wrong, with file, line and key where the configuration is; nothing was changed then.
    pub(super) fn reload(&self) -> Result<Reloaded, String> {
        let mut state = self.state();
        let (Some(running), Some(started)) = (&state.loaded, &state.started) else {
            return Err("this server was not started from a configuration file".to_owned());
        };
        let written = running.again().map_err(|problems| problems.to_string())?;
        let mut reloaded = Reloaded::default();
        let changes = diff(running, &written);
        reloaded.changed = changes.into_iter().filter(|c| !c.needs_restart).collect();
        let waiting = diff(started, &written);
        reloaded.waiting = waiting.into_iter().filter(|c| c.needs_restart).collect();
        let ready = self.make_ready(&state, without_restart(started, &written))?;
        self.put_in_place(&mut state, ready, &mut reloaded);
        Ok(reloaded)
    }

    /// Everything that can fail.
    fn make_ready(&self, state: &State, loaded: Loaded) -> Result<Ready, String> {
        let config = &loaded.config;
        let sources = settings::certificates(config)?;
        let certificates = self
            .tls
            .prepare(settings::tls(config, sources))
            .map_err(|error| error.to_string())?;
        let administration = Arc::new(Administration::of(config));
        let offered = Offered {
            acts: &self.acts,
            administration: &administration,
            local: &self.local,
            relay: &self.relay,
            socks: &self.socks,
        };
        let hosts =
            hosts(config, &self.router, offered, &self.extra).map_err(|error| error.to_string())?;
        let stream_hosts = stream_hosts(config, &hosts).map_err(|error| error.to_string())?;
        let settings = Arc::new(Settings {
            hosts: Arc::new(stream_hosts),
            limits: settings::stream(config),
            key: self.key.clone(),
        });
        let known = |address| {
            state
                .listeners
                .iter()
                .any(|(old, _)| old.address == address)
        };
        let house = state.federation.as_deref();
        let terms = house.map(|house| federation::terms_again(config, house));
        let mut listeners = Vec::new();
        for listen in config.listen.iter().filter(|new| !known(new.address)) {
            let bound = bind_or_take(&[listen.address], &self.inherited);
            listeners.push((listen.clone(), bound.map_err(|error| error.to_string())?));
        }
        let other_kind = |new: &&Listen| {
            let mut old = state.listeners.iter();
            old.any(|(old, _)| old.address == new.address && old.kind != new.kind)
        };
        if let Some(listen) = config.listen.iter().find(other_kind) {
            return Err(format!(
                "who connects to {} can only change with a restart (listen.kind)",
                listen.address
            ));
        }
        let exposed = state.exposition.as_ref().map(|(address, _)| *address);
        let exposition = match config.metrics.listen {
            Some(address) if exposed != Some(address) => {
                let new = serve_metrics(address, self.metrics.clone(), self.readiness());
                Some(new.map_err(|error| format!("metrics.listen: {error}"))?)
            }
            _ => None,
        };
        Ok(Ready {
            connections: settings::connections(config),
            terms: terms.transpose()?,
            loaded,
            hosts,
            settings,
            certificates,
            listeners,
            exposition,
        })
    }

    /// Cannot fail.
    fn put_in_place(&self, state: &mut State, ready: Ready, reloaded: &mut Reloaded) {
        let config = &ready.loaded.config;
        reloaded.certificates = self.tls.apply(ready.certificates);
        self.router.set_limits(settings::router(config));
        self.front.set(settings::front(config, &ready.hosts));
        let meet = meet(&ready.hosts);
        self.socks.set(settings::socks(config, meet));
        self.relay.reload(config);
        self.router.set_hosts(ready.hosts);
        self.components.reload(Programs::new(&config.components));
        self.accounts.set_iterations(config.auth.scram_iterations);
        self.acts.set_config(config);
        self.desk.set_rules(&config.auth, guests(config));
        self.admission.set_limits(ready.connections);
        self.memory.set_ceiling(settings::memory(config));
        state.patience = config.server.drain_timeout.0;
        if reloaded
            .changed
            .iter()
            .any(|change| change.key == "log.level")
        {
            // It was checked; without a log of this process there is nothing to change.
            let _ = log::set_level(&config.log.level);
        }
        if let (Some(house), Some(terms)) = (&state.federation, ready.terms) {
            house.reload(terms, federation::streams(config, &ready.settings));
        }
        self.exchange_listeners(state, config, &ready.settings, ready.listeners);
        match (config.metrics.listen, ready.exposition) {
            (Some(address), Some(new)) => state.exposition = Some((address, new)),
            (Some(_), None) => {}
            (None, _) => state.exposition = None,
        }
        reloaded.ended = self.router.end_strangers();
        state.loaded = Some(ready.loaded);
    }

    /// Those that stay get the new settings, new ones begin, those that are gone accept no more.
    fn exchange_listeners(
        &self,
        state: &mut State,
        config: &Config,
        settings: &Arc<Settings>,
        new: Vec<(Listen, Vec<tokio::net::TcpListener>)>,
    ) {
        let wanted = |address| {
            config
                .listen
                .iter()
                .find(|listen| listen.address == address)
        };
        state.listeners.retain_mut(|(old, listeners)| {
            let Some(listen) = wanted(old.address) else {
                return false;
            };
            listeners.reload(settings::listener(config, listen), settings.clone());
            *old = listen.clone();
            true
        });
        for (listen, sockets) in new {
            let listeners = self.begin(config, &listen, sockets, settings);
            state.listeners.push((listen, listeners));
        }
    }

    /// Accepts from sockets that are bound.
    pub(super) fn begin(
        &self,
        config: &Config,
        listen: &Listen,
        sockets: Vec<tokio::net::TcpListener>,
        settings: &Arc<Settings>,
    ) -> Listeners {
        let options = settings::listener(config, listen);
        let (settings, around) = (settings.clone(), self.around.clone());
        match listen.kind {
            ListenKind::Client => {
                let fronts = Fronts {
                    web: Some(self.front.clone()),
                    socks: Some(Arc::new(self.socks.clone())),
                    relay: self.relay.front(),
                };
                serve_bound(sockets, options, settings, fronts, around)
            }
            ListenKind::Http => serve_web(sockets, options, settings, self.front.clone(), around),
            ListenKind::Component => {
                let porter = self.components.clone();
                serve_components(sockets, options, settings, porter, around)
            }
        }
    }
}
