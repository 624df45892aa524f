//! One frame of `belino top`: an overview as lines.
//!
//! Owns: columns, their order, what is cut when there is little room. Never knows: where the lines go. What came from a
//! peer goes through [`view::Plain`] before it is a cell.

use crate::cli::paint::{self, Tone, paint};
use crate::view::{self, Plain};
use serde_json::Value;
use std::cmp::Ordering;
use std::time::Duration;

/// A queue that is overdue for so long is marked.
const OVERDUE_BAD: f64 = 900.0;
/// Columns of a peer's name at most.
const NAME_MAX: usize = 32;

/// A column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// Its name.
    #[default]
    Peer,
    /// Whether it can be reached.
    State,
    /// Mails from it, a second.
    Received,
    /// Mails that it took, a second.
    Sent,
    /// Attempts that it did not take, a second.
    Refused,
    /// Errands that wait for it.
    Queue,
    /// For how long the first of them has been due.
    Overdue,
    /// Of its responses.
    Half,
    /// Of its responses.
    Most,
    /// Connections from it.
    Incoming,
}

impl Column {
    const ALL: [Self; 10] = [
        Self::Peer,
        Self::State,
        Self::Received,
        Self::Sent,
        Self::Refused,
        Self::Queue,
        Self::Overdue,
        Self::Half,
        Self::Most,
        Self::Incoming,
    ];

    const fn heading(self) -> &'static str {
        match self {
            Self::Peer => "PEER",
            Self::State => "STATE",
            Self::Received => "RECV/s",
            Self::Sent => "SENT/s",
            Self::Refused => "REF/s",
            Self::Queue => "QUEUE",
            Self::Overdue => "OVERDUE",
            Self::Half => "RES p50",
            Self::Most => "RES p95",
            Self::Incoming => "CONNS",
        }
    }

    /// Characters, without the gap in front. All of them go into 80 with names of ten.
    const fn width(self) -> usize {
        match self {
            Self::Peer | Self::State => 11,
            Self::Received | Self::Sent | Self::Refused | Self::Queue => 6,
            Self::Overdue | Self::Half | Self::Most => 7,
            Self::Incoming => 5,
        }
    }

    /// The column that is so many further, round and round.
    pub fn step(self, by: isize) -> Self {
        let all = Self::ALL.len() as isize;
        Self::ALL[(self as isize + by).rem_euclid(all) as usize]
    }
}

/// How it is to be looked at.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// By which column peers are sorted: names from A, numbers from the greatest.
    pub sort: Column,
    /// The other way round.
    pub reverse: bool,
    /// Refreshing is paused.
    pub paused: bool,
    /// Somebody can press keys.
    pub keys: bool,
    /// With colours.
    pub colours: bool,
    /// Lines and columns that there are; as many as needed when nobody says.
    pub room: Option<(usize, usize)>,
    /// Why there is nothing newer.
    pub trouble: Option<String>,
}

type Line = Vec<(String, Tone)>;

