//! Caches between an origin and us, as content delivery networks are: real ones.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use clipmill_tests::server::free_address;

use super::*;

/// nginx that serves an origin's files, and nginx in front of it that keeps copies of everything: of playlists for a
/// second, also while that is asked for anew, of segments for a minute.
struct Nginx(Child);

impl Nginx {
    /// Gives the address of the one that keeps copies.
    fn start(scratch: &Path, files: &Path) -> Option<(Self, String)> {
        if !installed(&["nginx"]) {
            return None;
        }
        let (plain, caching) = (free_address(), free_address());
        let scratch = scratch.display();
        let text = format!(
            "daemon off;\nmaster_process off;\nerror_log {scratch}/error.log;\npid {scratch}/nginx.pid;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
             access_log off;\n\
             types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}\n\
             client_body_temp_path {scratch}/body; fastcgi_temp_path {scratch}/fastcgi;\n\
             uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi; proxy_temp_path {scratch}/proxy;\n\
             proxy_cache_path {scratch}/cache keys_zone=all:1m;\n\
             server {{ listen {plain}; root {files}; }}\n\
             server {{ listen {caching};\n\
             location / {{ proxy_pass http://{plain}; proxy_cache all; proxy_cache_lock on;\n\
             proxy_cache_use_stale updating; proxy_cache_background_update on; proxy_cache_revalidate on;\n\
             proxy_cache_valid 200 1m; proxy_cache_valid 404 1s; add_header X-Cache $upstream_cache_status; }}\n\
             location ~ \\.m3u8$ {{ proxy_pass http://{plain}; proxy_cache all; proxy_cache_lock on;\n\
             proxy_cache_use_stale updating; proxy_cache_background_update on; proxy_cache_revalidate on;\n\
             proxy_cache_valid 200 1s; proxy_cache_valid 404 1s; gzip on; gzip_proxied any;\n\
             gzip_types application/vnd.apple.mpegurl; }}\n\
             }} }}\n",
            files = files.display(),
        );
        let configuration = format!("{scratch}/nginx.conf");
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-c", &configuration]);
        command.stderr(Stdio::null());
        Some((Self(command.spawn().unwrap()), format!("http://{caching}")))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stream_behind_a_cache_is_tiled() {
    let (scratch, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some((_nginx, address)) = Nginx::start(scratch.path(), files.path()) else {
        return;
    };
    let pull = format!("[[app.pull]]\nid = \"cam\"\nurl = \"{address}/cam.m3u8\"\n");
    let server = Server::start(&format!("interval_seconds = 3\n{pull}"));
    let pieces = some(45);
    // What a cache holds may be older than what it held before: it lists more than that.
    let mut live = Live::new(files.path(), "cam", Kind::Sliding(20), Some(DATE));
    for piece in &pieces {
        live.publish(piece, false);
        std::thread::sleep(Duration::from_micros(piece.micros));
    }
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
    let cached = fs::read_dir(scratch.path().join("cache")).unwrap().count();
    assert!(cached > pieces.len(), "{cached}");
}
