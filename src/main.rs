//! The binary: hands the server to the command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use tokio::sync::watch;
use waxwing::admin::cli::{self, Program, Ready, Running};
use waxwing::admin::{Acts, Finding, Level};
use waxwing::config::{Loaded, ModuleSettings};
use waxwing::net::tls::{self, CertificateSource, TlsOptions, TlsStore};
use waxwing::runtime::clock::Clock;

fn main() -> ExitCode {
    cli::main(&Waxwing)
}

struct Waxwing;

impl Program for Waxwing {
    fn modules(&self) -> Vec<ModuleSettings> {
        Vec::new()
    }

    fn serve(&self, _: Loaded, _: Ready, _: watch::Receiver<bool>) -> Running<'_> {
        Box::pin(async { Err("the server is not part of this program yet".to_owned()) })
    }

    fn acts(&self, _: &Loaded) -> Result<Box<dyn Acts>, String> {
        Err("accounts are not part of this program yet".to_owned())
    }

    fn findings(&self, loaded: &Loaded) -> Vec<Finding> {
        loaded
            .config
            .hosts
            .keys()
            .flat_map(|domain| certificate_findings(loaded, domain))
            .collect()
    }

    fn fingerprint(&self, loaded: &Loaded, domain: &str) -> Result<String, String> {
        let source = certificate(loaded, domain)?;
        let store =
            TlsStore::open(TlsOptions::new(vec![source])).map_err(|error| error.to_string())?;
        Ok(store.choose(None, None).fingerprint_text())
    }
}

/// Where the certificate of a domain is; that of localhost is made if there is none.
fn certificate(loaded: &Loaded, domain: &str) -> Result<CertificateSource, String> {
    let (chain, key) = loaded.config.certificate(domain);
    if domain == "localhost" && !chain.exists() {
        let folder = loaded.config.in_data_dir(&loaded.config.tls.directory);
        let made = tls::self_signed(&folder, domain).map_err(|error| error.to_string())?;
        return Ok(made.source);
    }
    Ok(CertificateSource {
        domain: domain.to_owned(),
        chain,
        key,
    })
}

fn certificate_findings(loaded: &Loaded, domain: &str) -> Vec<Finding> {
    let folder = loaded.config.in_data_dir(&loaded.config.tls.directory);
    let ours = folder.join("localhost.crt");
    if domain == "localhost" && !loaded.config.certificate(domain).0.exists() && !ours.exists() {
        let text = "certificate of localhost: a self-signed one is made at the first start";
        return vec![Finding::new(Level::Note, text)];
    }
    let opened = certificate(loaded, domain).and_then(|source| {
        TlsStore::open(TlsOptions::new(vec![source])).map_err(|error| error.to_string())
    });
    let store = match opened {
        Ok(store) => store,
        Err(text) => return vec![Finding::new(Level::Error, text)],
    };
    let found = store.check(Clock::system().wall());
    if found.is_empty() {
        return vec![Finding::new(
            Level::Good,
            format!("certificate of {domain}"),
        )];
    }
    let found = found.into_iter().map(|finding| {
        let level = match finding.level {
            tls::Level::Note => Level::Note,
            tls::Level::Warning => Level::Warning,
            tls::Level::Error => Level::Error,
        };
        Finding::new(
            level,
            format!("certificate of {}: {}", finding.domain, finding.text),
        )
    });
    found.collect()
}
