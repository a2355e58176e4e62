//! What was measured, as `--json` prints it. docs/bench.md describes it; fields are added, never
//! changed.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use everwire::MessageKind;
use serde::{Serialize, Serializer};

use super::{
    expectation::Expectation,
    lateness::Lateness,
    load::{Outcome, ServerCost},
    metric::{Metric, percentile, shown_time},
    plan::{Pace, Plan, Scenario},
    tally::Tally,
    times::Times,
};

/// How long connections took to open.
const CONNECT: [&str; 3] = ["connect.p50", "connect.p99", "connect.max"];

/// The name of this form of report.
pub(super) const SCHEMA: &str = "everwire-bench/1";

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: &'static str,
    pub(super) scenario: &'static str,
    pub(super) url: String,
    pub(super) asked: Asked,
    pub(super) ran_s: f64,
    pub(super) interrupted: bool,
    /// By name, in seconds, bytes, or as it is counted. What was not measured is absent.
    #[serde(serialize_with = "as_map")]
    pub(super) metrics: Vec<Metric>,
    /// Why there are no latencies: the generator was too late for them to be true.
    pub(super) spoiled: Option<String>,
    /// What should be known of the figures, for people.
    pub(super) notes: Vec<String>,
    /// Why connections failed to open, and how often.
    pub(super) failures: BTreeMap<String, u64>,
    /// How connections ended before their time, and how often.
    pub(super) ends: BTreeMap<String, u64>,
    pub(super) expectations: Vec<Judged>,
    /// Nanoseconds, to three digits, and how often; empty if spoiled.
    pub(super) latency_ns: Vec<(u64, u64)>,
    /// Whether the generator was too late, even if latencies are reported.
    pub(super) late: bool,
    /// The same of the times in which connections were opened: it was another time.
    pub(super) spoiled_connect: Option<String>,
    pub(super) late_connect: bool,
    #[serde(skip)]
    latency: Times,
    #[serde(skip)]
    connecting: Times,
}

/// What was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Asked {
    pub(super) connections: usize,
    pub(super) size: Option<usize>,
    pub(super) text: Option<bool>,
    /// `shared`, `dedicated` or `off`.
    pub(super) deflate: &'static str,
    pub(super) depth: Option<u32>,
    pub(super) rate: Option<f64>,
    pub(super) duration_s: f64,
    pub(super) ramp_s: f64,
    pub(super) threads: usize,
    /// Slow consumers, and the pause behind each of their messages.
    pub(super) slow: Option<usize>,
    pub(super) pause_s: Option<f64>,
    /// How a herd comes back.
    pub(super) spread_s: Option<f64>,
    pub(super) retry_s: Option<f64>,
}

/// An expectation, and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub(super) expected: String,
    pub(super) held: bool,
    /// What was measured instead, or why nothing was; for people.
    pub(super) came: String,
}

fn as_map<S: Serializer>(metrics: &[Metric], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().map(|metric| (metric.name, metric.value)))
}

impl Report {
    /// Reports on a run. `allow_late`: latencies as well that the generator spoiled.
    pub(super) fn new(plan: &Plan, outcome: Outcome, allow_late: bool) -> Self {
        let mut report = Self {
            schema: SCHEMA,
            scenario: plan.scenario.name(),
            url: plan.target.shown.clone(),
            asked: Asked::new(plan),
            ran_s: outcome.ran.as_secs_f64(),
            interrupted: outcome.was_interrupted,
            metrics: Vec::new(),
            spoiled: None,
            notes: Vec::new(),
            failures: outcome.tally.failures.0.clone(),
            ends: outcome.tally.ends.0.clone(),
            expectations: Vec::new(),
            latency_ns: Vec::new(),
            late: false,
            spoiled_connect: None,
            late_connect: false,
            latency: Times::default(),
            connecting: Times::default(),
        };
        let (tally, ran) = (&outcome.tally, outcome.ran);
        report.latencies(tally, allow_late);
        report.connections(tally, allow_late);
        match &plan.scenario {
            // Nothing was done, and nothing can have gone well.
            _ if tally.opened == 0 => {}
            Scenario::Connect(rate) => report.turns(*rate, tally, ran),
            Scenario::Storm(_) => report.count("back", tally.messages.answered),
            Scenario::Idle => {}
            Scenario::Echo(_) | Scenario::SessionEcho(_) | Scenario::Broadcast(_) => {
                report.messages(plan, tally, ran);
            }
        }
        if tally.opened > 0 {
            report.count("foreign", tally.messages.foreign);
            if report.scenario == "slow" {
                report.slow(tally);
            }
        }
        if let Some(cost) = &outcome.server {
            report.server(cost, tally, ran);
        }
        report.remark(plan, tally);
        report
    }

