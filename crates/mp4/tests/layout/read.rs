//! Fragmented MP4 read back: what was written comes out again, and whatever the bytes, every sample
//! lies inside its segment.

use bytes::Bytes;
use clipmill_media::codec::hdr::{DolbyVision, HdrMetadata};
use clipmill_media::{
    Av1Config, CodecConfig, FlacConfig, Limits, RandomAccess, Sample, SegmentIndex, TimedEvent,
    TrackKind, TrackTiming, VideoFormat, Vp9Config,
};
use clipmill_mp4::{FragmentIndexer, FragmentOptions, InitSegment, Layout, ReadError};
use proptest::prelude::*;

use super::common;
use super::common::{SampleSpec, TrackSpec, World};

/// SPS and PPS of a picture of 320 by 180 (x264).
const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x0c, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x42, 0x99, 0x60,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

fn indexer() -> FragmentIndexer {
    FragmentIndexer::new(&Limits::default())
}

fn picture(width: u32) -> VideoFormat {
    VideoFormat {
        width,
        height: 180,
        bit_depth_luma: 8,
        bit_depth_chroma: 8,
        hdr: HdrMetadata {
            mastering_display: Some([7; 24]),
            content_light: Some([3, 0xe8, 1, 0x90]),
        },
        // Profile 8.1: the base layer is HDR10.
        dolby_vision: Some(DolbyVision {
            kind: *b"dvvC",
            record: std::array::from_fn(|at| {
                [1, 0, 0x10, 0x35, 0x10].get(at).copied().unwrap_or(0)
            }),
        }),
        rotation: 270,
        ..VideoFormat::default()
    }
}

fn av1() -> CodecConfig {
    CodecConfig::Av1(Av1Config {
        record: Bytes::from_static(&[0x81, 0x05, 0x0c, 0x00, 0x0a, 0x01, 0x02]),
        profile: 0,
        level: 5,
        high_tier: false,
        video: picture(320),
    })
}

fn vp9() -> CodecConfig {
    CodecConfig::Vp9(Vp9Config {
        record: Bytes::from_static(&[0, 21, 0x82, 2, 2, 2, 0, 0]),
        profile: 0,
        level: 21,
        video: picture(640),
    })
}

fn flac() -> CodecConfig {
    let mut metadata = vec![0x80, 0, 0, 34, 0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0];
    // 48,000 Hz, two channels, 16 bits.
    metadata.extend([0x0b, 0xb8, 0x02, 0xf0]);
    metadata.extend([0; 20]);
    CodecConfig::Flac(FlacConfig {
        metadata: metadata.into(),
        sample_rate: 48_000,
        channels: 2,
        bits: 16,
    })
}

fn spec(config: CodecConfig, timescale: u32, sizes: &[u16]) -> TrackSpec {
    let audio = config.kind() == TrackKind::Audio;
    let sample = |(at, &size): (usize, &u16)| SampleSpec {
        composition_offset: if audio { 0 } else { 40 - 40 * (at as i32 % 3) },
        random_access: if audio || at == 0 {
            RandomAccess::Closed
        } else {
            RandomAccess::None
        },
        ..SampleSpec::of(size, 40 + at as u32)
    };
    let segment: Vec<_> = sizes.iter().enumerate().map(sample).collect();
    TrackSpec {
        configs: vec![config],
        timescale,
        edits: Vec::new(),
        start: 1 << 33,
        segments: vec![segment.clone(), segment],
    }
}

fn written(specs: &[TrackSpec]) -> (World, Vec<u8>) {
    let world = World::new(specs);
    let options = FragmentOptions::default();
    let layout = Layout::fragmented(world.movie.clone(), options).unwrap();
    let file = world.render(&layout, 0..layout.len());
    (world, file)
}

fn gathered(segment: &[u8], index: &SegmentIndex, track: usize) -> Vec<Vec<u8>> {
    let track = &index.tracks[track];
    let one = |at: usize| {
        let mut out = Vec::new();
        track.gather(segment, at..at + 1, &mut out).unwrap();
        assert_eq!(out.len(), track.samples().get(at).unwrap().size as usize);
        out
    };
    (0..track.samples().len()).map(one).collect()
}

