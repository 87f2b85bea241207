//! One socket and its task: receives, answers, tells observers, keeps time.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::codec::{Code, Kind, Message};
use super::dtls::Secure;
use super::keys::Keys;
use super::layer::{Inbound, Layer, Limits, Out, Owner, Ticket};
use super::observers::Observers;
use super::oscore::{Opened, Shield};
use super::reply::Reply;
use super::request::Request;
use super::verbs::{self, Outcome};
use super::watch::{State, Target};
use super::work::{Works, at_once, or_else};
use super::{Door, Wrapped, discovery, sockets, tell};
use crate::access::Identity;
use crate::engine::{Refusal, Signal, Subscription};

/// The largest datagram there is.
const LARGEST: usize = 65_535;
/// Datagrams taken in, and observers told, before the others get their turn.
const TURN: usize = 64;
/// How often what is of no use any more is forgotten.
const TIDY: Duration = Duration::from_secs(15);
/// Datagrams that may wait for a socket that takes no more; then the newest are lost, as on a wire.
const BACKLOG: usize = 16_384;

/// Endpoints that run, with the addresses they really have.
#[derive(Default)]
pub struct Running {
    pub addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// These endpoints and the other ones.
    pub fn and(mut self, other: Self) -> Self {
        self.addresses.extend(other.addresses);
        self.tasks.extend(other.tasks);
        self
    }

