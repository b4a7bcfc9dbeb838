//! XEP-0377: Blocking Command Reports (0.4.1)

mod desk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::config::Period;
use crate::hooks::command::Command;
use crate::hooks::{
    Deps, Effect, Envelope, Floor, Info, Module, ModuleError, Path, Phase, Registrar, To, Turn,
    Verdict,
};
use crate::metrics::{Counter, Registry};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind, MessageType, Stanza};
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::admins::Admins;
use crate::store::{Batch, Direction, Mid, Range, Rows, Space, Store, StoreError};
use crate::xml::{El, Element};

settings! {
    /// What people tell of whom they block.
    pub struct Config {
        /// Whether the administrators of the server and of the domain get a message for each report.
        pub tell_admins: bool = true;
        /// Who else gets one.
        pub tell: Vec<String> = Vec::new() => example("[\"abuse@example.org\"]");
        /// Reports kept; older ones go first.
        pub keep: u32 = 1_000 => within(1..=100_000);
        /// How long they are kept.
        pub keep_for: Period = Period::days(90) => within(Period::days(1)..=Period::days(3650));
        /// Reports of one account in an hour; who reports more still blocks.
        pub per_hour: u32 = 20 => within(1..=10_000);
    }
}

/// Reports in one request.
const AT_ONCE: usize = 20;
/// Longest text and longest other value kept, in bytes.
const TEXT: usize = 2_048;
const VALUE: usize = 512;
/// Messages one report may name.
const MESSAGES: usize = 50;
/// How often old reports are looked for, and how many go at once.
const TRIM: Duration = Duration::from_secs(600);
const TRIMMED: usize = 1_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Keeps reports and tells administrators.
pub struct Reporting {
    host: Jid,
    /// Whom the configuration names.
    tell: Vec<Jid>,
    /// Who else administers, if they are told.
    admins: Option<Admins>,
    runtime: Handle,
    floor: Arc<dyn Floor>,
    keep: usize,
    keep_for: Duration,
    per_hour: u32,
    clock: Clock,
    store: Store,
    metrics: Registry,
    full: Counter,
}

/// One report as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When, Unix milliseconds.
    pub at: u64,
    /// Who reports.
    pub by: String,
    /// Whom.
    pub about: String,
    /// Why: a URN such as `urn:xmpp:reporting:spam`.
    pub reason: String,
    /// What the user says, in which language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<(String, String)>,
    /// Ids of messages, each with who gave it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<(String, String)>,
    /// The domain of the reported may be told (§5).
    #[serde(default)]
    pub report_origin: bool,
    /// Third parties may be told (§5).
    #[serde(default)]
    pub third_party: bool,
}

/// Reports of an account in the hour that began; a part of it.
struct Reported {
    since: Instant,
    count: u32,
}

impl Module for Reporting {
    const INFO: Info = Info {
        name: "reporting",
        specs: &[("XEP-0377", "0.4.1")],
        doc: "Who blocks somebody can report spam and abuse to the administrators.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &desk::DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let mut tell = match config.tell_admins {
            true => admins(deps),
            false => Vec::new(),
        };
        for address in &config.tell {
            let jid = Jid::parse(address).ok().filter(|jid| jid.node().is_some());
            tell.push(jid.ok_or_else(|| ModuleError {
                module: Self::INFO.name,
                reason: format!("tell: {address:?} is no address of an account"),
            })?);
        }
        tell.sort_unstable();
        tell.dedup();
        Ok(Reporting {
            host: deps.host.clone(),
            tell,
            admins: (config.tell_admins)
                .then(|| Admins::new(deps.administration.clone(), deps.store.clone())),
            runtime: Handle::current(),
            floor: deps.floor.clone(),
            keep: config.keep as usize,
            keep_for: config.keep_for.0,
            per_hour: config.per_hour,
            clock: deps.clock.clone(),
            store: deps.store.clone(),
            metrics: deps.metrics.clone(),
            full: deps.metrics.limit("modules.reporting.per_hour"),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Host, ns::REPORTING);
        desk::offer(&self, r);
        let this = self.clone();
        r.every(TRIM, move || this.trim());
        // With the block itself: both are stored, or neither is.
        r.iq_transit(Path::FromClient, Phase::Record, move |envelope, turn| {
            self.see(envelope, turn);
            Verdict::Continue
        });
    }
}

