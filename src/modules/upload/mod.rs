//! XEP-0363: HTTP File Upload (1.2.0)
//!
//! A slot is a token and a key: who has the token reads the file, who has the key too writes it, once. What goes to browsers
//! is never run there: `answer` says what is shown, and everything else is to be saved.

mod answer;
mod commands;
mod retraction;
mod slots;
mod url;
mod web;
mod wish;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::config::{Bytes, Period};
use crate::hooks::command::Command;
use crate::hooks::service::{Service, ServiceOwner};
use crate::hooks::{
    Deps, Envelope, Event, Floor, HttpMethod, HttpRoute, Info, Module, ModuleError, Registrar,
};
use crate::metrics::{Counter, Gauge, Registry};
use crate::proto::jid::Jid;
use crate::runtime::clock::Clock;
use crate::state::admins::Admins;
use crate::state::files::{
    Bucket, BucketOptions, Desk, FileError, Folder, Purpose, Quotas, Storage,
};
use crate::{choice, settings};

use url::Base;

settings! {
    /// People share files: their clients upload them here and send the address, which is /upload/… where web clients reach
    /// the host (docs/uploads.md). Where none do there is no service.
    pub struct Config {
        /// The domain of the service; if none is given, "upload." before the host's.
        pub domain: String = String::new() => example("\"upload.example.org\"");
        /// Who may upload: "local" accounts of the host, or its "admins" alone.
        pub who: Uploaders = Uploaders::Local;
        /// The largest file.
        pub size: Bytes = Bytes::mib(100) => within(Bytes::kib(1)..=Bytes::gib(1024));
        /// The largest picture of a person or a room ("profile").
        pub profile_size: Bytes = Bytes::mib(5) => within(Bytes::kib(1)..=Bytes::gib(1024));
        /// Files of an account.
        pub files: u32 = 10_000 => within(1..=10_000_000);
        /// Bytes of an account.
        pub bytes: Bytes = Bytes::gib(2) => within(Bytes::kib(1)..=Bytes::gib(1 << 20));
        /// Bytes that an account may upload in a day (UTC).
        pub day: Bytes = Bytes::gib(1) => within(Bytes::kib(1)..=Bytes::gib(1 << 20));
        /// Bytes of all accounts of the host; 0: as much as the disk has beside `store.reserve`.
        pub total: Bytes = Bytes::gib(50) => within(Bytes(0)..=Bytes::gib(1 << 20));
        /// How long after it asked a client may begin to upload.
        pub slot: Period = Period::minutes(5) => within(Period::seconds(10)..=Period::minutes(60));
        /// Files that an account may have asked for and not uploaded.
        pub slots: u32 = 50 => within(1..=10_000);
        /// Files of an account on their way at once.
        pub uploads_each: u32 = 8 => within(1..=1_000);
        /// Files of the host on their way at once.
        pub uploads: u32 = 256 => within(1..=100_000);
        /// How long one upload may take.
        pub upload_time: Period = Period::minutes(120) => within(Period::minutes(1)..=Period::days(1));
        /// How long files of messages are kept; "0s": for good.
        pub keep: Period = Period::days(30) => within(Period::seconds(0)..=Period::days(36_500));
        /// How long pictures of people are kept; "0s": for good.
        pub keep_profile: Period = Period::seconds(0) => within(Period::seconds(0)..=Period::days(36_500));
        /// How long files are kept at most whose client named their end ("ephemeral"); "0s": until then, whenever it is.
        pub keep_ephemeral: Period = Period::days(7) => within(Period::seconds(0)..=Period::days(36_500));
        /// Whether clients may ask that a file be kept for good ("permanent").
        pub permanent: bool = false;
        /// Whether a file goes when the message that shared it is retracted, as far as the archive of who sent it has that
        /// message and it was not encrypted. Whoever the file was sent on to loses it too.
        pub retracted: bool = false;
        /// Requests of an account that may wait.
        pub waiting: u32 = 64 => within(1..=10_000);
        /// An object store that has the files, instead of the disk.
        pub s3: ObjectStore = ObjectStore::default();
    }

    /// An object store that speaks the S3 protocol has the files; `store.files` has those on their way. Nothing without an
    /// endpoint. A change needs a restart.
    pub struct ObjectStore {
        /// Its address; `http:` only on this machine.
        pub endpoint: String = String::new() => restart(), example("\"https://s3.example.net\"");
        /// The bucket. Files lie below the name of the host there.
        pub bucket: String = String::new() => restart(), example("\"files\"");
        /// Its region, as the store calls it.
        pub region: String = "us-east-1".to_owned() => restart();
        /// Whether the bucket is named in the path of addresses, not before the name of the server.
        pub path_style: bool = true => restart();
        /// The name of the key with which files are written, read, listed and removed,
        pub access_key: String = String::new() => restart(), hidden();
        /// and the key.
        pub secret_key: String = String::new() => restart(), hidden();
        /// Requests at once.
        pub connections: u32 = 64 => restart(), within(1..=10_000);
    }
}

