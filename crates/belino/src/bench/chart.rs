//! The report as one page with charts that needs nothing else: no script, no other file, light or dark as the reader likes.
//!
//! Owns: its looks. A relay's name and the command line are the user's words, and escaped.

use super::medians::Medians;
use super::report::Report;
use super::run::Outcome;
use crate::probe::html::escaped;
use std::fmt::Write as _;

const STYLE: &str = "
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --soft: #5b6570; --line: #e2e6ea;
  --code: #f1f3f5; --one: #2563b8; --two: #d98324; --three: #6f7b87; --four: #8a5fbf; --good: #1a7f45; --bad: #c0262d; }
@media (prefers-color-scheme: dark) { :root { --page: #111418; --card: #191e24; --ink: #e6e9ec; --soft: #9aa5b0;
  --line: #2a313a; --code: #12161b; --one: #6aa5f0; --two: #eda84f; --three: #8b97a3; --four: #b493e0; --good: #5cc98a;
  --bad: #ff8a8a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', 'DejaVu Sans', sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 40px 0 2px; } .under { color: var(--soft); margin: 0 0 12px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px; overflow-x: auto; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 18px 0 0; padding: 0; list-style: none; font-weight: 600; }
.legend i { display: inline-block; width: 14px; height: 14px; border-radius: 3px; margin-right: 8px; vertical-align: -2px; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--ink); font: 13px system-ui, 'Segoe UI', 'Liberation Sans',
  'DejaVu Sans', sans-serif; } svg text.soft { fill: var(--soft); font-size: 11.5px; } svg text.name { font-weight: 600; }
svg text.value { font-variant-numeric: tabular-nums; } svg line { stroke: var(--line); }
svg path { stroke: var(--ink); stroke-width: 1.3; opacity: .6; fill: none; }
.c0 { fill: var(--one); background: var(--one); } .c1 { fill: var(--two); background: var(--two); }
.c2 { fill: var(--three); background: var(--three); } .c3 { fill: var(--four); background: var(--four); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: 7px 12px 7px 0; border-top: 1px solid var(--line); }
thead th { border-top: 0; font-size: 12.5px; color: var(--soft); } td.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; } th.n { text-align: right; } td.good { color: var(--good); font-weight: 600; }
td.bad { color: var(--bad); font-weight: 600; } tbody th { font-weight: 600; white-space: nowrap; }
code { background: var(--code); padding: 1px 5px; border-radius: 4px; overflow-wrap: anywhere; }
ul.plain { margin: 0; padding-left: 18px; } footer { color: var(--soft); font-size: 13px; margin-top: 40px; }
";

/// Width of a drawing, in its own units.
const WIDTH: f64 = 1000.0;
/// Where bars begin: left of it stand the names.
const LEFT: f64 = 300.0;
/// Room for a figure after the longest bar.
const RIGHT: f64 = 250.0;
/// Height of a bar.
const BAR: f64 = 17.0;

/// The page.
pub fn page(report: &Report) -> String {
    let mut out = String::with_capacity(64 << 10);
    let title = "Belino: what a relay carries on this machine";
    let class = &report.class;
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p class=\"under\">{} cores ({}), {:.0} GB of memory, {}, Linux {}. The source of the mails, the relay and the sink \
         share these cores. Each mail is a multimedia message as operators \
         exchange them over MM4, and safe on disk before the relay says that it took it.</p>\n",
        class.cores,
        escaped(&class.processor),
        class.memory as f64 / f64::from(1 << 30),
        escaped(&class.file_system),
        escaped(&class.kernel),
    );
    let subjects = subjects(report);
    out.push_str("<ul class=\"legend\">");
    for name in &subjects {
        let _ = write!(out, "<li><i class=\"{}\"></i>{}</li>", colour(&subjects, name), escaped(name));
    }
    if report.outcomes.iter().flat_map(shown).any(|name| name.contains(',')) {
        out.push_str("<li><i class=\"c3\"></i>Belino for comparison with itself</li>");
    }
    out.push_str("</ul>\n");
    section(
        &mut out,
        "Mails a second",
        "Longer is better. Each workload has a scale of its own; the thin line spans the slowest and the fastest round.",
        report,
        &subjects,
        &|m| Some(Bar { value: m.rate[0], span: Some((m.rate[1], m.rate[2])), label: rate_label(m) }),
    );
    section(
        &mut out,
        "Processor time",
        "Seconds of CPU that the relay alone uses for 1,000 mails. Shorter is better.",
        report,
        &subjects,
        &|m| {
            let label = format!("{:.2} s", m.cpu_s_per_1000);
            (m.cpu_s_per_1000 > 0.0).then_some(Bar { value: m.cpu_s_per_1000, span: None, label })
        },
    );
    section(
        &mut out,
        "Time to delivery",
        "Milliseconds from the first octet sent to the mail's arrival: half of all mails are within the bar, 99 of 100 \
         within the thin line. Shorter is better; under full load it is mostly the time spent waiting in line.",
        report,
        &subjects,
        &|m| {
            let l = m.delivery_ms?;
            let label = format!("{} ms, p99 {} ms", milliseconds(l.p50), milliseconds(l.p99));
            Some(Bar { value: l.p50, span: Some((l.p50, l.p99)), label })
        },
    );
    goals(&mut out, report);
    count(&mut out, report);
    let _ = write!(
        out,
        "<footer>Made by Belino {} with <code>{}</code>. Medians of {} rounds of {} s, relays in turn.</footer>\n</main>\n\
         </body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        escaped(&report.command),
        report.rounds.0,
        report.rounds.1,
    );
    out
}

