//! Where an address lives: the session directory and the bus between nodes, as traits; one local engine.
