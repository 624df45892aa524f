//! The report as one page that needs nothing else: no script, no other file, light or dark as the reader likes it.
//!
//! Owns: its looks. Every word that may come from a peer is escaped.

use super::judge::Verdict;
use super::report::{Report, Row, Transcript};
use std::fmt::Write as _;

/// Text that is nothing but text in HTML, inside and outside of attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --soft: #5b6570; --line: #e2e6ea;
  --code: #f1f3f5; --pass: #1a7f45; --fail: #c0262d; --warn: #9a6400; --skip: #69737d; --passbg: #e3f4ea; --failbg: #fde7e8;
  --warnbg: #fdf0d5; --skipbg: #eceff1; }
@media (prefers-color-scheme: dark) { :root { --page: #111418; --card: #191e24; --ink: #e6e9ec; --soft: #9aa5b0;
  --line: #2a313a; --code: #12161b; --pass: #5cc98a; --fail: #ff8a8a; --warn: #e8b450; --skip: #94a0ab; --passbg: #17352a;
  --failbg: #46201f; --warnbg: #3d3013; --skipbg: #262d35; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', 'DejaVu Sans', sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 17px; margin: 40px 0 12px; }
.under { color: var(--soft); margin: 0; } .note { font-size: 13px; margin: -8px 0 10px; }
.tally { display: flex; gap: 10px; flex-wrap: wrap; margin: 24px 0 10px; }
.tally div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 18px; min-width: 92px; }
.tally b { display: block; font-size: 24px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tally span { color: var(--soft); font-size: 13px; }
.tally .fail b { color: var(--fail); } .tally .pass b { color: var(--pass); } .tally .warn b { color: var(--warn); }
.tally .skip b { color: var(--skip); } .tally .none b { color: var(--soft); opacity: .55; }
.bar { display: flex; gap: 2px; height: 8px; border-radius: 4px; overflow: hidden; margin: 0 0 24px; }
.bar i { display: block; } .bar .pass { background: var(--pass); } .bar .fail { background: var(--fail); }
.bar .warn { background: var(--warn); } .bar .skip { background: var(--skip); opacity: .45; }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(235px, 1fr)); gap: 10px 24px; margin: 0; padding: 16px 18px;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
dl.facts dt { color: var(--soft); font-size: 12.5px; } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 10px 14px; border-top: 1px solid var(--line); }
thead th { border-top: 0; font-size: 12.5px; font-weight: 600; color: var(--soft); white-space: nowrap; }
tbody th { background: var(--code); font-size: 13px; font-weight: 600; padding: 7px 14px; }
td.id { font-variant-numeric: tabular-nums; white-space: nowrap; font-weight: 600; }
td.id a, ul.todo a { text-decoration: none; } td.id a:hover, ul.todo a:hover { text-decoration: underline; }
td.what { min-width: 190px; font-weight: 500; } td.clause { color: var(--soft); font-size: 13px; min-width: 118px; }
tr.fail td { background: color-mix(in srgb, var(--failbg) 38%, transparent); } tr.fail td.id { box-shadow: inset 3px 0 var(--fail); }
tr.warn td.id { box-shadow: inset 3px 0 var(--warn); } tr.skip td.what, tr.skip td.seen { color: var(--soft); font-weight: 400; }
tr:target td { background: var(--code); }
td.seen { overflow-wrap: anywhere; min-width: 260px; } td.want { color: var(--soft); min-width: 200px; }
td.seen p { margin: 6px 0 0; font-size: 13.5px; color: var(--soft); } td.seen p b { color: var(--ink); font-weight: 600; }
.verdict { display: inline-block; min-width: 46px; text-align: center; padding: 1px 9px 2px; border-radius: 20px; font-size: 12.5px;
  font-weight: 600; }
.verdict.pass { color: var(--pass); background: var(--passbg); } .verdict.fail { color: var(--fail); background: var(--failbg); }
.verdict.warn { color: var(--warn); background: var(--warnbg); } .verdict.skip { color: var(--skip); background: var(--skipbg); }
ul.todo { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: 0; padding: 14px 18px 14px 18px;
  list-style: none; }
