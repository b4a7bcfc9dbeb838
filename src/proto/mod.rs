//! Values of XMPP without I/O: addresses, stanzas, errors, namespaces, small payloads.