/// Every relay, in the order in which they appear.
fn subjects(report: &Report) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for outcome in &report.outcomes {
        for name in shown(outcome) {
            // What is compared with itself is named at its bar.
            if !names.contains(&name) && !name.contains(',') {
                names.push(name);
            }
        }
    }
    names
}

/// The same colour for the same relay in every drawing.
fn colour(subjects: &[String], name: &str) -> String {
    subjects.iter().position(|s| s == name).map_or("c3".into(), |place| format!("c{}", place % 3))
}

/// The relays of a workload that have rounds which count.
fn shown(outcome: &Outcome) -> Vec<String> {
    let measured = |name: &String| outcome.rounds.iter().any(|r| r.number > 0 && r.subject == *name);
    outcome.subjects().into_iter().filter(measured).collect()
}

/// One bar.
struct Bar {
    value: f64,
    span: Option<(f64, f64)>,
    label: String,
}

fn rate_label(m: &Medians) -> String {
    match m.mb_per_s {
        mb if mb >= 1.0 => format!("{} /s ({mb:.0} MB/s)", thousands(m.rate[0])),
        _ => format!("{} /s", thousands(m.rate[0])),
    }
}

fn milliseconds(ms: f64) -> String {
    if ms >= 10.0 { thousands(ms) } else { format!("{ms:.1}") }
}

/// `12,345`.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A heading, a sentence, and bars for every workload that has such a figure.
fn section(
    out: &mut String,
    title: &str,
    words: &str,
    report: &Report,
    subjects: &[String],
    bar: &dyn Fn(&Medians) -> Option<Bar>,
) {
    let mut body = String::new();
    let mut y = 6.0;
    for outcome in &report.outcomes {
        let bars: Vec<(String, Bar)> = shown(outcome)
            .iter()
            .filter_map(|name| {
                let mut bar = bar(&outcome.medians(name))?;
                if let Some((_, how)) = name.split_once(", ") {
                    bar.label.push_str(&format!(", {how}"));
                }
                Some((colour(subjects, name), bar))
            })
            .collect();
        if bars.is_empty() {
            continue;
        }
        y = group(&mut body, outcome, &bars, y);
    }
    if body.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<h2>{title}</h2>\n<p class=\"under\">{words}</p>\n<div class=\"card\"><svg viewBox=\"0 0 {WIDTH} {:.0}\" \
         role=\"img\" aria-label=\"{title}\">{body}</svg></div>\n",
        y - 14.0
    );
}

/// The bars of one workload; where the next one begins.
fn group(out: &mut String, outcome: &Outcome, bars: &[(String, Bar)], y: f64) -> f64 {
    // A long tail must not press the bars flat: it may be twice the longest of them, and is cut there.
    let longest = bars.iter().map(|(_, b)| b.value).fold(0.0, f64::max);
    let tail = bars.iter().filter_map(|(_, b)| b.span).map(|(_, high)| high).fold(0.0, f64::max);
    let whole = longest.max(tail.min(longest * 2.0)).max(f64::MIN_POSITIVE);
    let x = |value: f64| LEFT + (value / whole).min(1.0) * (WIDTH - LEFT - RIGHT);
    let height = (bars.len() as f64 * (BAR + 4.0)).max(32.0);
    let _ = write!(
        out,
        "<text class=\"name\" x=\"0\" y=\"{:.1}\">{}</text>",
        y + 13.0,
        escaped(outcome.workload.name)
    );
    for (i, part) in lines(outcome.workload.title).iter().enumerate() {
        let at = y + 28.0 + i as f64 * 14.0;
        let _ = write!(out, "<text class=\"soft\" x=\"0\" y=\"{at:.1}\">{}</text>", escaped(part));
    }
    let height = height.max(14.0 + 14.0 * lines(outcome.workload.title).len() as f64 + 4.0);
    for (i, (colour, bar)) in bars.iter().enumerate() {
        let top = y + i as f64 * (BAR + 4.0);
        let width = (x(bar.value) - LEFT).max(1.5);
        let _ = write!(
            out,
            "<rect class=\"{}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>",
            colour
        );
        let mut end = LEFT + width;
        if let Some((low, high)) = bar.span {
            let middle = top + BAR / 2.0;
            end = end.max(x(high));
            let _ = write!(out, "<path d=\"M{:.1} {middle:.1}H{:.1}m0 -4v8\"/>", x(low), x(high));
        }
        let at = top + BAR - 4.0;
        let _ = write!(
            out,
            "<text class=\"value\" x=\"{:.1}\" y=\"{at:.1}\">{}</text>",
            end + 8.0,
            escaped(&bar.label)
        );
    }
    if y > 10.0 {
        let line = y - 10.0;
        let _ = write!(out, "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{line:.1}\" y2=\"{line:.1}\"/>");
    }
    y + height + 20.0
}