choice! {
    /// Who may upload.
    pub enum Uploaders {
        /// Accounts of the host.
        Local = "local",
        /// Administrators of the host.
        Admins = "admins",
    }
}

/// How often files whose time is over are looked for, and how many are looked at then.
const EXPIRE: Duration = Duration::from_secs(60);
const EXPIRED: usize = 5_000;

/// What an object store takes in one request.
const LARGEST_OBJECT: Bytes = Bytes::gib(5);

/// Takes files.
pub struct Upload {
    shared: Arc<Shared>,
}

/// What the service and the web side use.
struct Shared {
    config: Config,
    quotas: Quotas,
    host: Jid,
    domain: Jid,
    /// None where web clients do not reach the host.
    base: Option<Base>,
    desk: Desk,
    admins: Admins,
    clock: Clock,
    floor: Arc<dyn Floor>,
    runtime: Handle,
    /// Room for files on their way.
    uploads: Arc<Semaphore>,
    figures: Figures,
    lasting: Arc<Lasting>,
}

/// What is counted.
struct Figures {
    stored: Counter,
    broken: Counter,
    bytes: Counter,
    downloads: Counter,
    removed: Counter,
    held: Gauge,
    size: Counter,
    files: Counter,
    account: Counter,
    day: Counter,
    total: Counter,
    slots: Counter,
    uploads: Counter,
    uploads_each: Counter,
}

impl Figures {
    fn new(metrics: &Registry, host: &Jid) -> Figures {
        let outcome = |outcome| {
            metrics.counter(
                "waxwing_uploads_total",
                "Files that clients began to upload, by what became of them.",
                &[("outcome", outcome)],
            )
        };
        Figures {
            stored: outcome("stored"),
            broken: outcome("broken"),
            bytes: metrics.counter(
                "waxwing_upload_bytes_total",
                "Bytes of files that were stored.",
                &[],
            ),
            downloads: metrics.counter(
                "waxwing_downloads_total",
                "Requests for files, or parts of them, that were answered.",
                &[],
            ),
            removed: metrics.counter(
                "waxwing_uploads_removed_total",
                "Files, and slots without one, that were removed because their time was over.",
                &[],
            ),
            held: metrics.gauge(
                "waxwing_upload_held_bytes",
                "Bytes of files that are there, and of slots; looked at every minute.",
                &[("host", host.domain())],
            ),
            size: metrics.limit("modules.upload.size"),
            files: metrics.limit("modules.upload.files"),
            account: metrics.limit("modules.upload.bytes"),
            day: metrics.limit("modules.upload.day"),
            total: metrics.limit("modules.upload.total"),
            slots: metrics.limit("modules.upload.slots"),
            uploads: metrics.limit("modules.upload.uploads"),
            uploads_each: metrics.limit("modules.upload.uploads_each"),
        }
    }
}

/// What lives as long as the process, over reloads.
struct Lasting {
    desk: Desk,
    /// Old files are being removed.
    clearing: AtomicBool,
    /// What the process before this one left was seen to.
    swept: AtomicBool,
}

