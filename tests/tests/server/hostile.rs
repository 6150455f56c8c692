//! Requests, addresses, folders and names that mean harm, against the real binary.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clipmill_tests::live::Live;
use clipmill_tests::server::{PATIENCE, Receiver, Server, eventually};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

/// What nobody may read.
const SECRET: &str = "nobody may read this";

/// Everything that comes back over one connection for these bytes.
fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may be closed before all of it is sent: that is an answer too.
    let _ = connection.write_all(request);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    let code = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    code.map_or(0, |code| code.parse().unwrap())
}

/// Still there, and in good order.
fn assert_well(server: &Server) {
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.id()))
        .unwrap()
        .count()
}

#[test]
fn nothing_outside_the_folder_is_served_however_it_is_spelt() {
    let folder = tempfile::tempdir().unwrap();
    let streams = folder.path().join("streams");
    fs::create_dir_all(streams.join("sub")).unwrap();
    fs::write(folder.path().join("secret.ts"), SECRET).unwrap();
    fs::write(streams.join(".hidden.ts"), SECRET).unwrap();
    fs::write(streams.join("sub/notes.txt"), SECRET).unwrap();
    fs::create_dir(streams.join(".git")).unwrap();
    fs::write(streams.join(".git/a.ts"), SECRET).unwrap();
    fs::write(streams.join("sub/a.ts"), "anybody may").unwrap();
    symlink("../secret.ts", streams.join("link.ts")).unwrap();
    symlink("..", streams.join("up")).unwrap();
    symlink("/etc", streams.join("etc")).unwrap();
    symlink(".hidden.ts", streams.join("shown.ts")).unwrap();
    symlink("sub/a.ts", streams.join("inside.ts")).unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    for fine in ["sub/a.ts", "inside.ts", "sub%2Fa.ts", "%73ub/a.ts"] {
        let answer = server.get(&format!("/live/streams/{fine}"));
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, &b"anybody may"[..]),
            "{fine}"
        );
    }
    for path in [
        "../secret.ts",
        "sub/../../secret.ts",
        "..%2fsecret.ts",
        "..%2Fsecret.ts",
        "%2e%2e/secret.ts",
        "%2e%2e%2fsecret.ts",
        ".%2e/secret.ts",
        "..%5csecret.ts",
        "..\\secret.ts",
        "%252e%252e%252fsecret.ts",
        "..%c0%afsecret.ts",
        "..%ef%bc%8fsecret.ts",
        "%c0%ae%c0%ae/secret.ts",
        "..;/secret.ts",
        "....//secret.ts",
        "sub/%00/../../secret.ts",
        "secret.ts%00.ts",
        "/secret.ts",
        "//secret.ts",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "file:///etc/passwd",
        "link.ts",
        "up/secret.ts",
        "up/streams/sub/a.ts/../../../secret.ts",
        "etc/passwd",
        "etc/hostname",
        ".hidden.ts",
        "%2ehidden.ts",
        "shown.ts",
        ".git/a.ts",
        "sub/notes.txt",
        "sub",
        "sub/",
        "",
    ] {
        for method in ["GET", "HEAD"] {
            let request = format!(
                "{method} /live/streams/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            );
            let answer = raw(server.address, request.as_bytes());
            assert!((400..500).contains(&status(&answer)), "{path}: {answer}");
            assert!(
                !answer.contains(SECRET) && !answer.contains("root:"),
                "{path}: {answer}"
            );
        }
    }
    assert_well(&server);
}