/// A title in lines that fit beside the bars.
fn lines(title: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    for word in title.split(' ') {
        let last = out.len() - 1;
        if !out[last].is_empty() && out[last].len() + 1 + word.len() > 44 {
            out.push(word.to_owned());
        } else {
            if !out[last].is_empty() {
                out[last].push(' ');
            }
            out[last].push_str(word);
        }
    }
    out
}

fn goals(out: &mut String, report: &Report) {
    let mut rows = String::new();
    for outcome in &report.outcomes {
        for judged in report.judged(outcome) {
            let class = match judged.bound {
                Some(bound) if bound.holds(judged.value) => "good",
                Some(_) => "bad",
                None => "",
            };
            let _ = writeln!(
                rows,
                "<tr><th>{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"{class}\">{}</td></tr>",
                escaped(outcome.workload.name),
                escaped(&judged.what),
                escaped(&judged.amount()),
                escaped(&judged.goal().replace(">=", "at least").replace("<=", "at most")),
                escaped(&judged.verdict())
            );
        }
    }
    if !rows.is_empty() {
        let _ = write!(
            out,
            "<h2>Goals</h2>\n<p class=\"under\">What is hoped for of Belino, as ratios within this run, and what came of it.\
             </p>\n<div class=\"card\"><table><thead><tr><th>workload</th><th>figure</th><th class=\"n\">measured</th>\
             <th class=\"n\">goal</th><th></th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
        );
    }
}

fn count(out: &mut String, report: &Report) {
    let list =
        |lines: &[String]| lines.iter().map(|line| format!("<li>{}</li>", escaped(line))).collect::<String>();
    let _ = write!(
        out,
        "<h2>The count</h2>\n<p class=\"under\">Every mail has a number and a digest of its body; each was looked for at the \
         other end.</p>\n<div class=\"card\"><ul class=\"plain\">{}</ul></div>\n",
        list(&report.counts())
    );
    let remarks = report.remarks();
    if !remarks.is_empty() {
        let _ = write!(
            out,
            "<h2>Remarks</h2>\n<div class=\"card\"><ul class=\"plain\">{}</ul></div>\n",
            list(&remarks)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Class;
    use crate::bench::round::Round;
    use crate::bench::workload;

    fn report(name: &str) -> Report {
        let class = Class {
            cores: 2,
            processor: "<b>fast</b>".into(),
            memory: 8 << 30,
            file_system: "ext4".into(),
            kernel: "6".into(),
        };
        let round =
            Round { number: 1, subject: name.into(), rate: 12_345.0, accepted: 5, ..Round::default() };
        let outcome = Outcome {
            workload: workload::all().remove(1),
            rounds: vec![round],
            readings: Vec::new(),
            notes: vec!["a < b".into()],
        };
        Report {
            command: "belino bench --vs-command 'x > \"y\"'".into(),
            class,
            outcomes: vec![outcome],
            failed: Vec::new(),
            rounds: (1, 2.0),
        }
    }

    #[test]
    fn every_foreign_word_is_escaped() {
        let page = page(&report("<script>alert(1)</script>"));
        for odd in ["<script", "<b>fast", "a < b", "\"y\"'"] {
            assert!(!page.contains(odd), "{odd}");
        }
        assert!(page.contains("&lt;script&gt;") && page.contains("a &lt; b"));
    }

    #[test]
    fn figures_stand_beside_their_bars() {
        let page = page(&report("belino"));
        assert!(page.contains(">12,345 /s</text>"), "{page}");
        assert!(page.contains("<rect class=\"c0\""));
        assert_eq!([999.0, 1000.0, 1_234_567.0].map(thousands), ["999", "1,000", "1,234,567"]);
    }

    #[test]
    fn titles_are_broken_between_words() {
        let title = "70 % of 30-100 KB, 25 % of 300-600 KB, 5 % of 1-5 MB, with responses and reports";
        assert_eq!(lines(title).join(" "), title);
        assert!(lines(title).iter().all(|line| line.len() <= 44));
    }
}