#[test]
fn event_messages_are_read_again() {
    let specs = [
        spec(av1(), 90_000, &[300, 20, 70]),
        spec(flac(), 48_000, &[9, 8, 7]),
    ];
    let mut world = World::new(&specs);
    let event = |time: i64, scheme: &str, data: &'static [u8]| TimedEvent {
        time,
        duration: 900,
        scheme: scheme.to_owned(),
        value: "a value".to_owned(),
        id: 3,
        data: Bytes::from_static(data),
    };
    let events = vec![
        event(0, "urn:a", b"first"),
        event(100, "urn:b", b""),
        event(110, "urn:a", b"x"),
    ];
    world.movie.events = events.clone();
    let options = FragmentOptions {
        segment_types: true,
        ..FragmentOptions::default()
    };
    let layout = Layout::fragmented(world.movie.clone(), options).unwrap();
    let file = world.render(&layout, 0..layout.len());
    assert_eq!(indexer().index(&file).unwrap().events, events);

    // Version 0 counts from where its segment begins.
    let old = [
        &[0, 0, 0, 0][..],
        b"urn:a\0\0",
        &1_000u32.to_be_bytes(),
        &20u32.to_be_bytes(),
        &u32::MAX.to_be_bytes(),
        &[0, 0, 0, 9],
        b"old",
    ]
    .concat();
    let size = old.len() as u32 + 8;
    let emsg = [&size.to_be_bytes()[..], b"emsg", &old].concat();
    let read = indexer().index(&[emsg, file].concat()).unwrap();
    let first = read.tracks[0]
        .samples()
        .iter()
        .map(Sample::pts)
        .min()
        .unwrap();
    assert_eq!(
        (read.events[0].time, read.events[0].duration),
        (first + 1_800, 0)
    );
    assert_eq!(&read.events[0].data[..], b"old");
}

#[test]
fn what_was_written_is_read_again() {
    let mut sound = vec![flac(), common::aac(), common::ac3(), common::eac3()];
    sound.extend([common::opus(), common::mpeg_audio(44_100)]);
    let mut specs = vec![
        spec(av1(), 90_000, &[300, 20, 70]),
        spec(vp9(), 25_000, &[1, 60_000, 65_535]),
    ];
    specs.extend(
        sound
            .into_iter()
            .map(|codec| spec(codec, 48_000, &[9, 8, 7])),
    );
    let (world, file) = written(&specs);
    let index = indexer().index(&file).unwrap();
    assert_eq!(index.tracks.len(), specs.len());
    assert!(index.damage.is_empty() && index.declined.is_empty());
    for (at, (track, payloads)) in index.tracks.iter().zip(world.payloads()).enumerate() {
        let movie = &world.movie.tracks[at];
        assert_eq!(*track.configs()[0], *movie.configs[0]);
        assert_eq!(track.language(), movie.language);
        let timescale = movie.timescale;
        assert_eq!(track.timing(), TrackTiming::Exact { timescale });
        // Pictures are written as units behind their lengths; read, they are what lies there.
        assert_eq!(gathered(&file, &index, at), payloads);
        let mut dts = 1 << 33;
        for (sample, movie) in track.samples().iter().zip(&movie.samples) {
            assert_eq!(sample.dts, dts);
            assert_eq!(sample.composition_offset, movie.composition_offset);
            assert_eq!(sample.duration, movie.duration);
            assert_eq!(sample.random_access, movie.random_access);
            dts += i64::from(movie.duration);
        }
    }
}

/// A box.
fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

fn full(kind: &[u8; 4], version: u8, flags: u32, fields: &[u32]) -> Vec<u8> {
    let head = (u32::from(version) << 24 | flags).to_be_bytes().to_vec();
    let fields = fields.iter().flat_map(|field| field.to_be_bytes());
    boxed(kind, &head.into_iter().chain(fields).collect::<Vec<_>>())
}

