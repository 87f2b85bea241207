//! Why the program stops: a signal, the end of a watched descriptor, a store that failed.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{interval, sleep};

use crate::descriptors;
use crate::engine::Engine;

/// How often the store is asked whether it still takes writes.
const LOOK: Duration = Duration::from_millis(500);

/// Comes when the watched descriptor has ended.
pub type Eof = oneshot::Receiver<()>;

/// Watches an inherited descriptor from a thread of its own: when its other ends are all closed,
/// the parent is gone.
pub fn watch_descriptor(fd: i32) -> Result<Eof, String> {
    let mut file = File::from(descriptors::inherited(fd)?);
    let (sender, receiver) = oneshot::channel();
    let watch = move || {
        let mut buffer = [0; 64];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK),
                Err(_) => break,
            }
        }
        let _ = sender.send(());
    };
    std::thread::Builder::new()
        .name("exit-on-eof".into())
        .spawn(watch)
        .map_err(|error| format!("no thread to watch a file descriptor: {error}"))?;
    Ok(receiver)
}

/// The signals that ask the program to stop, handled from now on.
pub struct Asks {
    term: Signal,
    int: Signal,
}

impl Asks {
    pub fn new() -> Result<Self, String> {
        Ok(Self { term: on(SignalKind::terminate())?, int: on(SignalKind::interrupt())? })
    }
}

/// Waits for the reason to stop. An `Err` makes the exit code 1.
pub async fn reason(
    asks: Asks,
    engine: &Engine,
    eof: Option<Eof>,
    grace: Duration,
) -> Result<(), String> {
    let Asks { mut term, mut int } = asks;
    let asked = async {
        tokio::select! {
            _ = term.recv() => eprintln!("elastik-core: shutdown signal received"),
            _ = int.recv() => eprintln!("elastik-core: shutdown signal received"),
            () = ended(eof) => eprintln!("elastik-core: parent is gone, stopping"),
        }
    };
    tokio::pin!(asked);
    tokio::select! {
        () = &mut asked => match engine.stopped() {
            None => Ok(()),
            Some(why) => Err(format!("durable writes stopped: {why}")),
        },
        why = failed(engine) => {
            eprintln!("elastik-core: durable writes stopped: {why}");
            // Readers get some time to take what they need; as long as they like where another
            // start would find the same damage.
            tokio::select! {
                () = &mut asked => {}
                () = sleep(grace), if !engine.is_damaged() => {}
            }
            Err(format!("durable writes stopped: {why}"))
        }
    }
}

pub fn on(kind: SignalKind) -> Result<Signal, String> {
    signal(kind).map_err(|error| format!("no signal handler: {error}"))
}

async fn ended(eof: Option<Eof>) {
    match eof {
        Some(eof) => {
            let _ = eof.await;
        }
        None => std::future::pending().await,
    }
}

async fn failed(engine: &Engine) -> String {
    let mut ticks = interval(LOOK);
    loop {
        ticks.tick().await;
        if let Some(why) = engine.stopped() {
            return why.to_string();
        }
    }
}