#[test]
fn heads_and_bodies_without_end_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), "header_timeout = \"1s\"", "enabled = false");
    let long = "x".repeat(1 << 20);
    let huge_heads = [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
            "X: y\r\n".repeat(20_000)
        ),
        format!("{long} / HTTP/1.1\r\n\r\n"),
    ];
    for head in huge_heads {
        let answer = raw(server.address, head.as_bytes());
        assert!(matches!(status(&answer), 0 | 400 | 414 | 431), "{answer}");
    }
    let create = "POST /live/rest/v2/broadcasts/create HTTP/1.1\r\nHost: x\r\n";
    for body in [
        format!(
            "{create}Content-Length: 99999999999\r\n\r\n{}",
            "x".repeat(300 << 10)
        ),
        format!(
            "{create}Transfer-Encoding: chunked\r\n\r\n{}",
            format!("10000\r\n{}\r\n", "x".repeat(1 << 16)).repeat(8)
        ),
    ] {
        let answer = raw(server.address, body.as_bytes());
        assert!(matches!(status(&answer), 400 | 413), "{answer}");
    }
    // A head that comes letter by letter is not waited for.
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    eventually("the slow head is cut off", || {
        std::thread::sleep(Duration::from_millis(100));
        let ended = slow.write_all(b"G").is_err();
        slow.set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let closed = matches!(slow.read(&mut [0; 64]), Ok(0));
        (ended || closed).then_some(())
    });
    // A body that never comes holds up nobody else.
    let mut stalled = TcpStream::connect(server.address).unwrap();
    let head = format!("{create}Content-Length: 10\r\n\r\n");
    stalled.write_all(head.as_bytes()).unwrap();
    assert_well(&server);
}

#[test]
fn idle_connections_keep_nobody_out_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let top = "header_timeout = \"2s\"\nmax_connections = 64";
    let server = Server::start_with(folder.path(), top, "enabled = false");
    let before = open_files(&server);
    let idle: Vec<_> = (0..800)
        .filter_map(|_| TcpStream::connect(server.address).ok())
        .collect();
    assert!(idle.len() > 400, "{} connections", idle.len());
    let most = (0..20).map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        open_files(&server)
    });
    let most = most.max().unwrap();
    assert!(
        most <= before + 64 + 8,
        "{most} open files, {before} before"
    );
    // They are let go of one batch after the other, while they stay open on our side.
    eventually("there is room again", || {
        let address = server.address;
        let answer = std::thread::spawn(move || {
            raw(
                address,
                b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            )
        });
        (status(&answer.join().ok()?) == 200).then_some(())
    });
    drop(idle);
    eventually("all of them are closed", || {
        (open_files(&server) <= before + 8).then_some(())
    });
    assert_well(&server);
}

/// As many as may be open at once: each costs little, and none lasts.
#[test]
fn thousands_of_idle_connections_cost_little() {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files = files.unwrap().split_whitespace().nth(3).unwrap();
    let many = files.parse().unwrap_or(1024_usize).min(3_500) - 300;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), "header_timeout = \"10s\"", "enabled = false");
    let (files, memory) = (open_files(&server), resident(&server));
    let idle: Vec<_> = (0..many)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    // Each begins a request and does not go on.
    for mut connection in &idle {
        let _ = connection.write_all(b"GET / HTTP/1.1\r\nHost");
    }
    assert_well(&server);
    let open = open_files(&server);
    assert!(open > files + many / 2, "{open} of {many}");
    let each = (resident(&server).saturating_sub(memory)) * 1024 / many;
    assert!(each < 64 * 1024, "{each} bytes for each connection");
    eventually("all of them are closed", || {
        (open_files(&server) <= files + 8).then_some(())
    });
    assert_well(&server);
    drop(idle);
}

/// Memory in use, in KiB.
fn resident(server: &Server) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

