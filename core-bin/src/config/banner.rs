//! What the program says when it has started (core.md §1.3).

use std::fmt::Write;
use std::net::SocketAddr;

use super::Config;
use crate::http::Address;

impl Config {
    /// The lines for stderr, with the addresses that are really listened on.
    pub fn banner(&self, version: &str, addresses: &[Address]) -> String {
        let mut urls = addresses.iter().map(|address| self.url(address));
        let first = urls.next().unwrap_or_default();
        let mut out = format!("elastik-core v{version} on {first}\n");
        for url in urls {
            let _ = writeln!(out, "also on: {url}");
        }
        let data = std::path::absolute(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone());
        let _ = writeln!(out, "data:    {}", data.display());
        out.push_str("auth:\n");
        let tokens = &self.tokens;
        tier(&mut out, "read:   ", tokens.has_read(), "public (ELASTIK_READ_TOKEN not set)");
        tier(&mut out, "write:  ", tokens.has_write(), "disabled (ELASTIK_WRITE_TOKEN not set)");
        let approve = "disabled (ELASTIK_APPROVE_TOKEN not set)";
        tier(&mut out, "approve:", tokens.has_approve(), approve);
        for warning in &self.warnings {
            let _ = writeln!(out, "  warning: {warning}");
        }
        if !tokens.has_read() {
            for address in addresses.iter().filter_map(open) {
                let _ = writeln!(
                    out,
                    "  WARNING: reads are public on non-loopback interface {}; set \
                     ELASTIK_READ_TOKEN to gate reads.",
                    address.ip()
                );
            }
        }
        out
    }

    fn url(&self, address: &Address) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match address {
            Address::Tcp(Some(address)) => format!("{scheme}://{address}/"),
            Address::Tcp(None) => "an unknown address".to_owned(),
            Address::Unix(Some(path)) => format!("unix:{}", path.display()),
            Address::Unix(None) => "an unnamed Unix socket".to_owned(),
        }
    }
}

/// An address that others can reach.
fn open(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Tcp(Some(address)) if !address.ip().is_loopback() => Some(*address),
        _ => None,
    }
}

/// The lines of the CoAP door: ours, and those that 8.3's users look for.
pub fn coap_banner(addresses: &[SocketAddr], secure: &[SocketAddr]) -> String {
    let mut out = String::new();
    for address in addresses {
        let _ = writeln!(out, "coap:    coap://{address}/");
        let _ = writeln!(out, "scoap: listening on coap://{address}/");
    }
    for address in secure {
        let _ = writeln!(out, "coaps:   coaps://{address}/");
    }
    out.push_str("scoap: UDP curl surface; auth option 65001 maps to token tier\n");
    out
}

fn tier(out: &mut String, name: &str, is_set: bool, otherwise: &str) {
    let _ = writeln!(out, "  {name} {}", if is_set { "token required" } else { otherwise });
}
