//! Segments that are listed and not there: late, deleted, never written; at the head, in the middle, at
//! the tail. What a clip lacks is said, wherever the clip is told of.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, UNIX_EPOCH};

use clipmill_tests::listing::date_of;
use clipmill_tests::replay::{Piece, pieces};
use clipmill_tests::writer::Plan;
use serde_json::Value;

use super::returns::Sender;
use super::server::Server;
use super::{DATE, assert_same, assert_tiles, plan, range, wait_for_end};

/// How long each of the segments is, in milliseconds.
const LENGTH: i64 = 1440;

/// Segments of three groups of pictures.
fn media(count: usize) -> Vec<Piece> {
    let plan = Plan {
        groups: 3 * count,
        sound_delay: 3600,
        ..plan()
    };
    pieces(&plan, &[3])
}

/// Lists all of them, and writes those that `there` names.
fn send(server: &Server, id: &str, all: &[Piece], there: impl Fn(usize) -> bool) -> Sender {
    send_with(Sender::new(server, id, 100).dated(DATE), id, all, there)
}

fn send_with(mut sender: Sender, id: &str, all: &[Piece], there: impl Fn(usize) -> bool) -> Sender {
    for (n, piece) in all.iter().enumerate() {
        let name = format!("{id}{n}.ts");
        if there(n) {
            sender.publish(&name, piece, false);
        } else {
            sender.list(&name, piece.micros, false);
        }
    }
    sender
}

/// Both edges of each gap, in milliseconds from the beginning.
pub(crate) fn gaps(vod: &Value) -> Vec<(i64, i64)> {
    let gaps = vod["gaps"].as_array().cloned().unwrap_or_default();
    let ms = |text: &Value| {
        let text = text.as_str().unwrap();
        let clock = text.strip_prefix("2026-11-22T14:").unwrap();
        let (minutes, seconds) = clock.trim_end_matches('Z').split_once(':').unwrap();
        let seconds: f64 = seconds.parse().unwrap();
        60_000 * minutes.parse::<i64>().unwrap() + (seconds * 1000.0).round() as i64
    };
    gaps.iter()
        .map(|gap| (ms(&gap["from"]), ms(&gap["to"])))
        .collect()
}

/// Clocks of playlists have milliseconds, frames have 40 of them.
fn assert_gaps(found: &[(i64, i64)], wanted: &[(i64, i64)]) {
    let near = |a: i64, b: i64| (a - b).abs() <= 41;
    let all = found.len() == wanted.len()
        && found
            .iter()
            .zip(wanted)
            .all(|(a, b)| near(a.0, b.0) && near(a.1, b.1));
    assert!(all, "{found:?} {wanted:?}");
}

fn pictures<'a>(pieces: impl IntoIterator<Item = &'a Piece>) -> Vec<Vec<Vec<u8>>> {
    let units = pieces.into_iter().flat_map(|piece| &piece.video);
    units.map(|unit| unit.content.clone()).collect()
}

/// Asks for a range: what the answer says, and the entry.
fn ask(server: &Server, from: i64, to: i64) -> (Value, Value) {
    let path = format!("/live/rest/clip-creator/mp4/{}", range(from, to));
    let (code, answer) = server.ask("POST", &path).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(code, 200, "{answer}\n{}", server.log());
    let entry = server.json(&format!(
        "/live/rest/v2/vods/{}",
        answer["dataId"].as_str().unwrap()
    ));
    (answer, entry)
}

/// The head of the answer to a request for a virtual clip.
fn head_of(server: &Server, path: &str) -> String {
    let mut connection = server.connect();
    let request = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.to_ascii_lowercase()
}