#[test]
fn ranges_of_every_kind_give_what_the_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("streams")).unwrap();
    let content: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(folder.path().join("streams/a.ts"), &content).unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let many = format!("bytes={}", vec!["0-0"; 2_000].join(","));
    let overlapping = format!(
        "bytes={}",
        (0..500)
            .map(|n| format!("{n}-99999"))
            .collect::<Vec<_>>()
            .join(",")
    );
    for (range, wanted) in [
        ("bytes=0-9", Some(0..10)),
        ("bytes=99990-", Some(99_990..100_000)),
        ("bytes=-5", Some(99_995..100_000)),
        ("bytes=50-18446744073709551615", Some(50..100_000)),
        ("bytes=50-99999999999999999999999999", Some(50..100_000)),
        ("bytes=-18446744073709551615", Some(0..100_000)),
        // Several, reversed, and nonsense: all of it, once.
        ("bytes=9-0", None),
        ("bytes=0-1,2-3", None),
        ("bytes=--1", None),
        ("bytes=0x0-0x9", None),
        ("bytes=", None),
        ("lines=1-2", None),
        (&many, None),
        (&overlapping, None),
    ] {
        let answer = server.send("GET", "/live/streams/a.ts", &[("Range", range)], "");
        let shown = &range[..range.len().min(40)];
        let status = if wanted.is_some() { 206 } else { 200 };
        assert_eq!(answer.status, status, "{shown}");
        assert!(
            answer.body == content[wanted.unwrap_or(0..content.len())],
            "{shown}"
        );
    }
    for beyond in ["bytes=100000-", "bytes=18446744073709551615-", "bytes=-0"] {
        let answer = server.send("GET", "/live/streams/a.ts", &[("Range", beyond)], "");
        assert_eq!(
            (answer.status, answer.header("content-range")),
            (416, "bytes */100000")
        );
    }
    assert_well(&server);
}

/// What a proxy in front might have taken for one request is never two, or the connection ends
/// with the first (RFC 9112, 6.1 and 6.3).
#[test]
fn no_request_is_smuggled_behind_another() {
    let folder = tempfile::tempdir().unwrap();
    // Connections that are kept alive end soon.
    let server = Server::start_with(folder.path(), "header_timeout = \"1s\"", "enabled = false");
    let inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let head = "POST /live/rest/v2/broadcasts/create HTTP/1.1\r\nHost: x\r\n";
    let shapes = [
        format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{inner}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("{head}Content-Length: 2\r\nContent-Length: 40\r\n\r\n{{}}{inner}"),
        format!("{head}Content-Length: 2, 40\r\n\r\n{{}}{inner}"),
        format!("{head}Content-Length: +2\r\n\r\n{{}}{inner}"),
        format!("{head}Content-Length: -2\r\n\r\n{{}}{inner}"),
        format!("{head}Content-Length: 0x2\r\n\r\n{{}}{inner}"),
        format!("{head}Content-Length : 2\r\n\r\n{{}}{inner}"),
        format!("{head}Content-Length: 18446744073709551618\r\n\r\n{{}}{inner}"),
        format!("{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"),
        format!("{head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("{head}X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{inner}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{inner}"),
        format!("{head}X: a\0b\r\nContent-Length: 0\r\n\r\n{inner}"),
        format!("GET /healthz HTTP/1.1\nHost: x\n Folded: y\n\n{inner}"),
    ];
    for shape in shapes {
        let answer = raw(server.address, shape.as_bytes());
        assert!(
            answer.matches("HTTP/1.1 ").count() <= 1,
            "{shape:?}:\n{answer}"
        );
    }
    // Two honest requests one after the other are two.
    let two = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    assert_eq!(
        raw(server.address, two.as_bytes())
            .matches("HTTP/1.1 200")
            .count(),
        2
    );
    assert_well(&server);
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three
            .iter()
            .fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        let number = number << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            text.push(char::from(
                LETTERS[(number >> (18 - 6 * place) & 63) as usize],
            ));
        }
    }
    text
}