/// The lines of a frame, painted and cut.
pub fn lines(overview: &Value, look: &Look) -> Vec<String> {
    let mut top = vec![header(overview)];
    if let Some(trouble) = &look.trouble {
        top.push(vec![(format!("no answer: {}", Plain(trouble)), Tone::Bad)]);
    }
    if look.keys {
        let paused = if look.paused { "paused, p goes on" } else { "p pauses" };
        top.push(vec![(format!("q ends, {paused}, s or left/right sort, up/down turn round"), Tone::Faint)]);
    }
    let mut peers: Vec<&Value> = list(&overview["peers"]).collect();
    peers.sort_by(|a, b| order(a, b, look));
    let name = peers.iter().map(|peer| view::text(&peer["peer"]).chars().count()).max().unwrap_or(0);
    let name = name.clamp(10, NAME_MAX);
    top.push(heading(look, name));
    let mut tail = tail(overview);
    let mut rows: Vec<Line> = peers.iter().map(|peer| row(peer, name)).collect();
    if rows.is_empty() {
        rows.push(vec![("no peers".to_owned(), Tone::Faint)]);
    }
    if let Some((high, _)) = look.room {
        let left = high.saturating_sub(top.len());
        let for_tail = tail.len().min((left / 3).max(left.saturating_sub(rows.len())));
        tail.truncate(for_tail);
        let for_rows = left - for_tail;
        if rows.len() > for_rows {
            let more = rows.len() - for_rows.saturating_sub(1);
            rows.truncate(for_rows.saturating_sub(1));
            if for_rows > 0 {
                rows.push(vec![(format!("and {more} more"), Tone::Faint)]);
            }
        }
        top.truncate(high);
    }
    let wide = look.room.map_or(usize::MAX, |(_, wide)| wide);
    top.into_iter().chain(rows).chain(tail).map(|line| finish(line, wide, look.colours)).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Cut to the width, then paint: a colour takes up no room.
fn finish(line: Line, wide: usize, colours: bool) -> String {
    let mut left = wide;
    let mut out = String::new();
    for (text, tone) in line {
        let text: String = text.chars().take(left).collect();
        left -= text.chars().count();
        out.push_str(&paint(&text, tone, colours));
    }
    out.truncate(out.trim_end_matches(' ').len());
    out
}

fn header(overview: &Value) -> Line {
    let (now, version) = (view::text(&overview["now"]), view::text(&overview["version"]));
    let ready = match overview["why"].as_str() {
        None => ("ready".to_owned(), Tone::Good),
        Some(why) => (format!("NOT READY: {}", Plain(why)), Tone::Bad),
    };
    let disk = match overview["disk_free"].as_u64() {
        Some(free) => format!("{} free", indicatif::HumanBytes(free)),
        None => "disk -".to_owned(),
    };
    let near = overview["disk_free"].as_u64() < overview["disk_free_min"].as_u64().map(|min| min * 2);
    vec![
        (format!("belino {version}  {now}  "), Tone::Title),
        ready,
        ("  ".to_owned(), Tone::Even),
        (disk, if near { Tone::Wait } else { Tone::Even }),
        (format!("  queue {}", view::text(&overview["queued"])), Tone::Even),
    ]
}

fn heading(look: &Look, name: usize) -> Line {
    let cell = |column: Column| {
        let mark = match (look.keys && look.sort == column, look.reverse) {
            (false, _) => "",
            (true, false) => "*",
            (true, true) => "^",
        };
        let (text, width) = (column.heading(), column.width());
        match column {
            Column::Peer => format!("{:<name$}", format!("{text}{mark}")),
            Column::State => format!(" {:<width$}", format!("{text}{mark}")),
            // The mark goes into the gap.
            _ => format!("{:>1$}", format!("{mark}{text}"), width + 1),
        }
    };
    vec![(Column::ALL.into_iter().map(cell).collect(), Tone::Title)]
}

/// Attempts that it did not take, a second: for now, and for ever.
fn refused(peer: &Value) -> Option<f64> {
    let rate = |name: &str| peer["per_second"][name].as_f64();
    Some(rate("never")? + rate("later")?)
}

fn state(peer: &Value) -> &'static str {
    match (peer["paused"].as_bool(), peer["gate"]["open"].as_bool()) {
        (Some(true), _) => "paused",
        (_, Some(true)) => "open",
        (_, Some(false)) => "unreachable",
        _ => "-",
    }
}

fn number(peer: &Value, column: Column) -> Option<f64> {
    match column {
        Column::Peer | Column::State => None,
        Column::Received => peer["per_second"]["received"].as_f64(),
        Column::Sent => peer["per_second"]["sent"].as_f64(),
        Column::Refused => refused(peer),
        Column::Queue => peer["queued"].as_f64(),
        Column::Overdue => peer["overdue_seconds"].as_f64(),
        Column::Half => peer["response_seconds"]["p50"].as_f64(),
        Column::Most => peer["response_seconds"]["p95"].as_f64(),
        Column::Incoming => peer["incoming_connections"].as_f64(),
    }
}

