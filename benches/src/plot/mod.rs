//! Draws what `compare` and `serve-load` saw.

mod axis;
mod chart;

use std::path::{Path, PathBuf};

pub use self::axis::Scale;
pub use self::chart::{Axis, Chart, Series};
use crate::compare;
use crate::load;

/// Draws the JSON files into SVG files in `folder`; gives their paths.
///
/// # Errors
/// A sentence, when a file is not one of ours or cannot be written.
pub fn run(files: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut charts = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
        let drawn = draw(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        charts.extend(drawn);
    }
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let mut paths = Vec::new();
    for (name, chart) in charts {
        let path = folder.join(format!("{name}.svg"));
        std::fs::write(&path, chart.svg()).map_err(|error| error.to_string())?;
        paths.push(path);
    }
    Ok(paths)
}

/// By the name of the picture.
type Charts = Vec<(String, Chart)>;

/// Something of a sample.
type Value = fn(&load::Sample) -> f64;

fn draw(text: &str) -> Result<Charts, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match value["kind"].as_str() {
        Some("compare") => serde_json::from_value(value)
            .map(|report| walls(&report))
            .map_err(|error| error.to_string()),
        Some("serve-load") => serde_json::from_value(value)
            .map(|report| loads(&report))
            .map_err(|error| error.to_string()),
        _ => Err("written by neither compare nor serve-load".to_owned()),
    }
}

/// Wall time against size, a line for each program.
fn walls(report: &compare::Report) -> Charts {
    let mut series: Vec<Series> = Vec::new();
    // Another codec and bit rate is another line.
    let alike = report
        .tables
        .iter()
        .filter(|table| table.what == report.tables[0].what);
    for table in alike {
        for row in table.rows.iter().filter(|row| !row.runs.is_empty()) {
            let point = (table.bytes as f64 / 1e6, row.median(|taken| taken.wall));
            match series.iter_mut().find(|series| series.name == row.name) {
                Some(series) => series.points.push(point),
                None => series.push(Series {
                    name: row.name.clone(),
                    points: vec![point],
                }),
            }
        }
    }
    vec![(
        "wall-by-size".to_owned(),
        Chart {
            title: "Whole process, HLS to one MP4: wall time by size".to_owned(),
            x: Axis::new("segments, MB", Scale::Log),
            y: Axis::new("wall time, s", Scale::Log),
            series,
            dots: true,
        },
    )]
}

fn loads(report: &load::Report) -> Charts {
    let mut charts = Vec::new();
    let runs = &report.runs;
    if runs.len() > 1 {
        let by_streams = |value: fn(&load::Run) -> f64| -> Vec<(f64, f64)> {
            runs.iter()
                .map(|run| (run.streams as f64, value(run)))
                .collect()
        };
        charts.push((
            "cost-per-stream".to_owned(),
            Chart {
                title: "What a live stream costs the server, by how many there are".to_owned(),
                x: Axis::new("live streams", Scale::Log),
                y: Axis::new("thousandths of a processor per stream", Scale::Linear),
                series: vec![Series {
                    name: "clipmill serve".to_owned(),
                    points: by_streams(|run| run.cores * 1e3 / run.streams.max(1) as f64),
                }],
                dots: true,
            },
        ));
        charts.push((
            "latency-by-streams".to_owned(),
            Chart {
                title: "How fast clips come, by how many streams there are".to_owned(),
                x: Axis::new("live streams", Scale::Log),
                y: Axis::new("ms", Scale::Log),
                series: vec![
                    Series {
                        name: "periodic, lateness p99".to_owned(),
                        points: by_streams(|run| run.clips.lateness.p99 * 1e3),
                    },
                    Series {
                        name: "on demand, stored p99".to_owned(),
                        points: by_streams(|run| run.stored_ms.p99),
                    },
                    Series {
                        name: "on demand, first byte p99".to_owned(),
                        points: by_streams(|run| run.first_byte_ms.p99),
                    },
                ],
                dots: true,
            },
        ));
    }
    // One run is shown second by second: the one with the most streams.
    if let Some(run) = runs.iter().max_by_key(|run| run.streams) {
        let by_second = |value: Value| -> Vec<(f64, f64)> {
            run.samples.iter().map(|it| (it.at, value(it))).collect()
        };
        let chart = |title: &str, unit: &str, series: Vec<(&str, Value)>| Chart {
            title: format!(
                "{title}: {} streams, a clip every {} s",
                run.streams, run.interval
            ),
            x: Axis::new("time, s", Scale::Every(run.interval as f64)),
            y: Axis::new(unit, Scale::Linear),
            series: series
                .into_iter()
                .map(|(name, value)| Series {
                    name: name.to_owned(),
                    points: by_second(value),
                })
                .collect(),
            dots: false,
        };
        charts.push((
            "cpu-over-time".to_owned(),
            chart(
                "Processor use",
                "processors",
                vec![
                    ("server", |it| it.cores),
                    ("load generator", |it| it.own_cores),
                ],
            ),
        ));
        charts.push((
            "disk-over-time".to_owned(),
            chart(
                "Writing",
                "MB/s",
                vec![
                    ("server, into files", |it| it.written / 1e6),
                    ("the disk, from all", |it| it.disk / 1e6),
                ],
            ),
        ));
        charts.push((
            "memory-over-time".to_owned(),
            chart("Resident memory", "MiB", vec![("server", |it| it.rss_mib)]),
        ));
    }
    charts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_files_are_drawn() {
        assert!(draw("{}").is_err());
        assert!(draw("no JSON").is_err());
        let empty = r#"{"kind": "serve-load", "machine": {"cpu": "", "cores": 1, "memory_mib": 1,
            "kernel": "", "file_system": "", "load": "", "clipmill": "", "rustc": ""},
            "command": "", "runs": []}"#;
        assert!(draw(empty).unwrap().is_empty());
    }
}
