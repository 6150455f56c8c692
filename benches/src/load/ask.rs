//! Plays the clients: asks for clips on demand at a steady rate, whether the last answer has come or
//! not.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clipmill_tests::server::Server;

use super::{Options, client, publish};

/// Asked at once at most; more means that the server does not keep up, and is counted.
const AT_ONCE: usize = 64;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Seconds until a stored clip was answered for.
    pub(super) stored: Vec<f64>,
    /// Seconds until the first byte of a clip in the answer.
    pub(super) first_byte: Vec<f64>,
    /// Seconds until its last.
    pub(super) whole: Vec<f64>,
    /// Seconds until the first byte of a clip that is stored nowhere.
    pub(super) virtual_first_byte: Vec<f64>,
    /// Its clips, to tell them from periodic ones.
    pub(super) ids: Vec<String>,
    /// Answers that were none, with how often.
    pub(super) errors: std::collections::BTreeMap<String, usize>,
}

#[derive(Clone, Copy)]
enum Call {
    Stored,
    File,
    Virtual,
}

/// Asks from `from` on until it is over.
pub(super) fn ask(server: &Server, options: &Options, from: Instant, over: &AtomicBool) -> Asked {
    let asked = Mutex::new(Asked::default());
    if options.on_demand <= 0.0 || !crate::interrupt::sleep_until(from) {
        return Asked::default();
    }
    let address = server.address;
    let every = Duration::from_secs_f64(1.0 / options.on_demand);
    std::thread::scope(|threads| {
        let mut calls = vec![Call::Stored, Call::File];
        if has_virtual_clips(server) {
            calls.push(Call::Virtual);
        }
        let mut running: Vec<std::thread::ScopedJoinHandle<'_, ()>> = Vec::new();
        let mut next = Instant::now();
        for turn in 0.. {
            if over.load(Ordering::Relaxed) || !crate::interrupt::sleep_until(next) {
                break;
            }
            next += every;
            running.retain(|thread| !thread.is_finished());
            if running.len() >= AT_ONCE {
                let mut asked = asked.lock().unwrap();
                *asked.errors.entry("no answer in time".into()).or_default() += 1;
                continue;
            }
            let call = calls[turn % calls.len()];
            // Streams in an order without a pattern, each as often as any other.
            let stream = publish::id(turn * 7_919 % options.streams);
            let asked = &asked;
            running.push(threads.spawn(move || one(address, call, &stream, asked)));
        }
    });
    asked.into_inner().unwrap()
}

/// Whether this server knows clips that are stored nowhere.
fn has_virtual_clips(server: &Server) -> bool {
    let path = format!("/live/streams/{}.mp4?last=4s", publish::id(0));
    client::ask(server.address, "GET", &path, false).is_ok_and(|answer| answer.status == 200)
}

fn one(address: std::net::SocketAddr, call: Call, stream: &str, asked: &Mutex<Asked>) {
    let clip = format!("/live/rest/clip-creator/mp4/{stream}");
    let answer = match call {
        Call::Stored => client::ask(address, "POST", &clip, true),
        Call::File => client::ask(address, "POST", &format!("{clip}?returnFile=true"), true),
        Call::Virtual => {
            let path = format!("/live/streams/{stream}.mp4?last=30s");
            client::ask(address, "GET", &path, true)
        }
    };
    let mut asked = asked.lock().unwrap();
    let answer = match answer {
        Ok(answer) if answer.status == 200 => answer,
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.begin).replace(stream, "…");
            let what = format!("{}: {text}", answer.status);
            *asked.errors.entry(what).or_default() += 1;
            return;
        }
        Err(error) => {
            *asked.errors.entry(error.to_string()).or_default() += 1;
            return;
        }
    };
    match call {
        Call::Stored => {
            let told: serde_json::Value = serde_json::from_slice(&answer.begin).unwrap_or_default();
            let id = told["dataId"].as_str().unwrap_or_default().to_owned();
            asked.ids.push(id);
            asked.stored.push(answer.whole);
        }
        Call::File => {
            let id = answer.header("x-vodid").to_owned();
            asked.ids.push(id);
            asked.first_byte.push(answer.first_byte);
            asked.whole.push(answer.whole);
        }
        Call::Virtual => asked.virtual_first_byte.push(answer.first_byte),
    }
}
