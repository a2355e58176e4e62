//! `bench --compare`: two reports beside each other, and what became better or worse.

use std::{fmt::Write, fs, path::Path};

use serde::Serialize;
use serde_json::Value;

use super::{
    metric::{Better, Shown, Unit, is_latency, known},
    report::SCHEMA,
};

/// Two reports, figure by figure.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    schema: &'static str,
    changes: Vec<Change>,
    /// What should be known of it, for people.
    notes: Vec<String>,
}

/// A figure in both reports.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    name: String,
    before: Option<f64>,
    after: Option<f64>,
    verdict: Verdict,
}

/// What to think of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Better,
    Worse,
    /// Within what is tolerated.
    Same,
    /// It is not in both reports, cannot be good or bad, or is as much the generator's.
    NotJudged,
}

impl Comparison {
    /// Compares two reports in files. Changes up to `tolerance`, a share, are no changes.
    ///
    /// # Errors
    /// A file cannot be read or is no report; for people.
    pub(super) fn read(before: &Path, after: &Path, tolerance: f64) -> Result<Self, String> {
        Ok(Self::new(&report(before)?, &report(after)?, tolerance))
    }

    fn new(before: &Value, after: &Value, tolerance: f64) -> Self {
        let figures = |report: &Value| report["metrics"].as_object().cloned().unwrap_or_default();
        let (old, new) = (figures(before), figures(after));
        let has = |field: &str| [before, after].iter().any(|of| of[field] == Value::Bool(true));
        let (is_late, late_connect) = (has("late"), has("late_connect"));
        let is_spoiled = |name: &str| {
            is_latency(name) && (is_late || late_connect && name.starts_with("connect."))
        };
        let added = new.keys().filter(|name| !old.contains_key(*name));
        let changes = old.keys().chain(added).map(|name| {
            let [before, after] = [&old, &new].map(|of| of.get(name).and_then(Value::as_f64));
            let verdict = match verdict(name, before, after, tolerance) {
                _ if is_spoiled(name) => Verdict::NotJudged,
                verdict => verdict,
            };
            Change { name: name.clone(), before, after, verdict }
        });
        Self {
            schema: "everwire-bench-compare/1",
            changes: changes.collect(),
            notes: notes(before, after),
        }
    }

    /// Returns whether something became worse.
    pub(super) fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.verdict == Verdict::Worse)
    }

    /// Writes it for people.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for Change { name, before, after, verdict } in &self.changes {
            let unit = known(name).map_or(Unit::Count, |(unit, _)| unit);
            let [was, is] = [before, after].map(|value| match value {
                Some(value) => Shown(*value, unit).to_string(),
                None => "–".to_owned(),
            });
            let change = match (before, after) {
                (Some(before), Some(after)) if *before != 0.0 && before != after => {
                    format!("{:+.1} %", (after / before - 1.0) * 100.0)
                }
                _ => String::new(),
            };
            let verdict = match verdict {
                Verdict::Better => "better",
                Verdict::Worse => "WORSE",
                Verdict::Same | Verdict::NotJudged => "",
            };
            let line = format!("{name:<14} {was:>12} {is:>12} {change:>10}  {verdict}");
            writeln!(text, "{}", line.trim_end()).expect("a string takes everything");
        }
        for note in &self.notes {
            writeln!(text, "note: {note}").expect("as above");
        }
        text
    }
}

fn report(path: &Path) -> Result<Value, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| format!("{shown} is not JSON: {error}"))?;
    match value["schema"].as_str() {
        Some(SCHEMA) => Ok(value),
        Some(other) => {
            Err(format!("{shown} is a report of the form {other:?}, expected {SCHEMA:?}"))
        }
        None => Err(format!("{shown} is no report of everwire bench --json")),
    }
}

fn verdict(name: &str, before: Option<f64>, after: Option<f64>, tolerance: f64) -> Verdict {
    let (Some(before), Some(after), Some((unit, better))) = (before, after, known(name)) else {
        return Verdict::NotJudged;
    };
    // A message more that is lost is no matter of per cents.
    let tolerated = if unit == Unit::Count { 0.0 } else { before.abs() * tolerance };
    let gain = match better {
        Better::Less => before - after,
        Better::More => after - before,
        Better::Neither => return Verdict::NotJudged,
    };
    match gain {
        gain if gain > tolerated => Verdict::Better,
        gain if gain < -tolerated => Verdict::Worse,
        _ => Verdict::Same,
    }
}

