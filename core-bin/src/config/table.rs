//! The one table of settings: flags, variables, `--help` and the documents all come from it.

/// One setting as its user sees it.
pub struct Setting {
    /// `--<name>`; a secret has `--<name>-file` only.
    pub name: &'static str,
    /// The environment variable; a secret has `<variable>_FILE` besides.
    pub variable: &'static str,
    /// What holds when nothing is given, in words or as a value.
    pub default: &'static str,
    /// What the value is: `bytes`, `seconds`, `count`, …
    pub unit: &'static str,
    pub help: &'static str,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// Never on the command line: a variable or a file.
    Secret,
    /// A flag without a value; the variable is `1` or `0`.
    Switch,
}

const fn plain(
    name: &'static str,
    variable: &'static str,
    default: &'static str,
    unit: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, variable, default, unit, help, kind: Kind::Plain }
}

const fn secret(
    name: &'static str,
    variable: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, variable, default, unit: "secret", help, kind: Kind::Secret }
}

const fn switch(name: &'static str, variable: &'static str, help: &'static str) -> Setting {
    Setting { name, variable, default: "off", unit: "switch", help, kind: Kind::Switch }
}

/// A page may run its own scripts and talk to this core, and to nobody else.
pub const DEFAULT_CSP: &str = "default-src 'self' 'unsafe-inline' data: blob:; \
                               form-action 'self'; frame-ancestors 'self'";

