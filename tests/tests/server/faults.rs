//! The clip server when something around it is broken: folders, the catalog, receivers, settings,
//! clients.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clipmill_tests::binary::{self, clipmill};
use clipmill_tests::live::Live;
use clipmill_tests::server::{Receiver, Server, Setup, eventually, free_address, request};
use clipmill_tests::writer::Plan;
use serde_json::{Value, json};

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Somebody who may not read what others have closed to them. Tests that run as root need one.
const NOBODY: u32 = 65_534;

fn give(path: &Path, user: u32) {
    std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        give(&entry.path(), user);
    }
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn readiness(server: &Server) -> (u16, String) {
    let answer = server.get("/readyz");
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[test]
fn a_folder_that_cannot_be_read_is_told_and_read_as_soon_as_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let streams = folder.path().join("streams");
    fs::create_dir(&streams).unwrap();
    // A clip of an earlier run lies in it, which the catalog does not know.
    let server = Server::start(folder.path(), "interval_seconds = 2");
    let cam = Live::default().start(&streams, "cam");
    let before = eventually("a clip", || server.vods("cam").pop());
    server.kill();
    drop(cam);
    fs::remove_dir_all(folder.path().join("data")).unwrap();

    let program = folder.path().join("program");
    fs::copy(binary::path(), &program).unwrap();
    permit(&program, 0o755);
    permit(folder.path(), 0o755);
    if is_root() {
        give(folder.path(), NOBODY);
    }
    permit(&streams, 0);
    let user = is_root().then_some((NOBODY, program.as_path()));
    let server = Server::launch(
        folder.path(),
        &Setup {
            app: "interval_seconds = 2",
            user,
            ..Setup::default()
        },
    );
    let told = eventually("not ready", || {
        let (status, reasons) = readiness(&server);
        (status == 503 && reasons.contains("denied")).then_some(reasons)
    });
    assert!(told.contains("streams"), "{told}");
    eventually("the log", || {
        server.log().contains("cannot read").then_some(())
    });
    // Everything else is answered.
    assert_eq!(
        server.get("/live/rest/v2/vods/count").json(),
        json!({"number": 0})
    );
    assert_eq!(server.get("/healthz").status, 200);

    permit(&streams, 0o755);
    eventually("ready", || (readiness(&server).0 == 200).then_some(()));
    eventually("the old clip is known", || {
        let path = format!("/live/rest/v2/vods/{}", before["vodId"].as_str().unwrap());
        (server.get(&path).status == 200).then_some(())
    });
    let _hall = Live::default().start(&streams, "hall");
    eventually("a new stream's clip", || server.vods("hall").pop());
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_folder_that_is_not_there_yet_keeps_no_other_from_being_watched() {
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later");
    let app = format!(
        "interval_seconds = 2\n[[app]]\nname = \"more\"\nstreams_dir = \"{}\"\ninterval_seconds = 2",
        later.display()
    );
    let server = Server::launch(
        folder.path(),
        &Setup {
            app: &app,
            ..Setup::default()
        },
    );
    let list = "/live/rest/v2/vods/list/0/10";
    eventually("the catalog is open", || {
        (server.get(list).status == 200).then_some(())
    });
    let _cam = Live::default().start(&folder.path().join("streams"), "cam");
    eventually("a clip of the first", || server.vods("cam").pop());
    let (status, reasons) = readiness(&server);
    assert_eq!(status, 503);
    assert!(
        reasons.contains("more: ") && reasons.contains("later"),
        "{reasons}"
    );
    let _hall = Live::default().start(&later, "hall");
    eventually("a clip of the second", || {
        let list = server.get("/more/rest/v2/vods/list/0/10").json();
        list.as_array().unwrap().first().cloned()
    });
    eventually("ready", || (readiness(&server).0 == 200).then_some(()));
}

/// Takes connections and never answers.
fn black_hole() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let held: Vec<_> = listener.incoming().flatten().collect();
        drop(held);
    });
    url
}

