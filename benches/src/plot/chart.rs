//! A line chart as SVG, readable on light and on dark ground.

use std::fmt::Write as _;

use super::axis::{Range, Scale, label};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 240.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 62.0;

/// Colours that the colour-blind can tell apart (after Okabe and Ito), on light and on dark ground.
const COLOURS: [(&str, &str); 9] = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff8c42"),
    ("#009e73", "#2fd6a6"),
    ("#b0478c", "#e79bc9"),
    ("#9a7500", "#f0c419"),
    ("#5b5bd6", "#a5a5ff"),
    ("#8c564b", "#d8a799"),
    ("#6b6b6b", "#b5b5b5"),
    ("#1a1a1a", "#ffffff"),
];

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it shows, and the unit.
    pub label: String,
    /// How values become distances.
    pub scale: Scale,
}

impl Axis {
    /// One with this label.
    #[must_use]
    pub fn new(label: &str, scale: Scale) -> Self {
        Self {
            label: label.to_owned(),
            scale,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it shows.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it is about.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// Whether points are marked.
    pub dots: bool,
}

impl Chart {
    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Range::of(points().map(|point| point.0), self.x.scale);
        let y = Range::of(points().map(|point| point.1), self.y.scale);
        let at_x = |value: f64| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
        let at_y = |value: f64| HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{0}\">\n<title>{0}</title>\n{1}",
            escaped(&self.title),
            style()
        );
        text(&mut svg, "title", LEFT, 26.0, &self.title);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &x.ticks {
            let at = at_x(*tick);
            line(&mut svg, "grid", (at, TOP), (at, bottom));
            text(&mut svg, "tick middle", at, bottom + 20.0, &label(*tick));
        }
        for tick in &y.ticks {
            let at = at_y(*tick);
            line(&mut svg, "grid", (LEFT, at), (right, at));
            text(&mut svg, "tick end", LEFT - 8.0, at + 4.0, &label(*tick));
        }
        line(&mut svg, "axis", (LEFT, bottom), (right, bottom));
        line(&mut svg, "axis", (LEFT, TOP), (LEFT, bottom));
        text(
            &mut svg,
            "middle",
            f64::midpoint(LEFT, right),
            HEIGHT - 16.0,
            &self.x.label,
        );
        let _ = writeln!(
            svg,
            "<text class=\"middle\" transform=\"translate(18 {}) rotate(-90)\">{}</text>",
            f64::midpoint(TOP, bottom),
            escaped(&self.y.label)
        );
        for (number, series) in self.series.iter().enumerate() {
            let class = number % COLOURS.len();
            let drawn = series.points.iter().filter(|(px, py)| {
                let (px, py) = (x.place(*px), y.place(*py));
                px.is_finite() && py.is_finite() && (-0.001..=1.001).contains(&py)
            });
            let drawn: Vec<_> = drawn.map(|(px, py)| (at_x(*px), at_y(*py))).collect();
            let path: Vec<_> = drawn
                .iter()
                .map(|(px, py)| format!("{px:.1},{py:.1}"))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline class=\"l s{class}\" points=\"{}\"/>",
                path.join(" ")
            );
            if self.dots {
                for (px, py) in &drawn {
                    let _ = writeln!(
                        svg,
                        "<circle class=\"d s{class}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3.5\"/>"
                    );
                }
            }
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    /// Names, in the order in which the lines end, from the top.
    fn legend(&self, svg: &mut String) {
        let mut order: Vec<_> = self.series.iter().enumerate().collect();
        let last = |series: &Series| series.points.last().map_or(0.0, |point| point.1);
        order.sort_by(|a, b| last(b.1).total_cmp(&last(a.1)));
        for (row, (number, series)) in order.into_iter().enumerate() {
            let class = number % COLOURS.len();
            let at = TOP + 10.0 + row as f64 * 22.0;
            let from = WIDTH - RIGHT + 16.0;
            let _ = writeln!(
                svg,
                "<line class=\"l s{class}\" x1=\"{from}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\"/>",
                from + 18.0
            );
            text(svg, "tick", from + 24.0, at + 4.0, &series.name);
        }
    }
}

fn style() -> String {
    let mut light = String::new();
    let mut dark = String::new();
    for (number, (on_light, on_dark)) in COLOURS.iter().enumerate() {
        let _ = write!(light, ".s{number}{{stroke:{on_light};fill:{on_light}}}");
        let _ = write!(dark, ".s{number}{{stroke:{on_dark};fill:{on_dark}}}");
    }
    format!(
        "<style>text{{font:13px system-ui,sans-serif;fill:#222}}.title{{font-size:15px;font-weight:600}}\
         .tick{{font-size:12px;fill:#444}}.middle{{text-anchor:middle}}.end{{text-anchor:end}}\
         .grid{{stroke:#8884;stroke-width:1}}.axis{{stroke:#666;stroke-width:1}}{light}\
         .l{{fill:none;stroke-width:2;stroke-linejoin:round}}.d{{stroke:none}}\
         @media(prefers-color-scheme:dark){{text{{fill:#eee}}.tick{{fill:#ccc}}.axis{{stroke:#aaa}}{dark}\
         .l{{fill:none}}.d{{stroke:none}}}}</style>\n"
    )
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, content: &str) {
    let content = escaped(content);
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>"
    );
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            title: "a < b & \"c\"".to_owned(),
            x: Axis::new("streams", Scale::Log),
            y: Axis::new("ms", Scale::Linear),
            series: vec![Series {
                name: "one".to_owned(),
                points,
            }],
            dots: true,
        }
    }

    #[test]
    fn points_lie_where_their_values_say() {
        let svg = chart(vec![(10.0, 0.0), (1000.0, 10.0)]).svg();
        // From the lower left corner of the frame to the upper right one.
        assert!(svg.contains("points=\"72.0,378.0 640.0,48.0\""), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
    }

    #[test]
    fn names_and_units_are_there_and_escaped() {
        let svg = chart(vec![(1.0, 1.0)]).svg();
        for text in [">streams<", ">ms<", ">one<", "a &lt; b &amp; &quot;c&quot;"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn nothing_and_nonsense_are_drawn_as_nothing() {
        for points in [vec![], vec![(f64::NAN, 1.0)], vec![(0.0, 1.0)]] {
            let svg = chart(points).svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
