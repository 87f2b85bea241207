//! The program: settings, engine, door, signals, exit codes.

use std::process::ExitCode;
use std::sync::Arc;

use elastik_core::config::{self, Command, Config, Failure};
use elastik_core::engine::{self, Engine};
use elastik_core::http::{self, Door, Limits, Options};
use elastik_core::{VERSION, maintain, stop};
use tokio::net::TcpListener;
use tokio::sync::watch;

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
    let eof = config.exit_on_eof.map(stop::watch_descriptor).transpose()?;
    let engine = Engine::open(engine_settings(&config))
        .map_err(|error| format!("build Engine failed: {}", error.0))?;
    let deadline = config.shutdown_deadline;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("no threads: {error}"))?;
    let outcome = runtime.block_on(serve(config, engine.clone(), eof));
    // Requests that outlived the deadline end here, before the store closes.
    runtime.shutdown_background();
    let closed = engine.close(deadline);
    outcome.and(closed)
}

fn engine_settings(config: &Config) -> engine::Settings {
    engine::Settings {
        data_dir: config.data_dir.clone(),
        key: config.key.clone(),
        older_keys: config.older_keys.clone(),
        max_world_bytes: config.max_world_bytes,
        max_memory_bytes: config.max_memory_bytes,
        max_storage_bytes: config.max_storage_bytes,
        max_group_worlds: config.max_group_worlds,
        max_group_bytes: config.max_group_bytes,
        ring_events: config.listen_replay_max,
        cache_bytes: config.read_cache_bytes,
        cache_entries: config.read_cache_max_entries,
    }
}

async fn serve(config: Config, engine: Engine, eof: Option<stop::Eof>) -> Result<(), String> {
    let listener = bind(&config.host, config.port).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    eprint!("{}", config.banner(VERSION, address));
    let limits = Limits {
        connections: config.max_connections,
        head: config.head_timeout,
        write: config.write_timeout,
        shutdown: config.shutdown_deadline,
    };
    let options = Options {
        tokens: config.tokens,
        persist_headers: config.persist_headers,
        deny_headers: config.deny_headers,
        body_timeout: config.body_timeout,
        heartbeat: config.heartbeat,
        max_listen_connections: config.max_listen_connections,
        trace: config.trace,
    };
    let (stop, stopping) = watch::channel(false);
    let door = Arc::new(Door::new(engine.clone(), options, stopping));
    let server = tokio::spawn(http::serve(listener, door, limits));
    let outcome = stop::reason(&engine, eof, limits.shutdown).await;
    let _ = stop.send(true);
    server.await.map_err(|error| format!("server failed: {error}"))?;
    outcome
}

async fn bind(host: &str, port: u16) -> Result<TcpListener, String> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    TcpListener::bind((bare, port))
        .await
        .map_err(|error| format!("bind {host}:{port} failed: {error}"))
}