#[test]
fn a_receiver_that_hangs_delays_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let good = Receiver::new(Vec::new(), None);
    let app = good.told_by("interval_seconds = 1\nwebhook_timeout = \"10m\"");
    let server = Server::start(folder.path(), &app);
    let hall = json!({"streamId": "hall", "listenerHookURL": black_hole()}).to_string();
    let made = server.send("POST", "/live/rest/v2/broadcasts/create", &[], &hall);
    assert_eq!(made.status, 200);
    let streams = folder.path().join("streams");
    let _hall = Live::default().start(&streams, "hall");
    let _cam = Live::default().start(&streams, "cam");
    // More of hall's than are tried at once, and cam's all the same.
    eventually("clips of both", || {
        let enough = |id| server.vods(id).len() >= 6;
        (enough("hall") && enough("cam")).then_some(())
    });
    eventually("cam's are told", || {
        (good.seen_of("vodReady").len() >= 6).then_some(())
    });
    assert!(good.seen().iter().all(|told| told.json()["id"] == "cam"));
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let waiting = metrics
        .lines()
        .find_map(|line| line.strip_prefix("clipmill_webhook_queue "))
        .and_then(|number| number.parse::<f64>().ok());
    assert!(waiting.is_some_and(|waiting| waiting >= 6.0), "{waiting:?}");
    // Nor does it hold up the end, and what it was not told is not forgotten.
    assert_eq!(server.stop(), Some(0));
    let patient = Receiver::new(Vec::new(), None);
    let server = Server::start(folder.path(), &app);
    let hall = json!({"listenerHookURL": patient.url()}).to_string();
    let changed = server.send("PUT", "/live/rest/v2/broadcasts/hall", &[], &hall);
    assert_eq!(changed.status, 200);
    eventually("hall's next are told", || patient.seen_of("vodReady").pop());
}

/// What is done to the files of a catalog.
type Damage = fn(&mut Vec<u8>);

const DAMAGES: [(&str, Damage); 4] = [
    ("overwritten", |bytes| bytes.fill(0xa5)),
    ("emptied", Vec::clear),
    ("halved", |bytes| bytes.truncate(bytes.len() / 2)),
    ("flipped", |bytes| {
        for byte in bytes.iter_mut().step_by(61) {
            *byte ^= 0x40;
        }
    }),
];

fn damage(folder: &Path, damage: Damage) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            self::damage(&entry.path(), damage);
        } else {
            let mut bytes = fs::read(entry.path()).unwrap();
            damage(&mut bytes);
            fs::write(entry.path(), bytes).unwrap();
        }
    }
}

#[test]
fn a_corrupt_catalog_is_set_aside_and_made_anew_from_the_clips() {
    let folder = tempfile::tempdir().unwrap();
    let app = "interval_seconds = 2";
    let mut server = Server::start(folder.path(), app);
    let mut cam = Live::default().start(&folder.path().join("streams"), "cam");
    for (number, (what, damage)) in DAMAGES.into_iter().enumerate() {
        let known = server.vods("cam").len();
        eventually("more clips", || {
            (server.vods("cam").len() > known).then_some(())
        });
        server.kill();
        let data = folder.path().join("data");
        let before = files_of(folder.path());
        self::damage(&data.join("catalog"), damage);
        server = Server::start(folder.path(), app);
        let after: Vec<_> = server.vods("cam").iter().map(name_of).collect();
        for clip in &before {
            assert!(after.contains(clip), "{what}: {clip} is lost");
        }
        let names = fs::read_dir(&data).unwrap().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let aside = names.filter(|name| name.starts_with("catalog.set-aside-"));
        assert!(aside.count() <= number + 1, "{what}");
    }
    let told = "the catalog cannot be read; it is rebuilt from the files";
    assert!(server.log().contains(told));
    // The same by hand, while no server runs.
    cam.end();
    eventually("cam has ended", || {
        let cam = server.get("/live/rest/v2/broadcasts/cam");
        (cam.status == 200 && cam.json()["status"] == "finished").then_some(())
    });
    // A last clip may still be in the making: it is there when the server has stopped.
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(folder.path(), app);
    // The last clip may come only now. Then nothing is kept for it any more.
    let before = eventually("all is cut", || {
        let vods = server.vods("cam");
        let mut entries: Vec<_> = vods.iter().map(name_of).collect();
        entries.sort();
        let kept = folder.path().join("data/spool/live/cam");
        (entries == files_of(folder.path()) && !kept.exists()).then_some(vods)
    });
    assert_eq!(server.stop(), Some(0));
    let files = files_of(folder.path());
    let config = folder.path().join("clipmill.toml");
    let data = folder.path().join("data");
    let rebuild = binary::command(binary::path())
        .args(["catalog", "rebuild", "--config"])
        .arg(config)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(rebuild.status.success(), "{rebuild:?}");
    let said = format!("live: {} clips\n", files.len());
    assert_eq!(String::from_utf8(rebuild.stdout).unwrap(), said);
    assert!(data.join("catalog").is_dir());
    let server = Server::start(folder.path(), app);
    let after = server.vods("cam");
    assert_eq!(after, before);
    let mut names: Vec<_> = after.iter().map(name_of).collect();
    names.sort();
    assert_eq!(names, files);
}

