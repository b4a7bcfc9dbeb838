//! Sockets: listeners, TLS and certificates, the connection driver.