fn order(a: &Value, b: &Value, look: &Look) -> Ordering {
    let by_name = || a["peer"].as_str().cmp(&b["peer"].as_str());
    let first = match look.sort {
        Column::Peer => by_name(),
        Column::State => state(a).cmp(state(b)),
        column => {
            // The greatest first, and last what is not known.
            let of = |peer| number(peer, column).unwrap_or(-1.0);
            of(b).total_cmp(&of(a))
        }
    };
    if look.reverse { first.reverse() } else { first }.then_with(by_name)
}

fn row(peer: &Value, name: usize) -> Line {
    let shown: String = view::text(&peer["peer"]).chars().take(name).collect();
    let state = state(peer);
    let mut line =
        vec![(format!("{shown:<name$} "), Tone::Even), (format!("{state:<11}"), paint::tone(state))];
    for column in Column::ALL.into_iter().skip(2) {
        let value = number(peer, column);
        let text = match (column, value) {
            (_, None) => "-".to_owned(),
            (Column::Received | Column::Sent | Column::Refused, Some(rate)) => per_second(rate),
            (Column::Overdue, Some(0.0)) => "-".to_owned(),
            (Column::Overdue | Column::Half | Column::Most, Some(seconds)) => span(seconds),
            (_, Some(count)) => format!("{count:.0}"),
        };
        let tone = match (column, value.unwrap_or(0.0)) {
            (Column::Refused, rate) if rate > 0.0 => Tone::Wait,
            (Column::Overdue, seconds) if seconds >= OVERDUE_BAD => Tone::Bad,
            (Column::Overdue, seconds) if seconds > 0.0 => Tone::Wait,
            _ => Tone::Even,
        };
        line.push((format!(" {text:>width$}", width = column.width()), tone));
    }
    line
}