    /// Returns when all endpoints have stopped.
    pub async fn ended(self) {
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Opens a socket for each of the hosts (names or addresses, by commas) and serves on them; with
/// keys, by DTLS.
pub async fn start(
    door: &Arc<Door>,
    hosts: &str,
    port: u16,
    keys: Option<&Arc<Keys>>,
    stopping: &watch::Receiver<bool>,
) -> Result<Running, String> {
    let mut running = Running::default();
    for socket in sockets::bind(hosts, port).await? {
        running.addresses.push(socket.local_addr().map_err(|error| error.to_string())?);
        let secure = keys.map(|keys| Secure::new(keys.clone())).transpose()?;
        let interfaces = if secure.is_none() { &door.options.multicast[..] } else { &[] };
        let asked = sockets::join(&socket, interfaces)?;
        let endpoint = Endpoint::new(door.clone(), socket, secure, asked)?;
        running.tasks.push(tokio::spawn(endpoint.run(stopping.clone())));
    }
    Ok(running)
}

/// What came of something that did not end at once.
enum Finished {
    Request { ticket: Ticket, wants: Wants, outcome: Box<Outcome> },
    State { target: Target, state: Result<Option<State>, Refusal> },
}

/// What of a request still matters when it is answered.
#[derive(Clone, Default)]
pub(super) struct Wants {
    pub no_response: u8,
    /// Came to a group: then errors and empty answers are not sent.
    pub quiet: bool,
    /// What the answer is sealed with.
    pub shield: Option<Arc<Shield>>,
}

pub(super) struct Endpoint {
    pub(super) door: Arc<Door>,
    socket: UdpSocket,
    secure: Option<Secure>,
    /// What goes on the wire, where that is something else than `out`.
    sealed: Out,
    pub(super) layer: Layer,
    pub(super) observers: Observers,
    pub(super) out: Out,
    /// Observers to be told, in order.
    pub(super) to_tell: VecDeque<u64>,
    /// Observed resources as they were last seen; none when gone.
    pub(super) states: HashMap<Target, Option<Arc<State>>>,
    /// Resources that are being looked at; true when they must be looked at again.
    looking: HashMap<Target, bool>,
    /// The newest event that was heard of.
    newest: u64,
    /// Requests and looks that wait for something.
    under_way: Works<Finished>,
    /// While somebody observes: else every commit would wake this task for nothing.
    subscription: Option<Subscription>,
    /// What came to a group of nodes that this one is in.
    asked: mpsc::Receiver<(SocketAddr, Bytes)>,
    buffer: Box<[u8]>,
}

impl Endpoint {
    fn new(
        door: Arc<Door>,
        socket: UdpSocket,
        secure: Option<Secure>,
        asked: mpsc::Receiver<(SocketAddr, Bytes)>,
    ) -> Result<Self, String> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| format!("no random numbers: {error}"))?;
        let limits = Limits { in_flight: door.options.max_in_flight, ..Limits::default() };
        let observers = Observers::new(door.options.max_observers);
        Ok(Self {
            layer: Layer::new(door.options.timing, limits, u64::from_ne_bytes(seed)),
            door,
            socket,
            secure,
            sealed: Out::new(),
            observers,
            out: Out::new(),
            to_tell: VecDeque::new(),
            states: HashMap::new(),
            looking: HashMap::new(),
            newest: 0,
            under_way: Works::default(),
            subscription: None,
            asked,
            buffer: vec![0; LARGEST].into(),
        })
    }

    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut tidy = tokio::time::interval(TIDY);
        loop {
            self.flush();
            let deadline = self.layer.deadline();
            let timer = async {
                match deadline {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let signal = async {
                match &mut self.subscription {
                    Some(subscription) => subscription.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.socket.readable() => self.receive(),
                _ = self.socket.writable(), if !(self.out.is_empty() && self.sealed.is_empty()) => {}
                Some(finished) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.take_all(finished);
                }
                Some((peer, datagram)) = self.asked.recv() => {
                    discovery::asked(&mut self, peer, &datagram);
                }
                signal = signal => {
                    if !self.heard(signal) {
                        break;
                    }
                }
                () = timer => self.tick(),
                () = std::future::ready(()), if !self.to_tell.is_empty() => tell::some(&mut self),
                _ = tidy.tick() => self.tidy(),
                _ = stopping.wait_for(|stop| *stop) => break,
            }
        }
        self.drain().await;
    }

    /// Answers what is under way when the program stops; its shutdown deadline bounds this.
    async fn drain(&mut self) {
        while let Some(finished) = self.under_way.next().await {
            self.take_all(finished);
            self.flush();
        }
    }

    /// Sends what there is, until the socket takes no more.
    fn flush(&mut self) {
        if let Some(secure) = &mut self.secure {
            for (peer, message) in self.out.drain(..) {
                secure.seal(peer, &message, &mut self.sealed);
            }
        }
        let out = if self.secure.is_some() { &mut self.sealed } else { &mut self.out };
        while let Some((peer, bytes)) = out.front() {
            match self.socket.try_send_to(bytes, *peer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    out.truncate(BACKLOG);
                    return;
                }
                // A datagram that cannot be sent is a datagram that was lost.
                _ => {}
            }
            out.pop_front();
        }
    }

    fn receive(&mut self) {
        for _ in 0..TURN {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((length, peer)) => {
                    let datagram = Bytes::copy_from_slice(&self.buffer[..length]);
                    self.arrived(peer, datagram);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // An ICMP error about an earlier datagram; the message layer finds out by itself.
                Err(_) => {}
            }
        }
    }

    fn arrived(&mut self, peer: SocketAddr, datagram: Bytes) {
        let Some(secure) = &mut self.secure else { return self.datagram(peer, datagram, None) };
        for (plain, who) in secure.receive(Instant::now(), peer, datagram, &mut self.sealed) {
            self.datagram(peer, plain, Some(who));
        }
    }

