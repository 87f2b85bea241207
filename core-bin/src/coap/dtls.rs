//! DTLS 1.2 with pre-shared keys (RFC 7252 §9.1.3.1) by OpenSSL: datagrams in, datagrams out.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use lru::LruCache;
use openssl::ex_data::Index;
use openssl::ssl::{
    HandshakeError, MidHandshakeSslStream, Ssl, SslContext, SslMethod, SslOptions, SslStream,
    SslVersion,
};
use sha2::Sha256;

use super::keys::Keys;
use super::layer::Out;
use crate::access::Identity;

/// What RFC 7252 asks for first; OpenSSL counts its short tag as too weak above level 0.
const CIPHERS: &str = "PSK-AES128-CCM8:PSK-AES128-CCM:PSK-AES128-GCM-SHA256:\
                       ECDHE-PSK-CHACHA20-POLY1305:@SECLEVEL=0";
/// Bytes of a datagram that needs no fragments on any common link.
const MTU: u32 = 1400;
const MOST_SESSIONS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
const MOST_HANDSHAKES: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// A handshake that is not done by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest record.
const RECORD: usize = 16 * 1024;

/// All sessions of one socket.
pub struct Secure {
    context: SslContext,
    peer: Index<Ssl, SocketAddr>,
    keys: Arc<Keys>,
    open: LruCache<SocketAddr, Session>,
    handshakes: LruCache<SocketAddr, (Instant, MidHandshakeSslStream<Pipe>)>,
}

struct Session {
    stream: SslStream<Pipe>,
    identity: Arc<Identity>,
}

/// The wire as OpenSSL sees it: one read or write is one datagram.
#[derive(Debug, Default)]
struct Pipe {
    incoming: VecDeque<Bytes>,
    outgoing: Vec<Bytes>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(datagram) = self.incoming.pop_front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.push(Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Secure {
    pub fn new(keys: Arc<Keys>) -> Result<Self, String> {
        let failed = |error: openssl::error::ErrorStack| format!("DTLS: {error}");
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| format!("no random numbers: {error}"))?;
        let peer = Ssl::new_ex_index().map_err(failed)?;
        let mut context = SslContext::builder(SslMethod::dtls_server()).map_err(failed)?;
        context.set_min_proto_version(Some(SslVersion::DTLS1_2)).map_err(failed)?;
        context.set_cipher_list(CIPHERS).map_err(failed)?;
        // Who has not shown that it receives at its address costs no handshake (RFC 6347 §4.2.1).
        context.set_options(SslOptions::COOKIE_EXCHANGE | SslOptions::NO_QUERY_MTU);
        context.set_cookie_generate_cb(move |ssl, out| {
            let cookie = cookie(&secret, ssl.ex_data(peer));
            out[..cookie.len()].copy_from_slice(&cookie);
            Ok(cookie.len())
        });
        context.set_cookie_verify_cb(move |ssl, given| given == cookie(&secret, ssl.ex_data(peer)));
        let known = keys.clone();
        context.set_psk_server_callback(move |_, identity, out| {
            let Some((key, _)) = identity.and_then(|name| known.find(name)) else { return Ok(0) };
            let Some(out) = out.get_mut(..key.len()) else { return Ok(0) };
            out.copy_from_slice(key);
            Ok(key.len())
        });
        Ok(Self {
            context: context.build(),
            peer,
            keys,
            open: LruCache::new(MOST_SESSIONS),
            handshakes: LruCache::new(MOST_HANDSHAKES),
        })
    }

    /// Takes in a datagram; what was inside, and who sent it.
    pub fn receive(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        datagram: Bytes,
        out: &mut Out,
    ) -> Vec<(Bytes, Arc<Identity>)> {
        let kind = datagram.first().copied().unwrap_or_default();
        if is_hello(&datagram) || (kind != APPLICATION_DATA && self.handshakes.contains(&peer)) {
            self.shake(now, peer, datagram, out);
            return Vec::new();
        }
        self.read(peer, datagram, out)
    }

    /// The datagrams that carry a message to a peer; none when there is no session.
    pub fn seal(&mut self, peer: SocketAddr, message: &[u8], out: &mut Out) {
        let Some(session) = self.open.get_mut(&peer) else { return };
        // A failure is a lost datagram: the message layer sends it again.
        let _ = session.stream.ssl_write(message);
        drain(peer, session.stream.get_mut(), out);
    }

    fn shake(&mut self, now: Instant, peer: SocketAddr, datagram: Bytes, out: &mut Out) {
        let result = match self.handshakes.pop(&peer) {
            Some((begun, mut mid)) if now.duration_since(begun) < PATIENCE => {
                mid.get_mut().incoming.push_back(datagram);
                mid.handshake()
            }
            _ => {
                let pipe = Pipe { incoming: [datagram].into(), ..Pipe::default() };
                match self.ssl(peer) {
                    Ok(ssl) => ssl.accept(pipe),
                    Err(error) => Err(error.into()),
                }
            }
        };
        match result {
            Ok(mut stream) => {
                drain(peer, stream.get_mut(), out);
                let name = stream.ssl().psk_identity();
                let Some((_, identity)) = name.and_then(|name| self.keys.find(name)) else {
                    return;
                };
                let session = Session { identity: identity.clone(), stream };
                self.open.put(peer, session);
            }
            Err(HandshakeError::WouldBlock(mut mid)) => {
                drain(peer, mid.get_mut(), out);
                self.handshakes.put(peer, (now, mid));
            }
            Err(HandshakeError::Failure(mut mid)) => drain(peer, mid.get_mut(), out),
            Err(HandshakeError::SetupFailure(_)) => {}
        }
    }

    fn ssl(&self, peer: SocketAddr) -> Result<Ssl, openssl::error::ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_ex_data(self.peer, peer);
        ssl.set_mtu(MTU)?;
        Ok(ssl)
    }

    fn read(
        &mut self,
        peer: SocketAddr,
        datagram: Bytes,
        out: &mut Out,
    ) -> Vec<(Bytes, Arc<Identity>)> {
        let mut found = Vec::new();
        let Some(session) = self.open.get_mut(&peer) else { return found };
        session.stream.get_mut().incoming.push_back(datagram);
        let mut buffer = [0; RECORD];
        let ended = loop {
            match session.stream.ssl_read(&mut buffer) {
                Ok(length) => {
                    let plain = Bytes::copy_from_slice(&buffer[..length]);
                    found.push((plain, session.identity.clone()));
                }
                Err(error) if error.code() == openssl::ssl::ErrorCode::WANT_READ => break false,
                Err(_) => break true,
            }
        };
        drain(peer, session.stream.get_mut(), out);
        if ended {
            self.open.pop(&peer);
        }
        found
    }
}

const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// A ClientHello that begins a handshake: its record, epoch 0, and its message (RFC 6347 §4.1).
fn is_hello(datagram: &[u8]) -> bool {
    matches!(datagram, [HANDSHAKE, _, _, 0, 0, _, _, _, _, _, _, _, _, 1, ..])
}

fn drain(peer: SocketAddr, pipe: &mut Pipe, out: &mut Out) {
    out.extend(pipe.outgoing.drain(..).map(|bytes| (peer, bytes)));
}

fn cookie(secret: &[u8; 32], peer: Option<&SocketAddr>) -> [u8; 16] {
    let mut short = [0; 16];
    let (Ok(mut mac), Some(peer)) = (Hmac::<Sha256>::new_from_slice(secret), peer) else {
        return short;
    };
    mac.update(peer.to_string().as_bytes());
    short.copy_from_slice(&mac.finalize().into_bytes()[..16]);
    short
}