#[test]
fn what_a_range_lacks_is_said() {
    let server = Server::start("interval_seconds = 600\nsegment_patience = \"300ms\"\n");
    let all = media(10);
    // One in the middle, and two in a row.
    let there = |n: usize| ![2, 5, 6].contains(&n);
    let sender = send(&server, "cam", &all, there);
    server.wait_for_segments(10);
    let at = |n: i64| n * LENGTH;
    let holes = [(at(2), at(3)), (at(5), at(7))];
    for (from, to, wanted) in [
        (at(1), at(9), &holes[..]),
        (at(0), at(2), &[]),
        // Its beginning, its end, and both lie in a hole.
        (at(5) + 700, at(9), &[(at(5) + 700, at(7))]),
        (at(1), at(2) + 900, &[(at(2), at(2) + 900)]),
        (at(2) + 300, at(6), &[(at(2) + 300, at(3)), (at(5), at(6))]),
    ] {
        let (answer, entry) = ask(&server, from, to);
        assert_gaps(&gaps(&entry), wanted);
        assert_eq!(answer.get("gaps"), entry.get("gaps"));
        let path = format!(
            "/live/streams/cam.mp4?start={}&end={}",
            DATE + from,
            DATE + to
        );
        let head = head_of(&server, &path);
        let told = head
            .lines()
            .find(|line| line.starts_with("x-clipmill-gaps: "));
        let told = told.map_or(0, |line| line.matches('/').count());
        assert_eq!(told, wanted.len(), "{head}");
    }
    // Media on both sides, at its own time.
    let (_, entry) = ask(&server, at(1), at(9));
    let start = entry["startTime"].as_i64().unwrap() - DATE;
    let end = start + entry["duration"].as_i64().unwrap();
    assert!(
        (start - at(1)).abs() <= 40 && (end - at(9)).abs() <= 40,
        "{entry}"
    );
    sender.write(true);
    wait_for_end(&server, "cam");
    // The same when nobody has it in mind any more.
    let (_, entry) = ask(&server, at(1), at(9));
    assert_gaps(&gaps(&entry), &holes);
    // What lies outside of what there is.
    let (_, entry) = ask(&server, at(8), at(12));
    assert_gaps(&gaps(&entry), &[(at(10), at(12))]);
}

#[test]
fn what_is_late_is_waited_for() {
    let server = Server::start("interval_seconds = 600\nsegment_patience = \"60s\"\n");
    let all = media(6);
    // The last one, and one in the middle.
    for missing in [5, 2] {
        let id = format!("cam{missing}");
        let sender = send(&server, &id, &all, |n| n != missing);
        let known = format!("/live/rest/v2/broadcasts/{id}");
        server.wait("known", || {
            server.get(&known).is_some_and(|(code, _)| code == 200)
        });
        let path = sender.path(&format!("{id}{missing}.ts"));
        let bytes = all[missing].bytes.clone();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            fs::write(path, bytes).unwrap();
        });
        let call = range(0, 6 * LENGTH).replace("cam/", &format!("{id}/"));
        let vod = super::asked(&server, &call);
        writer.join().unwrap();
        assert_gaps(&gaps(&vod), &[]);
        let made = server.clips(&id);
        assert_same(&made[0].video, &pictures(&all), "pictures");
        sender.write(true);
        wait_for_end(&server, &id);
    }
}

#[test]
fn periodic_clips_tile_around_what_is_missing() {
    let server = Server::start("interval_seconds = 4\nsegment_patience = \"200ms\"\n");
    let all = media(12);
    for missing in [
        vec![0],
        vec![0, 1],
        vec![2],
        vec![5, 6, 7],
        vec![11],
        vec![0, 4, 10, 11],
    ] {
        let id = missing.iter().map(|n| format!("m{n}")).collect::<String>();
        let sender = send(&server, &id, &all, |n| !missing.contains(&n));
        sender.write(true);
        wait_for_end(&server, &id);
        let clips = server.clips(&id);
        let there = all.iter().enumerate().filter(|(n, _)| !missing.contains(n));
        let found: Vec<_> = clips.iter().flat_map(|clip| clip.video.clone()).collect();
        assert_same(&found, &pictures(there.map(|(_, piece)| piece)), &id);
        // All that is missing is said, and nothing else.
        let said = clips.iter().flat_map(|clip| gaps(&clip.vod));
        let said: i64 = said.map(|(from, to)| to - from).sum();
        let lost = LENGTH * missing.len() as i64;
        assert!((said - lost).abs() <= 100, "{id}: {said} of {lost}");
    }
    server.assert_all_or_nothing();
}

