//! The table of identities: which certificate for which name, and its reload.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::check::{self, Finding};
use super::identity::Identity;
use super::names::ascii;
use super::pem::{CertificateSource, LoadError};

/// What the TLS side of the listeners is made from.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// One per domain; the first is presented where no name fits.
    pub certificates: Vec<CertificateSource>,
    /// Refuse TLS 1.2 clients without extended master secret (RFC 7627). Without it `tls-exporter` is not offered on TLS 1.2.
    pub require_ems: bool,
    /// Offer TLS 1.2 (RFC 5246) besides 1.3.
    pub tls12: bool,
}

impl TlsOptions {
    /// Certificates with the safe settings.
    pub fn new(certificates: Vec<CertificateSource>) -> TlsOptions {
        TlsOptions {
            certificates,
            require_ems: true,
            tls12: true,
        }
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nothing to present.
    #[error("no certificate is configured")]
    NoCertificate,
    /// One domain's certificate could not be loaded.
    #[error("certificate of {domain}: {cause}")]
    Load {
        /// The domain it was meant for.
        domain: String,
        /// What is wrong.
        #[source]
        cause: LoadError,
    },
}

/// What a reload did.
#[derive(Debug, Default)]
pub struct Reload {
    /// Domains that present another certificate from now on.
    pub changed: Vec<String>,
    /// Domains whose files could not be loaded; they keep the certificate they had, if they had one.
    pub failed: Vec<TlsError>,
}

/// Certificates loaded, and not yet in use.
pub struct Prepared {
    table: Table,
    options: TlsOptions,
    changed: Vec<String>,
}

/// The certificates in use. Shared by all listeners; readers never wait.
pub struct TlsStore {
    options: Mutex<TlsOptions>,
    table: ArcSwap<Table>,
}

impl TlsStore {
    /// Loads every certificate; one that cannot be loaded is an error.
    pub fn open(options: TlsOptions) -> Result<TlsStore, TlsError> {
        let mut identities = Vec::new();
        for source in &options.certificates {
            identities.push(Arc::new(load(source, &options)?));
        }
        let table = Table::new(identities).ok_or(TlsError::NoCertificate)?;
        Ok(TlsStore {
            options: Mutex::new(options),
            table: ArcSwap::from_pointee(table),
        })
    }

    /// The identity for a connection: by SNI, without it by the stream header's `to`. In order: a configured domain, a name
    /// in a certificate, a wildcard in a certificate (the first listed wins), else the default host's.
    pub fn choose(&self, server_name: Option<&str>, to: Option<&str>) -> Arc<Identity> {
        self.table.load().choose(server_name.or(to))
    }

    /// Loads every certificate of new options, changing nothing yet.
    ///
    /// # Errors
    /// The first that cannot be loaded.
    pub fn prepare(&self, options: TlsOptions) -> Result<Prepared, TlsError> {
        let old = self.table.load_full();
        let mut changed = Vec::new();
        let mut identities = Vec::new();
        for source in &options.certificates {
            let mut before = old.identities.iter();
            let before = before.find(|identity| identity.domain == source.domain);
            let new = load(source, &options)?;
            identities.push(merge(before, new, &mut changed));
        }
        let table = Table::new(identities).ok_or(TlsError::NoCertificate)?;
        Ok(Prepared {
            table,
            options,
            changed,
        })
    }

    /// Puts in place what was prepared; the domains that present another certificate from now on.
    pub fn apply(&self, prepared: Prepared) -> Vec<String> {
        let mut current = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        self.table.store(Arc::new(prepared.table));
        *current = prepared.options;
        prepared.changed
    }

    /// Loads everything again. One that cannot be loaded stays as it is. Whoever is connected notices nothing.
    pub fn reload(&self) -> Reload {
        let options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.table.load_full();
        let mut report = Reload::default();
        let mut identities = Vec::new();
        for source in &options.certificates {
            let mut before = old.identities.iter();
            let before = before.find(|identity| identity.domain == source.domain);
            match load(source, &options) {
                Ok(new) => identities.push(merge(before, new, &mut report.changed)),
                Err(error) => {
                    report.failed.push(error);
                    identities.extend(before.cloned());
                }
            }
        }
        match Table::new(identities) {
            Some(table) => self.table.store(Arc::new(table)),
            None => report.failed.push(TlsError::NoCertificate),
        }
        report
    }

    /// Reads the files anew and says what is or will be wrong with them; `now` in Unix milliseconds.
    pub fn check(&self, now: u64) -> Vec<Finding> {
        let options = self
            .options
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        options
            .certificates
            .iter()
            .flat_map(|source| check::examine(source, now))
            .collect()
    }

