//! Runs `clipmill serve`, speaks HTTP with it, and receives its webhooks.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary;

/// How long anything may take to come about, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "{error}: {} {}",
                self.status,
                String::from_utf8_lossy(&self.body)
            )
        })
    }

    /// A header, empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A request of one connection.
///
/// # Panics
/// When there is no answer.
#[must_use]
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    try_request(address, method, path, headers, body.as_ref())
        .unwrap_or_else(|error| panic!("{method} {path}: no answer: {error}"))
}

/// The same, of a server that may go away meanwhile.
///
/// # Errors
/// When there is no answer, or not all of one.
pub fn try_request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    connection.write_all(&[head.as_bytes(), b"\r\n", body].concat())?;
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("but {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut body = Vec::new();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    if chunked {
        read_chunks(&mut reader, &mut body)?;
    } else {
        reader.read_to_end(&mut body)?;
    }
    Ok(Answer {
        status,
        headers,
        body,
    })
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        reader.take(size).read_to_end(body)?;
        let mut end = String::new();
        reader.read_line(&mut end)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// Tries until `found` gives something.
///
/// # Panics
/// When that takes too long.
pub fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A loopback address that nobody listens at, outside the range from which the system takes ports
/// for those who connect: nobody is given it between now and its use.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    const PORTS: u32 = 20_000;
    for _ in 0..PORTS {
        let number = u32::from(TAKEN.fetch_add(1, Ordering::Relaxed));
        // Test processes that run side by side begin at different places.
        let port = 10_000 + (std::process::id() * 97 + number) % PORTS;
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}

/// How a server is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup<'a> {
    /// Lines at the top level of its configuration.
    pub top: &'a str,
    /// Lines of its `[[app]]`.
    pub app: &'a str,
    /// On every address of this machine: others could reach it.
    pub openly: bool,
    /// As a user of less power: that user's id, and a binary that it can read.
    pub user: Option<(u32, &'a Path)>,
    /// What runs it: a program and its arguments, or nothing.
    pub under: &'a [String],
}

/// A server of one application, `live`, on folders of its own.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    listen: SocketAddr,
    folder: PathBuf,
    child: Child,
}

