//! Charts as plain SVG: points by whole numbers, so that two pages of the same figures are the same.

use std::fmt::Write as _;

/// The inner size of a chart, in pixels, and the room around it.
const SIZE: (u64, u64) = (560, 220);
const ROOM: (u64, u64) = (64, 14);
/// Room below, for the axis and its title.
const BELOW: u64 = 42;
/// Lines are told apart by these.
pub(super) const COLOURS: [&str; 8] =
    ["#3b6fb6", "#c8321f", "#1f8a5b", "#b8860b", "#7b4bb3", "#0f8b8d", "#8c4a2f", "#5a6475"];

/// A line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its name.
    pub(super) name: String,
    /// Its points, by x.
    pub(super) points: Vec<(i64, u64)>,
    /// Whether it goes up only at its points, as a share does.
    pub(super) steps: bool,
}

/// A chart of lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    /// What it shows.
    pub(super) title: String,
    /// What stands below the x axis.
    pub(super) across: String,
    /// What stands above the y axis.
    pub(super) up: String,
    /// The lines.
    pub(super) lines: Vec<Line>,
    /// Where x has a name rather than a number: at these places.
    pub(super) names: Vec<(i64, String)>,
    /// A place on the x axis that is marked.
    pub(super) mark: Option<i64>,
    /// Whether ten times as much is as far up everywhere.
    pub(super) by_tens: bool,
}

/// The axes of a chart.
struct Frame {
    across: Axis,
    up: Axis,
    by_tens: bool,
}

/// Where the x axis is.
const BOTTOM: u64 = ROOM.1 + SIZE.1;

impl Frame {
    fn x(&self, value: i64) -> u64 {
        ROOM.0 + self.across.place(value)
    }

    fn y(&self, value: u64) -> u64 {
        let value = if self.by_tens { octaves(value) } else { value };
        BOTTOM - self.up.place(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Values to be named along the y axis.
    fn up_ticks(&self) -> Vec<u64> {
        if !self.by_tens {
            return self.up.ticks().into_iter().map(i64::unsigned_abs).collect();
        }
        let tens = (0..19).map(|power| 10_u64.pow(power));
        let within = |value: &u64| {
            let at = i64::try_from(octaves(*value)).unwrap_or(i64::MAX);
            (self.up.low..=self.up.high).contains(&at)
        };
        tens.filter(within).collect()
    }
}

impl Chart {
    /// The chart as SVG, with its legend.
    pub(super) fn svg(&self) -> String {
        let xs = || self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
        let ys = self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
        let (Some(low), Some(high)) = (xs().min(), xs().max()) else { return String::new() };
        let scaled =
            |y: u64| i64::try_from(if self.by_tens { octaves(y) } else { y }).unwrap_or(i64::MAX);
        let highest = scaled(ys.clone().max().unwrap_or(1)).max(1);
        let lowest = if self.by_tens { scaled(ys.min().unwrap_or(1)) / 2 } else { 0 };
        let frame = Frame {
            across: Axis::new(low.min(0), high.max(low + 1), SIZE.0),
            up: Axis::new(lowest, highest, SIZE.1),
            by_tens: self.by_tens,
        };
        let (width, height) = (ROOM.0 + SIZE.0 + 20, BOTTOM + BELOW);
        let mut svg = format!("<figure><figcaption>{}</figcaption>", escaped(&self.title));
        put(&mut svg, format_args!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\">"));
        self.draw_axes(&mut svg, &frame);
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            line.draw(&mut svg, &frame, colour);
        }
        svg.push_str("</svg>");
        svg.push_str(&legend(self.lines.iter().map(|line| line.name.as_str())));
        svg.push_str("</figure>");
        svg
    }

    fn draw_axes(&self, svg: &mut String, frame: &Frame) {
        for value in frame.up_ticks() {
            let (at, right) = (frame.y(value), ROOM.0 + SIZE.0);
            let (left, beside, below) = (ROOM.0, ROOM.0 - 6, at + 4);
            put(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{at}\" y2=\"{at}\"/>\
                     <text class=\"tick\" text-anchor=\"end\" x=\"{beside}\" y=\"{below}\">{value}</text>"
                ),
            );
        }
        let named: Vec<_> = if self.names.is_empty() {
            frame.across.ticks().into_iter().map(|value| (value, value.to_string())).collect()
        } else {
            self.names.clone()
        };
        let text = |svg: &mut String, anchor: &str, (x, y): (u64, u64), text: &str| {
            let text = escaped(text);
            put(
                svg,
                format_args!(
                    "<text class=\"tick\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{text}</text>"
                ),
            );
        };
        for (value, name) in named {
            text(svg, "middle", (frame.x(value), BOTTOM + 16), &name);
        }
        text(svg, "middle", (ROOM.0 + SIZE.0 / 2, BOTTOM + 34), &self.across);
        text(svg, "start", (4, 10), &self.up);
        if let Some(mark) = self.mark {
            let (at, top) = (frame.x(mark), ROOM.1);
            put(
                svg,
                format_args!(
                    "<line class=\"strike\" x1=\"{at}\" x2=\"{at}\" y1=\"{top}\" y2=\"{BOTTOM}\"/>"
                ),
            );
        }
    }
}

