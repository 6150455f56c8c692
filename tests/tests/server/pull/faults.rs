//! Origins that misbehave.

use super::*;

#[test]
fn an_origin_that_fails_in_every_way_and_answers_in_the_end_is_tiled() {
    let site = Site::start("interval_seconds = 3\nsegment_patience = \"5m\"", "");
    let page = site.folder.path().join("half.m3u8");
    fs::write(&page, "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4").unwrap();
    let faults = [
        ("cam00001.ts", Fault::Truncate, 2),
        ("cam00003.ts", Fault::TruncateChunked, 1),
        ("cam00004.ts", Fault::Status(500), 3),
        ("cam00005.ts", Fault::Status(404), 2),
        ("cam00006.ts", Fault::Drop, 2),
        ("cam00007.ts", Fault::Page, 1),
        ("cam00008.ts", Fault::Empty, 2),
        ("cam00009.ts", Fault::Delay(Duration::from_millis(1500)), 1),
        (
            "cam00011.ts",
            Fault::Redirect("/cam00011.ts?again".into()),
            1,
        ),
        ("cam.m3u8", Fault::Status(503), 1),
        ("cam.m3u8", Fault::Page, 1),
        ("cam.m3u8", Fault::Drop, 1),
        ("cam.m3u8", Fault::Truncate, 1),
        ("cam.m3u8", Fault::TruncateChunked, 1),
        ("cam.m3u8", Fault::Empty, 1),
        ("cam.m3u8", Fault::Status(403), 1),
        ("cam.m3u8", Fault::Instead(page), 1),
        ("cam.m3u8", Fault::Redirect("/cam.m3u8?moved".into()), 1),
    ];
    for (part, fault, times) in faults {
        site.origin.plan(part, fault, times);
    }
    let pieces = some(45);
    let mut live = site.live(Kind::Event);
    play(&site.server, &mut live, &pieces);
    live.end();
    wait_for_end(&site.server, "cam");
    assert_eq!(site.origin.planned(), 0);
    assert_tiles(&site.server.clips("cam"), &[&pieces]);
    site.server.assert_all_or_nothing();
}