ul.todo li { display: grid; grid-template-columns: 52px 1fr; padding: 4px 0; } ul.todo a { font-weight: 600; }
a { color: inherit; text-decoration-color: var(--soft); text-underline-offset: 2px; }
details { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: 0 0 8px; }
summary { cursor: pointer; padding: 10px 16px; } summary b { display: inline-block; min-width: 52px; }
summary span { color: var(--soft); font-size: 13px; }
details h3 { font-size: 13px; color: var(--soft); font-weight: 600; margin: 4px 16px; }
pre { margin: 0 16px 14px; padding: 10px 12px; background: var(--code); border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 12.5px/1.55 ui-monospace, 'Cascadia Mono', 'Liberation Mono', 'DejaVu Sans Mono', monospace; }
footer { color: var(--soft); font-size: 13px; margin-top: 40px; }
@media (max-width: 700px) { main { padding: 24px 14px 40px; } th, td, tbody th { padding: 9px 10px; }
  .tally div { flex: 1; min-width: 0; padding: 8px 12px; } dl.facts { grid-template-columns: 1fr 1fr; gap: 10px 16px; } }
@media print { body { background: #fff; } main { max-width: none; padding: 0; } details, .card { break-inside: avoid; } }
";

/// The page.
pub fn page(report: &Report) -> String {
    let mut out = String::with_capacity(64 << 10);
    let title = format!("MM4 probe of {}", escaped(&report.domain));
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"under\">{}</p>\n",
        escaped(&opening(report))
    );
    tally(&mut out, report);
    facts(&mut out, report);
    todo(&mut out, report);
    table(&mut out, report);
    out.push_str("<h2 id=\"said\">What was said</h2>\n");
    for transcript in &report.transcripts {
        said(&mut out, transcript);
    }
    let _ = write!(
        out,
        "<footer>Made by Belino {} for {}. Judged against 3GPP TS 23.140 clause 8.4; pass, fail (against the clause), warn \
         (allowed or lenient, and worth knowing), skip (not judged).</footer>\n</main>\n</body>\n</html>\n",
        escaped(report.version),
        escaped(&report.ours)
    );
    out
}

fn opening(report: &Report) -> String {
    let (fails, warns) = (report.count(Verdict::Fail), report.count(Verdict::Warn));
    let things = |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    let odd = things(warns, "case is worth a look", "cases are worth a look");
    let failed = things(fails, "case failed", "cases failed");
    let mails = things(report.mails, "mail was taken by the peer", "mails were taken by the peer");
    match (fails, warns) {
        (0, 0) => format!("Nothing failed, and nothing is odd. {mails}."),
        (0, _) => format!("Nothing failed; {odd}. {mails}."),
        (_, 0) => format!("{failed}. {mails}."),
        (_, _) => format!("{failed}; {odd}. {mails}."),
    }
}

const ALL: [Verdict; 4] = [Verdict::Fail, Verdict::Warn, Verdict::Pass, Verdict::Skip];

fn tally(out: &mut String, report: &Report) {
    out.push_str("<div class=\"tally\">");
    for verdict in ALL {
        let (n, word) = (report.count(verdict), verdict.word());
        let class = if n == 0 { "none" } else { word };
        let _ = write!(out, "<div class=\"{class}\"><b>{n}</b><span>{word}</span></div>");
    }
    out.push_str("</div>\n<div class=\"bar\" aria-hidden=\"true\">");
    for verdict in ALL {
        let n = report.count(verdict);
        if n > 0 {
            let _ = write!(out, "<i class=\"{}\" style=\"flex: {n}\"></i>", verdict.word());
        }
    }
    out.push_str("</div>\n");
}

fn facts(out: &mut String, report: &Report) {
    let none = || "not given".to_owned();
    let rows = [
        ("Peer", format!("{} ({})", report.peer, report.domain)),
        ("Host", report.host.clone()),
        ("Asked by", report.ours.clone()),
        ("When", readable(&report.at)),
        ("From", report.from.clone()),
        ("To", report.to.clone()),
        ("Second recipient", report.second.clone().unwrap_or_else(none)),
        ("Number that nobody has", report.unknown.clone().unwrap_or_else(none)),
    ];
    out.push_str("<dl class=\"facts\">");
    for (name, value) in rows {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value));
    }
    out.push_str("</dl>\n");
}