fn token(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let text = [header, claims]
        .map(|part| base64url(part.to_string().as_bytes()))
        .join(".");
    let signature = if header["alg"] == "HS512" {
        let mut mac = Hmac::<Sha512>::new_from_slice(secret).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    } else {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    format!("{text}.{}", base64url(&signature))
}

#[test]
fn only_tokens_that_were_signed_here_and_now_open_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(
        folder.path(),
        "enabled = false\njwt_secret = \"the right one\"",
    );
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (right, hs256) = (
        b"the right one".as_slice(),
        json!({"alg": "HS256", "typ": "JWT"}),
    );
    let ask = |value: &str| {
        let headers = [("Authorization", value)];
        let answer = server.send("GET", "/live/rest/v2/vods/count", &headers, "");
        (
            answer.status,
            String::from_utf8_lossy(&answer.body).into_owned(),
        )
    };
    let good = token(&hs256, &json!({"sub": "x", "exp": now + 600}), right);
    assert_eq!(ask(&good).0, 200);
    assert_eq!(ask(&format!("Bearer {good}")).0, 200);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let claims = json!({"sub": "x"});
    let unsigned = |header: Value| {
        let parts = [header, claims.clone()].map(|part| base64url(part.to_string().as_bytes()));
        format!("{}.", parts.join("."))
    };
    let mut changed = signature.to_owned();
    let first = if changed.starts_with('A') { "B" } else { "A" };
    changed.replace_range(..1, first);
    let others = token(
        &hs256,
        &json!({"sub": "root", "exp": now + 600}),
        b"another",
    );
    let borrowed = others.rsplit_once('.').unwrap().0;
    for bad in [
        token(&hs256, &json!({"exp": now - 60}), right),
        token(&hs256, &json!({"nbf": now + 600}), right),
        token(&hs256, &json!({"exp": "never"}), right),
        token(&hs256, &claims, b"another"),
        token(&hs256, &claims, b""),
        token(&json!({"alg": "HS512"}), &claims, right),
        token(&json!({"alg": "none"}), &claims, right),
        token(&json!({"alg": "RS256"}), &claims, right),
        token(&json!({}), &claims, right),
        unsigned(json!({"alg": "none"})),
        unsigned(json!({"alg": "None"})),
        unsigned(json!({"alg": "HS256"})),
        format!("{signed}."),
        signed.to_owned(),
        format!("{signed}.{changed}"),
        format!("{borrowed}.{signature}"),
        format!("{good}.x"),
        "a".repeat(20_000),
        String::new(),
        "Bearer ".to_owned(),
        "the right one".to_owned(),
    ] {
        let (status, body) = ask(&bad);
        let shown = &bad[..bad.len().min(60)];
        assert_eq!(
            (status, body.as_str()),
            (403, "Invalid App JWT Token"),
            "{shown}"
        );
    }
    // Every call wants one, and playback wants none.
    let description = server.get("/openapi.json").json();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let path = path
                .replace("{app}", "live")
                .replace(['{', '}'], "")
                .replace("offset/size", "0/5");
            let path = path.replace("periodSeconds", "5");
            // Nobody may push a file of another kind, with a token or without.
            let path = path.replace("/ingest/stream/path", "/ingest/stream/path.ts");
            let answer = server.send(&method.to_uppercase(), &path, &[], "{}");
            assert_eq!(
                answer.status == 403,
                path.starts_with("/live/rest/") || path.starts_with("/v1/"),
                "{method} {path}"
            );
        }
    }
    assert_well(&server);
}

/// Counts connections, and answers none.
fn trap() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let caught = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&caught);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            drop(connection);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, caught)
}

