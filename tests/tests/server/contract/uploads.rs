//! `POST …/vods/create`: a file that comes from outside becomes an entry, or nothing is left of it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use clipmill_tests::binary::{clipmill, root};
use clipmill_tests::server::{Answer, PATIENCE, Receiver, Server, eventually, request};
use serde_json::{Value, json};

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=x1x");

/// A clip of the demo, and how long it is in milliseconds.
fn clip(folder: &Path, format: &str) -> (Vec<u8>, i64) {
    let (from, out) = (root().join("fixtures/demo/index.m3u8"), folder.join(format));
    let args = ["cut", from.to_str().unwrap(), "-o", out.to_str().unwrap()];
    let window = [
        "--from", "+2s", "--to", "+5.5s", "--format", format, "--json",
    ];
    let told = clipmill(args.into_iter().chain(window)).expect(0).json();
    (
        fs::read(out).unwrap(),
        told["duration_ms"].as_i64().unwrap(),
    )
}

/// Parts of a form, by name.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let head = format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"a.mp4\"");
        body.extend(format!("--x1x\r\n{head}\r\nContent-Type: video/mp4\r\n\r\n").bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--x1x--\r\n");
    body
}

fn upload(server: &Server, name: &str, parts: &[(&str, &[u8])]) -> Answer {
    let path = format!("/live/rest/v2/vods/create?name={name}");
    request(server.address, "POST", &path, &[FORM], form(parts))
}

/// Names of all files below the folder that are, or were to be, clips.
fn files(folder: &Path) -> Vec<String> {
    let all = fs::read_dir(folder.join("streams")).unwrap().flatten();
    let mut names: Vec<_> = all
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn entry(server: &Server, id: &str) -> Value {
    server.get(&format!("/live/rest/v2/vods/{id}")).json()
}

#[test]
fn a_file_from_outside_is_a_clip_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(Vec::new(), None);
    let app = receiver.told_by("enabled = false");
    let server = Server::start(folder.path(), &app);
    let mut made = Vec::new();
    for (format, name) in [("mp4", "H%C3%A4lfte.mp4"), ("fmp4", "a%20b.MP4")] {
        let (file, duration) = clip(folder.path(), format);
        let metadata = b" {\"room\": 7}".as_slice();
        let parts = [
            ("metadata", metadata),
            ("other", b"".as_slice()),
            ("file", &file),
        ];
        let answer = upload(&server, name, &parts);
        assert_eq!(answer.status, 200, "{}", server.log());
        let answer = answer.json();
        let id = answer["dataId"].as_str().unwrap().to_owned();
        // The identifier is the message, too.
        assert_eq!(
            answer,
            json!({"success": true, "message": id, "dataId": id, "errorId": 0})
        );
        let vod = entry(&server, &id);
        let name = if format == "mp4" {
            "Hälfte.mp4"
        } else {
            "a b.MP4"
        };
        for (field, value) in [
            ("vodId", json!(id)),
            ("vodName", json!(name)),
            ("streamName", json!(name)),
            ("streamId", json!("file")),
            ("type", json!("uploadedVod")),
            ("filePath", json!(format!("streams/{id}.mp4"))),
            ("fileSize", json!(file.len())),
            ("duration", json!(duration)),
            ("startTime", json!(0)),
            ("metadata", json!(" {\"room\": 7}")),
            ("processStatus", json!("finished")),
        ] {
            assert_eq!(vod[field], value, "{field}");
        }
        let played = server.get(&format!("/live/streams/{id}.mp4"));
        assert_eq!(played.header("content-type"), "video/mp4");
        assert!(played.body == file);
        made.push(id);
    }
    let found = server
        .get("/live/rest/v2/vods/list/0/10?search=h%C3%A4lf")
        .json();
    assert_eq!(found.as_array().unwrap().len(), 1);
    let synced = server.call("DELETE", "mp4-not-in-db").1;
    assert_eq!(synced["dataId"], "0", "{synced}");

    // From the files alone.
    let before = server.vods("file");
    assert_eq!(before.len(), 2);
    server.kill();
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    let server = Server::start(folder.path(), &app);
    assert_eq!(server.vods("file"), before);
    // As a crash leaves it ahead of its entry: it gets that at the next start, and nobody is told.
    server.kill();
    let id = "u".repeat(24);
    let of = |id: &str, kind: &str| folder.path().join(format!("streams/{id}.{kind}"));
    fs::copy(of(&made[0], "mp4"), of(&id, "mp4")).unwrap();
    let record = fs::read_to_string(of(&made[0], "json")).unwrap();
    fs::write(of(&id, "json"), record.replace(&made[0], &id)).unwrap();
    let server = Server::start(folder.path(), &app);
    assert_eq!(entry(&server, &id)["vodName"], "Hälfte.mp4");
    for id in [&made[0], &made[1], &id] {
        let path = format!("/live/rest/v2/vods/{id}");
        let gone = server.send("DELETE", &path, &[], "").json();
        assert_eq!(
            (&gone["success"], &gone["message"]),
            (&json!(true), &json!("vod deleted"))
        );
    }
    assert_eq!(files(folder.path()), [""; 0]);
    assert!(receiver.seen().is_empty());
}