    fn datagram(&mut self, peer: SocketAddr, datagram: Bytes, key: Option<Arc<Identity>>) {
        let now = Instant::now();
        match self.layer.receive(now, peer, &datagram, &mut self.out) {
            None => {}
            Some(Inbound::Acknowledged(owner)) => tell::acknowledged(self, now, peer, owner),
            Some(Inbound::Reset { mid, owner }) => tell::reset(self, peer, mid, owner),
            Some(Inbound::Request(message, ticket)) => {
                let opened = self.door.options.oscore.as_ref().and_then(|o| o.open(&message));
                match opened {
                    None => {
                        let wrapped = Wrapped { key, shield: None };
                        self.message(now, ticket, &message, &datagram, &datagram, wrapped);
                    }
                    Some(Ok(Opened { message: inner, shield })) => {
                        let Ok(message) = Message::decode(&inner) else { return };
                        let key = Some(shield.identity().clone());
                        let wrapped = Wrapped { key, shield: Some(shield) };
                        self.message(now, ticket, &message, &inner, &datagram, wrapped);
                    }
                    Some(Err(reply)) => {
                        let reply = self.door.shortened(peer, datagram.len(), reply);
                        self.layer.answer(now, &ticket, Some(&reply), &mut self.out);
                    }
                }
            }
        }
    }

    /// A message that is a request, read from `bytes`; `datagram` is what it came in.
    fn message(
        &mut self,
        now: Instant,
        ticket: Ticket,
        message: &Message<'_>,
        bytes: &Bytes,
        datagram: &Bytes,
        wrapped: Wrapped,
    ) {
        match Request::read(message, bytes) {
            Ok(request) => self.request(now, ticket, message.code, request, datagram, wrapped),
            Err(unfit) if unfit.option && ticket.kind == Kind::NonConfirmable => {
                self.layer.answer(now, &ticket, None, &mut self.out);
            }
            Err(unfit) => {
                let reply = Reply::error(unfit.code, unfit.why);
                let reply = self.door.shortened(ticket.peer, datagram.len(), reply);
                let wants = Wants { shield: wrapped.shield, ..Wants::default() };
                self.respond(now, &ticket, wants, reply.into());
            }
        }
    }

    fn request(
        &mut self,
        now: Instant,
        ticket: Ticket,
        code: Code,
        mut request: Request,
        datagram: &Bytes,
        wrapped: Wrapped,
    ) {
        let asks = |shield: &Arc<Shield>| !shield.observes() || shield.challenge().is_some();
        if wrapped.shield.as_ref().is_some_and(asks) {
            request.observe = None;
        }
        if request.observe == Some(1) && code == Code::GET {
            self.observers.leave((ticket.peer, ticket.token), wrapped.key.as_ref());
        }
        let wants = Wants {
            no_response: request.no_response,
            quiet: false,
            shield: wrapped.shield.clone(),
        };
        let call = match self.door.admit(code, request, ticket.peer, datagram.clone(), wrapped) {
            Ok(call) => call,
            Err(reply) => {
                let reply = self.door.shortened(ticket.peer, datagram.len(), reply);
                return self.respond(now, &ticket, wants, reply.into());
            }
        };
        let door = self.door.clone();
        let work = Box::pin(verbs::answer(door, call));
        match at_once(work) {
            Ok(outcome) => self.respond(now, &ticket, wants, outcome),
            Err(work) => self.later(now, ticket, wants, work),
        }
    }

    /// Lets work go on by itself; its outcome is the answer.
    pub(super) fn later(
        &mut self,
        now: Instant,
        ticket: Ticket,
        wants: Wants,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) {
        self.layer.defer(now, &ticket);
        let failed = || Reply::error(Code::INTERNAL_ERROR, "the handler failed\n").into();
        self.under_way.push(Box::pin(async move {
            let outcome = Box::new(or_else(work, failed).await);
            Finished::Request { ticket, wants, outcome }
        }));
    }

    /// What ends together is answered together.
    fn take_all(&mut self, first: Finished) {
        self.take(first);
        for _ in 1..TURN {
            let Some(Some(finished)) = self.under_way.next().now_or_never() else { return };
            self.take(finished);
        }
    }

    fn take(&mut self, finished: Finished) {
        match finished {
            Finished::Request { ticket, wants, outcome } => {
                self.layer.ended(&ticket);
                self.respond(Instant::now(), &ticket, wants, *outcome);
            }
            Finished::State { target, state } => self.seen(target, state),
        }
    }