impl Line {
    fn draw(&self, svg: &mut String, frame: &Frame, colour: &str) {
        let points = self.points.iter().map(|(value, height)| (frame.x(*value), frame.y(*height)));
        let points: Vec<_> = points.collect();
        let mut path = String::new();
        let mut last = None;
        for (x, y) in &points {
            match last {
                None => put(&mut path, format_args!("M{x} {y}")),
                Some(before) if self.steps => put(&mut path, format_args!("L{x} {before}L{x} {y}")),
                Some(_) => put(&mut path, format_args!("L{x} {y}")),
            }
            last = Some(*y);
        }
        put(
            svg,
            format_args!(
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>"
            ),
        );
        for (x, y) in points.iter().filter(|_| !self.steps) {
            put(svg, format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"2.4\" fill=\"{colour}\"/>"));
        }
    }
}

/// Names beside their colours.
pub(super) fn legend<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = "<div class=\"legend\">".to_owned();
    for (name, colour) in names.zip(COLOURS.iter().cycle()) {
        put(
            &mut text,
            format_args!(
                "<span><i class=\"swatch\" style=\"background:{colour}\"></i>{}</span>",
                escaped(name)
            ),
        );
    }
    text + "</div>"
}

/// Text that is no markup.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(super) fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes all");
}

/// How often a value is doubled from 1 on, in thousandths; within a doubling in a straight line.
fn octaves(value: u64) -> u64 {
    let value = value.max(1);
    let (times, whole) = (u64::from(value.ilog2()), 1_u64 << value.ilog2());
    let rest = u128::from(value - whole) * 1_000 / u128::from(whole);
    times * 1_000 + u64::try_from(rest).unwrap_or(0)
}

/// From values to pixels.
struct Axis {
    low: i64,
    high: i64,
    pixels: u64,
}

impl Axis {
    fn new(low: i64, high: i64, pixels: u64) -> Self {
        Self { low, high, pixels }
    }

    fn place(&self, value: i64) -> u64 {
        let span = i128::from(self.high) - i128::from(self.low);
        let at = (i128::from(value) - i128::from(self.low)).clamp(0, span);
        u64::try_from(at * i128::from(self.pixels) / span.max(1)).unwrap_or(0)
    }

    /// Round values along it, at the most eight.
    fn ticks(&self) -> Vec<i64> {
        let span = self.high - self.low;
        let steps = (0..18).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_i64.pow(power)));
        let step = steps.into_iter().find(|step| span / step <= 7).unwrap_or(i64::MAX);
        let first = self.low.div_euclid(step) + i64::from(self.low.rem_euclid(step) > 0);
        (first..=self.high.div_euclid(step)).map(|number| number * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Axis::new(0, 1_234, 100).ticks(), [0, 200, 400, 600, 800, 1_000, 1_200]);
        assert_eq!(Axis::new(-3, 4, 100).ticks(), [-3, -2, -1, 0, 1, 2, 3, 4]);
        assert_eq!(Axis::new(0, 7, 70).place(3), 30);
        assert_eq!([0, 1, 2, 3, 8, 1_000].map(octaves), [0, 0, 1_000, 1_500, 3_000, 9_953]);
    }

    #[test]
    fn a_chart_is_drawn_from_its_points_and_names_are_text() {
        let points = vec![(0, 0), (10, 50), (20, 100)];
        let line = |steps| Line { name: "a<b".to_owned(), points: points.clone(), steps };
        let chart = |steps| Chart { lines: vec![line(steps)], ..Chart::default() };
        assert!(chart(false).svg().contains("d=\"M64 234L344 124L624 14\""));
        assert!(chart(true).svg().contains("d=\"M64 234L344 234L344 124L624 124L624 14\""));
        assert!(chart(true).svg().contains("a&lt;b"));
        assert_eq!(Chart::default().svg(), "", "nothing to show");
    }
}
