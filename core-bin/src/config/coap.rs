//! The settings of the CoAP door (core.md §1.1).

use std::path::PathBuf;
use std::time::Duration;

use super::{Reader, values};

/// The CoAP door as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Coap {
    /// Names or addresses, by commas.
    pub host: String,
    pub port: u16,
    pub max_in_flight: usize,
    pub max_observers: usize,
    pub plain_tokens: bool,
    pub ack_timeout: Duration,
    pub max_retransmit: u32,
    pub nstart: usize,
    pub observer_check: Duration,
    /// The keys of boards, and the port where they are asked for.
    pub psk_file: Option<PathBuf>,
    pub secure_port: u16,
    /// The security contexts of boards.
    pub oscore_file: Option<PathBuf>,
    /// Interfaces where it may be discovered.
    pub multicast: Vec<String>,
}

impl Reader<'_> {
    /// None: there shall be no such door.
    pub(super) fn coap(&self, warnings: &mut Vec<String>) -> Result<Option<Coap>, String> {
        let Some(given) = self.given("coap-port")?.filter(|given| !given.text.is_empty()) else {
            return Ok(None);
        };
        // As in 8.3, a wrong port takes this door away, not the program.
        let Ok(port) = values::port(Some(&given), 0) else {
            warnings.push(format!("{} must be a UDP port number; CoAP is off", given.source));
            return Ok(None);
        };
        let host = self.given("coap-host")?.map(|given| given.text);
        let multicast = self.given("coap-multicast")?.map(|given| given.text).unwrap_or_default();
        let multicast = multicast.split(',').map(str::trim).filter(|name| !name.is_empty());
        let retransmit = self.count("coap-max-retransmit", 4)?;
        let second = Duration::from_secs(1);
        let positive = |time: Duration, default| if time.is_zero() { default } else { time };
        Ok(Some(Coap {
            host: host.filter(|host| !host.is_empty()).unwrap_or("127.0.0.1".into()),
            port,
            max_in_flight: self.count("coap-max-in-flight", 1024)?,
            max_observers: self.count("coap-max-observers", 16_384)?,
            plain_tokens: values::switch(self.given("coap-plain-token")?.as_ref())?,
            ack_timeout: positive(self.seconds("coap-ack-timeout", 2)?, 2 * second),
            // More would be weeks.
            max_retransmit: retransmit.min(16) as u32,
            nstart: self.count("coap-nstart", 1)?,
            observer_check: positive(self.seconds("coap-observer-check", 86_400)?, 86_400 * second),
            psk_file: self.given("coap-psk-file")?.map(|given| given.text.into()),
            oscore_file: self.given("coap-oscore-file")?.map(|given| given.text.into()),
            multicast: multicast.map(str::to_owned).collect(),
            secure_port: values::port(self.given("coaps-port")?.as_ref(), 5684)?,
        }))
    }
}