pub const SETTINGS: &[Setting] = &[
    secret("key", "ELASTIK_KEY", "required", "audit key, byte for byte; 32 bytes or more"),
    plain(
        "keyring",
        "ELASTIK_KEYRING",
        "",
        "path",
        "directory of older keys, a file each, to verify what was written under them",
    ),
    secret("read-token", "ELASTIK_READ_TOKEN", "reads are public", "token that may read"),
    secret(
        "write-token",
        "ELASTIK_WRITE_TOKEN",
        "only the approve token writes",
        "token that may read and write",
    ),
    secret(
        "approve-token",
        "ELASTIK_APPROVE_TOKEN",
        "no DELETE, no system writes",
        "token that may do everything",
    ),
    plain("host", "ELASTIK_HOST", "127.0.0.1", "address", "name or address to listen on"),
    plain("port", "ELASTIK_PORT", "3105", "port", "TCP port; 0 takes a free one and prints it"),
    plain("data-dir", "ELASTIK_DATA", "data", "path", "data directory, made when missing"),
    plain(
        "max-world-bytes",
        "ELASTIK_MAX_WORLD_BYTES",
        "67108864",
        "bytes",
        "largest body of one world; 0 allows empty bodies only",
    ),
    plain(
        "max-memory-bytes",
        "ELASTIK_MAX_MEMORY_BYTES",
        "268435456",
        "bytes",
        "all bodies under tmp, dev and sys; 0 allows empty bodies only",
    ),
    plain(
        "max-storage-bytes",
        "ELASTIK_MAX_STORAGE_BYTES",
        "unlimited",
        "bytes",
        "all bodies on disk; 0 is unlimited",
    ),
    plain(
        "quota",
        "ELASTIK_QUOTA",
        "none",
        "rules",
        "what all bodies under a prefix may take together: PREFIX*=10MiB, by commas",
    ),
    plain(
        "history",
        "ELASTIK_HISTORY",
        "none kept",
        "rules",
        "old versions to keep: PATTERN=20, =30d or =10MiB, by commas; several limits all hold",
    ),
    plain(
        "max-history-bytes",
        "ELASTIK_MAX_HISTORY_BYTES",
        "unlimited",
        "bytes",
        "all old versions together, the oldest go first; 0 is unlimited",
    ),
    plain(
        "max-log-rows",
        "ELASTIK_MAX_LOG_ROWS",
        "unlimited",
        "count",
        "rows of the log to keep; it is pruned (audited) when it has a tenth more; 0 is unlimited",
    ),
    plain(
        "lifetime",
        "ELASTIK_LIFETIME",
        "for ever",
        "rules",
        "how long worlds live after a PUT: PATTERN=90s, =12h or =30d, by commas",
    ),
    switch(
        "read-only",
        "ELASTIK_READ_ONLY",
        "serve a copy or a backup; nothing durable is written",
    ),
    plain(
        "scrub-pause",
        "ELASTIK_SCRUB_PAUSE",
        "86400",
        "seconds",
        "between two checks of all worlds in the background; 0 is none",
    ),
    plain(
        "max-group-worlds",
        "ELASTIK_MAX_GROUP_WORLDS",
        "10000",
        "count",
        "worlds in one atomic change; 0 is the default",
    ),
    plain(
        "max-group-bytes",
        "ELASTIK_MAX_GROUP_BYTES",
        "67108864",
        "bytes",
        "their bodies together; 0 allows empty bodies only",
    ),
    plain(
        "max-listen-connections",
        "ELASTIK_MAX_LISTEN_CONNECTIONS",
        "1024",
        "count",
        "open event streams; 0 is the default",
    ),
    plain(
        "listen-replay-max",
        "ELASTIK_LISTEN_REPLAY_MAX",
        "1024",
        "count",
        "newest events kept in memory for listeners; 0 is the default",
    ),
    plain(
        "heartbeat",
        "ELASTIK_HEARTBEAT",
        "15",
        "seconds",
        "a comment on an event stream that was silent for so long",
    ),
    plain(
        "read-cache-max-entries",
        "ELASTIK_READ_CACHE_MAX_ENTRIES",
        "5000",
        "count",
        "worlds kept in memory for reading; 0 is the default",
    ),
    plain(
        "read-cache-bytes",
        "ELASTIK_READ_CACHE_BYTES",
        "67108864",
        "bytes",
        "memory that those may take; 0 is the default",
    ),
    plain(
        "persist-headers",
        "ELASTIK_PERSIST_HEADERS",
        "",
        "list",
        "further request headers to keep, by commas; a final * is any suffix",
    ),
    plain(
        "deny-headers",
        "ELASTIK_DENY_HEADERS",
        "",
        "list",
        "request headers never to keep, by commas; a final * is any suffix",
    ),
    plain(
        "shutdown-deadline",
        "ELASTIK_SHUTDOWN_DEADLINE",
        "10",
        "seconds",
        "how long the stop may take after a signal; requests in flight get nine tenths of it",
    ),
    plain(
        "max-connections",
        "ELASTIK_MAX_CONNECTIONS",
        "4096",
        "count",
        "open connections; more wait to be accepted; 0 is the default",
    ),
    plain(
        "head-timeout",
        "ELASTIK_HEAD_TIMEOUT",
        "30",
        "seconds",
        "for the head of a request, and between two requests; 0 is none",
    ),
    plain(
        "body-timeout",
        "ELASTIK_BODY_TIMEOUT",
        "30",
        "seconds",
        "silence within a request's body; 0 is none",
    ),
    plain(
        "write-timeout",
        "ELASTIK_WRITE_TIMEOUT",
        "60",
        "seconds",
        "for a client that takes nothing of what is sent; 0 is none",
    ),
    plain(
        "unix-socket",
        "ELASTIK_UNIX_SOCKET",
        "",
        "path",
        "listen on this Unix socket too; only its owner may connect",
    ),
    plain(
        "tls-cert",
        "ELASTIK_TLS_CERT",
        "",
        "path",
        "certificate chain (PEM): TCP speaks TLS; read again on SIGHUP",
    ),
    plain("tls-key", "ELASTIK_TLS_KEY", "", "path", "private key (PEM) of that certificate"),
    plain(
        "tokens-file",
        "ELASTIK_TOKENS_FILE",
        "",
        "path",
        "scoped tokens (TOML); read again on SIGHUP",
    ),
    plain(
        "cors-origins",
        "ELASTIK_CORS_ORIGINS",
        "",
        "list",
        "origins whose pages may use the core from a browser, by commas; * is any",
    ),
    plain(
        "content-security-policy",
        "ELASTIK_CONTENT_SECURITY_POLICY",
        DEFAULT_CSP,
        "text",
        "for HTML and SVG worlds that bring none of their own; empty is none",
    ),
    switch("compress", "ELASTIK_COMPRESS", "gzip text for clients that accept it"),
    plain(
        "min-free",
        "ELASTIK_MIN_FREE",
        "67108864",
        "bytes",
        "free space on the disk below which /proc/ready says no; 0 is none",
    ),
    switch("access-log", "ELASTIK_ACCESS_LOG", "one structured line on stderr for each request"),
    plain(
        "exit-on-eof",
        "ELASTIK_EXIT_ON_EOF",
        "",
        "descriptor",
        "stop when this inherited file descriptor ends",
    ),
    plain("coap-port", "ELASTIK_COAP_PORT", "no CoAP", "port", "UDP port; 0 takes a free one"),
    plain(
        "coap-host",
        "ELASTIK_COAP_HOST",
        "127.0.0.1",
        "addresses",
        "names or addresses for CoAP, by commas",
    ),
    plain(
        "coap-max-in-flight",
        "ELASTIK_COAP_MAX_IN_FLIGHT",
        "1024",
        "count",
        "CoAP requests at work at a time; 0 is the default",
    ),
    plain(
        "coap-max-observers",
        "ELASTIK_COAP_MAX_OBSERVERS",
        "16384",
        "count",
        "CoAP observations at a time; 0 is the default",
    ),
    switch(
        "coap-plain-token",
        "ELASTIK_COAP_PLAIN_TOKEN",
        "take tokens in the clear over CoAP from other machines too",
    ),
    plain(
        "coap-ack-timeout",
        "ELASTIK_COAP_ACK_TIMEOUT",
        "2",
        "seconds",
        "until a CoAP message is sent again for the first time; 0 is the default",
    ),
    plain(
        "coap-max-retransmit",
        "ELASTIK_COAP_MAX_RETRANSMIT",
        "4",
        "count",
        "how often a CoAP message is sent again; 0 is the default",
    ),
    plain(
        "coap-nstart",
        "ELASTIK_COAP_NSTART",
        "1",
        "count",
        "CoAP messages that one peer may owe an acknowledgement for; 0 is the default",
    ),
    plain(
        "coap-observer-check",
        "ELASTIK_COAP_OBSERVER_CHECK",
        "86400",
        "seconds",
        "an observer that confirmed nothing for so long is asked to; 0 is the default",
    ),
    plain(
        "coap-psk-file",
        "ELASTIK_COAP_PSK_FILE",
        "no DTLS",
        "path",
        "keys of boards for coaps, each line: identity tier key [pattern]",
    ),
    plain(
        "coaps-port",
        "ELASTIK_COAPS_PORT",
        "5684",
        "port",
        "UDP port for coaps, with a key file",
    ),
    plain(
        "coap-oscore-file",
        "ELASTIK_COAP_OSCORE_FILE",
        "no OSCORE",
        "path",
        "contexts of boards, each line: name tier client=ID server=ID secret=KEY [worlds=PATTERN]",
    ),
    plain(
        "coap-multicast",
        "ELASTIK_COAP_MULTICAST",
        "no multicast",
        "interfaces",
        "interfaces by commas where CoAP discovery is answered, in the groups of all CoAP nodes",
    ),
    switch("trace-pipeline", "ELASTIK_TRACE_PIPELINE", "the old name of access-log"),
];

/// The setting called `name`.
pub fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}