    /// Returns a figure; any percentile of the latencies, too.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        let found = self.metrics.iter().find(|metric| metric.name == name);
        found.map(|metric| metric.value).or_else(|| {
            percentile(name).filter(|_| self.spoiled.is_none())?;
            self.latency_by_name(name)
        })
    }

    /// Returns what a figure is at most, of latencies that are not reported.
    fn at_most(&self, name: &str) -> Option<f64> {
        if CONNECT.contains(&name) {
            self.spoiled_connect.as_ref()?;
        } else {
            self.spoiled.as_ref()?;
        }
        self.latency_by_name(name)
    }

    fn latency_by_name(&self, name: &str) -> Option<f64> {
        let (times, name) = match name.strip_prefix("connect.") {
            Some(name) => (&self.connecting, name),
            None => (&self.latency, name),
        };
        if times.is_empty() {
            return None;
        }
        let time = match name {
            "mean" => times.mean(),
            "min" => times.min(),
            "max" => times.max(),
            name => times.percentile(percentile(name)?),
        };
        Some(time.as_secs_f64())
    }

    /// Judges what was expected. Returns whether all of it was held.
    pub(super) fn judge(&mut self, expectations: &[&Expectation]) -> bool {
        let judge = |expectation: &&Expectation| {
            let (held, came) =
                match (self.value(&expectation.name), self.at_most(&expectation.name)) {
                    (Some(value), _) => {
                        (expectation.is_held_by(value), expectation.shown(value).to_string())
                    }
                    // Lateness only adds.
                    (None, Some(most)) if expectation.is_held_below(most) => (
                        true,
                        format!(
                            "at most {}, with a generator that was late",
                            expectation.shown(most)
                        ),
                    ),
                    (None, Some(_)) => {
                        (false, "not reported, the generator was too late".to_owned())
                    }
                    (None, None) => (false, "not measured".to_owned()),
                };
            Judged { expected: expectation.to_string(), held, came }
        };
        self.expectations = expectations.iter().map(judge).collect();
        self.expectations.iter().all(|judged| judged.held)
    }

    fn push(&mut self, name: &'static str, value: f64) {
        debug_assert!(super::metric::known(name).is_some(), "{name} has no unit");
        self.metrics.push(Metric { name, value });
    }

    fn count(&mut self, name: &'static str, count: u64) {
        self.push(name, count as f64);
    }

    fn time(&mut self, name: &'static str, time: Duration) {
        self.push(name, time.as_secs_f64());
    }

    /// Reports three figures of durations, if there are any.
    fn times(&mut self, names: [&'static str; 3], times: &Times) {
        if !times.is_empty() {
            let figures = [times.percentile(50.0), times.percentile(99.0), times.max()];
            names.into_iter().zip(figures).for_each(|(name, time)| self.time(name, time));
        }
    }

    fn connections(&mut self, tally: &Tally, allow_late: bool) {
        self.count("opened", tally.opened);
        self.count("failed", tally.failed);
        if tally.opened > 0 {
            self.count("deflated", tally.deflated);
            self.count("closed", tally.closed);
        }
        // Of `connect` these are the latencies.
        if self.scenario != "connect" && !tally.connecting.is_empty() {
            self.openings(tally, allow_late);
        }
    }

    /// How long the connections took to open.
    fn openings(&mut self, tally: &Tally, allow_late: bool) {
        self.connecting = tally.connecting.clone();
        let lateness = Lateness::of(&[&tally.opening_lag], &tally.connecting);
        self.late_connect = lateness.is_spoiled();
        if self.late_connect {
            let why = spoiled(&lateness, &tally.connecting, "open them over a time (--ramp)");
            if !allow_late {
                self.spoiled_connect = Some(why);
                return;
            }
            self.notes.push(format!("the times of opening are not the server's alone: {why}"));
        }
        self.times(CONNECT, &tally.connecting);
    }

    /// Connections that were opened and closed.
    fn turns(&mut self, rate: Option<f64>, tally: &Tally, ran: Duration) {
        if self.spoiled.is_none() {
            self.times(["close.p50", "close.p99", "close.max"], &tally.closing);
        }
        if let Some(rate) = rate {
            self.push("offered", rate);
        }
        if !ran.is_zero() {
            self.push("connects", tally.messages.in_time as f64 / ran.as_secs_f64());
        }
    }

    fn slow(&mut self, tally: &Tally) {
        self.count("slow.opened", tally.slow.opened);
        self.count("slow.closed", tally.slow.closed);
        self.count("slow.undecided", tally.slow.undecided);
        self.count("slow.received", tally.slow.received);
        self.count("slow.drained", tally.slow.drained);
        if self.spoiled.is_none() {
            self.times(["alone.p50", "alone.p99", "alone.max"], &tally.alone);
        }
    }

    fn messages(&mut self, plan: &Plan, tally: &Tally, ran: Duration) {
        let messages = &tally.messages;
        self.count("sent", messages.sent);
        self.count("unsent", messages.unsent);
        self.count("answered", messages.answered);
        // Of no messages none is lost, and that says nothing.
        if messages.sent > 0 {
            self.count("lost", messages.lost);
            self.count("duplicated", messages.duplicated);
            self.count("reordered", messages.reordered);
        }
        self.count("corrupt", messages.corrupt);
        if matches!(plan.scenario, Scenario::Echo(_) | Scenario::SessionEcho(_))
            && messages.sent > 0
        {
            self.push("wire.sent", tally.wire.sent as f64 / messages.sent as f64);
        }
        if messages.answered > 0 {
            self.push("wire.received", tally.wire.received as f64 / messages.answered as f64);
        }
        if let Some(Pace::Rate(rate)) = plan.scenario.pace() {
            self.push("offered", rate);
        }
        if !ran.is_zero() {
            self.push("rate", messages.in_time as f64 / ran.as_secs_f64());
        }
    }

    fn latencies(&mut self, tally: &Tally, allow_late: bool) {
        let latency = &tally.latency;
        if latency.is_empty() {
            return;
        }
        let lateness = Lateness::of(&[&tally.late, &tally.lag], latency);
        self.late = lateness.is_spoiled();
        if self.late {
            let why = spoiled(&lateness, latency, "lower --rate, --connections or --depth");
            if allow_late {
                self.notes.push(format!("these latencies are not the server's alone: {why}"));
            } else {
                self.spoiled = Some(why);
            }
        }
        if self.spoiled.is_none() {
            self.time("min", latency.min());
            self.time("mean", latency.mean());
            for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)] {
                self.time(name, latency.percentile(percent));
            }
            self.time("max", latency.max());
            self.latency_ns = latency.buckets();
        }
        self.latency = latency.clone();
        self.time("late.p99", lateness.p99);
        self.time("late.max", lateness.max);
    }

    fn server(&mut self, cost: &ServerCost, tally: &Tally, ran: Duration) {
        if let (Some(first), Some(opened)) = (cost.first, cost.opened) {
            // Without the first, for whom the server set up what all share, if there are enough
            // others.
            let from = if opened.n_open > first.n_open { first } else { cost.before };
            let n_opened = opened.n_open - from.n_open;
            if n_opened > 0 {
                let grown = opened.reading.memory as f64 - from.reading.memory as f64;
                self.push("memory", grown / n_opened as f64);
            }
        }
        let (opened, end) = match (cost.opened, &cost.end) {
            (Some(opened), Ok(end)) => (opened, end),
            (_, end) => {
                let why = end.as_ref().err().map_or("it was gone at times", String::as_str);
                let text = format!("what the server cost is not known to the end: {why}");
                return self.notes.push(text);
            }
        };
        let spent = end.reading.cpu.saturating_sub(opened.reading.cpu);
        if !ran.is_zero() {
            self.push("cores", spent.as_secs_f64() / ran.as_secs_f64());
        }
        let n = tally.messages.answered;
        if n > 0 {
            self.push("cpu", spent.as_secs_f64() / n as f64);
        }
        self.push("growth", end.reading.memory as f64 - opened.reading.memory as f64);
    }

    fn remark(&mut self, plan: &Plan, tally: &Tally) {
        if tally.messages.unsent > 0 {
            let note = match plan.scenario.pace() {
                Some(Pace::Depth(_)) => {
                    "messages could not follow others, because the server had ended the \
                     connection: fewer were under way than --depth says"
                }
                _ => {
                    "messages were due that could not be sent, because the server did not read \
                     those before or had ended the connection: latencies leave them out"
                }
            };
            self.notes.push(note.to_owned());
        }
        if plan.target.deflate.0.is_some() && tally.deflated < tally.opened {
            let refused = tally.opened - tally.deflated;
            self.notes
                .push(format!("the server did not agree to compress on {refused} connections"));
        }
        if matches!(plan.scenario, Scenario::Broadcast(_)) && tally.messages.answered == 0 {
            self.notes.push(
                "nothing was passed on: is this a path where each message goes to everybody?"
                    .to_owned(),
            );
        }
        if matches!(plan.scenario.pace(), Some(Pace::Depth(_))) && !self.latency_ns.is_empty() {
            self.notes.push(
                "each message waited for an answer before it was sent, so a stall of the server \
                 delayed few: --rate counts all that would have been"
                    .to_owned(),
            );
        }
    }
}