fn visual(kind: &[u8; 4], inner: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 78];
    body[24..28].copy_from_slice(&[1, 64, 0, 180]);
    body.extend_from_slice(inner);
    boxed(kind, &body)
}

fn avcc(length_size: u8, sets: bool) -> Vec<u8> {
    let mut body = vec![1, 0x64, 0, 0x0c, 0xfc | (length_size - 1), 0xe0];
    if sets {
        body[5] = 0xe1;
        body.extend((SPS.len() as u16).to_be_bytes());
        body.extend_from_slice(SPS);
        body.push(1);
        body.extend((PPS.len() as u16).to_be_bytes());
        body.extend_from_slice(PPS);
    } else {
        body.push(0);
    }
    boxed(b"avcC", &body)
}

/// A `moov` of one track, number 7, at 1,000 ticks a second.
fn init(entry: &[u8], elst: Option<&[u32]>) -> Vec<u8> {
    let mut trak = full(b"tkhd", 0, 3, &[0, 0, 7, 0, 0]);
    if let Some(edits) = elst {
        trak.extend(boxed(b"edts", &full(b"elst", 0, 0, edits)));
    }
    let stsd = [&[0, 0, 0, 0, 0, 0, 0, 1], entry].concat();
    let minf = boxed(b"minf", &boxed(b"stbl", &boxed(b"stsd", &stsd)));
    let hdlr = full(b"hdlr", 0, 0, &[0, u32::from_be_bytes(*b"vide"), 0, 0, 0]);
    let mdhd = full(b"mdhd", 0, 0, &[0, 0, 1_000, 0, 0x55c4_0000]);
    trak.extend(boxed(b"mdia", &[mdhd, hdlr, minf].concat()));
    let moov = [
        full(b"mvhd", 0, 0, &[0, 0, 500, 0]),
        boxed(b"trak", &trak),
        boxed(b"mvex", &full(b"trex", 0, 0, &[7, 1, 40, 6, 0x1_0000])),
    ];
    boxed(b"moov", &moov.concat())
}

/// A segment of one fragment: `runs` are the flags and fields of each `trun`, whose data offsets
/// count from the start of the `mdat`'s body.
fn segment(tfhd: (u32, &[u32]), time: Option<u64>, runs: &[(u32, &[u32])], data: &[u8]) -> Vec<u8> {
    let moof = |data_at: u32| {
        let mut traf = full(b"tfhd", 0, tfhd.0, tfhd.1);
        if let Some(time) = time {
            let parts = [(time >> 32) as u32, time as u32];
            traf.extend(full(b"tfdt", 1, 0, &parts));
        }
        for (flags, fields) in runs {
            let mut fields = fields.to_vec();
            if flags & 1 != 0 {
                fields[1] += data_at;
            }
            traf.extend(full(b"trun", 1, *flags, &fields));
        }
        boxed(b"moof", &boxed(b"traf", &traf))
    };
    let len = moof(0).len() as u32;
    let styp = boxed(b"styp", b"msdh\0\0\0\0");
    [styp, moof(len + 8), boxed(b"mdat", data)].concat()
}

fn av01() -> Vec<u8> {
    visual(b"av01", &boxed(b"av1C", &[0x81, 0x05, 0x0c, 0x00]))
}

fn with_init(entry: &[u8]) -> FragmentIndexer {
    let mut indexer = indexer();
    indexer.init(&init(entry, None)).unwrap();
    indexer
}