impl Server {
    /// Starts it in `folder`, with these lines in its `[[app]]`, and waits until it is ready. It
    /// watches `streams` below the folder.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(folder: &Path, app: &str) -> Self {
        Self::start_with(folder, "", app)
    }

    /// The same, with lines at the top level too.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(folder: &Path, top: &str, app: &str) -> Self {
        let setup = Setup {
            top,
            app,
            ..Setup::default()
        };
        Self::launch(folder, &setup).once_ready()
    }

    /// The same, on every address of this machine: others could reach it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_openly(folder: &Path, app: &str) -> Self {
        let setup = Setup {
            app,
            openly: true,
            ..Setup::default()
        };
        Self::launch(folder, &setup).once_ready()
    }

    fn once_ready(self) -> Self {
        eventually("the server is ready", || {
            (self.get("/readyz").status == 200).then_some(())
        });
        self
    }

    /// The same, but waits only until it answers at all.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn launch(folder: &Path, setup: &Setup<'_>) -> Self {
        std::fs::create_dir_all(folder.join("streams")).unwrap();
        // Restarts keep theirs.
        let port = folder.join("port");
        let address: SocketAddr = match std::fs::read_to_string(&port) {
            Ok(known) => known.parse().unwrap(),
            Err(_) => free_address(),
        };
        std::fs::write(&port, address.to_string()).unwrap();
        let mut listen = address;
        if setup.openly {
            listen.set_ip(std::net::Ipv4Addr::UNSPECIFIED.into());
        }
        write_config(folder, listen, setup.top, setup.app);
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .unwrap();
        let own = setup.user.map_or(binary::path(), |(_, binary)| binary);
        let mut command = match setup.under.split_first() {
            Some((program, arguments)) => {
                let mut command = binary::command(Path::new(program));
                command.args(arguments).arg(own);
                command
            }
            None => binary::command(own),
        };
        if let Some((id, _)) = setup.user {
            command.uid(id).gid(id);
        }
        let child = command
            .args(["serve", "--config", "clipmill.toml"])
            .current_dir(folder)
            .env("CLIPMILL_LOG", "debug,sled=warn,hyper=warn,reqwest=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            address,
            listen,
            folder: folder.to_owned(),
            child,
        };
        eventually("the server answers", || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended: {status}\n{}", server.log());
            }
            TcpStream::connect(address).ok()?;
            (server.get("/healthz").status == 200).then_some(())
        });
        server
    }

    /// Changes its settings and has it read them.
    pub fn reconfigure(&self, app: &str) {
        write_config(&self.folder, self.listen, "", app);
        self.signal("HUP");
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// A request.
    #[must_use]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        request(self.address, method, path, headers, body)
    }

    /// The same, unless it goes away meanwhile.
    #[must_use]
    pub fn try_send(&self, method: &str, path: &str) -> Option<Answer> {
        try_request(self.address, method, path, &[], b"").ok()
    }

    /// A plain GET.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// A call of the Clip Creator: status and `Result`.
    #[must_use]
    pub fn call(&self, method: &str, path: &str) -> (u16, Value) {
        let answer = self.send(method, &format!("/live/rest/clip-creator/{path}"), &[], "");
        (answer.status, answer.json())
    }

    /// The VoDs of a stream, in the order of their creation.
    #[must_use]
    pub fn vods(&self, stream: &str) -> Vec<Value> {
        let list = self.get(&format!("/live/rest/v2/vods/list/0/250?streamId={stream}"));
        list.json().as_array().unwrap().clone()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When that cannot be done.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Asks it to stop; gives its exit code.
    ///
    /// # Panics
    /// When it does not.
    pub fn stop(self) -> Option<i32> {
        self.signal("TERM");
        self.ended()
    }

    /// Waits until it has stopped; gives its exit code.
    ///
    /// # Panics
    /// When it does not.
    pub fn ended(mut self) -> Option<i32> {
        let status = eventually("the server stops", || self.child.try_wait().unwrap());
        status.code()
    }

    /// kill -9.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server said:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(folder: &Path, address: SocketAddr, top: &str, app: &str) {
    let text = format!(
        "listen = \"{address}\"\ndata_dir = \"data\"\n{top}\n\
         [[app]]\nname = \"live\"\nstreams_dir = \"streams\"\n{app}\n"
    );
    std::fs::write(folder.join("clipmill.toml"), text).unwrap();
}

/// A webhook that arrived.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, as it came.
    pub body: String,
    /// Status of the clip that it tells of, asked for at that very moment.
    pub clip: Option<u16>,
}

impl Delivery {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// A header, empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Receives webhooks until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Delivery>>>,
}

impl Receiver {
    /// Answers the first requests with these statuses, and 200 from then on. Clips are asked for
    /// at `server`, as they are told of.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn new(first: Vec<u16>, server: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut statuses = first.into_iter();
            for connection in listener.incoming().flatten() {
                let status = statuses.next().unwrap_or(200);
                let _ = receive(connection, status, server, &kept);
            }
        });
        Self { address, seen }
    }

    /// The settings of an application that tells it of its clips, and these.
    #[must_use]
    pub fn told_by(&self, settings: &str) -> String {
        // Tables may follow in the settings.
        format!("listener_hook_url = \"{}\"\n{settings}", self.url())
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What has arrived.
    ///
    /// # Panics
    /// When the receiver has failed.
    #[must_use]
    pub fn seen(&self) -> Vec<Delivery> {
        self.seen.lock().unwrap().clone()
    }

    /// Those that tell of this action.
    #[must_use]
    pub fn seen_of(&self, action: &str) -> Vec<Delivery> {
        let mut seen = self.seen();
        seen.retain(|delivery| delivery.body.contains(action));
        seen
    }
}

fn receive(
    connection: TcpStream,
    status: u16,
    server: Option<SocketAddr>,
    seen: &Mutex<Vec<Delivery>>,
) -> std::io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(&connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap_or(0));
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let told = serde_json::from_str::<Value>(&body).ok();
    let clip = told.as_ref().and_then(|told| told["vodName"].as_str());
    let clip = server.zip(clip).map(|(server, name)| {
        request(server, "GET", &format!("/live/streams/{name}.mp4"), &[], "").status
    });
    seen.lock().unwrap().push(Delivery {
        headers,
        body,
        clip,
    });
    let answer = format!("HTTP/1.1 {status} -\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    (&connection).write_all(answer.as_bytes())
}
