//! Raw bytes against a whole door, in process: whatever comes, no panic, no hang, no 500.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

use super::frame::HEARTBEAT as KEEPALIVE;
use super::hungry::Watched;
use super::protocol::Protocols;
use super::{Door, Limits, Options};
use crate::access::Tokens;
use crate::engine::{Engine, Rules, Settings};

/// No request of these tests takes longer, on the slowest machine.
const HANG: Duration = Duration::from_secs(20);
/// A connection without a byte for so long has nothing more to say.
const SILENCE: Duration = Duration::from_millis(20);
/// Writing to a client that went away is how an event stream finds out.
const HEARTBEAT: Duration = Duration::from_millis(1);
/// A request that is not whole, or still at work, is told after this time that no more will come.
const PATIENCE: Duration = Duration::from_millis(1);
/// An event stream that beats this often has shown that it runs: its reader hangs up.
const BEATS: usize = 2;

/// One store for all cases, so that worlds come and go as in a real one.
struct Lab {
    engine: Engine,
    protocols: Protocols,
    stopping: watch::Receiver<bool>,
    _stop: watch::Sender<bool>,
    _data: tempfile::TempDir,
}

static LAB: LazyLock<Lab> = LazyLock::new(|| {
    let data = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(Settings {
        data_dir: data.path().to_owned(),
        key: b"0123456789abcdef0123456789abcdef".to_vec(),
        older_keys: vec![],
        max_world_bytes: 4096,
        max_memory_bytes: 65536,
        max_storage_bytes: Some(65536),
        rules: Rules::parse("home/kept/*=3", "tmp/short/*=1s").expect("rules"),
        max_group_worlds: 4,
        max_group_bytes: 8192,
        ring_events: 8,
        cache_bytes: 65536,
        cache_entries: 8,
        read_only: false,
        scrub_pause: None,
        announce: |_| {},
    });
    let limits = Limits { connections: 8, head: Some(HANG), write: Some(HANG), shutdown: HANG };
    let (stop, stopping) = watch::channel(false);
    let (engine, protocols) = (engine.expect("an engine"), Protocols::new(limits));
    Lab { engine, protocols, stopping, _stop: stop, _data: data }
});

impl Lab {
    /// A door for one connection: its counters speak of that one alone.
    fn door(&self) -> Arc<Door> {
        let options = Options {
            tokens: Tokens::new(Some("r"), Some("w"), Some("a")),
            persist_headers: vec!["x-*".into()],
            deny_headers: vec![],
            cors_origins: vec!["http://ok.example".into()],
            content_security_policy: String::new(),
            compress: true,
            body_timeout: Some(HANG),
            heartbeat: HEARTBEAT,
            max_listen_connections: 8,
            min_free: None,
            access_log: false,
        };
        Arc::new(Door::new(self.engine.clone(), options, self.stopping.clone()))
    }
}

thread_local! {
    /// Both ends of a connection run in the thread of their test: no thread has to wake another.
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
}

/// Sends these bytes on a connection of their own, says that no more will come as soon as the door
/// has answered all of it, and hangs up when it ends or falls silent; gives all that came back. An
/// answer 500 is an error, as a panic and a hang are.
fn exchange(sent: &[u8], silence: Duration) -> Result<Vec<u8>, String> {
    let door = LAB.door();
    let came = RUNTIME.with(|runtime| runtime.block_on(converse(&door, sent, silence)))?;
    match door.meter.internal_errors() {
        0 => Ok(came),
        _ => Err(format!("500: {}", String::from_utf8_lossy(&came))),
    }
}

async fn converse(door: &Arc<Door>, sent: &[u8], silence: Duration) -> Result<Vec<u8>, String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (far, hunger) = Watched::new(far);
    let its_door = door.clone();
    let served = tokio::spawn(async move { LAB.protocols.serve(far, None, &its_door).await });
    let (mut reader, mut writer) = tokio::io::split(near);
    let writing = async {
        let _ = writer.write_all(sent).await;
        hunger.fed();
        let answered = || door.requests.load(Ordering::Relaxed) == door.meter.answered();
        let _ = timeout(PATIENCE, hunger.until(answered)).await;
        let _ = writer.shutdown().await;
    };
    let mut came = Vec::new();
    let reading = async {
        // An event stream has no end of its own, and is never silent either. With bytes behind
        // its request it does not see the half-close, so here as on a socket the reader ends it.
        while let Ok(Ok(1..)) = timeout(silence, reader.read_buf(&mut came)).await {
            if beats(&came) >= BEATS {
                break;
            }
        }
    };
    timeout(HANG, async { tokio::join!(reading, writing) }).await.map_err(|_| "no end")?;
    drop((reader, writer));
    let served = timeout(HANG, served).await.map_err(|_| "the door did not let go")?;
    served.map_err(|error| format!("a panic: {error}"))?;
    Ok(came)
}