/// The playlist goes while its last segments are waited for: they are missing as well.
#[test]
fn what_is_waited_for_when_the_playlist_goes_is_said() {
    let server = Server::start("interval_seconds = 600\nsegment_patience = \"600s\"\n");
    let all = media(6);
    let mut taken = 0;
    for missing in [vec![5], vec![4, 5], vec![3, 5]] {
        let id = missing.iter().map(|n| format!("g{n}")).collect::<String>();
        // Listed at once: whoever has taken one knows of all.
        let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
        for (n, piece) in all.iter().enumerate() {
            let date = UNIX_EPOCH + Duration::from_millis((DATE + n as i64 * LENGTH) as u64);
            text.push_str(&format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", date_of(date)));
            text.push_str(&format!(
                "#EXTINF:{:.3},\n{id}{n}.ts\n",
                LENGTH as f64 / 1000.0
            ));
            if !missing.contains(&n) {
                fs::write(server.streams().join(format!("{id}{n}.ts")), &piece.bytes).unwrap();
            }
        }
        let playlist = server.streams().join(format!("{id}.m3u8"));
        fs::write(server.streams().join("list.tmp"), text).unwrap();
        fs::rename(server.streams().join("list.tmp"), &playlist).unwrap();
        server.wait_for_segments(taken + missing[0] as u64);
        taken += (all.len() - missing.len()) as u64;
        fs::remove_file(playlist).unwrap();
        wait_for_end(&server, &id);
        let clips = server.clips(&id);
        // What comes behind one that is missing is there, and is taken.
        let there = all.iter().enumerate().filter(|(n, _)| !missing.contains(n));
        let found: Vec<_> = clips.iter().flat_map(|clip| clip.video.clone()).collect();
        assert_same(&found, &pictures(there.map(|(_, piece)| piece)), &id);
        let said: Vec<_> = clips.iter().flat_map(|clip| gaps(&clip.vod)).collect();
        let wanted: Vec<_> = match missing.as_slice() {
            [4, 5] => vec![(4 * LENGTH, 6 * LENGTH)],
            all => all
                .iter()
                .map(|&n| (n as i64 * LENGTH, (n as i64 + 1) * LENGTH))
                .collect(),
        };
        assert_gaps(&said, &wanted);
    }
}

/// MPEG-TS without the first `count` pictures.
fn without_pictures(bytes: &[u8], count: usize) -> Vec<u8> {
    let mut begun = 0;
    let packets = bytes.chunks(188).filter(|packet| {
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        if pid != 0x100 {
            return true;
        }
        begun += usize::from(packet[1] & 0x40 != 0);
        begun > count
    });
    packets.flatten().copied().collect()
}

#[test]
fn sound_ahead_of_the_first_picture_is_in_the_first_clip() {
    let server = Server::start("interval_seconds = 3\n");
    // A group of pictures, half of the first segment and more, all of it.
    for count in [12, 20, 36] {
        let mut all = media(8);
        all[0].bytes = without_pictures(&all[0].bytes, count);
        all[0].video.drain(..count);
        let id = format!("cam{count}");
        // Dates would be those of the pictures that are gone.
        let sender = send_with(Sender::new(&server, &id, 100), &id, &all, |_| true);
        sender.write(true);
        wait_for_end(&server, &id);
        let clips = server.clips(&id);
        // Pictures that do not decode alone are not in any clip.
        let first = all[0].video.iter().position(|unit| unit.key);
        let first = first.unwrap_or(all[0].video.len());
        all[0].video.drain(..first);
        assert_tiles(&clips, &[&all]);
        let times = super::intervals(&clips);
        for pair in times.windows(2) {
            let (start, duration) = pair[0];
            assert!((pair[1].0 - start - duration).abs() <= 2, "{times:?}");
        }
    }
}
