//! Charts as SVG in the page: lines over the last hour, and bars. Made here, so that a page needs no script to show them.
//!
//! Owns: scales, paths, the words beside them. Never knows: what is counted. Colours are the style sheet's.

use std::fmt::Write as _;

/// Measures of a chart in its own units; a page scales it.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 150.0;
/// Room for the numbers on the left, and the words below.
const LEFT: f64 = 50.0;
const BELOW: f64 = 22.0;
const ABOVE: f64 = 8.0;

/// One line of a chart.
pub(super) struct Line {
    /// What it is.
    pub name: String,
    /// A value for each place, oldest first; `None` leaves a gap.
    pub values: Vec<Option<f64>>,
}

impl Line {
    /// What it was last; nothing when it never was.
    pub fn last(&self, scale: Scale) -> Option<String> {
        self.values.iter().rev().flatten().next().map(|v| scale.words(*v))
    }
}

/// What the values are, and so how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// A number without a unit of its own.
    Number,
    /// Whole things.
    Count,
    /// Seconds.
    Span,
}

impl Scale {
    fn words(self, value: f64) -> String {
        match self {
            Self::Number | Self::Count => number(value),
            Self::Span => seconds(value),
        }
    }

    /// A round value that is not below this one; the half of it is round, too.
    fn top(self, most: f64) -> f64 {
        match self {
            Self::Number => round_up(most),
            Self::Count => match round_up(most) {
                5.0 => 6.0,
                top => top.max(2.0),
            },
            // Minutes, hours and days are round in their own ways.
            Self::Span => {
                let steps = [120.0, 600.0, 1200.0, 3600.0, 7200.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0];
                match steps.into_iter().find(|step| *step >= most) {
                    _ if most <= 60.0 => round_up(most),
                    Some(step) => step,
                    None => round_up(most / 86_400.0) * 86_400.0,
                }
            }
        }
    }
}

/// A chart of lines over the last hour. `places` is how many values fill it; fewer stand at its right end.
/// A line goes on over a gap of at most `gap` places.
pub(super) fn lines(title: &str, unit: &str, scale: Scale, of: &[Line], places: usize, gap: usize) -> String {
    let most = of.iter().flat_map(|l| l.values.iter().flatten()).fold(0.0f64, |a, b| a.max(*b));
    let top = scale.top(most);
    let mut out = String::new();
    let spoken: Vec<String> = of
        .iter()
        .map(|line| format!("{}: {} now", line.name, line.last(scale).as_deref().unwrap_or("nothing")))
        .collect();
    let _ = write!(
        out,
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escaped(&format!(
            "{title}, {unit}, the last hour. {}. Highest: {}",
            spoken.join("; "),
            scale.words(most)
        ))
    );
    let (right, bottom) = (WIDTH - 6.0, HEIGHT - BELOW);
    let y = |value: f64| bottom - (bottom - ABOVE) * (value / top).clamp(0.0, 1.0);
    for step in 0..=2 {
        let value = top * f64::from(step) / 2.0;
        let at = y(value);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            scale.words(value)
        );
    }
    for (share, word) in [(0.0, "1 h ago"), (0.5, "30 min"), (1.0, "now")] {
        let (at, anchor) =
            (LEFT + (right - LEFT) * share, ["start", "middle", "end"][(share * 2.0) as usize]);
        let _ = write!(
            out,
            "<text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{word}</text>",
            HEIGHT - 5.0
        );
    }
    for (n, line) in of.iter().enumerate() {
        let begin = places.saturating_sub(line.values.len());
        let x = |i: usize| LEFT + (right - LEFT) * (begin + i) as f64 / (places.max(2) - 1) as f64;
        let mut path = String::new();
        let mut drawn: Option<usize> = None;
        for (i, value) in line.values.iter().enumerate() {
            let Some(value) = value else { continue };
            let goes_on = drawn.is_some_and(|last| i - last <= gap + 1);
            let letter = if goes_on { 'L' } else { 'M' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x(i), y(*value));
            // One that stands alone is a dot.
            if !goes_on {
                path.push_str("h0");
            }
            drawn = Some(i);
        }
        let _ = write!(out, "<path class=\"line line{}\" d=\"{path}\"/>", n % 6);
    }
    out.push_str("</svg>");
    out
}

/// A round number that is not below this one.
fn round_up(most: f64) -> f64 {
    if most <= 0.0 || !most.is_finite() {
        return 1.0;
    }
    let unit = 10f64.powf(most.log10().floor());
    let round = [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().map(|n| n * unit).find(|n| *n >= most);
    round.unwrap_or(10.0 * unit)
}

/// A number in few characters.
pub(super) fn number(value: f64) -> String {
    match value {
        v if v >= 1_000_000.0 => format!("{:.1}M", v / 1e6),
        v if v >= 10_000.0 => format!("{:.0}k", v / 1e3),
        v if v >= 1_000.0 => format!("{:.1}k", v / 1e3),
        v if v >= 10.0 || v == v.trunc() => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.1}"),
        v if v < 0.005 => "< 0.01".to_owned(),
        v => format!("{v:.2}"),
    }
}

/// Seconds in few characters: `250 ms`, `2.5 s`, `10 min`, `24 h`, `3 d`.
fn seconds(value: f64) -> String {
    let short =
        |value: f64| if value == value.trunc() { format!("{value:.0}") } else { format!("{value:.1}") };
    match value {
        0.0 => "0".to_owned(),
        v if v < 1.0 => format!("{:.0} ms", v * 1e3),
        v if v < 120.0 => format!("{} s", short(v)),
        v if v < 7200.0 => format!("{} min", short(v / 60.0)),
        v if v < 259_200.0 => format!("{} h", short(v / 3600.0)),
        v => format!("{} d", short(v / 86_400.0)),
    }
}

fn escaped(text: &str) -> String {
    crate::probe::html::escaped(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scales_are_round() {
        for (most, top) in [(0.0, 1.0), (0.7, 1.0), (3.0, 4.0), (45.0, 50.0), (101.0, 200.0), (f64::NAN, 1.0)]
        {
            assert_eq!(round_up(most), top, "{most}");
        }
        for (most, top) in [
            (0.2, 0.2),
            (7.0, 10.0),
            (61.0, 120.0),
            (3500.0, 3600.0),
            (91_000.0, 172_800.0),
            (3e5, 345_600.0),
        ] {
            assert_eq!(Scale::Span.top(most), top, "{most} s");
        }
        assert_eq!(
            [0.0, 0.25, 60.0, 600.0, 43_200.0, 345_600.0].map(seconds),
            ["0", "250 ms", "60 s", "10 min", "12 h", "4 d"]
        );
        assert_eq!([1.0, 5.0].map(|n| Scale::Count.top(n)), [2.0, 6.0], "there is no half of an entry");
        assert_eq!([0.001, 0.25, 3.0, 12_345.0].map(number), ["< 0.01", "0.25", "3", "12k"]);
    }

    proptest! {
        #[test]
        fn names_are_only_names(name in any::<String>(), values in prop::collection::vec(prop::option::of(0.0f64..1e12), 0..400)) {
            let svg = lines(&name, "a second", Scale::Span, &[Line { name: name.clone(), values }], 360, 3);
            prop_assert_eq!(svg.matches("<path").count(), 1);
            prop_assert!(!svg.contains("<script") && !svg.contains("style="));
        }
    }
}