    fn respond(&mut self, now: Instant, ticket: &Ticket, wants: Wants, outcome: Outcome) {
        if wants.quiet && !discovery::is_worth_telling(&outcome) {
            return self.layer.answer(now, ticket, None, &mut self.out);
        }
        let Outcome { mut reply, watch } = outcome;
        let mut begun = None;
        if let Some(watch) = watch.filter(|_| reply.code.class() == 2) {
            let target = watch.target.clone();
            let known = self.observers.is_watched(&target);
            let confirmable = ticket.kind == Kind::Confirmable;
            match self.observers.add(now, (ticket.peer, ticket.token), watch, confirmable) {
                Some(id) => {
                    self.layer.remember(now, ticket.peer);
                    let listen = || self.door.engine.listen(self.observers.watched(), None);
                    self.subscription.get_or_insert_with(listen);
                    begun = Some((id, target, known));
                }
                // No room: the response without the option says so (RFC 7641 §4.1).
                None => reply.observe = None,
            }
        }
        let unwanted = wants.no_response & 1 << (reply.code.class().max(1) - 1) != 0;
        if let Some(shield) = wants.shield.filter(|_| !unwanted) {
            reply = shield.seal(reply);
        }
        self.layer.answer(now, ticket, (!unwanted).then_some(&reply), &mut self.out);
        // What changed between the read and the registration is told now.
        match begun {
            Some((id, _, true)) => tell::soon(self, id),
            Some((_, target, false)) => {
                self.states.remove(&target);
                self.look(target);
            }
            None => {}
        }
    }

    fn heard(&mut self, signal: Signal) -> bool {
        match signal {
            Signal::Closed => return false,
            Signal::Lag { .. } => {
                self.observers.targets(false).into_iter().for_each(|t| self.look(t))
            }
            Signal::Events(events) => {
                for event in &events {
                    self.newest = self.newest.max(event.seq);
                    self.look(Target::World(event.path.clone()));
                }
                self.observers.targets(true).into_iter().for_each(|t| self.look(t));
            }
        }
        true
    }

    /// Finds out how a resource stands, once at a time.
    fn look(&mut self, target: Target) {
        if !self.observers.is_watched(&target) {
            return;
        }
        if let Some(again) = self.looking.get_mut(&target) {
            *again = true;
            return;
        }
        let (door, asked, at) = (self.door.clone(), target.clone(), self.newest);
        let work = Box::pin(async move { asked.state(&door, at).await });
        match at_once(work) {
            Ok(state) => self.known(target, state),
            Err(work) => {
                self.looking.insert(target.clone(), false);
                self.under_way.push(Box::pin(async move {
                    let state = or_else(work, || Err(Refusal::Overloaded)).await;
                    Finished::State { target, state }
                }));
            }
        }
    }

    fn seen(&mut self, target: Target, state: Result<Option<State>, Refusal>) {
        let again = self.looking.remove(&target).unwrap_or_default();
        self.known(target.clone(), state);
        if again {
            self.look(target);
        }
    }

    fn known(&mut self, target: Target, state: Result<Option<State>, Refusal>) {
        // A store that cannot be read now says nothing about the world.
        let Ok(state) = state else { return };
        let ids: Vec<u64> = self.observers.of_target(&target).collect();
        ids.into_iter().for_each(|id| tell::soon(self, id));
        if self.observers.is_watched(&target) {
            self.states.insert(target, state.map(Arc::new));
        }
    }

    fn tick(&mut self) {
        let (now, mut failed) = (Instant::now(), Vec::new());
        self.layer.tick(now, &mut self.out, &mut failed);
        for (peer, owner) in failed {
            if let Owner::Observer(id) = owner {
                self.observers.remove(id);
            }
            tell::release(self, peer);
        }
    }

    fn tidy(&mut self) {
        let now = Instant::now();
        let observers = &self.observers;
        self.subscription.take_if(|_| observers.is_empty());
        self.layer.tidy(now, |peer| observers.has_peer(peer));
        self.states.retain(|target, _| observers.is_watched(target));
        self.door.tidy(now);
        tell::check(self, now);
    }
}
