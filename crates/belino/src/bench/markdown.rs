//! The report as Markdown, for a page among documents.
//!
//! Owns: its form. Never knows: how the figures came about.

use super::report::Report;

impl Report {
    /// A section: what was run on what, the tables, the remarks, the count.
    pub fn markdown(&self) -> String {
        let class = &self.class;
        let mut out = format!(
            "Command: `{}`\n\nMachine: {} cores ({}), {:.0} GB of memory, {}, Linux {}. Belino {}.\n\n\
             {} rounds of {} s for each relay in each workload, relays in turn; medians of the rounds that count, ratios \
             round by round.\n\n",
            self.command.replace('`', "'"),
            class.cores,
            class.processor,
            class.memory as f64 / f64::from(1 << 30),
            class.file_system,
            class.kernel,
            env!("CARGO_PKG_VERSION"),
            self.rounds.0,
            self.rounds.1,
        );
        let rows = self.rows();
        if let Some((head, rows)) = rows.split_first() {
            out.push_str(&line(head));
            let marks =
                head.iter().enumerate().map(|(i, _)| if i < 2 { "---".into() } else { "---:".into() });
            out.push_str(&line(&marks.collect::<Vec<String>>()));
            rows.iter().for_each(|row| out.push_str(&line(row)));
        }
        let judged: Vec<Vec<String>> = self
            .outcomes
            .iter()
            .flat_map(|outcome| {
                self.judged(outcome).into_iter().map(|j| {
                    let name = outcome.workload.name.to_owned();
                    vec![name, j.what.clone(), j.amount(), j.goal(), j.verdict()]
                })
            })
            .collect();
        if !judged.is_empty() {
            out.push_str("\n| workload | figure | measured | goal | |\n|---|---|---:|---:|---|\n");
            judged.iter().for_each(|row| out.push_str(&line(row)));
        }
        let list =
            |lines: &[String]| lines.iter().map(|line| format!("- {}\n", plain(line))).collect::<String>();
        let remarks = self.remarks();
        if !remarks.is_empty() {
            out.push_str(&format!("\n{}", list(&remarks)));
        }
        out.push_str(&format!("\nThe count, of all rounds:\n\n{}", list(&self.counts())));
        out
    }
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| plain(cell)).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Text that opens no cell, link or tag.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '|' | '<' | '[' | '`' | '*' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_cell() {
        assert_eq!(line(&["a|b".into(), "<i>\n[x]".into()]), "| a\\|b | \\<i> \\[x] |\n");
    }
}