impl Module for Upload {
    const INFO: Info = Info {
        name: "upload",
        specs: &[("XEP-0363", "1.2.0")],
        doc: "People share files: clients upload them here and send their address.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &commands::DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let wrong = |reason: String| ModuleError {
            module: Self::INFO.name,
            reason,
        };
        let domain = deps.service_domain(Self::INFO.name, ("domain", &config.domain), "upload")?;
        let runtime = Handle::try_current().map_err(|error| wrong(error.to_string()))?;
        // What is on its way goes on over a reload, and is known there.
        let lasting = deps.shared.of(&deps.host, || lasting(&config, deps));
        let lasting = lasting.map_err(wrong)?;
        let shared = Shared {
            quotas: quotas(&config),
            host: deps.host.clone(),
            domain,
            base: deps.url.as_deref().map(Base::new),
            desk: lasting.desk.clone(),
            admins: Admins::new(deps.administration.clone(), deps.store.clone()),
            clock: deps.clock.clone(),
            floor: deps.floor.clone(),
            runtime,
            uploads: Arc::new(Semaphore::new(config.uploads as usize)),
            figures: Figures::new(&deps.metrics, &deps.host),
            lasting,
            config,
        };
        Ok(Upload {
            shared: Arc::new(shared),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let shared = &self.shared;
        let this = shared.clone();
        r.event(move |event| {
            if let Event::AccountDeleted(account) = event {
                this.clone().account_gone(account.clone());
            }
        });
        let this = shared.clone();
        r.every(EXPIRE, move || this.clone().look_after());
        commands::offer(shared, r);
        if shared.base.is_none() {
            return;
        }
        if shared.config.retracted {
            retraction::offer(shared, r);
        }
        r.service(shared.domain.clone(), "upload", self.clone());
        let size = shared.config.size.0.max(shared.config.profile_size.0);
        let this = shared.clone();
        let put = HttpRoute::new(HttpMethod::Put, url::PATH).body(size);
        r.http(put.cors(web::PUT_HEADERS), move |request| {
            web::put(this.clone(), request)
        });
        let this = shared.clone();
        let get = HttpRoute::new(HttpMethod::Get, url::PATH).cors(web::GET_HEADERS);
        r.http(get, move |request| web::get(this.clone(), request));
    }
}

fn lasting(config: &Config, deps: &Deps) -> Result<Lasting, String> {
    let folder = Folder::new(&deps.disk.files, deps.disk.reserve);
    folder.clear_new().map_err(|error| error.to_string())?;
    let storage = Storage::new(folder, bucket(config, deps)?);
    Ok(Lasting {
        desk: Desk::new(deps.store.clone(), storage, deps.host.domain()),
        clearing: AtomicBool::new(false),
        swept: AtomicBool::new(false),
    })
}

/// The object store that has the files, if one is named.
fn bucket(config: &Config, deps: &Deps) -> Result<Option<Bucket>, String> {
    let named = &config.s3;
    if named.endpoint.is_empty() {
        return Ok(None);
    }
    if config.size.0.max(config.profile_size.0) > LARGEST_OBJECT.0 {
        return Err(format!(
            "`size`: an object store takes at most {LARGEST_OBJECT}"
        ));
    }
    let options = BucketOptions {
        endpoint: named.endpoint.clone(),
        bucket: named.bucket.clone(),
        region: named.region.clone(),
        in_path: named.path_style,
        access_key: named.access_key.clone(),
        secret_key: named.secret_key.clone(),
        connections: named.connections as usize,
    };
    let bucket = Bucket::new(&options, deps.host.domain(), deps.web.clone());
    bucket.map(Some).map_err(|error| format!("`s3`: {error}"))
}

fn quotas(config: &Config) -> Quotas {
    Quotas {
        slots: config.slots,
        files: config.files,
        bytes: config.bytes.0,
        day: config.day.0,
        total: config.total.0,
    }
}

impl Service for Upload {
    /// One account's requests are served one after the other.
    fn key(&self, envelope: &Envelope) -> String {
        let from = envelope.from();
        let own = from.filter(|from| from.domain() == self.shared.host.domain());
        own.map(|from| from.bare_str().to_owned())
            .unwrap_or_default()
    }

    fn wake(&self, _: &str, _: Option<&[u8]>) -> Box<dyn ServiceOwner> {
        Box::new(slots::Owner::new(self.shared.clone()))
    }
}

impl Shared {
    /// When a file goes that is complete now; `None`: never.
    fn until(&self, purpose: Purpose, latest: Option<u64>, now: u64) -> Option<u64> {
        let keep = match purpose {
            Purpose::Message => self.config.keep,
            Purpose::Profile => self.config.keep_profile,
            Purpose::Ephemeral => self.config.keep_ephemeral,
            Purpose::Permanent => Period::seconds(0),
        };
        let keep = u64::try_from(keep.0.as_millis()).unwrap_or(u64::MAX);
        let kept = (keep > 0).then(|| now.saturating_add(keep));
        [kept, latest].into_iter().flatten().min()
    }

    fn account_gone(self: Arc<Self>, account: Jid) {
        self.runtime.clone().spawn(async move {
            if let Err(error) = self.desk.clear(Some(&account)).await {
                tracing::warn!(%account, %error, "files of a removed account are still there; it is tried again at the next start");
            }
        });
    }

    /// Removes what is over, and once what the end of the process before this one left.
    fn look_after(self: Arc<Self>) {
        if self.lasting.clearing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.runtime.clone().spawn(async move {
            if let Err(error) = self.remove_old().await {
                tracing::warn!(host = %self.host, %error, "files could not be removed; it is tried again");
            }
            self.lasting.clearing.store(false, Ordering::Release);
        });
    }

    async fn remove_old(&self) -> Result<(), FileError> {
        let removed = self.desk.expire(self.clock.wall(), EXPIRED).await?;
        self.figures.removed.add(removed as u64);
        self.figures.held.set(self.desk.held().await?);
        if !self.lasting.swept.load(Ordering::Acquire) {
            self.desk.clear(None).await?;
            let unknown = self.desk.sweep().await?;
            if unknown > 0 {
                tracing::info!(host = %self.host, files = unknown, "removed files that the store does not know");
            }
            self.lasting.swept.store(true, Ordering::Release);
        }
        Ok(())
    }
}
