//! Stands in for DTLS where the core is built without it: there is no such thing to make.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::keys::Keys;
use super::layer::Out;
use crate::access::Identity;

pub enum Secure {}

impl Secure {
    pub fn new(_: Arc<Keys>) -> Result<Self, String> {
        Err("this core was built without DTLS (cargo build --features dtls)".to_owned())
    }

    pub fn receive(
        &mut self,
        _: Instant,
        _: SocketAddr,
        _: Bytes,
        _: &mut Out,
    ) -> Vec<(Bytes, Arc<Identity>)> {
        match *self {}
    }

    pub fn seal(&mut self, _: SocketAddr, _: &[u8], _: &mut Out) {
        match *self {}
    }
}