/// How many heartbeats of event streams are in these bytes.
fn beats(came: &[u8]) -> usize {
    came.windows(KEEPALIVE.len()).filter(|&bytes| bytes == KEEPALIVE).count()
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

const METHODS: &[&str] =
    &["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "COPY", "MOVE", "GET", "GET"];

fn method() -> impl Strategy<Value = String> {
    prop_oneof![20 => one_of(METHODS), 1 => "[A-Z]{1,9}"]
}

/// Most writes go to memory: a disk's `fsync` would be nearly all of the time.
const PLACES: &[&str] = &[
    "/tmp/a",
    "/tmp/b",
    "/tmp/a/b",
    "/dev/x",
    "/sys/y",
    "/tmp/j",
    "/tmp/short/a",
    "/tmp",
    "/",
    "/proc/worlds",
    "/proc/du",
    "/proc/df",
    "/proc/pool",
    "/proc/metrics",
    "/proc/ready",
    "/proc/list",
    "/proc/list/tmp",
    "/proc/batch",
    "/proc/history/tmp/a",
    "/proc/audit/tmp/a/verify",
    "/proc/audit/home/a/events",
    "/listen/*",
    "/listen/tmp/*",
    "/listen/h*",
    "*",
    "/etc/passwd",
    "http://host/tmp/a",
    "//tmp/a",
    "/tmp%2Fa",
    "/listen/",
    "/proc/audit//verify",
    "/var/log/deletes",
];

fn target() -> impl Strategy<Value = String> {
    let query = prop_oneof![
        3 => Just(String::new()),
        1 => "[?](limit|after|depth|at|before|body|max|pattern)=[-0-9a-z*/%]{0,12}",
        1 => "[?][!-~]{0,20}",
    ];
    let path = prop_oneof![
        8 => one_of(PLACES),
        1 => one_of(&["/home/a", "/a", "/home/kept/a"]),
        2 => "/[!-~]{0,20}",
        1 => "/tmp/[a-z%0-9.]{0,12}",
    ];
    (path, query).prop_map(|(path, query)| path + &query)
}

fn header() -> impl Strategy<Value = String> {
    let number = "[0-9]{1,20}|-?[0-9]{0,3}|[ -~]{0,8}";
    let named = |name: &'static str, value: &'static str| {
        value.prop_map(move |value: String| format!("{name}: {value}")).boxed()
    };
    let tag = "(W/)?\"?[0-9a-z*-]{0,24}\"?(, ?\"[a-z0-9]{0,6}\")?|\\*";
    let date = "(Sun|Mon|x), [0-9]{1,2} (Nov|Foo) [0-9]{1,5} [0-9:]{5,8} GMT|[ -~]{0,20}";
    prop_oneof![
        named("Range", "bytes=[0-9, -]{0,24}|[ -~]{0,20}"),
        named("If-Match", tag),
        named("If-None-Match", tag),
        named("If-Range", tag),
        named("If-Modified-Since", date),
        named("If-Unmodified-Since", date),
        named("Last-Event-ID", number),
        named("X-Append-Offset", number),
        named("X-Elastik-TTL", number),
        named("X-Elastik-Purge", "true|false|[ -~]{0,6}"),
        named("Idempotency-Key", "[ -~]{0,12}"),
        named("Destination", "/tmp/[a-c]|http://host/tmp/a|[ -~]{0,24}"),
        named("X-Destination-If-Match", tag),
        named("Overwrite", "T|F|[ -~]{0,3}"),
        named("Depth", "0|1|infinity|[ -~]{0,4}"),
        named("Accept", "application/jsonl|[ -~]{0,20}"),
        named("Accept-Encoding", "gzip|[*];q=0, gzip;q=0[.]5|[ -~]{0,20}"),
        named("Content-Type", "application/(merge|json)-patch[+]json|text/html|[ -~]{0,20}"),
        named("Authorization", "Bearer [rwax]|Basic [A-Za-z0-9+/=]{0,12}|[ -~]{0,20}"),
        named("Origin", "http://(ok|no).example|[ -~]{0,12}"),
        named("Access-Control-Request-Method", "[A-Z]{0,6}"),
        named("Sec-Fetch-Site", "same-origin|cross-site|[ -~]{0,6}"),
        named("Transfer-Encoding", "chunked|gzip, chunked|[ -~]{0,8}"),
        named("Content-Length", number),
        named("Expect", "100-continue|[ -~]{0,6}"),
        named("Connection", "close|keep-alive|upgrade|[ -~]{0,8}"),
        named("X-Any", "\\PC{0,12}"),
        "[!-~]{0,12}:? ?[ -~]{0,12}".boxed(),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(vec![]),
        2 => vec(any::<u8>(), 0..40),
        1 => Just(b"5\r\nhello\r\n0\r\n\r\n".to_vec()),
        1 => one_of(&[
            r#"{"op":"put","path":"/tmp/a","body":"x"}"#,
            r#"[{"op":"add","path":"/a","value":1}]"#,
            r#"{"a":null,"b":{"c":[1]}}"#,
            "{\"op\":\"delete\",\"path\":\"/tmp/a\"}\n{\"op\":\"check\",\"path\":\"/tmp/b\"}",
        ]).prop_map(String::into_bytes),
    ]
}

/// A request that is nearly one: sound enough to get far, wrong somewhere.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let parts = (method(), target(), vec(header(), 0..5), body(), 0..12u8, 0..8u8);
    parts.prop_map(|(method, target, headers, body, odd, token)| {
        let version = if odd == 0 { "HTTP/1.0" } else { "HTTP/1.1" };
        let mut out = format!("{method} {target} {version}\r\nHost: host\r\n");
        if token > 0 {
            out += &format!("Authorization: Bearer {}\r\n", if token == 1 { "r" } else { "a" });
        }
        for header in headers {
            out += &header;
            out += if odd == 1 { "\n" } else { "\r\n" };
        }
        // A length that is right, unless the headers above say something else.
        if odd > 2 && !body.is_empty() {
            out += &format!("Content-Length: {}\r\n", body.len());
        }
        out += "\r\n";
        [out.into_bytes(), body].concat()
    })
}

/// Frames of HTTP/2 (RFC 9113 §4.1) with any content.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        // `:method: GET`, `:scheme: http`, `:path: /`, `:authority: host` (RFC 7541 appendix A).
        2 => Just(b"\x82\x86\x84\x41\x04host".to_vec()),
        3 => vec(any::<u8>(), 0..24),
    ];
    let frame = (prop_oneof![4 => 0..10u8, 1 => any::<u8>()], any::<u8>(), 0..6u32, payload);
    vec(frame, 0..6).prop_map(|frames| {
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for (kind, flags, stream, payload) in frames {
            out.extend(&(payload.len() as u32).to_be_bytes()[1..]);
            out.extend([kind, flags]);
            out.extend(stream.to_be_bytes());
            out.extend(payload);
        }
        out
    })
}

