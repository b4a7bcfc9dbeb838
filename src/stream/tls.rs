//! What the machine is told of the connection below it: the peer, its TLS, and what can be bound to (RFC 5929, RFC 9266).

/// Who connected, as far as the socket knows.
#[derive(Clone, Debug)]
pub struct Peer {
    /// A loopback listener or a trusted proxy: TLS is not demanded, and without it nothing can be bound to.
    pub secure_by_place: bool,
    /// Whether STARTTLS can be done here (not behind a proxy that ends TLS).
    pub starttls: bool,
    /// For the log, nothing else.
    pub address: String,
}

/// Protocol version of a TLS connection; older ones never get this far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// A finished TLS handshake.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The version agreed on.
    pub version: TlsVersion,
    /// The name in the client's SNI.
    pub server_name: Option<String>,
    /// The ALPN protocol agreed on.
    pub alpn: Option<Vec<u8>>,
    /// The `tls-exporter` value (RFC 9266). Only for TLS 1.3, or 1.2 with extended master secret.
    pub exporter: Option<[u8; 32]>,
    /// The `tls-server-end-point` value: our certificate, hashed (RFC 5929 §4).
    pub end_point: Option<Vec<u8>>,
    /// The peer's certificate chain (DER), its own first; empty without.
    pub peer_chain: Vec<Vec<u8>>,
}

/// The channel bindings a connection offers, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings(Vec<(&'static str, Vec<u8>)>);

impl Bindings {
    /// What `tls` can be bound to; without TLS, nothing.
    pub fn of(tls: Option<&Tls>) -> Bindings {
        let Some(tls) = tls else {
            return Bindings::default();
        };
        let exporter = tls.exporter.map(|value| ("tls-exporter", value.to_vec()));
        let end_point = tls.end_point.clone();
        let end_point = end_point.map(|value| ("tls-server-end-point", value));
        Bindings(exporter.into_iter().chain(end_point).collect())
    }

    /// The names, for XEP-0440 and XEP-0474.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|(name, _)| *name)
    }

    /// The data of one binding, if it is offered.
    pub fn data(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(offered, _)| *offered == name);
        found.map(|(_, data)| data.as_slice())
    }

    /// Whether there is nothing to bind to.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