fn notes(before: &Value, after: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    for what in ["scenario", "asked"] {
        if before[what] != after[what] {
            notes.push(format!("the {what} differs: {} and {}", before[what], after[what]));
        }
    }
    for (report, which) in [(before, "first"), (after, "second")] {
        if report["spoiled"].is_string() {
            notes.push(format!("the {which} report has no latencies: its generator was too late"));
        } else if report["late"] == Value::Bool(true) {
            notes.push(format!(
                "the generator of the {which} report was too late: latencies are not judged"
            ));
        }
        if report["interrupted"] == Value::Bool(true) {
            notes.push(format!("the {which} run was interrupted"));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(metrics: &Value) -> Value {
        json!({ "schema": SCHEMA, "scenario": "echo", "asked": {}, "metrics": metrics })
    }

    #[track_caller]
    fn check(name: &str, before: f64, after: f64, expected: Verdict) {
        let [before, after] = [before, after].map(|value| report(&json!({ name: value })));
        let comparison = Comparison::new(&before, &after, 0.1);
        assert_eq!(comparison.changes[0].verdict, expected, "{name}");
        assert_eq!(comparison.is_worse(), expected == Verdict::Worse);
    }

    #[test]
    fn longer_is_worse_and_more_a_second_is_better() {
        check("p99", 0.010, 0.012, Verdict::Worse);
        check("p99", 0.012, 0.010, Verdict::Better);
        check("rate", 1000.0, 1200.0, Verdict::Better);
        check("rate", 1200.0, 1000.0, Verdict::Worse);
        check("memory", 1000.0, 1101.0, Verdict::Worse);
    }

    #[test]
    fn what_is_tolerated_is_the_same() {
        check("p99", 0.0100, 0.0109, Verdict::Same);
        check("rate", 1000.0, 901.0, Verdict::Same);
    }

    #[test]
    fn one_loss_is_a_loss() {
        check("lost", 0.0, 1.0, Verdict::Worse);
        check("lost", 1000.0, 1001.0, Verdict::Worse);
        check("corrupt", 1.0, 0.0, Verdict::Better);
        check("lost", 0.0, 0.0, Verdict::Same);
    }

    #[test]
    fn what_only_says_what_was_done_is_not_judged() {
        check("sent", 10.0, 1000.0, Verdict::NotJudged);
        check("max", 0.1, 1000.0, Verdict::NotJudged);
        check("unheard_of", 1.0, 2.0, Verdict::NotJudged);
    }

    #[test]
    fn what_is_in_one_report_only_is_shown_and_not_judged() {
        let (before, after) = (json!({ "p50": 1.0 }), json!({ "cpu": 5e-6 }));
        let comparison = Comparison::new(&report(&before), &report(&after), 0.1);
        let text = comparison.render();
        assert!(text.contains("p50                  1.00 s            –"), "{text}");
        assert!(text.contains("cpu                       –      5.00 µs"), "{text}");
        assert!(!comparison.is_worse());
    }

    #[test]
    fn what_a_late_generator_measured_is_shown_and_not_judged() {
        let figures = |p99: f64| json!({ "p99": p99, "connect.p50": p99, "cpu": p99 });
        let (before, mut after) = (report(&figures(0.1)), report(&figures(0.2)));
        after["late"] = json!(true);
        for (before, after, which) in [(&before, &after, "second"), (&after, &before, "first")] {
            let comparison = Comparison::new(before, after, 0.1);
            let verdict = |name: &str| {
                let changes = &comparison.changes;
                changes.iter().find(|change| change.name == name).unwrap().verdict
            };
            assert_eq!(["p99", "connect.p50"].map(verdict), [Verdict::NotJudged; 2]);
            assert_ne!(verdict("cpu"), Verdict::NotJudged);
            let note = &comparison.notes[0];
            assert!(note.contains(&format!("the {which} report was too late")), "{note}");
        }
    }

    #[test]
    fn runs_of_which_not_the_same_was_asked_are_told() {
        let (mut before, after) = (report(&json!({})), report(&json!({})));
        before["asked"]["connections"] = json!(5);
        before["spoiled"] = json!("late");
        let notes = Comparison::new(&before, &after, 0.1).notes;
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("asked differs: {\"connections\":5} and {}"));
    }
}
