//! The server that tests talk to.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use waxwing::admin::Password;
use waxwing::config::{Loaded, Request, load};
use waxwing::hooks::Listed;
use waxwing::proto::{Jid, ns};
use waxwing::runtime::clock::Clock;
use waxwing::runtime::random;
use waxwing::server::Server;
use waxwing::store::testing::{Faulty, memory};
use waxwing::store::{Options, Store};
use waxwing::xml::Element;

use super::client::{Builder, Client, Error, Security, Trust};

/// A server that runs, and how to reach it.
#[derive(Clone)]
pub struct Running {
    /// Where clients connect; STARTTLS or direct TLS.
    pub addr: SocketAddr,
    /// The domain it serves.
    pub host: String,
    /// Whom clients believe to be it.
    pub trust: Trust,
    /// Ours, with the folder of its data; not there if the server is somebody else's.
    own: Option<Arc<(Server, TempDir)>>,
}

/// The password of every account in tests.
const PASSWORD: &str = "pencil";

/// What tests need otherwise than people do.
const FOR_TESTS: &[&str] = &[
    r#"auth.mechanisms=["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]"#,
    "auth.scram_iterations=4096",
    "auth.failures_free=1000",
    "store.reserve=0B",
    "log.level=warn",
];

/// Starts a server on a port of its own, with `sets` such as `limits.stream.depth=50` on top of the
/// defaults and [`FOR_TESTS`].
///
/// With `WAXWING_TEST_SERVER` (`ADDRESS:PORT`), `WAXWING_TEST_HOST` and `WAXWING_TEST_FINGERPRINT` (of
/// its certificate, SHA-256 in hexadecimal) it is that server, whoever wrote it; accounts are then made
/// by in-band registration (XEP-0077).
pub async fn start_server(sets: &[&str]) -> Running {
    if let Some(foreign) = foreign() {
        return foreign;
    }
    let folder = tempfile::tempdir().unwrap();
    start_own(folder, sets, &[])
        .await
        .unwrap_or_else(|e| panic!("{e}"))
}

/// Starts a server of our own over the data in `folder`, with modules from outside the tree.
///
/// # Errors
/// What the administrator would read.
pub async fn start_own(
    folder: TempDir,
    sets: &[&str],
    extra: &[Listed],
) -> Result<Running, String> {
    let loaded = configuration(&folder, sets, extra)?;
    let server = Server::start_with(&loaded.config, extra)
        .await
        .map_err(|e| e.to_string())?;
    Ok(running(server, folder))
}

/// Starts a server of our own as `text` says, for clients of `host`; the data lie where it says.
///
/// # Errors
/// What the administrator would read.
pub async fn start_text(folder: TempDir, text: &str, host: &str) -> Result<Running, String> {
    start_text_own(folder, text, host, &[]).await
}

/// The same, with modules from outside the tree.
///
/// # Errors
/// What the administrator would read.
pub async fn start_text_own(
    folder: TempDir,
    text: &str,
    host: &str,
    extra: &[Listed],
) -> Result<Running, String> {
    let file = folder.path().join("waxwing.toml");
    std::fs::write(&file, text).unwrap();
    let request = Request {
        file: Some(file),
        environment: Vec::new(),
        sets: FOR_TESTS.iter().map(|set| (*set).to_owned()).collect(),
    };
    let modules = waxwing::modules::LIST.iter().chain(extra);
    let modules: Vec<_> = modules.map(Listed::settings).collect();
    let loaded = load(&request, &modules).map_err(|e| e.to_string())?;
    let server = Server::start_with(&loaded.config, extra)
        .await
        .map_err(|e| e.to_string())?;
    let identity = server.tls().choose(Some(host), None);
    Ok(Running {
        addr: server.addresses()[0],
        host: host.to_owned(),
        trust: Trust::Fingerprint(identity.fingerprint),
        own: Some(Arc::new((server, folder))),
    })
}

fn running(server: Server, folder: TempDir) -> Running {
    Running {
        addr: server.addresses()[0],
        host: "localhost".to_owned(),
        trust: Trust::Fingerprint(server.tls().choose(Some("localhost"), None).fingerprint),
        own: Some(Arc::new((server, folder))),
    }
}

/// Starts a server on a store in memory whose writes can be made to fail.
pub async fn start_faulty() -> (Running, Arc<Faulty>) {
    let faulty = Arc::new(Faulty::new(memory()));
    (start_on(&faulty, &[]).await, faulty)
}