    /// The identities in use, the default host's first.
    pub fn identities(&self) -> Vec<Arc<Identity>> {
        self.table.load().identities.clone()
    }
}

fn load(source: &CertificateSource, options: &TlsOptions) -> Result<Identity, TlsError> {
    Identity::load(source, options).map_err(|cause| TlsError::Load {
        domain: source.domain.clone(),
        cause,
    })
}

/// An unchanged certificate keeps its identity, and with it the ticket keys.
fn merge(
    before: Option<&Arc<Identity>>,
    new: Identity,
    changed: &mut Vec<String>,
) -> Arc<Identity> {
    match before {
        Some(old) if old.chain == new.chain && old.offers == new.offers => old.clone(),
        _ => {
            changed.push(new.domain.clone());
            Arc::new(new)
        }
    }
}

struct Table {
    default: Arc<Identity>,
    identities: Vec<Arc<Identity>>,
    exact: HashMap<String, Arc<Identity>>,
    /// By what follows `*.`.
    wildcards: HashMap<String, Arc<Identity>>,
}

impl Table {
    fn new(identities: Vec<Arc<Identity>>) -> Option<Table> {
        let mut exact = HashMap::new();
        let mut wildcards = HashMap::new();
        for identity in &identities {
            exact
                .entry(ascii(&identity.domain))
                .or_insert_with(|| identity.clone());
        }
        for identity in &identities {
            for name in &identity.names.dns {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcards
                        .entry(parent.to_owned())
                        .or_insert_with(|| identity.clone()),
                    None => exact
                        .entry(name.clone())
                        .or_insert_with(|| identity.clone()),
                };
            }
        }
        Some(Table {
            default: identities.first()?.clone(),
            identities,
            exact,
            wildcards,
        })
    }

    fn choose(&self, name: Option<&str>) -> Arc<Identity> {
        let Some(name) = name.map(ascii) else {
            return self.default.clone();
        };
        let wild = || {
            name.split_once('.')
                .and_then(|(_, parent)| self.wildcards.get(parent))
        };
        self.exact
            .get(&name)
            .or_else(wild)
            .unwrap_or(&self.default)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::path::Path;

    fn write(dir: &Path, domain: &str, names: &[&str]) -> CertificateSource {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let chain = dir.join(format!("{domain}.pem"));
        std::fs::write(&chain, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        CertificateSource {
            domain: domain.into(),
            chain,
            key: None,
        }
    }

    #[test]
    fn choice_is_exact_then_wildcard_then_default() {
        let dir = tempfile::tempdir().unwrap();
        let store = TlsStore::open(TlsOptions::new(vec![
            write(
                dir.path(),
                "first.example",
                &["first.example", "*.second.example"],
            ),
            write(
                dir.path(),
                "second.example",
                &["second.example", "*.second.example", "rooms.first.example"],
            ),
            write(dir.path(), "bücher.example", &["xn--bcher-kva.example"]),
        ]))
        .unwrap();
        let domain = |name: Option<&str>| store.choose(name, Some("second.example")).domain.clone();
        assert_eq!(domain(Some("SECOND.example")), "second.example");
        assert_eq!(domain(Some("rooms.first.example")), "second.example");
        assert_eq!(domain(Some("rooms.second.example")), "first.example");
        assert_eq!(domain(Some("a.rooms.second.example")), "first.example");
        assert_eq!(domain(Some("xn--bcher-kva.example")), "bücher.example");
        assert_eq!(domain(Some("nowhere.example")), "first.example");
        assert_eq!(domain(None), "second.example");
        assert_eq!(store.choose(None, None).domain, "first.example");
        assert_eq!(
            store.choose(None, Some("Bücher.example")).domain,
            "bücher.example"
        );
    }

    #[test]
    fn reload_keeps_what_did_not_change_and_what_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let sources = vec![
            write(dir.path(), "a.example", &["a.example"]),
            write(dir.path(), "b.example", &["b.example"]),
        ];
        let store = TlsStore::open(TlsOptions::new(sources.clone())).unwrap();
        let (a, b) = (
            store.choose(Some("a.example"), None),
            store.choose(Some("b.example"), None),
        );
        assert!(store.reload().changed.is_empty());
        assert!(Arc::ptr_eq(&a, &store.choose(Some("a.example"), None)));

        write(dir.path(), "a.example", &["a.example"]);
        std::fs::remove_file(&sources[1].chain).unwrap();
        let report = store.reload();
        assert_eq!(report.changed, ["a.example"]);
        assert_eq!(report.failed.len(), 1);
        assert_ne!(
            a.fingerprint,
            store.choose(Some("a.example"), None).fingerprint
        );
        assert!(Arc::ptr_eq(&b, &store.choose(Some("b.example"), None)));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = write(dir.path(), "a.example", &["a.example"]);
        source.key = Some(write(dir.path(), "b.example", &["b.example"]).chain);
        let error = TlsStore::open(TlsOptions::new(vec![source])).err().unwrap();
        assert!(
            matches!(
                error,
                TlsError::Load {
                    cause: LoadError::Mismatch { .. },
                    ..
                }
            ),
            "{error}"
        );
    }
}