#[test]
fn every_default_has_its_place() {
    let data: Vec<u8> = (0..60).collect();
    let file = segment(
        (0x2_0000, &[7]),
        Some(5),
        &[
            (0x1, &[2, 0]),
            (0xf04, &[1, 0, 30, 10, 0x1_0000, -20i32 as u32]),
        ],
        &data,
    );
    let mut indexer = with_init(&av01());
    let index = indexer.index(&file).unwrap();
    let samples = index.tracks[0].samples();
    let times: Vec<_> = samples
        .iter()
        .map(|s| (s.dts, s.duration, s.size))
        .collect();
    assert_eq!(times, [(5, 40, 6), (45, 40, 6), (85, 30, 10)]);
    assert_eq!(samples.get(2).unwrap().composition_offset, -20);
    let sync: Vec<_> = samples.iter().map(|s| s.random_access.is_sync()).collect();
    assert_eq!(
        sync,
        [false, false, true],
        "first_sample_flags of the second run"
    );
    assert_eq!(gathered(&file, &index, 0).concat(), data[..22]);

    // No decode time: behind the last sample. Defaults of the header, not of trex.
    let next = segment((0x2_0038, &[7, 50, 3, 0]), None, &[(0x1, &[1, 0])], &data);
    let index = indexer.index(&next).unwrap();
    let sample = index.tracks[0].samples().get(0).unwrap();
    assert_eq!((sample.dts, sample.duration, sample.size), (115, 50, 3));
    assert!(sample.random_access.is_sync());
    assert_eq!(gathered(&next, &index, 0).concat(), data[..3]);
}

#[test]
fn bases_that_count_from_elsewhere_are_those_of_the_fragment() {
    let data = [1, 2, 3, 4, 5, 6];
    for base in [16u32, 1_000_000, 0] {
        let file = segment((0x1, &[7, 0, base]), Some(0), &[(0x1, &[1, 0])], &data);
        let index = with_init(&av01()).index(&file).unwrap();
        assert_eq!(gathered(&file, &index, 0).concat(), data, "base {base}");
    }
}

#[test]
fn bases_in_a_file_that_a_segment_is_a_part_of() {
    let data = [1, 2, 3, 4, 5, 6];
    let file_of = |base: u32| segment((0x1, &[7, 0, base]), Some(0), &[(0x1, &[1, 0])], &data);
    // `styp` comes first. From the start of the file, wherever the part lies in it.
    for at in [0u32, 7, 1284, 1_000_000] {
        let part = file_of(at + 16);
        let index = with_init(&av01()).index_at(&part, Some(at.into())).unwrap();
        assert_eq!(gathered(&part, &index, 0).concat(), data, "{at}");
        assert!(index.damage.is_empty());
    }
    // At the media data itself, as the offset says that comes after it.
    let part = segment((0x1, &[7, 0, 1000]), Some(0), &[(0x0, &[1])], &data);
    let mdat = part.len() - data.len();
    let part = segment(
        (0x1, &[7, 0, 1000 + mdat as u32]),
        Some(0),
        &[(0x0, &[1])],
        &data,
    );
    let index = with_init(&av01()).index_at(&part, Some(1000)).unwrap();
    assert_eq!(gathered(&part, &index, 0).concat(), data);
    // Where no reading leads to media data none is made up; time goes on.
    let mut indexer = with_init(&av01());
    let lost = segment((0x1, &[7, 0, 20]), Some(0), &[(0x0, &[1])], &data);
    let index = indexer.index(&lost).unwrap();
    let samples = index.tracks.iter().map(|track| track.samples().len());
    assert_eq!(samples.sum::<usize>(), 0);
    assert_eq!(index.damage.total(), 1);
    let next = segment((0x2_0000, &[7]), None, &[(0x1, &[1, 0])], &data);
    let index = indexer.index(&next).unwrap();
    assert_eq!(index.tracks[0].samples().get(0).unwrap().dts, 40);
}

#[test]
fn edit_lists_shift() {
    let shifted = |edits: &[u32]| {
        let mut indexer = indexer();
        indexer.init(&init(&av01(), Some(edits))).unwrap();
        let file = segment((0x2_0000, &[7]), Some(100), &[(0x1, &[1, 0])], &[0; 6]);
        indexer.index(&file).unwrap().tracks[0]
            .samples()
            .get(0)
            .unwrap()
            .dts
    };
    assert_eq!(shifted(&[1, 0, 30, 0x1_0000]), 70);
    // Empty edits count in the movie's timescale.
    assert_eq!(shifted(&[2, 50, u32::MAX, 0x1_0000, 0, 0, 0x1_0000]), 200);
    assert_eq!(shifted(&[0]), 100);
}

