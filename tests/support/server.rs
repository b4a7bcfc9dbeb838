//! The server that tests talk to.

use std::net::SocketAddr;
use std::time::Duration;

use waxwing::proto::{Jid, ns};
use waxwing::runtime::random;
use waxwing::xml::Element;

use super::client::{Builder, Client, Error, Security, Trust};

/// A server that runs, and how to reach it.
#[derive(Clone)]
pub struct Running {
    /// Where clients connect; STARTTLS.
    pub addr: SocketAddr,
    /// The domain it serves.
    pub host: String,
    /// Whom clients believe to be it.
    pub trust: Trust,
}

/// The password of every account in tests.
const PASSWORD: &str = "pencil";

/// A running server: the one that `WAXWING_TEST_SERVER` (`ADDRESS:PORT`), `WAXWING_TEST_HOST` and
/// `WAXWING_TEST_FINGERPRINT` (of its certificate, SHA-256 in hexadecimal) describe. `config` is the
/// TOML a test wishes to have added to the configuration.
pub async fn start_server(_config: &str) -> Running {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let digits = variable("WAXWING_TEST_FINGERPRINT").replace(':', "");
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    Running {
        addr: variable("WAXWING_TEST_SERVER").parse().unwrap(),
        host: variable("WAXWING_TEST_HOST"),
        trust: Trust::Fingerprint(bytes.try_into().unwrap()),
    }
}

impl Running {
    /// Creates an account whose localpart begins with `name` and that no other test has.
    pub async fn account(&self, name: &str) -> Result<Jid, Error> {
        let node = format!("{name}-{}", &random::id()[..8]);
        let jid = Jid::new(Some(&node), &self.host, None)?;
        let mut client = self.client(&jid).open(self.addr).await?;
        client.open_stream().await?;
        client.start_tls().await?;
        let leaf = |name, text: &str| Element::new(name, ns::REGISTER).with_text(text);
        let query = Element::new("query", ns::REGISTER)
            .with_child(leaf("username", &node))
            .with_child(leaf("password", PASSWORD));
        client.request("set", None, query).await?;
        client.close().await?;
        Ok(jid)
    }

    /// A client for an account that [`Running::account`] made.
    pub fn client(&self, jid: &Jid) -> Builder {
        Client::builder(jid.as_str(), PASSWORD)
            .security(Security::StartTls)
            .trust(self.trust.clone())
            .patience(Duration::from_secs(5))
    }
}
