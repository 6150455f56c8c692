//! `clipmill demo`: something to look at, a minute after the download.

use std::process::ExitCode;

use clipmill_server::config::{Variables, variables};
use clipmill_server::demo::{Demo, INTERVAL, STREAM};

use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::serve::{End, log};

pub(crate) fn demo(args: &DemoArgs) -> Result<ExitCode, Failure> {
    log(&quiet(variables().unwrap_or_default()))?;
    let demo = Demo::new(&args.listen).map_err(Failure::server)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::server)?;
    let (playlist, rest) = (demo.playlist_url(), demo.rest_url());
    let seconds = INTERVAL.as_secs();
    println!(
        "\
A live stream is playing. Watch it in Safari, VLC, mpv or ffplay:

    {playlist}

A clip is cut out of it every {seconds} seconds. To see them listed, to cut one now, and the last
five seconds of it:

    curl -s '{rest}/v2/vods/list/0/10'
    curl -s -X POST '{rest}/clip-creator/mp4/{STREAM}'
    curl -s -X POST -o clip.mp4 \"{rest}/clip-creator/mp4/{STREAM}/range?startTimestamp=$(( $(date +%s) - 7 ))000&endTimestamp=$(( $(date +%s) - 2 ))000&returnFile=true\"

Ctrl-C ends the demo and removes what it made. Clips, as they are made:
"
    );
    let served = runtime.block_on(async {
        let end = End::new().map_err(Failure::server)?;
        let played = demo.run(end.comes(), |url| println!("    {url}")).await;
        played.map_err(Failure::server)
    });
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

/// Only what is wrong is worth a line here, unless somebody wants more.
fn quiet(mut variables: Variables) -> Variables {
    let level = variables.entry("CLIPMILL_LOG".to_owned());
    level.or_insert_with(|| "error".to_owned());
    variables
}