fn nal(length_size: usize, nal: &[u8]) -> Vec<u8> {
    let len = (nal.len() as u32).to_be_bytes();
    [&len[4 - length_size..], nal].concat()
}

const IDR: &[u8] = &[0x65, 0x88, 0x80];
const P: &[u8] = &[0x41, 0x9a, 0x00];

#[test]
fn short_lengths_become_long_ones() {
    let data = [nal(2, IDR), nal(2, P)].concat();
    let file = segment((0x2_0000, &[7]), Some(0), &[(0x201, &[2, 0, 5, 5])], &data);
    let index = with_init(&visual(b"avc1", &avcc(2, true)))
        .index(&file)
        .unwrap();
    assert_eq!(gathered(&file, &index, 0), [nal(4, IDR), nal(4, P)]);
    let track = &index.tracks[0];
    assert_eq!(track.configs()[0].rfc6381(), "avc1.64000c");
    // By their NAL units, whatever the flags say.
    assert_eq!(
        track.samples().get(0).unwrap().random_access,
        RandomAccess::Closed
    );
    assert_eq!(
        track.samples().get(1).unwrap().random_access,
        RandomAccess::None
    );
}

#[test]
fn parameter_sets_in_samples_become_the_configuration() {
    let first = [nal(4, SPS), nal(4, PPS), nal(4, IDR)].concat();
    let data = [first.clone(), nal(4, P)].concat();
    let sizes = [2, 0, first.len() as u32, 7];
    let file = segment((0x2_0000, &[7]), Some(0), &[(0x201, &sizes)], &data);
    let mut indexer = with_init(&visual(b"avc3", &avcc(4, false)));
    let index = indexer.index(&file).unwrap();
    assert_eq!(gathered(&file, &index, 0), [nal(4, IDR), nal(4, P)]);
    let CodecConfig::H264(config) = &*index.tracks[0].configs()[0] else {
        panic!("not H.264");
    };
    assert_eq!((&config.sps[0][..], &config.pps[0][..]), (SPS, PPS));
    assert_eq!((config.video.width, config.video.height), (320, 180));

    let later = segment(
        (0x2_0000, &[7]),
        Some(80),
        &[(0x201, &[1, 0, 7])],
        &nal(4, P),
    );
    let index = indexer.index(&later).unwrap();
    assert_eq!(index.tracks[0].samples().len(), 1, "the sets are kept");
}

/// Found by `fmp4_boxes`: samples of nothing came out.
#[test]
fn a_sample_without_a_picture_is_none() {
    let sets = [nal(4, SPS), nal(4, PPS)].concat();
    let broken = [0, 0, 0x7f, 0];
    let data = [&sets[..], &nal(4, IDR), &broken, &nal(4, P)].concat();
    let sizes = [4, 0, sets.len() as u32, 7, broken.len() as u32, 7];
    let file = segment((0x2_0000, &[7]), Some(0), &[(0x201, &sizes)], &data);
    let mut indexer = with_init(&visual(b"avc3", &avcc(4, false)));
    let index = indexer.index(&file).unwrap();
    assert_eq!(gathered(&file, &index, 0), [nal(4, IDR), nal(4, P)]);
    assert_eq!(index.damage.kept().len(), 1);
}

#[test]
fn encrypted_tracks_are_declined_by_name() {
    let schm = full(b"schm", 0, 0, &[u32::from_be_bytes(*b"cbcs"), 0x1_0000]);
    let sinf = boxed(b"sinf", &[boxed(b"frma", b"avc1"), schm].concat());
    let error = indexer()
        .init(&init(&visual(b"encv", &sinf), None))
        .unwrap_err();
    let text = "no track can be carried: encrypted samples of avc1 (DRM, cbcs) in track 7";
    assert_eq!(error.to_string(), text);
}