fn name_of(vod: &Value) -> String {
    vod["vodName"].as_str().unwrap().to_owned()
}

/// The names of all clips on the disk.
fn files_of(folder: &Path) -> Vec<String> {
    files_in(&folder.join("streams"))
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names
        .filter(|name| name.ends_with(".mp4") && !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[test]
fn a_data_folder_that_is_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "");
    let data = folder.path().join("data");
    let streams = format!("live={}", folder.path().join("streams").display());
    let second = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--app",
        &streams,
        "--data-dir",
    ];
    let rebuild = ["catalog", "rebuild", "--app", &streams, "--data-dir"];
    for command in [second.as_slice(), &rebuild] {
        let mut command: Vec<_> = command.iter().map(|text| Path::new(*text)).collect();
        command.push(&data);
        let run = clipmill(command).expect(1);
        let last = run.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("clipmill: "), "{last}");
        assert!(last.contains(data.to_str().unwrap()), "{last}");
        assert!(last.contains("another process"), "{last}");
    }
    assert_eq!(server.get("/readyz").status, 200);
    // Nor is the address taken away from it.
    let address = server.address.to_string();
    let third = [
        "serve",
        "--listen",
        &address,
        "--app",
        &streams,
        "--data-dir",
        "elsewhere",
    ];
    let run = clipmill(third).expect(1);
    let last = run.stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with(&format!("clipmill: cannot listen on {address}: ")),
        "{last}"
    );
    assert!(!Path::new("elsewhere").exists());
}

#[test]
fn settings_that_cannot_be_used_end_with_2_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clipmill.toml");
    let app = "[[app]]\nname = \"live\"\nstreams_dir = \"streams\"\n";
    for (text, fault) in [
        (
            format!("{app}intervall_seconds = 5\n"),
            ":4: unknown key `intervall_seconds`; did you mean `interval_seconds`?",
        ),
        (
            format!("{app}listen = \"127.0.0.1:0\"\n"),
            ":4: unknown key `listen` here; it belongs to the top level",
        ),
        (
            format!("\n\nlisten = \"somewhere\"\n{app}"),
            ":3: `somewhere` is not HOST:PORT",
        ),
        (
            format!("{app}interval_seconds = \"soon\"\n"),
            ":4: `soon` is not a whole number from 1 up",
        ),
        (
            format!("{app}retention = {{ max_age = \"30y\" }}\n"),
            ":4: ",
        ),
        ("data_dir = \n".to_owned(), ":1: "),
        (
            format!("{app}{app}"),
            ":4: application `live` is named twice",
        ),
        (
            String::new(),
            ": no application: name one with --app NAME=STREAMS_DIR, or [[app]]",
        ),
    ] {
        fs::write(&file, &text).unwrap();
        let run = clipmill([Path::new("serve"), Path::new("--config"), &file]).expect(2);
        let start = format!("clipmill: {}{fault}", file.display());
        assert!(run.stderr.starts_with(&start), "{text}: {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stdout.is_empty());
    }
    for (args, fault) in [
        (
            ["--listen", "nowhere"],
            "--listen: `nowhere` is not HOST:PORT",
        ),
        (
            ["--interval", "1.5s"],
            "--interval: whole seconds, at least one",
        ),
        (["--app", "live"], "--app: `live` is not NAME=STREAMS_DIR"),
        (["--config", "/does/not/exist"], "/does/not/exist: "),
    ] {
        let run = clipmill(["serve", "--app", "x=/"].into_iter().chain(args)).expect(2);
        assert!(
            run.stderr.starts_with(&format!("clipmill: {fault}")),
            "{}",
            run.stderr
        );
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
}

#[test]
fn help_names_every_key_of_the_configuration() {
    let help = clipmill(["serve", "--help"]).expect(0);
    let help = String::from_utf8(help.stdout).unwrap();
    for text in [
        "Examples:",
        "spool_max_bytes",
        "retention",
        "jwt_secret",
        "SIGHUP",
    ] {
        assert!(help.contains(text), "{text}");
    }
}

#[test]
fn what_rest_asked_for_holds_until_the_configuration_says_something_new() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let _cam = Live::default().start(&folder.path().join("streams"), "cam");
    let (status, _) = server.call("POST", "periodic-recording/2");
    assert_eq!(status, 200);
    eventually("a clip", || server.vods("cam").pop());
    server.kill();
    let server = Server::start(folder.path(), "enabled = false");
    let known = server.vods("cam").len();
    eventually("it goes on", || {
        (server.vods("cam").len() > known).then_some(())
    });
    let (_, off) = server.call("DELETE", "periodic-recording");
    assert_eq!(off["success"], true);
    server.kill();
    let server = Server::start(folder.path(), "enabled = false");
    let (_, off) = server.call("DELETE", "periodic-recording");
    assert_eq!(off["success"], false, "{off}");
    server.reconfigure("enabled = true\ninterval_seconds = 1");
    let known = server.vods("cam").len();
    eventually("the configuration wins", || {
        (server.vods("cam").len() > known + 1).then_some(())
    });
    server.reconfigure("enabled = false\ninterval_seconds = 1");
    eventually("it is off", || {
        let (_, off) = server.call("DELETE", "periodic-recording");
        (off["success"] == false).then_some(())
    });
}