/// Those whom the configuration names.
fn admins(deps: &Deps) -> Vec<Jid> {
    let named = &deps.administration;
    let of_host = named.hosts.get(deps.host.domain()).into_iter().flatten();
    named.server.iter().chain(of_host).cloned().collect()
}

impl Reporting {
    fn see(&self, envelope: &Envelope, turn: &mut Turn<'_>) {
        let stanza = envelope.stanza.clone();
        let blocks = stanza.kind == Kind::Iq(IqType::Set) && envelope.to == turn.account.jid;
        let block = stanza.payload().filter(|el| el.is("block", ns::BLOCKING));
        let Some(block) = block.filter(|_| blocks && !turn.account.guest) else {
            return;
        };
        let items = block.children().filter(|el| el.is("item", ns::BLOCKING));
        let mut reports: Vec<Report> = items
            .filter_map(|item| self.read(item, &turn.account.jid))
            .take(AT_ONCE)
            .collect();
        let room = self.room(turn, reports.len());
        if room < reports.len() {
            self.full.count();
            reports.truncate(room);
        }
        if reports.is_empty() {
            return;
        }
        for report in &reports {
            self.tell(report, turn);
            self.pass_on(report, turn);
        }
        let value = serde_json::to_vec(&reports).unwrap_or_default();
        turn.batch().append(Space::REPORT, &[], value);
    }

    /// A report that says why (§4); one that does not is none, and the block stands (§6).
    fn read(&self, item: El<'_>, by: &Jid) -> Option<Report> {
        let about = Jid::parse(item.attr("jid")?).ok()?;
        let report = item.child("report", ns::REPORTING)?;
        let reason = report.attr("reason").filter(|reason| !reason.is_empty())?;
        let of = |name: &'static str| report.children().filter(move |el| el.name() == name);
        let text = of("text").take(5).map(|text| {
            let lang = text.attr_ns("lang", crate::xml::XML).unwrap_or_default();
            (short(lang, VALUE), short(text.text().trim(), TEXT))
        });
        let messages = of("stanza-id").filter(|el| el.ns() == ns::STANZA_ID);
        let messages = messages
            .take(MESSAGES)
            .filter_map(|el| Some((short(el.attr("by")?, VALUE), short(el.attr("id")?, VALUE))));
        Some(Report {
            at: self.clock.wall(),
            by: by.to_string(),
            about: about.to_string(),
            reason: short(reason, VALUE),
            text: text.collect(),
            messages: messages.collect(),
            report_origin: report.has_child("report-origin", ns::REPORTING),
            third_party: report.has_child("third-party", ns::REPORTING),
        })
    }

    /// How many of so many reports the account may make now.
    fn room(&self, turn: &mut Turn<'_>, wanted: usize) -> usize {
        let now = self.clock.now();
        let current = turn.account.parts.take::<Reported>();
        let mut reported = current
            .filter(|reported| now.saturating_duration_since(reported.since) < HOUR)
            .unwrap_or(Reported {
                since: now,
                count: 0,
            });
        let left = self.per_hour.saturating_sub(reported.count);
        let room = wanted.min(left as usize);
        reported.count += u32::try_from(room).unwrap_or(left);
        if wanted > 0 || reported.count > 0 {
            turn.account.parts.put(reported);
        }
        room
    }