#[test]
fn the_lab_answers() {
    let put = b"PUT /tmp/lab HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nContent-Length: 2\
                \r\nConnection: close\r\n\r\nhi";
    let came = exchange(put, HANG).unwrap();
    assert!(came.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(&came));
    let frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x09\x01\x05\0\0\0\x01\
                   \x82\x86\x84\x41\x04host";
    assert!(exchange(frames, HANG).unwrap().len() > 27, "HTTP/2 gave nothing but its settings");
}

/// A request that the fuzzing found: the byte behind it hides the half-close from the stream.
#[test]
fn a_stream_with_bytes_behind_its_request_ends_with_its_reader() {
    let sent = b"GET /listen/* HTTP/1.0\r\nHost: host\r\nAuthorization: Bearer r\r\n\r\n\0";
    assert!(beats(&exchange(sent, SILENCE).unwrap()) >= BEATS);
}

proptest! {
    #[test]
    fn no_bytes_break_the_door(sent in vec(any::<u8>(), 0..80)) {
        exchange(&sent, SILENCE).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn no_request_breaks_the_door(
        requests in vec(request(), 1..3),
        cuts in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        broken in 0..4u8,
    ) {
        let mut sent = requests.concat();
        if broken == 0 {
            for (at, byte) in cuts {
                let at = at.index(sent.len());
                sent[at] = byte;
            }
        }
        exchange(&sent, SILENCE).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn no_frames_break_the_door(sent in frames()) {
        exchange(&sent, SILENCE).map_err(TestCaseError::fail)?;
    }
}