fn per_second(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 0.01 => "<0.01".to_owned(),
        rate if rate < 10.0 => format!("{rate:.2}"),
        rate if rate < 100.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

fn span(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match whole {
        0 if seconds < 0.1 => format!("{:.1}ms", seconds * 1000.0),
        0..10 => format!("{seconds:.2}s"),
        10..60 => format!("{seconds:.0}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// What went wrong: the last of what peers did not take, and all of it since the start.
fn tail(overview: &Value) -> Vec<Line> {
    let mut lines = Vec::new();
    let title = |text: &str| vec![(text.to_owned(), Tone::Title)];
    let mut refusals = list(&overview["refusals"]).peekable();
    if refusals.peek().is_some() {
        lines.extend([Vec::new(), title("LAST REFUSALS")]);
    }
    for refusal in refusals {
        let of = |name: &str| view::text(&refusal[name]);
        let tone = if refusal["outcome"] == "later" { Tone::Wait } else { Tone::Bad };
        lines.push(vec![
            (format!("{} {:>3} x {}  ", of("last"), of("count"), of("peer")), Tone::Even),
            (of("outcome"), tone),
            (format!(": {}", of("words")), Tone::Even),
        ]);
    }
    let mut wrong = Vec::new();
    for peer in list(&overview["peers"]) {
        let counts = peer["since_start"]["wrong"].as_object().into_iter().flatten();
        let counts: Vec<String> =
            counts.map(|(name, count)| format!("{} x {}", view::text(count), Plain(name))).collect();
        if !counts.is_empty() {
            let text = format!("{}: {}", view::text(&peer["peer"]), counts.join(", "));
            wrong.push(vec![(text, Tone::Even)]);
        }
    }
    if !wrong.is_empty() {
        lines.extend([Vec::new(), title("SINCE THE START")]);
        lines.extend(wrong);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn overview() -> Value {
        let peer = |name: &str, received: f64, queued: u64, open: bool| {
            json!({
                "peer": name, "paused": false, "gate": { "open": open }, "queued": queued, "in_flight": 1,
                "incoming_connections": 2, "overdue_seconds": if open { 0.0 } else { 1000.0 },
                "per_second": { "received": received, "sent": 0.5, "never": 0.25, "later": 0.5 },
                "response_seconds": { "count": 3, "p50": 0.012, "p95": 75.0 },
                "since_start": { "wrong": { "sent: later": 3 } },
            })
        };
        json!({
            "now": "2025-03-04T10:15:30Z", "version": "1.2.3", "ready": true, "why": null,
            "disk_free": 3u64 << 30, "disk_free_min": 1u64 << 30, "queued": 12,
            "peers": [peer("b", 123.4, 2, true), peer("a", 0.001, 10, false), json!({ "peer": "(nobody yet)" })],
            "refusals": [{ "peer": "a", "outcome": "unreachable", "words": "refused\u{1b}[2J", "count": 2, "last": "x" }],
        })
    }

    #[test]
    fn a_frame_says_how_it_is() {
        let lines = lines(&overview(), &Look::default());
        assert_eq!(lines[0], "belino 1.2.3  2025-03-04T10:15:30Z  ready  3.00 GiB free  queue 12");
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(fields(&lines[2]), ["(nobody", "yet)", "-", "-", "-", "-", "-", "-", "-", "-", "-"]);
        let a = ["a", "unreachable", "<0.01", "0.50", "0.75", "10", "16m40s", "12.0ms", "1m15s", "2"];
        assert_eq!(fields(&lines[3]), a);
        let b = ["b", "open", "123", "0.50", "0.75", "2", "-", "12.0ms", "1m15s", "2"];
        assert_eq!(fields(&lines[4]), b);
        assert!(lines.iter().any(|line| line == "b: 3 x sent: later"), "{lines:#?}");
        let table = &lines[1..5];
        assert!(table.iter().all(|line| line.len() <= 82), "with a name of twelve: {table:#?}");
    }

    #[test]
    fn peers_are_sorted_as_wanted() {
        let first = |sort, reverse| {
            let look = Look { sort, reverse, ..Look::default() };
            lines(&overview(), &look)[2].split_whitespace().next().unwrap().to_owned()
        };
        assert_eq!((first(Column::Peer, true), first(Column::Received, false)), ("b".into(), "b".into()));
        assert_eq!((first(Column::Queue, false), first(Column::Queue, true)), ("a".into(), "(nobody".into()));
        assert_eq!((Column::Peer.step(-1), Column::Incoming.step(1)), (Column::Incoming, Column::Peer));
    }

    #[test]
    fn colours_come_only_when_they_are_wanted() {
        let plain = lines(&overview(), &Look::default()).join("\n");
        assert!(!plain.contains('\x1b'), "also not those that a peer sends: {plain:?}");
        let painted = lines(&overview(), &Look { colours: true, ..Look::default() }).join("\n");
        assert!(
            painted.contains("\x1b[31munreachable\x1b[0m  <0.01") && painted.contains("\x1b[32mready"),
            "{painted:?}"
        );
    }

    proptest! {
        /// Nothing is written beyond the terminal, however small it is.
        #[test]
        fn a_frame_keeps_to_its_room(high in 0usize..40, wide in 0usize..120, keys: bool, peers in 0usize..50) {
            let mut overview = overview();
            let peer = overview["peers"][0].clone();
            overview["peers"] = vec![peer; peers].into();
            let look = Look { room: Some((high, wide)), keys, ..Look::default() };
            let lines = lines(&overview, &look);
            prop_assert!(lines.len() <= high, "{}", lines.len());
            prop_assert!(lines.iter().all(|line| line.chars().count() <= wide));
        }
    }
}
