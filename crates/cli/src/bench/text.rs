//! The report for people.

use std::fmt::Write;

use super::{
    metric::{Shown, Unit, grouped, known},
    report::Report,
};
use crate::connect::escape;

/// Writes the report.
pub(super) fn render(report: &Report) -> String {
    let mut text = Text { report, lines: String::new() };
    text.head();
    text.connections();
    text.messages();
    text.latency();
    text.slow();
    text.server();
    text.reasons();
    text.rest();
    text.lines
}

struct Text<'a> {
    report: &'a Report,
    lines: String,
}

impl Text<'_> {
    fn line(&mut self, name: &str, text: &str) {
        writeln!(self.lines, "  {name:<12} {text}").expect("a string takes everything");
    }

    /// Returns a figure as people write it.
    fn shown(&self, name: &str) -> Option<String> {
        let (unit, _) = known(name)?;
        Some(Shown(self.report.value(name)?, unit).to_string())
    }

    fn count(&self, name: &str) -> u64 {
        self.report.value(name).unwrap_or(0.0) as u64
    }

    /// Joins those figures that were measured.
    fn figures(&self, names: &[&str], cut: &str) -> String {
        let figures: Vec<_> = names
            .iter()
            .filter_map(|name| {
                Some(format!("{} {}", name.trim_start_matches(cut), self.shown(name)?))
            })
            .collect();
        figures.join("   ")
    }

    fn head(&mut self) {
        let (report, asked) = (self.report, &self.report.asked);
        let mut parts = vec![format!("{} connections", grouped(asked.connections as f64))];
        parts.extend(asked.depth.map(|depth| format!("{depth} in flight each")));
        parts.extend(asked.rate.map(|rate| {
            format!(
                "{} a second in all",
                Shown(rate, Unit::PerSecond).to_string().trim_end_matches("/s")
            )
        }));
        let kind = if asked.text == Some(true) { "text" } else { "binary" };
        parts.extend(asked.size.map(|size| format!("{} {kind}", Shown(size as f64, Unit::Bytes))));
        parts.push(format!("{:.1} s", report.ran_s));
        if report.interrupted {
            parts.push("interrupted".to_owned());
        }
        let url = escape(&report.url);
        writeln!(self.lines, "{} {url}: {}", report.scenario, parts.join(", ")).expect("as above");
    }

    fn connections(&mut self) {
        // Those of `connect` end at our wish.
        let is_turns = self.report.scenario == "connect";
        let closed =
            if is_turns { "did not close as they should" } else { "ended before their time" };
        let mut line = format!("{} opened", grouped(self.count("opened") as f64));
        for (name, words) in
            [("deflated", "of them compress"), ("failed", "failed to open"), ("closed", closed)]
        {
            if self.count(name) > 0 {
                line += &format!(", {} {words}", grouped(self.count(name) as f64));
            }
        }
        let times = self.figures(&["connect.p50", "connect.p99", "connect.max"], "connect.");
        self.line("connections", format!("{line}   {times}").trim_end());
        if let Some(why) = &self.report.spoiled_connect {
            self.line("", &format!("times not reported: {why}"));
        }
        let turns = self.figures(&["offered", "connects"], "");
        if self.report.asked.size.is_none() && !turns.is_empty() {
            self.line("", &turns);
        }
        let closing = self.figures(&["close.p50", "close.p99", "close.max"], "close.");
        if !closing.is_empty() {
            self.line("closing", &closing);
        }
        if let Some(back) = self.shown("back") {
            let all = grouped(self.report.asked.connections as f64);
            self.line("back", &format!("{back} of {all}"));
        }
    }

    fn messages(&mut self) {
        if self.report.asked.size.is_none() || self.count("opened") == 0 {
            return;
        }
        let rate = self.shown("rate").unwrap_or_default();
        let [sent, answered] = ["sent", "answered"].map(|name| grouped(self.count(name) as f64));
        let came = if self.report.scenario == "echo" { "answered" } else { "delivered" };
        self.line("messages", &format!("{sent} sent, {answered} {came}: {rate}"));
        let names = ["lost", "duplicated", "reordered", "corrupt", "foreign", "unsent"];
        let found: Vec<_> = names
            .iter()
            .filter(|name| self.count(name) > 0)
            .map(|name| format!("{} {name}", grouped(self.count(name) as f64)))
            .collect();
        match found.as_slice() {
            [] if self.count("sent") == 0 => {}
            [] => self.line("", "none lost, duplicated, reordered or corrupt"),
            found => self.line("", &found.join(", ")),
        }
        let wire = self.figures(&["wire.sent", "wire.received"], "wire.");
        if !wire.is_empty() {
            self.line("on the wire", &format!("{wire}   for a message"));
        }
    }

    fn latency(&mut self) {
        let latency = match self.report.scenario {
            "connect" => "opening",
            "storm" => "back after",
            "slow" => "with slow",
            _ => "latency",
        };
        match &self.report.spoiled {
            Some(why) => self.line(latency, &format!("not reported: {why}")),
            None => {
                let alone = self.figures(&["alone.p50", "alone.p99", "alone.max"], "alone.");
                let figures = self.figures(&["p50", "p90", "p99", "p99.9", "max"], "");
                if !alone.is_empty() {
                    self.line("before", &alone);
                }
                if !figures.is_empty() {
                    self.line(latency, &figures);
                }
            }
        }
        let late = self.figures(&["late.p99", "late.max"], "late.");
        if !late.is_empty() {
            let verdict = if self.report.late { "too late" } else { "in time" };
            self.line("generator", &format!("{verdict}; late by {late}"));
        }
    }

    fn slow(&mut self) {
        let Some(opened) = self.shown("slow.opened") else { return };
        let shown = |count: u64| grouped(count as f64);
        let mut text = format!(
            "{opened} came, the server closed {} of them",
            shown(self.count("slow.closed"))
        );
        let undecided = self.count("slow.undecided");
        if undecided > 0 {
            text += &format!(", {} were undecided to the last", shown(undecided));
        }
        let drained = self.count("slow.drained");
        let meanwhile = self.count("slow.received").saturating_sub(drained);
        if meanwhile > 0 {
            text += &format!("; {} messages were read slowly", shown(meanwhile));
        }
        text += &format!("; {} messages were left to read after the end", shown(drained));
        self.line("slow", &text);
    }

    fn server(&mut self) {
        let of = match self.report.scenario {
            "connect" | "storm" => "a connection",
            "broadcast" | "slow" => "a delivery",
            _ => "a message",
        };
        let mut parts = Vec::new();
        parts.extend(self.shown("cpu").map(|cpu| format!("{cpu} of CPU for {of}")));
        parts.extend(self.shown("cores").map(|cores| format!("{cores} cores busy")));
        parts.extend(
            self.shown("memory").map(|memory| format!("{memory} of memory for a connection")),
        );
        parts.extend(self.shown("growth").map(|growth| format!("grew by {growth} meanwhile")));
        if !parts.is_empty() {
            self.line("server", &parts.join(", "));
        }
    }

    fn reasons(&mut self) {
        let report = self.report;
        for (name, reasons) in [("failures", &report.failures), ("ends", &report.ends)] {
            let mut name = name;
            for (reason, n) in reasons {
                self.line(name, &format!("{} × {}", grouped(*n as f64), escape(reason)));
                name = "";
            }
        }
    }

    fn rest(&mut self) {
        let report = self.report;
        for note in &report.notes {
            self.line("note", note);
        }
        for judged in &report.expectations {
            let verdict = if judged.held { "held" } else { "FAILED" };
            self.line("expected", &format!("{}: {verdict}, {}", judged.expected, judged.came));
        }
    }
}