fn create(server: &Server, id: &str, url: &str) -> (u16, String) {
    let body = json!({"streamId": id, "listenerHookURL": url}).to_string();
    let answer = server.send("POST", "/live/rest/v2/broadcasts/create", &[], &body);
    (
        answer.status,
        answer.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

const PRIVATE: [&str; 12] = [
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://10.0.0.1:8080/",
    "http://192.168.0.1/",
    "http://172.16.0.1/",
    "http://100.100.100.200/",
    "http://[fd00::1]/",
    "http://[fe80::1]/",
    "http://0.0.0.0:80/",
];

#[test]
fn webhooks_lead_to_private_addresses_only_where_the_operator_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    for (n, url) in PRIVATE.into_iter().enumerate() {
        let (status, said) = create(&server, &format!("s{n}"), url);
        assert_eq!(status, 400, "{url}");
        assert!(
            said.contains("may not be reached from here"),
            "{url}: {said}"
        );
    }
    for url in [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://example.com/",
        "javascript:1",
    ] {
        assert_eq!(create(&server, "s", url).0, 400, "{url}");
    }
    // Whoever can call this server is on this machine: so may a receiver be.
    assert_eq!(create(&server, "own", "http://127.0.0.1:9/").0, 200);
    let change = json!({"listenerHookURL": PRIVATE[0]}).to_string();
    let changed = server.send("PUT", "/live/rest/v2/broadcasts/own", &[], &change);
    assert_eq!(changed.status, 400);
    server.reconfigure("enabled = false\nallow_private_addresses = true");
    eventually("the settings are read", || {
        (create(&server, "there", PRIVATE[5]).0 == 200).then_some(())
    });
    assert_well(&server);
}

/// On a server that others can reach: what REST names is refused, also by names that resolve to this
/// machine, what the operator named is not, and no redirect is followed.
#[test]
fn a_server_that_others_reach_tells_nobody_on_its_own_machine() {
    let folder = tempfile::tempdir().unwrap();
    let (trap, caught) = trap();
    let redirector = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = redirector.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut connection in redirector.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = connection.read(&mut [0; 4096]);
            let answer = format!(
                "HTTP/1.1 307 -\r\nLocation: http://{trap}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    let server = Server::start_openly(
        folder.path(),
        &format!("enabled = false\nlistener_hook_url = \"http://{to}/hook\""),
    );
    let port = trap.port();
    for (n, host) in ["127.0.0.1", "localhost", "127.1", "[::1]", "a.localhost"]
        .into_iter()
        .enumerate()
    {
        // The operator's own host is trusted, whatever the port.
        let wanted = if matches!(host, "127.0.0.1" | "127.1") {
            200
        } else {
            400
        };
        let (status, said) = create(&server, &format!("s{n}"), &format!("http://{host}:{port}/"));
        assert_eq!(status, wanted, "{host}: {said}");
    }
    let _live = Live::default().start(&folder.path().join("streams"), "cam");
    eventually("the operator's receiver is asked", || {
        (asked.load(Ordering::SeqCst) > 0).then_some(())
    });
    eventually("the redirect is an answer", || {
        server.log().contains("307").then_some(())
    });
    assert_eq!(caught.load(Ordering::SeqCst), 0, "a redirect was followed");
    assert_well(&server);
}

#[test]
fn playlists_lead_nowhere_outside_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let streams = folder.path().join("streams");
    fs::create_dir_all(&streams).unwrap();
    let (trap, caught) = trap();
    let live = Live::default().start(&streams, "cam");
    let secret = &live.segments[0].bytes;
    fs::write(folder.path().join("secret.ts"), secret).unwrap();
    symlink("../secret.ts", streams.join("link.ts")).unwrap();
    let absolute = folder.path().join("secret.ts");
    let absolute = absolute.to_str().unwrap();
    let server = Server::start_openly(folder.path(), "enabled = false");
    let of = |uri: &str| format!("#EXTINF:2,\n{uri}\n");
    let media = [
        of(absolute),
        of(&format!("file://{absolute}")),
        of("../secret.ts"),
        of("%2e%2e/secret.ts"),
        of("link.ts"),
        of("/dev/zero"),
        of(&format!("http://{trap}/a.ts")),
        of("data:video/mp2t;base64,R0AR"),
        format!(
            "#EXT-X-KEY:METHOD=AES-128,URI=\"http://{trap}/key\"\n{}",
            of("own.ts")
        ),
        format!(
            "#EXT-X-KEY:METHOD=AES-128,URI=\"http://localhost:{}/key\"\n{}",
            trap.port(),
            of("own.ts")
        ),
        format!(
            "#EXT-X-KEY:METHOD=AES-128,URI=\"{absolute}\"\n{}",
            of("own.ts")
        ),
        format!(
            "#EXT-X-MAP:URI=\"http://{trap}/init.mp4\"\n{}",
            of("own.ts")
        ),
        format!("#EXT-X-MAP:URI=\"../secret.ts\"\n{}", of("own.ts")),
    ];
    fs::write(streams.join("own.ts"), secret).unwrap();
    for (n, lines) in media.iter().enumerate() {
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{lines}#EXT-X-ENDLIST\n");
        fs::write(streams.join(format!("evil{n}.m3u8")), text).unwrap();
    }
    for (n, lines) in media.iter().enumerate() {
        eventually("the stream is known", || {
            let known = server.get(&format!("/live/rest/v2/broadcasts/evil{n}"));
            (known.status == 200).then_some(())
        });
        let (status, said) = server.call("POST", &format!("mp4/evil{n}"));
        assert!(
            status >= 400 && said["success"] == false,
            "{lines}: {status} {said}"
        );
    }
    assert_eq!(
        caught.load(Ordering::SeqCst),
        0,
        "a playlist made the server call"
    );
    assert!(server.vods("evil0").is_empty());
    // The honest stream next to them is none the worse.
    eventually("the honest stream is clipped", || {
        (server.call("POST", "mp4/cam").0 == 200).then_some(())
    });
    assert_well(&server);
}