    /// A message to each administrator, after the commit.
    fn tell(&self, report: &Report, turn: &mut Turn<'_>) {
        let kind = match report.reason.as_str() {
            "urn:xmpp:reporting:spam" => "spam",
            "urn:xmpp:reporting:abuse" => "abuse",
            _ => "other",
        };
        self.metrics
            .counter(
                "waxwing_reports_total",
                "Reports of spam and abuse, by their reason.",
                &[("reason", kind)],
            )
            .count();
        let reason = match kind {
            "other" => report.reason.as_str(),
            known => known,
        };
        let mut body = format!(
            "{} blocked {} and reports: {reason}",
            report.by, report.about
        );
        for (_, text) in &report.text {
            body.push('\n');
            body.push_str(text);
        }
        for admin in &self.tell {
            turn.send(message(&self.host, admin, &body));
        }
        if let Some(admins) = self.admins.clone() {
            let (this, floor) = (self.host.clone(), self.floor.clone());
            let (told, runtime) = (self.tell.clone(), self.runtime.clone());
            let tell = async move {
                let added = admins.added(this.domain()).await.unwrap_or_default();
                for admin in added.iter().filter(|admin| !told.contains(admin)) {
                    if let Some(envelope) = Envelope::from_server(message(&this, admin, &body)) {
                        floor.route(Box::new(envelope));
                    }
                }
            };
            let after = Effect::Free(Box::new(move || drop(runtime.spawn(tell))));
            turn.ledger.effects.push(after);
        }
    }

    /// §5: the service of this server where the reported was met learns of it, if who reports lets it. From whom it comes
    /// it does not learn.
    fn pass_on(&self, report: &Report, turn: &mut Turn<'_>) {
        let about = Jid::parse(&report.about).ok();
        let met = about.filter(|about| {
            let domain = about.domain();
            report.report_origin
                && about.node().is_some()
                && domain != self.host.domain()
                && self.floor.is_local(domain)
        });
        if let Some(met) = met {
            let item = Element::new("item", ns::BLOCKING)
                .with_attr("jid", met.as_str())
                .with_child(report.to_element());
            let message = Stanza::message(MessageType::Normal)
                .with_from(self.host.clone())
                .with_to(met.bare())
                .with_child(Element::new("block", ns::BLOCKING).with_child(item));
            turn.send(message);
        }
    }

    /// Removes what is too old or too much.
    fn trim(&self) {
        let (keep, store) = (self.keep, self.store.clone());
        let age = u64::try_from(self.keep_for.as_millis()).unwrap_or(u64::MAX);
        let oldest = Mid::first_of(self.clock.wall().saturating_sub(age));
        self.store.read(
            move |view| {
                let limit = keep + TRIMMED;
                view.scan(Space::REPORT, &Range::all(), Direction::Backward, limit)
            },
            move |rows: Result<Rows, StoreError>| {
                let mut batch = Batch::new().relaxed();
                for (at, (key, _)) in rows.into_iter().flatten().enumerate() {
                    if at >= keep || key.as_slice() < oldest.as_bytes().as_slice() {
                        batch.delete(Space::REPORT, &key);
                    }
                }
                if !batch.is_empty() {
                    store.hand_in(batch, |_| ());
                }
            },
        );
    }
}

impl Report {
    fn to_element(&self) -> Element {
        let text =
            |(_, text): &(String, String)| Element::new("text", ns::REPORTING).with_text(text);
        let texts = self.text.iter().map(text);
        let messages = self.messages.iter().map(|(by, id)| {
            let el = Element::new("stanza-id", ns::STANZA_ID);
            el.with_attr("by", by).with_attr("id", id)
        });
        Element::new("report", ns::REPORTING)
            .with_attr("reason", &self.reason)
            .with_children(texts)
            .with_children(messages)
    }
}

fn message(host: &Jid, admin: &Jid, body: &str) -> Stanza {
    let leaf = |name, text: &str| Element::new(name, ns::CLIENT).with_text(text);
    Stanza::message(MessageType::Normal)
        .with_from(host.clone())
        .with_to(admin.clone())
        .with_child(leaf("subject", "Report"))
        .with_child(leaf("body", body))
}

fn short(text: &str, longest: usize) -> String {
    let mut end = text.len().min(longest);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
