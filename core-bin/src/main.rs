//! The program: settings, engine, door, signals, exit codes.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use elastik_core::access::Tokens;
use elastik_core::config::{self, Coap, Command, Config, Failure};
use elastik_core::engine::{self, Engine};
use elastik_core::http::{self, Door, Limits, Listener, Options, Tls};
use elastik_core::{VERSION, coap, descriptors, maintain, stop};
use tokio::runtime::Handle;
use tokio::signal::unix::SignalKind;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// Requests are taken in by one thread and answered by another: a heap for many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    // What does not begin with a dash is work on a data directory, without a server.
    if args.first().is_some_and(|arg| !arg.as_encoded_bytes().starts_with(b"-")) {
        return maintain::main(&args).into();
    }
    let config = match config::load(args, |name| std::env::var_os(name)) {
        Ok(Command::Run(config)) => *config,
        Ok(Command::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Failure::Usage(text)) => return failed(2, &text),
        Err(Failure::Setting(text)) => return failed(1, &text),
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => failed(1, &text),
    }
}

fn failed(code: u8, text: &str) -> ExitCode {
    eprintln!("elastik-core: {text}");
    ExitCode::from(code)
}

/// Runs until a signal, the end of the watched descriptor or a failure of the store.
fn run(config: Config) -> Result<(), String> {
    descriptors::allow_many();
    let eof = config.exit_on_eof.map(stop::watch_descriptor).transpose()?;
    let engine = Engine::open(engine_settings(&config))
        .map_err(|error| format!("build Engine failed: {}", error.0))?;
    let deadline = config.shutdown_deadline;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("no threads: {error}"))?;
    let thread = config.coap.as_ref().map(|_| coap_thread()).transpose();
    let (thread, coap_runs) = thread.map_err(|error| format!("no threads: {error}"))?.unzip();
    let outcome = runtime.block_on(serve(config, engine.clone(), eof, thread));
    // Requests that outlived the deadline end here, before the store closes.
    runtime.shutdown_background();
    drop(coap_runs);
    let closed = engine.close(deadline);
    outcome.and(closed)
}

/// A thread for the sockets of CoAP, until what is returned beside it is dropped. Among several
/// threads one is woken by another for each batch of answers, and on a small machine that is time.
fn coap_thread() -> io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (runs, ended) = oneshot::channel();
    let run = move || {
        let _ = runtime.block_on(ended);
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("coap".to_owned()).spawn(run)?;
    Ok((handle, runs))
}

fn engine_settings(config: &Config) -> engine::Settings {
    engine::Settings {
        data_dir: config.data_dir.clone(),
        key: config.key.clone(),
        older_keys: config.older_keys.clone(),
        max_world_bytes: config.max_world_bytes,
        max_memory_bytes: config.max_memory_bytes,
        max_storage_bytes: config.max_storage_bytes,
        rules: config.rules.clone(),
        max_group_worlds: config.max_group_worlds,
        max_group_bytes: config.max_group_bytes,
        ring_events: config.listen_replay_max,
        cache_bytes: config.read_cache_bytes,
        cache_entries: config.read_cache_max_entries,
        read_only: config.read_only,
        scrub_pause: config.scrub_pause,
        announce: |text| eprintln!("elastik-core: {text}"),
    }
}

async fn serve(
    config: Config,
    engine: Engine,
    eof: Option<stop::Eof>,
    coap_thread: Option<Handle>,
) -> Result<(), String> {
    // Whoever reads the banner may send a signal at once.
    let asks = stop::Asks::new()?;
    let listeners = listen(&config).await?;
    let tls = match config.tls.clone() {
        Some((cert, key)) => Some(Arc::new(Tls::load(cert, key)?)),
        None => None,
    };
    let addresses: Vec<_> = listeners.iter().map(Listener::address).collect();
    let (stop, stopping) = watch::channel(false);
    let coap_stopping = stopping.clone();
    let options = door_options(&config, config.all_tokens()?);
    let door = Arc::new(Door::new(engine.clone(), options, stopping));
    let limits = Limits {
        connections: config.max_connections,
        head: config.head_timeout,
        write: config.write_timeout,
        // The last tenth is for the store to close.
        shutdown: config.shutdown_deadline.mul_f64(0.9),
    };
    let server = tokio::spawn(http::serve(listeners, tls.clone(), door.clone(), limits));
    eprint!("{}", config.banner(VERSION, &addresses));
    let coap = match config.coap.clone().zip(coap_thread) {
        Some((settings, thread)) => {
            let (data_dir, tokens) = (config.data_dir.clone(), config.all_tokens()?);
            let open = open_coap(settings, data_dir, tokens, engine.clone(), coap_stopping);
            thread.spawn(open).await.map_err(|error| format!("coap failed: {error}"))?
        }
        None => None,
    };
    let coap_door = coap.as_ref().map(|(door, _)| door.clone());
    let outcome = tokio::select! {
        outcome = stop::reason(asks, &engine, eof, limits.shutdown) => outcome,
        never = reload(&config, tls, &door, coap_door) => never,
    };
    let _ = stop.send(true);
    server.await.map_err(|error| format!("server failed: {error}"))?;
    if let Some((_, running)) = coap {
        let _ = timeout(limits.shutdown, running.ended()).await;
    }
    outcome
}