/// Segments that are too large for a connection's buffers.
fn large() -> Live {
    Live {
        plan: Plan {
            groups: 10,
            group: 25,
            weight: 60_000,
            sound: false,
            ..Plan::default()
        },
        ..Live::default()
    }
}

/// A download that has begun.
struct Download {
    rest: BufReader<TcpStream>,
    length: usize,
}

impl Download {
    fn begin(server: &Server, method: &str, path: &str) -> Self {
        let mut connection = TcpStream::connect(server.address).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        let mut rest = BufReader::with_capacity(4096, connection);
        let mut length = 0;
        let mut status = String::new();
        rest.read_line(&mut status).unwrap();
        assert!(status.contains(" 200 "), "{status}");
        loop {
            let mut line = String::new();
            rest.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap();
                }
                Some(_) => {}
                None => return Self { rest, length },
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.rest.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), self.length);
        bytes
    }
}

#[test]
fn a_clip_that_is_downloaded_outlives_retention_and_deletion() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let mut cam = large().start(&folder.path().join("streams"), "cam");
    let ask = || {
        let (status, made) = server.call("POST", "mp4/cam");
        (status == 200).then(|| made["dataId"].as_str().unwrap().to_owned())
    };
    cam.wait_for(8);
    let first = eventually("a clip", ask);
    let second = ask().unwrap();
    let third = ask().unwrap();
    cam.stop();
    let path = |id: &str| format!("/live/streams/{id}.mp4");
    let file = |id: &str| folder.path().join(format!("streams/{id}.mp4"));
    let contents = [&first, &second].map(|id| fs::read(file(id)).unwrap());
    assert!(contents[0].len() > 8 << 20, "{}", contents[0].len());

    let reading = Download::begin(&server, "GET", &path(&first));
    let reading_too = Download::begin(&server, "GET", &path(&second));
    server.reconfigure("enabled = false\nretention = { max_bytes = \"1B\" }");
    eventually("the third is gone", || {
        (!file(&third).exists()).then_some(())
    });
    let entry = |id: &str| server.get(&format!("/live/rest/v2/vods/{id}")).status;
    assert_eq!(entry(&third), 404);
    assert!(file(&first).exists() && file(&second).exists());
    assert_eq!((entry(&first), entry(&second)), (200, 200));

    // Whoever deletes it by name means it; those who read it still get all of it.
    let gone = server.send("DELETE", &format!("/live/rest/v2/vods/{second}"), &[], "");
    assert_eq!(gone.json()["success"], true);
    assert!(!file(&second).exists());
    assert!(reading_too.finish() == contents[1]);
    assert!(reading.finish() == contents[0]);
    server.reconfigure("enabled = false\nretention = { max_bytes = \"2B\" }");
    eventually("now the first goes too", || {
        (!file(&first).exists()).then_some(())
    });
    assert_eq!(entry(&first), 404);
}

#[test]
fn whoever_has_all_of_a_clip_that_was_asked_for_finds_its_entry() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let cam = Live::default().start(&folder.path().join("streams"), "cam");
    cam.wait_for(2);
    eventually("cam is known", || {
        (server.get("/live/rest/v2/broadcasts/cam").status == 200).then_some(())
    });
    for _ in 0..10 {
        let path = "/live/rest/clip-creator/mp4/cam?returnFile=true";
        let answer = server.send("POST", path, &[], "");
        assert_eq!(answer.status, 200);
        let id = answer.header("x-vodid");
        let vod = server.get(&format!("/live/rest/v2/vods/{id}"));
        assert_eq!(vod.status, 200);
        assert_eq!(vod.json()["fileSize"], answer.body.len());
    }
}