#[test]
fn names_that_mean_harm_stay_out_of_logs_and_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let streams = folder.path().join("streams");
    fs::create_dir_all(&streams).unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n\u{1b}[31m\"evil\r\n";
    for name in [
        "a\"} 1\nevil_metric 1",
        "a\u{1b}[31m",
        "a\nERROR forged",
        "a b",
        "é",
        "$(reboot)",
        "x'\"`",
    ] {
        fs::write(streams.join(format!("{name}.m3u8")), text).unwrap();
    }
    for n in 0..300 {
        fs::write(streams.join(format!("many{n}.m3u8")), text).unwrap();
        let path = format!("/live/streams/{n}%0aERROR%20forged%1b[31m.ts");
        assert_eq!(server.get(&path).status, 404);
        let path = format!("/live/rest/v2/broadcasts/{n}%22%7d%0aevil_metric");
        assert_eq!(server.get(&path).status, 404);
        let path = format!("/{n}");
        let answer = server.send("GET", &path, &[("User-Agent", "\u{1b}[31m")], "");
        assert_eq!(answer.status, 400);
    }
    eventually("the streams are known", || {
        let count = server.get("/live/rest/v2/broadcasts/count").json()["number"].as_u64();
        (count >= Some(300)).then_some(())
    });
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(
        !metrics.contains("evil") && !metrics.contains("many"),
        "{metrics}"
    );
    assert!(
        metrics.lines().count() < 500,
        "{} lines of metrics",
        metrics.lines().count()
    );
    let log = server.log();
    assert!(!log.contains('\u{1b}'), "escape sequences in the log");
    assert!(
        !log.lines().any(|line| line.starts_with("ERROR forged")),
        "{log}"
    );
    let list = server.get("/live/rest/v2/broadcasts/list/0/250").json();
    let plain = |id: &str| {
        let harmless = |letter: char| !letter.is_control() && !matches!(letter, '/' | '\\');
        id.chars().all(harmless) && !id.contains("..") && !id.starts_with('.')
    };
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .all(|one| plain(one["streamId"].as_str().unwrap()))
    );
    assert_well(&server);
}

/// A receiver on this machine is told, where callers can only be on this machine too.
#[test]
fn a_receiver_beside_a_server_of_this_machine_alone_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(Vec::new(), None);
    let server = Server::start(folder.path(), "enabled = false");
    assert_eq!(create(&server, "cam", &receiver.url()).0, 200);
    let _live = Live::default().start(&folder.path().join("streams"), "cam");
    eventually("it is told", || {
        (!receiver.seen_of("liveStreamStarted").is_empty()).then_some(())
    });
}