/// Says why latencies are not reported, and what to do.
fn spoiled(lateness: &Lateness, latency: &Times, remedy: &str) -> String {
    format!(
        "this generator was itself {} late (99 of 100; {} can be borne with at a p99 of {}): leave \
         it a core of its own, {remedy}, or raise --threads",
        shown_time(lateness.p99),
        shown_time(lateness.bearable),
        shown_time(latency.percentile(99.0)),
    )
}

impl Asked {
    fn new(plan: &Plan) -> Self {
        let pace = plan.scenario.pace();
        let (slow, storm, rate) = match &plan.scenario {
            Scenario::Broadcast(channel) => (channel.slow, None, None),
            Scenario::Storm(storm) => (None, Some(*storm), None),
            Scenario::Connect(rate) => (None, None, *rate),
            Scenario::Echo(_) | Scenario::SessionEcho(_) | Scenario::Idle => (None, None, None),
        };
        Self {
            connections: plan.connections,
            size: pace.map(|_| plan.message.size),
            text: pace.map(|_| plan.message.kind == MessageKind::Text),
            deflate: plan.target.deflate.word(),
            depth: pace.and_then(|pace| match pace {
                Pace::Depth(depth) => Some(depth),
                Pace::Rate(_) => None,
            }),
            rate: rate.or_else(|| match pace? {
                Pace::Rate(rate) => Some(rate),
                Pace::Depth(_) => None,
            }),
            duration_s: plan.duration.as_secs_f64(),
            ramp_s: plan.ramp.as_secs_f64(),
            threads: plan.threads,
            slow: slow.map(|slow| slow.n),
            pause_s: slow.and_then(|slow| slow.pause).map(|pause| pause.as_secs_f64()),
            spread_s: storm.map(|storm| storm.spread.as_secs_f64()),
            retry_s: storm.map(|storm| storm.retry.as_secs_f64()),
        }
    }
}
