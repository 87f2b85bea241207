//! Elastik's core: worlds (bytes and headers at a path), kept, audited and told to whoever listens.
//!
//! ```text
//!   http, coap  (sodp later)     doors: parse, authorise, map to verbs, encode
//!     engine                     verbs, one commit path, one event hub
//!       store, audit, path       drivers (sqlite, memory), pure chain functions, names
//! ```
//! Imports go downwards only; a door never names `store`: the engine re-exports what it may see.

pub mod access;
pub mod audit;
pub mod coap;
pub mod config;
pub mod descriptors;
pub mod engine;
pub mod http;
pub mod maintain;
pub mod path;
pub mod pattern;
pub mod stop;
pub mod store;
pub mod time;

/// The version that `/proc/version` and the banner print.
pub const VERSION: &str = "9.0.0.dev0";