#[test]
fn what_cannot_be_read_says_why() {
    let good = segment((0x2_0000, &[7]), Some(0), &[(0x1, &[1, 0])], &[0; 6]);
    assert_eq!(indexer().index(&[]), Err(ReadError::Empty));
    assert_eq!(indexer().index(&good), Err(ReadError::NoInit));
    assert_eq!(
        with_init(&av01()).index(&[0; 40]),
        Err(ReadError::NoFragment)
    );
    let limits = Limits::default();
    assert_eq!(InitSegment::parse(&good, &limits), Err(ReadError::NoInit));
    for time in [1 << 53, u64::MAX] {
        let far = segment((0x2_0000, &[7]), Some(time), &[(0x1, &[1, 0])], &[0; 6]);
        let error = with_init(&av01()).index(&far).unwrap_err();
        assert!(error.to_string().contains("136 years"), "{error}");
    }
    let (world, _) = written(&[spec(av1(), 90_000, &[3])]);
    let layout = Layout::progressive(world.movie.clone()).unwrap();
    let file = world.render(&layout, 0..layout.len());
    assert_eq!(indexer().index(&file), Err(ReadError::Progressive));
}

#[test]
fn a_cut_segment_gives_what_is_whole() {
    let data: Vec<u8> = (0..60).collect();
    let file = segment((0x2_0000, &[7]), Some(0), &[(0x1, &[10, 0])], &data);
    let len = file.len();
    for cut in 1..=60 {
        let index = with_init(&av01()).index(&file[..len - cut]).unwrap();
        assert_eq!(index.tracks[0].samples().len(), (60 - cut) / 6);
        assert!(!index.damage.is_empty());
    }
}

#[test]
fn samples_on_top_of_each_other_buy_nothing() {
    let runs = [(0x1, &[1_000u32, 0][..])];
    let file = segment((0x2_0010, &[7, 0]), Some(0), &runs, &[0; 60]);
    assert_eq!(
        with_init(&av01()).index(&file).unwrap().tracks[0]
            .samples()
            .len(),
        0
    );
    let many: Vec<_> = (0..40).map(|_| (0x1, &[9u32, 0][..])).collect();
    let file = segment((0x2_0010, &[7, 40]), Some(0), &many, &[0; 400]);
    let error = with_init(&av01()).index(&file).unwrap_err();
    assert!(
        error.to_string().contains("on top of each other"),
        "{error}"
    );
}

/// Every sample can be gathered, and lies inside its segment.
fn check(segment: &[u8], index: &SegmentIndex) {
    let mut total = 0;
    for track in &index.tracks {
        let mut out = Vec::new();
        track
            .gather(segment, 0..track.samples().len(), &mut out)
            .unwrap();
        total += out.len();
        for sample in track.samples() {
            assert!(usize::from(sample.config) < track.configs().len());
            assert!(sample.dts.abs() <= 1 << 62);
        }
    }
    // Lengths that grow from one byte to four at most.
    assert!(total <= segment.len() * 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..Default::default() })]

    #[test]
    fn damaged_bytes_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        which in 0..4,
    ) {
        let (_, whole) = written(&[
            spec(common::h264(), 90_000, &[300, 20]),
            spec(common::h265(), 90_000, &[30, 20]),
            spec(common::eac3(), 48_000, &[9, 8]),
            spec(flac(), 48_000, &[9, 8]),
            spec(common::opus(), 48_000, &[9, 8]),
        ]);
        let first = [nal(4, SPS), nal(4, PPS), nal(4, IDR)].concat();
        let size = first.len() as u32;
        let runs = [(0x201, &[1u32, 0, size][..])];
        let media = segment((0x2_0000, &[7]), Some(0), &runs, &first);
        let short = segment((0x2_0000, &[7]), Some(0), &[(0xf01, &[1, 0, 40, 5, 0, 0])], &nal(2, IDR));
        let mut file = match which {
            0 => [init(&visual(b"avc3", &avcc(4, false)), Some(&[1, 0, 30, 0])), media].concat(),
            1 => [init(&visual(b"avc1", &avcc(2, true)), None), short].concat(),
            _ => whole,
        };
        for (at, byte) in edits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let mut indexer = indexer();
        for _ in 0..2 {
            if let Ok(index) = indexer.index(&file) {
                check(&file, &index);
            }
        }
    }
}