/// Starts a server on what an engine in memory holds, whatever became of the server before.
pub async fn start_on(faulty: &Arc<Faulty>, sets: &[&str]) -> Running {
    let store = Store::with_engine(faulty.clone(), Options::memory(), Clock::system());
    start_over(store.unwrap(), sets).await
}

/// Starts a server on a store.
pub async fn start_over(store: Store, sets: &[&str]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let loaded = configuration(&folder, sets, &[]).unwrap();
    let server = Server::start_on(store, &loaded.config, &[]).await;
    running(server.unwrap(), folder)
}

fn configuration(folder: &TempDir, sets: &[&str], extra: &[Listed]) -> Result<Loaded, String> {
    let request = Request {
        file: Some(write_config(folder.path())),
        environment: Vec::new(),
        sets: FOR_TESTS
            .iter()
            .chain(sets)
            .map(|set| (*set).to_owned())
            .collect(),
    };
    let modules = waxwing::modules::LIST.iter().chain(extra);
    let modules: Vec<_> = modules.map(Listed::settings).collect();
    load(&request, &modules).map_err(|e| e.to_string())
}

fn write_config(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("waxwing.toml");
    let data = folder.join("data");
    let text = format!(
        "[server]\ndata_dir = {data:?}\n[hosts.localhost]\n[[listen]]\naddress = \"127.0.0.1:0\"\n"
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn foreign() -> Option<Running> {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let addr = std::env::var("WAXWING_TEST_SERVER").ok()?;
    let digits = variable("WAXWING_TEST_FINGERPRINT").replace(':', "");
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    Some(Running {
        addr: addr.parse().unwrap(),
        host: variable("WAXWING_TEST_HOST"),
        trust: Trust::Fingerprint(bytes.try_into().unwrap()),
        own: None,
    })
}

impl Running {
    /// The server itself, which must be ours.
    pub fn own(&self) -> &Server {
        &self.own.as_ref().expect("not a server of ours").0
    }

    /// Creates an account whose localpart begins with `name` and that no other test has.
    pub async fn account(&self, name: &str) -> Result<Jid, Error> {
        let node = format!("{name}-{}", &random::id()[..8]);
        let jid = Jid::new(Some(&node), &self.host, None)?;
        match &self.own {
            Some(own) => {
                let accounts = own.0.acts().accounts();
                accounts
                    .create(&jid, &Password(PASSWORD.to_owned()))
                    .await
                    .unwrap();
            }
            None => self.register(&jid).await?,
        }
        Ok(jid)
    }

    async fn register(&self, jid: &Jid) -> Result<(), Error> {
        let mut client = self.client(jid).open(self.addr).await?;
        client.open_stream().await?;
        client.start_tls().await?;
        let leaf = |name, text: &str| Element::new(name, ns::REGISTER).with_text(text);
        let query = Element::new("query", ns::REGISTER)
            .with_child(leaf("username", jid.node().unwrap_or_default()))
            .with_child(leaf("password", PASSWORD));
        client.request("set", None, query).await?;
        client.close().await
    }

    /// What an administrator can do; of our own server only.
    pub fn accounts(&self) -> &dyn waxwing::admin::Accounts {
        self.own.as_ref().unwrap().0.acts().accounts()
    }

    /// Stops the server, if it is ours and nobody else holds it, before its folder goes; whoever
    /// keeps the folder can start another over the same data.
    pub async fn stop(self) -> Option<TempDir> {
        let (server, folder) = self.own.and_then(Arc::into_inner)?;
        server.stop().await;
        Some(folder)
    }

    /// Where its data lie; of our own server only.
    pub fn data_dir(&self) -> std::path::PathBuf {
        self.own.as_ref().unwrap().1.path().join("data")
    }

    /// A figure of its metrics, over all labels it has none of.
    pub fn figure(&self, name: &str) -> f64 {
        let own = self.own.as_ref().map(|own| own.0.metrics());
        let value = own.and_then(|metrics| metrics.samples().value(name, &[]));
        value.unwrap_or_default()
    }

    /// A client for an account that [`Running::account`] made.
    pub fn client(&self, jid: &Jid) -> Builder {
        Client::builder(jid.as_str(), PASSWORD)
            .security(Security::StartTls)
            .trust(self.trust.clone())
            .patience(Duration::from_secs(5))
    }
}