/// `2025-03-04T10:15:30.000Z` as `2025-03-04 10:15:30 UTC`.
fn readable(at: &str) -> String {
    at.split_once('.').map_or_else(|| at.to_owned(), |(whole, _)| format!("{} UTC", whole.replace('T', " ")))
}

fn todo(out: &mut String, report: &Report) {
    let rows: Vec<&Row> = report.cases.iter().filter(|row| row.advice.is_some()).collect();
    if rows.is_empty() {
        return;
    }
    out.push_str("<h2>What to do</h2>\n<ul class=\"todo\">\n");
    for row in rows {
        let (id, advice) = (row.id, escaped(row.advice.unwrap_or_default()));
        let _ = writeln!(out, "<li><a href=\"#{id}\">{id}</a> <span>{advice}</span></li>");
    }
    out.push_str("</ul>\n");
}

fn table(out: &mut String, report: &Report) {
    out.push_str(
        "<h2>Cases</h2>\n<p class=\"under note\">The number of a case leads to what was said.</p>\n<div class=\"card\"><table>\n<thead><tr><th>Case</th><th>Verdict</th><th>What</th><th>Clause</th>\
         <th>Seen</th><th>Expected</th></tr></thead>\n<tbody>\n",
    );
    let mut chapter = "";
    for row in &report.cases {
        if row.chapter != chapter {
            chapter = row.chapter;
            let _ = writeln!(out, "<tr><th colspan=\"6\" scope=\"colgroup\">{}</th></tr>", escaped(chapter));
        }
        let hint =
            row.hint.as_ref().map_or(String::new(), |hint| format!("<p><b>Hint:</b> {}</p>", escaped(hint)));
        let _ = writeln!(
            out,
            "<tr id=\"{id}\" class=\"{word}\"><td class=\"id\"><a href=\"#said-{step}\">{id}</a></td>\
             <td><span class=\"verdict {word}\">{word}</span></td>\
             <td class=\"what\">{title}</td><td class=\"clause\">{clause}</td><td class=\"seen\">{seen}{hint}</td>\
             <td class=\"want\">{expected}</td></tr>",
            id = row.id,
            step = row.step.name(),
            word = row.verdict.word(),
            title = escaped(row.title),
            clause = escaped(row.clause),
            seen = escaped(&row.seen),
            expected = escaped(row.expected),
        );
    }
    out.push_str("</tbody>\n</table></div>\n");
}

fn said(out: &mut String, transcript: &Transcript) {
    let block = |out: &mut String, title: &str, lines: &[String]| {
        if !lines.is_empty() {
            let _ = writeln!(out, "<h3>{title}</h3><pre>{}</pre>", escaped(&lines.join("\n")));
        }
    };
    let came = match transcript.came.len() {
        0 => String::new(),
        1 => "one mail came back".into(),
        n => format!("{n} mails came back"),
    };
    let _ = writeln!(
        out,
        "<details><summary><b>{name}</b> {} <span>{came}</span></summary><div id=\"said-{name}\">",
        escaped(transcript.title),
        name = transcript.name,
    );
    block(out, "Dialogue", &transcript.dialogue);
    block(out, "Header of the mail", &transcript.sent);
    for lines in &transcript.came {
        block(out, "Came back", lines);
    }
    out.push_str("</div></details>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escaped("<script>alert('x')</script> & \"y\""),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;"
        );
    }
}