#[test]
fn every_call_that_is_described_answers_as_described_and_no_other_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let description = server.get("/openapi.json").json();
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.len() >= 18, "{}", paths.len());
    for (path, methods) in paths {
        let mut url = path.replace("{app}", "live");
        for (name, value) in [
            ("{offset}", "0"),
            ("{size}", "10"),
            ("{periodSeconds}", "5"),
        ] {
            url = url.replace(name, value);
        }
        let url = url.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let answer = server.send(method, &url, &[], "");
            let described = &methods[method.to_lowercase()]["responses"];
            let status = answer.status.to_string();
            if described.is_null() {
                assert_eq!(status, "405", "{method} {url}");
            } else {
                assert!(!described[&status].is_null(), "{method} {url}: {status}");
            }
        }
    }
}

/// Ends with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_demo_shows_clips_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut demo = Running(
        binary::command(binary::path())
            .args(["demo", "--listen", &address.to_string()])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let mut next = |what: &str, found: &dyn Fn(&str) -> bool| loop {
        let line = lines.next().unwrap_or_else(|| panic!("never: {what}"));
        let line = line.unwrap();
        if found(&line) {
            return line.trim().to_owned();
        }
    };
    let playlist = next("the playlist", &|line| line.ends_with(".m3u8"));
    assert_eq!(playlist, format!("http://{address}/live/streams/demo.m3u8"));
    let call = next("a call", &|line| line.contains("curl -s -X POST 'http"));
    let call = call.split('\'').nth(1).unwrap().to_owned();
    let base = format!("http://{address}");
    let path = |url: &str| url.strip_prefix(&base).unwrap().to_owned();
    let made = eventually("a clip on demand", || {
        let answer = TcpStream::connect(address)
            .is_ok()
            .then(|| request(address, "POST", &path(&call), &[], ""))?;
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(made["success"], true);
    let clip = next("a clip", &|line| line.ends_with(".mp4"));
    let clip = request(address, "GET", &path(&clip), &[], "");
    assert_eq!((clip.status, &clip.body[4..8]), (200, b"ftyp".as_slice()));
    let id = demo.0.id().to_string();
    let sent = Command::new("kill").args(["-s", "INT", &id]).status();
    assert!(sent.unwrap().success());
    let status = eventually("the demo ends", || demo.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    // Where the port is taken, it says so, and nothing else.
    let _taken = TcpListener::bind(address).unwrap();
    let run = clipmill(["demo", "--listen", &address.to_string()]).expect(1);
    assert!(run.stdout.is_empty());
    let expected = format!("clipmill: cannot listen on {address}: ");
    assert!(run.stderr.starts_with(&expected), "{}", run.stderr);
}

#[test]
fn the_end_waits_for_downloads_and_takes_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let mut cam = large().start(&folder.path().join("streams"), "cam");
    cam.wait_for(8);
    eventually("cam is known", || {
        (server.get("/live/rest/v2/broadcasts/cam").status == 200).then_some(())
    });
    cam.stop();
    let path = "/live/rest/clip-creator/mp4/cam?returnFile=true";
    let download = Download::begin(&server, "POST", path);
    server.signal("TERM");
    eventually("nobody else gets in", || {
        TcpStream::connect(server.address).is_err().then_some(())
    });
    let bytes = download.finish();
    assert_eq!(server.ended(), Some(0));
    let [name] = files_of(folder.path()).try_into().unwrap();
    assert!(fs::read(folder.path().join("streams").join(&name)).unwrap() == bytes);
    let server = Server::start(folder.path(), "enabled = false");
    assert_eq!(name_of(&server.vods("cam")[0]), name);
}

fn counted(server: &Server, name: &str) -> f64 {
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let line = metrics.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("{name} is not counted"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn forms_are_sent_as_forms_and_what_nobody_takes_is_given_up_aloud() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(Vec::new(), None);
    let nobody = free_address();
    let app = receiver.told_by(
        "enabled = false\nwebhook_max_age = \"2s\"\n\
         webhook_content_type = \"application/x-www-form-urlencoded\"",
    );
    let server = Server::start(folder.path(), &app);
    for (id, hook) in [
        ("cam", Value::Null),
        ("deaf", json!(format!("http://{nobody}/"))),
    ] {
        let made = json!({"streamId": id, "metaData": "{\"a b\":1}", "listenerHookURL": hook});
        let path = "/live/rest/v2/broadcasts/create";
        assert_eq!(
            server.send("POST", path, &[], &made.to_string()).status,
            200
        );
    }
    let streams = folder.path().join("streams");
    let _both = ["cam", "deaf"].map(|id| Live::default().start(&streams, id));
    eventually("a clip", || {
        (server.call("POST", "mp4/cam").0 == 200).then_some(())
    });
    let told = eventually("told", || receiver.seen_of("vodReady").pop());
    assert_eq!(
        told.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    let has = |field: &str| told.body.split('&').any(|one| one == field);
    assert!(
        has("id=cam") && has("action=vodReady") && has("app=live"),
        "{}",
        told.body
    );
    assert!(has("metadata=%7B%22a+b%22%3A1%7D"), "{}", told.body);

    eventually("given up", || {
        (counted(&server, "clipmill_webhooks_failed_total") >= 1.0).then_some(())
    });
    let log = server.log();
    let given_up = log
        .lines()
        .find(|line| line.contains("webhook given up"))
        .unwrap();
    for part in [
        "ERROR",
        "delivery=",
        "attempts=",
        "liveStreamStarted",
        &nobody.to_string(),
    ] {
        assert!(given_up.contains(part), "{given_up}");
    }
    assert!(counted(&server, "clipmill_webhook_tries_failed_total") >= 2.0);
}

#[test]
fn what_operators_read_is_there_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "interval_seconds = 2");
    for name in [
        "clips_made_total",
        "clips_failed_total",
        "clip_bytes_total",
        "clips_removed_total",
        "streams_live",
        "segments_indexed_total",
        "spool_bytes",
        "spool_limit_bytes",
        "disk_full",
        "webhook_queue",
        "webhooks_delivered_total",
        "webhooks_failed_total",
        "http_requests_total",
        "http_request_seconds_bucket",
        "http_connections",
    ] {
        counted(&server, &format!("clipmill_{name}"));
    }
    let mut cam = Live::default().start(&folder.path().join("streams"), "cam");
    let vod = eventually("a clip", || server.vods("cam").pop());
    for histogram in [
        "clip_make_seconds",
        "clip_lateness_seconds",
        "clip_duration_seconds",
    ] {
        // It is known before it is counted.
        let name = format!("clipmill_{histogram}_count");
        eventually(histogram, || {
            let text = String::from_utf8(server.get("/metrics").body).unwrap();
            text.contains(&name).then_some(())
        });
        assert!(counted(&server, &name) >= 1.0, "{histogram}");
    }
    // One line for each clip.
    let log = server.log();
    let id = vod["vodId"].as_str().unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(id)).collect();
    let [line] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    for field in ["stream=", "from=", "to=", "samples=", "bytes=", "took_ms="] {
        assert!(line.contains(field), "{line}");
    }
    cam.end();
    eventually("cam has ended", || {
        let cam = server.get("/live/rest/v2/broadcasts/cam").json();
        (cam["status"] == "finished").then_some(())
    });
    let path = "/live/rest/v2/broadcasts/active-live-stream-count";
    assert_eq!(server.get(path).json(), json!({"number": 0}));
    // Each segment was read once.
    let indexed = counted(&server, "clipmill_segments_indexed_total");
    assert!(indexed <= cam.written() as f64, "{indexed}");
}

#[test]
fn applications_come_and_go_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let more = folder.path().join("more");
    fs::create_dir(&more).unwrap();
    let both = format!(
        "interval_seconds = 2\n[[app]]\nname = \"more\"\nstreams_dir = \"{}\"\n\
         interval_seconds = 2\njwt_secret = \"s\"",
        more.display()
    );
    let server = Server::start(folder.path(), "interval_seconds = 2");
    let count = || server.get("/more/rest/v2/vods/count").status;
    assert_eq!(count(), 404);
    let _hall = Live::default().start(&more, "hall");
    server.reconfigure(&both);
    eventually("it is there, and wants a token", || {
        (count() == 403).then_some(())
    });
    let clip = || files_in(&more).pop();
    let name = eventually("a clip", clip);
    assert_eq!(server.get(&format!("/more/streams/{name}")).status, 200);
    server.reconfigure("interval_seconds = 2");
    eventually("it is gone", || (count() == 404).then_some(()));
    assert_eq!(server.get(&format!("/more/streams/{name}")).status, 404);
    assert!(more.join(&name).exists());
}