#[test]
fn a_segment_that_never_comes_is_a_declared_gap() {
    let site = Site::start("interval_seconds = 600\nsegment_patience = \"500ms\"", "");
    site.origin
        .plan("cam00004.ts", Fault::Status(404), usize::MAX);
    let pieces = some(15);
    let mut live = site.live(Kind::Event);
    play(&site.server, &mut live, &pieces);
    live.end();
    wait_for_end(&site.server, "cam");
    assert!(site.mirror().contains("#EXT-X-GAP\n"), "{}", site.mirror());
    let clips = site.server.clips("cam");
    assert_eq!(clips.len(), 1);
    let gaps = clips[0].vod["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let there: Vec<_> = (0..pieces.len()).filter(|n| *n != 4).collect();
    let video: usize = there.iter().map(|n| pieces[*n].video.len()).sum();
    assert_eq!(clips[0].video.len(), video);
}

#[test]
fn an_origin_that_is_down_is_a_problem_that_is_shown_and_the_hole_is_declared() {
    let site = Site::start("interval_seconds = 600", "");
    site.wait_for_problem("the server answered 404");
    let readiness = site.server.json("/readyz");
    assert_eq!(readiness["ready"], true);
    assert!(
        readiness["sources"][0]
            .as_str()
            .unwrap()
            .starts_with("live/cam: ")
    );
    assert_eq!(site.server.counted("clipmill_pull_problems"), 1);
    let pieces = some(24);
    let (before, rest) = pieces.split_at(6);
    let (unseen, after) = rest.split_at(5);
    let mut live = site.live(Kind::Sliding(3));
    play(&site.server, &mut live, before);
    site.server.wait_for_segments(before.len() as u64);
    site.server.wait("no problem", || site.problem().is_empty());
    assert_eq!(site.server.counted("clipmill_pull_problems"), 0);
    site.origin.set_down(true);
    for piece in unseen {
        live.publish(piece, false);
    }
    site.server.wait("a problem", || !site.problem().is_empty());
    // Its last session is over, as nothing comes.
    site.server
        .wait("ended", || site.stream()["state"] == "ended");
    // The list has no holes: what follows is all that is listed.
    for piece in after {
        live.publish(piece, false);
    }
    site.origin.set_down(false);
    site.server
        .wait("live again", || site.stream()["state"] == "live");
    live.end();
    wait_for_end(&site.server, "cam");
    assert!(
        site.mirror().contains("#EXT-X-DISCONTINUITY"),
        "{}",
        site.mirror()
    );
    let clips = site.server.clips("cam");
    let last = &after[after.len() - 3..];
    assert_tiles(&clips, &[before, last]);
    let gaps: Vec<_> = clips
        .iter()
        .flat_map(|clip| clip.vod["gaps"].as_array().cloned())
        .collect();
    assert_eq!(gaps.concat().len(), 1, "{gaps:?}");
}

#[test]
fn a_playlist_that_does_not_change_is_a_problem() {
    let site = Site::start("interval_seconds = 600", "");
    let pieces = some(9);
    let mut live = site.live(Kind::Event);
    play(&site.server, &mut live, &pieces[..3]);
    site.wait_for_problem("does not change");
    site.server
        .wait("ended", || site.stream()["state"] == "ended");
    // It is told what is known of its playlist, and need not send that again.
    let playlists = site.origin.asked_for("cam.m3u8");
    assert!(playlists.iter().any(|asked| asked.status == 304));
    play(&site.server, &mut live, &pieces[3..]);
    site.server
        .wait("live again", || site.stream()["state"] == "live");
    assert_eq!(site.problem(), "");
    live.end();
    wait_for_end(&site.server, "cam");
    assert_tiles(&site.server.clips("cam"), &[&pieces]);
}

#[test]
fn origins_that_start_over_are_another_session_under_new_names_here() {
    for (same_names, pause) in [(false, false), (true, false), (true, true)] {
        let site = Site::start("interval_seconds = 600", "");
        let plan = |start| Plan {
            groups: 12,
            start,
            ..plan()
        };
        let first = pieces(&plan(126_000), &[1]);
        // Other media: nothing of it is the same.
        let second = pieces(&plan(900_000_000), &[1]);
        let mut live = site.live(Kind::Sliding(6));
        play(&site.server, &mut live, &first);
        site.server.wait_for_segments(first.len() as u64);
        if pause {
            site.server
                .wait("ended", || site.stream()["state"] == "ended");
        }
        if same_names {
            live.restart(Some(DATE + 3_600_000));
            play(&site.server, &mut live, &second);
            live.end();
        } else {
            let mut other = Renamed::new(&site);
            for piece in &second {
                site.server.keep_up();
                other.publish(piece);
                std::thread::sleep(Duration::from_millis(60));
            }
            other.end();
        }
        wait_for_end(&site.server, "cam");
        let clips = site.server.clips("cam");
        assert_tiles(&clips, &[&first, &second]);
        let names: Vec<String> = site
            .mirror()
            .lines()
            .filter(|line| line.starts_with("cam/"))
            .map(str::to_owned)
            .collect();
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(names, unique);
        assert!(names.last().unwrap().contains("0000000023"), "{names:?}");
    }
}

/// An origin whose segments have other names than before, under the same playlist.
struct Renamed {
    folder: PathBuf,
    listing: clipmill_tests::listing::Listing,
}

impl Renamed {
    fn new(site: &Site) -> Self {
        Self {
            folder: site.folder.path().to_owned(),
            listing: clipmill_tests::listing::Listing::default(),
        }
    }

    fn publish(&mut self, piece: &Piece) {
        let number = self.listing.segments.len();
        let name = format!("other{number}.ts");
        fs::write(self.folder.join(&name), &piece.bytes).unwrap();
        let begin = u64::try_from(DATE + 3_600_000).unwrap() * 1000;
        let date = begin
            + self
                .listing
                .segments
                .iter()
                .map(|one| one.micros)
                .sum::<u64>();
        self.listing.segments.push(clipmill_tests::listing::Listed {
            name,
            micros: piece.micros,
            date_us: Some(date),
            ..Default::default()
        });
        self.write(false);
    }

    fn write(&self, ended: bool) {
        let text = self.listing.text(ended);
        clipmill_tests::listing::replace(&self.folder.join("cam.m3u8"), &text);
    }

    fn end(&self) {
        self.write(true);
    }
}

#[test]
fn an_old_copy_of_a_playlist_changes_nothing() {
    let site = Site::start("interval_seconds = 600", "");
    let pieces = some(24);
    let mut live = site.live(Kind::Sliding(8));
    for (n, piece) in pieces.iter().enumerate() {
        site.server.keep_up();
        live.publish(piece, false);
        let copy = site.folder.path().join(format!("copy{n}.m3u8"));
        fs::copy(live.playlist(), &copy).unwrap();
        if n >= 2 && n % 3 == 0 {
            // As a cache behind the same name may have it.
            let old = site.folder.path().join(format!("copy{}.m3u8", n - 2));
            site.origin.plan("cam.m3u8", Fault::Instead(old), 1);
        }
        std::thread::sleep(Duration::from_millis(60));
    }
    live.end();
    wait_for_end(&site.server, "cam");
    assert_tiles(&site.server.clips("cam"), &[&pieces]);
    assert!(
        !site.mirror().contains("#EXT-X-DISCONTINUITY\n"),
        "{}",
        site.mirror()
    );
}
