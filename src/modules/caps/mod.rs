//! XEP-0115: Entity Capabilities (1.6.0), with XEP-0390 (0.3.2): the server's own in stream features, and those of
//! clients and contacts

mod heard;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::config::Period;
use crate::hooks::{
    Deps, Floor, Info, Module, ModuleError, Path, Phase, Registrar, SessionEvent, To,
};
use crate::metrics::Counter;
use crate::proto::{caps, ns};
use crate::settings;
use crate::state::capabilities::{Bounds, Capabilities, Counters};
use crate::stream::tables::Stage;
use crate::xml::Element;

settings! {
    /// Lets clients skip asking what they know of the server already, and finds out what they want to be told of.
    pub struct Config {
        /// Sets of capabilities kept in memory.
        pub memory: u32 = 2_000 => within(10..=1_000_000);
        /// Sets of capabilities kept on disk.
        pub stored: u32 = 20_000 => within(10..=1_000_000);
        /// Sets of capabilities asked for at once.
        pub asking: u32 = 200 => within(1..=10_000);
        /// What one client may want to be told of.
        pub interests: u32 = 200 => within(1..=10_000);
        /// How long a client may take to say what it is.
        pub patience: Period = Period::seconds(60) => within(Period::seconds(1)..=Period::seconds(600));
        /// Resources of contacts at other servers remembered for one account.
        pub resources: u32 = 2_000 => within(1..=100_000);
    }
}

/// Between two sweeps of what is kept.
const SWEEP: Duration = Duration::from_secs(6 * 3_600);

/// Announces the hash of what disco tells of the host, and learns what hashes of others stand for.
pub struct Caps {
    elements: OnceLock<[Option<Element>; 2]>,
    known: Arc<Capabilities>,
    floor: Arc<dyn Floor>,
    resources: usize,
    full: Counter,
}

impl Module for Caps {
    const INFO: Info = Info {
        name: "caps",
        specs: &[("XEP-0115", "1.6.0"), ("XEP-0390", "0.3.2")],
        doc: "Capabilities as hashes that are cached: the server's for clients, theirs for what they want to be told of.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let bounds = Bounds {
            memory: config.memory as usize,
            stored: config.stored as usize,
            asking: config.asking as usize,
            nodes: config.interests as usize,
            patience: config.patience.0,
        };
        let counters = Counters {
            stored: deps.metrics.limit("modules.caps.stored"),
            asking: deps.metrics.limit("modules.caps.asking"),
            lies: deps.metrics.counter(
                "waxwing_caps_lies_total",
                "Answers about capabilities that did not make the hash that was announced.",
                &[],
            ),
        };
        let known = Capabilities::new(deps.store.clone(), bounds, counters);
        let known = known.map_err(|error| ModuleError {
            module: Self::INFO.name,
            reason: error.to_string(),
        })?;
        Ok(Caps {
            elements: OnceLock::new(),
            known: Arc::new(known),
            floor: deps.floor.clone(),
            resources: config.resources as usize,
            full: deps.metrics.limit("modules.caps.resources"),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Host, ns::CAPS);
        r.feature(To::Host, ns::CAPS2);
        for which in 0..2 {
            let this = self.clone();
            r.stream_feature(Stage::Authenticated, move |_| {
                this.elements.get()?.get(which)?.clone()
            });
        }
        let this = self.clone();
        r.presence(Path::FromClient, Phase::Record, move |envelope, turn| {
            this.sent(envelope, turn)
        });
        let this = self.clone();
        r.presence(Path::ToClient, Phase::Record, move |envelope, turn| {
            this.arrives(envelope, turn)
        });
        let this = self.clone();
        r.session(move |event, session, turn| {
            if matches!(event, SessionEvent::Restored | SessionEvent::Resumed) {
                this.back(session, turn);
            }
        });
        let (known, clock) = (self.known.clone(), self.floor.clock().clone());
        r.every(SWEEP, move || {
            let (known, now) = (known.clone(), clock.wall());
            tokio::spawn(async move {
                if let Err(error) = known.sweep(now).await {
                    tracing::warn!(%error, "old capabilities stay a while");
                }
            });
        });
        r.frozen(move |tables| {
            let info = tables.disco(To::Host).cloned().unwrap_or_default();
            let _ = self.elements.set([
                Some(caps::element(&info, caps::NODE)),
                caps::element2(&info),
            ]);
        });
    }
}
