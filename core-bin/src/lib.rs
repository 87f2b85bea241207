//! Elastik's core: worlds (bytes and headers at a path), kept, audited and told to whoever listens.

pub mod path;
