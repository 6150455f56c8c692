//! The programs that are compared.

use std::path::Path;

use super::Options;
use super::input::{Input, InputName};
use super::template::{Template, WORDS};
use super::verify::{self, Samples};
use crate::machine;

/// A program.
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) template: Template,
    pub(super) version: Option<String>,
    /// Whether its output is the segments as they are, and not an MP4.
    pub(super) is_copy: bool,
}

impl Peer {
    /// What it wrote; `None` when that is only to be as long as the input, and is.
    pub(super) fn verify(&self, input: &Input, out: &Path) -> Result<Option<Samples>, String> {
        if !self.is_copy {
            return verify::output(out).map(Some);
        }
        let written = out.metadata().map_or(0, |metadata| metadata.len());
        if written == input.bytes {
            Ok(None)
        } else {
            Err(format!("{written} bytes of {}", input.bytes))
        }
    }
}

struct Known {
    name: &'static str,
    template: String,
    /// Programs that it wants, and elements of GStreamer.
    programs: &'static [&'static str],
    elements: Vec<&'static str>,
    version: Option<(&'static str, &'static [&'static str])>,
    is_copy: bool,
}

fn known(input: InputName) -> Vec<Known> {
    let peer = |name, template: &str| Known {
        name,
        template: template.to_owned(),
        programs: &[],
        elements: Vec::new(),
        version: None,
        is_copy: false,
    };
    let copy = |name, template| Known {
        is_copy: true,
        ..peer(name, template)
    };
    let ffmpeg = |name, template: &str| Known {
        programs: &["ffmpeg"],
        version: Some(("ffmpeg", &["-version"])),
        ..peer(name, template)
    };
    let gstreamer = format!(
        "gst-launch-1.0 -q filesrc location={{concat}} ! tsdemux name=d d. ! queue ! {} ! mp4mux name=m ! \
         filesink location={{out}} d. ! queue ! aacparse ! m.",
        input.parser()
    );
    vec![
        copy("copy, aligned", "{bench} copy {out} {segments}"),
        copy(
            "copy, as malloc gives it",
            "{bench} copy --offset 16 {out} {segments}",
        ),
        Known {
            programs: &["cat"],
            ..copy("cat", "cat {segments} > {out}")
        },
        peer("clipmill cut", "{clipmill} cut {playlist} --quiet -o {out}"),
        peer(
            "clipmill cut, fragmented",
            "{clipmill} cut {playlist} --quiet --format fmp4 -o {out}",
        ),
        ffmpeg(
            "ffmpeg -c copy",
            "ffmpeg -v error -nostdin -y -i {playlist} -c copy -bsf:a aac_adtstoasc {out}",
        ),
        ffmpeg(
            "ffmpeg -c copy, +faststart",
            "ffmpeg -v error -nostdin -y -i {playlist} -c copy -bsf:a aac_adtstoasc -movflags +faststart {out}",
        ),
        ffmpeg(
            "Clip Creator's two ffmpeg",
            "ffmpeg -v error -nostdin -y -f concat -safe 0 -i {list} -c copy -bsf:a aac_adtstoasc {step} && \
             ffmpeg -v error -nostdin -y -i {step} -ss 0 -t {seconds} -c copy -avoid_negative_ts 1 {out}",
        ),
        Known {
            programs: &["gst-launch-1.0", "gst-inspect-1.0"],
            elements: vec!["tsdemux", "mp4mux", "aacparse", input.parser()],
            version: Some(("gst-launch-1.0", &["--version"])),
            ..peer("GStreamer tsdemux ! mp4mux", &gstreamer)
        },
    ]
}

/// Those that are here and wanted, ready to run; and those that are not here, with the reason.
pub(super) fn find(input: &Input, options: &Options) -> (Vec<Peer>, Vec<(String, String)>) {
    let is_wanted = |name: &str| {
        let name = name.to_lowercase();
        let mut only = options.only.iter();
        options.only.is_empty() || only.any(|part| name.contains(&part.to_lowercase()))
    };
    let (mut peers, mut skipped) = (Vec::new(), Vec::new());
    for known in known(input.name) {
        if !is_wanted(known.name) {
            continue;
        }
        if let Some(why) = missing(&known) {
            skipped.push((known.name.to_owned(), why));
            continue;
        }
        match Template::new(&known.template) {
            Ok(template) => peers.push(Peer {
                name: known.name.to_owned(),
                template,
                version: known
                    .version
                    .and_then(|(program, args)| machine::first_line(program, args)),
                is_copy: known.is_copy,
            }),
            Err(why) => skipped.push((known.name.to_owned(), why)),
        }
    }
    // Whoever names a program wants it.
    for (name, template) in &options.others {
        if !template.program().starts_with('{') && !is_installed(template.program()) {
            skipped.push((
                name.clone(),
                format!("{} is not installed", template.program()),
            ));
            continue;
        }
        peers.push(Peer {
            name: name.clone(),
            template: template.clone(),
            version: machine::first_line(template.program(), &["--version"]),
            is_copy: false,
        });
    }
    let uses: Vec<_> = WORDS
        .into_iter()
        .filter(|word| peers.iter().any(|peer| peer.template.uses(word)))
        .collect();
    if let Err(error) = input.prepare(&uses) {
        skipped.push(("all that want one file".to_owned(), error.to_string()));
    }
    (peers, skipped)
}

fn missing(known: &Known) -> Option<String> {
    if let Some(program) = known.programs.iter().find(|program| !is_installed(program)) {
        return Some(format!("{program} is not installed"));
    }
    let has = |element: &str| {
        let mut inspect = std::process::Command::new("gst-inspect-1.0");
        let inspect = inspect.args(["--exists", element]);
        inspect.status().is_ok_and(|status| status.success())
    };
    let element = known.elements.iter().find(|element| !has(element))?;
    Some(format!("GStreamer's element {element} is not installed"))
}

fn is_installed(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_known_templates_are_sound_and_have_names_of_their_own() {
        for input in [InputName::Segment, InputName::Uhd] {
            let known = known(input);
            for (n, peer) in known.iter().enumerate() {
                Template::new(&peer.template).unwrap();
                assert!(known[..n].iter().all(|other| other.name != peer.name));
            }
        }
    }

    #[test]
    fn what_is_not_installed_is_named() {
        let mut known = known(InputName::Segment).remove(0);
        assert_eq!(missing(&known), None);
        known.programs = &["no-such-program"];
        let why = missing(&known).unwrap();
        assert_eq!(why, "no-such-program is not installed");
    }
}
