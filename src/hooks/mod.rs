//! The extension interface: registrar, envelope, paths, phases, facts, events.