#[test]
fn an_upload_that_cannot_be_taken_says_why_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = "enabled = false\nupload_max_bytes = \"400KB\"\n\
               retention = { max_bytes = \"300KB\" }";
    let server = Server::start(folder.path(), app);
    let (file, _) = clip(folder.path(), "mp4");
    let cut = &file[..file.len() - 1000];
    let moov = file.windows(4).position(|four| four == b"moov").unwrap() - 4;
    let mdat = file.windows(4).position(|four| four == b"mdat").unwrap() - 4;
    let bare = [&file[..moov], &file[mdat..]].concat();
    let segment = fs::read(root().join("fixtures/demo/seg00.ts")).unwrap();
    let segment = &segment[..50_000];
    let refused = |answer: Answer, why: &str| {
        assert_eq!(answer.status, 200);
        let answer = answer.json();
        let message = (&answer["success"], &answer["message"]);
        assert_eq!(message, (&json!(false), &json!("notSupportedFileType")));
        let reason = answer["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{why}: {reason}");
    };
    for (content, why) in [
        (b"".as_slice(), "the file is empty"),
        (b"\0", "no MP4"),
        (b"no media at all", "no MP4"),
        (segment, "no MP4"),
        (&file[..moov], "there is no moov box"),
        (&bare, "there is no moov box"),
        (&file[..mdat], "no media"),
        (cut, "cut off: box mdat"),
        (&file[..moov + 100], "cut off: box moov"),
    ] {
        refused(upload(&server, "a.mp4", &[("file", content)]), why);
    }
    for name in ["a.webm", "a.mp4.exe", "mp4", "", "%20", "a.mp4%20b"] {
        refused(upload(&server, name, &[("file", &file)]), "extension mp4");
    }
    let long = format!("{}.mp4", "x".repeat(252));
    let many = vec![b'x'; 100_000];
    let large = vec![b'x'; 300_001];
    let larger = vec![b'x'; 3_000_000];
    for (name, parts, status, message) in [
        (
            long.as_str(),
            vec![("file", &file)],
            400,
            "name is longer than 255 bytes",
        ),
        (
            "a%0Ab.mp4",
            vec![("file", &file)],
            400,
            "control characters",
        ),
        (
            "a.mp4",
            vec![("metadata", &many)],
            413,
            "longer than 65536 bytes",
        ),
        ("a.mp4", vec![("video", &file)], 400, "has no part `file`"),
        ("a.mp4", vec![], 400, "has no part `file`"),
        (
            "a.mp4",
            vec![("file", &file), ("file", &file)],
            400,
            "two parts",
        ),
        // More than retention keeps of all.
        (
            "a.mp4",
            vec![("file", &large)],
            413,
            "longer than 300000 bytes",
        ),
        ("a.mp4", vec![("file", &larger)], 413, "longer than"),
    ] {
        let parts: Vec<_> = parts
            .iter()
            .map(|(name, bytes)| (*name, bytes.as_slice()))
            .collect();
        let answer = upload(&server, name, &parts);
        let told = answer.json()["message"].clone();
        assert_eq!(answer.status, status, "{told}");
        assert!(told.as_str().unwrap().contains(message), "{told}");
    }
    let whole = form(&[("file", &file)]);
    for (kind, body, status, message) in [
        (
            "application/json",
            b"{}".as_slice(),
            415,
            "multipart/form-data",
        ),
        ("video/mp4", &file, 415, "multipart/form-data"),
        ("multipart/form-data", &whole, 400, "boundary"),
        ("multipart/form-data; boundary=y", &whole, 400, "ends early"),
        (FORM.1, &whole[..whole.len() - 6], 400, "ends early"),
        (FORM.1, &whole[..1000], 400, "ends early"),
        (FORM.1, b"", 400, "ends early"),
    ] {
        let path = "/live/rest/v2/vods/create?name=a.mp4";
        let answer = request(
            server.address,
            "POST",
            path,
            &[("Content-Type", kind)],
            body,
        );
        let told = answer.json()["message"].clone();
        assert_eq!(answer.status, status, "{kind}: {told}");
        assert!(told.as_str().unwrap().contains(message), "{kind}: {told}");
    }
    assert_eq!(files(folder.path()), [""; 0]);
    assert_eq!(server.vods("file"), [Value::Null; 0]);
    // What fits is taken after all that, and retention makes room for it as for any clip.
    let ids = [0; 3].map(|_| {
        let answer = upload(&server, "a.mp4", &[("file", &file)]).json();
        answer["dataId"].as_str().unwrap().to_owned()
    });
    server.reconfigure("enabled = false\nretention = { max_bytes = \"160KB\" }");
    eventually("the oldest are gone", || {
        (files(folder.path()) == [format!("{}.json", ids[2]), format!("{}.mp4", ids[2])])
            .then_some(())
    });
}