/// Opens the CoAP door; without it the rest works on, as in 8.3.
async fn open_coap(
    settings: Coap,
    data_dir: PathBuf,
    tokens: Tokens,
    engine: Engine,
    stopping: watch::Receiver<bool>,
) -> Option<(Arc<coap::Door>, coap::Running)> {
    let options = coap::Options {
        plain_tokens: settings.plain_tokens,
        timing: coap::Timing {
            ack_timeout: settings.ack_timeout,
            max_retransmit: settings.max_retransmit,
            nstart: settings.nstart,
            ..coap::Timing::default()
        },
        max_in_flight: settings.max_in_flight,
        max_observers: settings.max_observers,
        observer_check: settings.observer_check,
        multicast: settings.multicast.clone(),
        oscore: None,
    };
    let open = async || {
        let contexts = settings.oscore_file.as_deref();
        let oscore = contexts.map(|file| coap::Oscore::load(file, &data_dir, SystemTime::now()));
        let options = coap::Options { oscore: oscore.transpose()?, ..options };
        let door = Arc::new(coap::Door::new(engine.clone(), tokens, options)?);
        let keys = settings.psk_file.as_deref().map(coap::Keys::load).transpose()?;
        let (hosts, port) = (&settings.host, settings.port);
        let plain = coap::start(&door, hosts, port, None, &stopping).await?;
        let secure = match &keys {
            None => coap::Running::default(),
            Some(_) => {
                let port = settings.secure_port;
                coap::start(&door, hosts, port, keys.as_ref(), &stopping).await?
            }
        };
        eprint!("{}", config::coap_banner(&plain.addresses, &secure.addresses));
        Ok::<_, String>((door, plain.and(secure)))
    };
    match open().await {
        Ok(opened) => Some(opened),
        Err(error) => {
            eprintln!("elastik-core: {error}; CoAP is off");
            None
        }
    }
}

/// Sockets that a service manager opened take the place of the TCP address.
async fn listen(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    for fd in descriptors::sockets(|name| std::env::var(name).ok())? {
        let inherited = Listener::inherited(fd);
        listeners.push(inherited.map_err(|error| format!("LISTEN_FDS: no socket: {error}"))?);
    }
    if listeners.is_empty() {
        listeners.push(Listener::tcp(&config.host, config.port).await?);
    }
    if let Some(path) = &config.unix_socket {
        listeners.push(Listener::unix(path)?);
    }
    Ok(listeners)
}

fn door_options(config: &Config, tokens: Tokens) -> Options {
    Options {
        tokens,
        persist_headers: config.persist_headers.clone(),
        deny_headers: config.deny_headers.clone(),
        cors_origins: config.cors_origins.clone(),
        content_security_policy: config.content_security_policy.clone(),
        compress: config.compress,
        body_timeout: config.body_timeout,
        heartbeat: config.heartbeat,
        max_listen_connections: config.max_listen_connections,
        min_free: config.min_free,
        access_log: config.access_log,
    }
}

/// Reads the tokens file and the certificate again at each SIGHUP; what is no good changes
/// nothing. Without either, the signal keeps its usual meaning.
async fn reload(
    config: &Config,
    tls: Option<Arc<Tls>>,
    door: &Door,
    coap: Option<Arc<coap::Door>>,
) -> Result<(), String> {
    if config.tokens_file.is_none() && tls.is_none() {
        return std::future::pending().await;
    }
    let mut hangups = stop::on(SignalKind::hangup())?;
    while hangups.recv().await.is_some() {
        let tokens = config.all_tokens().map(|tokens| {
            if let Some(coap) = &coap {
                coap.set_tokens(tokens.clone());
            }
            door.set_tokens(tokens);
        });
        let certificate = tls.as_ref().map_or(Ok(()), |tls| tls.reload());
        match tokens.and(certificate) {
            Ok(()) => eprintln!("elastik-core: reloaded"),
            Err(error) => eprintln!("elastik-core: reload failed, going on as before: {error}"),
        }
    }
    std::future::pending().await
}