/// The client goes away, or the server does, in the middle of a file.
#[test]
fn nothing_is_left_of_an_upload_that_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let (file, _) = clip(folder.path(), "mp4");
    let whole = form(&[("file", &file)]);
    let begin = |server: &Server, length: usize, sent: &[u8]| {
        let mut connection = TcpStream::connect(server.address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /live/rest/v2/vods/create?name=a.mp4 HTTP/1.1\r\nHost: x\r\n\
             Content-Type: {}\r\nContent-Length: {length}\r\n\r\n",
            FORM.1
        );
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(sent).unwrap();
        connection
    };
    // Whoever has sent so much has its file begun: the answer to another call comes after it.
    let half = &whole[..whole.len() / 2];
    drop(begin(&server, whole.len(), half));
    // A length that is not kept to, with all of the form in it: nothing is known to be missing.
    let mut short = begin(&server, whole.len() + 10, &whole);
    short.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    let _ = short.read_to_string(&mut answer);
    eventually("nothing is left", || {
        let kept = server.vods("file");
        (files(folder.path()).len() == 2 * kept.len()).then_some(())
    });
    let kept = server.vods("file").len();
    assert!(kept <= 1);

    let stays = begin(&server, whole.len(), half);
    server.kill();
    drop(stays);
    let server = Server::start(folder.path(), "enabled = false");
    assert_eq!(files(folder.path()).len(), 2 * kept);
    assert_eq!(server.vods("file").len(), kept);

    // Far more than a buffer, slowly, and nothing of it is held in memory.
    let resident = || -> usize {
        let text = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = resident();
    let mut free = (200_u32 << 20).to_be_bytes().to_vec();
    free.extend(b"free");
    let mut head = form(&[("file", b"")]);
    head.truncate(head.len() - b"\r\n--x1x--\r\n".len());
    let ending = b"\r\n--x1x--\r\n";
    let length = head.len() + (200 << 20) + file.len() + ending.len();
    let mut connection = begin(&server, length, &head);
    let moov = file.windows(4).position(|four| four == b"moov").unwrap() - 4;
    // Behind the `mdat`, where nothing points to.
    connection.write_all(&file).unwrap();
    assert!(moov < file.len());
    connection.write_all(&free).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..199 {
        connection.write_all(&zeros).unwrap();
    }
    connection
        .write_all(&zeros[..(1 << 20) - free.len()])
        .unwrap();
    connection.write_all(ending).unwrap();
    let mut answer = [0; 15];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let grown = resident() - before;
    assert!(grown < 64 << 10, "{grown} KiB for a file of 200 MiB");
    assert_eq!(server.vods("file").len(), kept + 1);
}
