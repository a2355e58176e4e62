//! A peer that vanishes: from one moment on, the wire loses every packet.
//!
//! Both ends are real, with real sockets in namespaces of their own. The end that is looked at has
//! the policy; the other has none, so that it answers and never asks.

mod ends;
mod row;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use everwire::SendError;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

pub(crate) use self::row::{Row, rows};
use self::{ends::Ends, row::Case};
use crate::namespaces::Namespaces;

/// How long after its bound an end is waited for, to tell what became of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long data flows before the wire is cut.
const SENDING: Duration = Duration::from_secs(1);

/// What was measured of one row.
pub(crate) struct Outcome {
    /// The shortest and the longest time that one of the connections took.
    first: Duration,
    last: Duration,
    /// What the closures said, or the answer.
    causes: String,
    sentence: String,
    /// Why the row does not hold.
    fault: Option<String>,
}

/// Measures all rows at the same time, each with a port of its own.
pub(crate) async fn measure(rows: &[Row], slack: Duration) -> Result<Vec<Outcome>> {
    let namespaces = Namespaces::new()?;
    let all =
        futures_util::future::try_join_all(rows.iter().map(|row| row.measure(&namespaces, slack)));
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcomes = all => outcomes,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

impl Row {
    async fn measure(&self, namespaces: &Namespaces, slack: Duration) -> Result<Outcome> {
        let (near, far) = (&namespaces.near, &namespaces.far);
        let ends =
            Ends::open(self, near, far).await.with_context(|| format!("in the row {self}"))?;
        sleep(self.warm_up()).await;
        let mut took = Vec::new();
        let mut causes = BTreeMap::<_, usize>::new();
        let mut sentence = String::new();
        if self.case == Case::ProbeAnswered {
            for probe in ends.probe_all(near) {
                let (answer, time) = probe.await?;
                answer.with_context(|| format!("in the row {self}"))?;
                took.push(time);
                *causes.entry("answered").or_default() += 1;
            }
            return Ok(Outcome::new(self, slack, took, &causes, sentence));
        }
        if self.case == Case::ProbeUnanswered {
            // So that the round trip is known.
            for probe in ends.probe_all(near) {
                probe.await?.0.with_context(|| format!("in the row {self}"))?;
            }
        }
        if let Some(why) = ends.first_closed().await {
            bail!("in the row {self}: a false alarm before anything happened: {why}");
        }
        if self.case == Case::InFlight {
            ends.send_all(near, self.case);
            sleep(SENDING).await;
        }
        // The clock starts before the first packet is lost.
        let mut since = Instant::now();
        if self.case != Case::InFlight && self.case.has_data() {
            ends.send_all(near, self.case);
        }
        if self.case.is_cut() {
            namespaces.cut(ends.addr())?;
        }
        let mut probes = Vec::new();
        if self.case.is_probed() {
            since = Instant::now();
            probes = ends.probe_all(near);
        }
        for closed in ends.closed() {
            let patience = (self.bound + PATIENCE).saturating_sub(since.elapsed());
            let Ok(closed) = timeout(patience, closed).await else {
                *causes.entry("still open").or_default() += 1;
                took.push(since.elapsed());
                continue;
            };
            let (closure, at) = closed?;
            let time = at.saturating_duration_since(since);
            if took.iter().all(|&other| other <= time) {
                sentence = closure.to_string();
            }
            took.push(time);
            *causes.entry(closure.cause.label()).or_default() += 1;
        }
        for probe in probes {
            let answer = probe.await?.0;
            ensure!(answer == Err(SendError::Closed), "in the row {self}: a dead peer answered");
        }
        Ok(Outcome::new(self, slack, took, &causes, sentence))
    }
}

impl Outcome {
    fn new(
        row: &Row,
        slack: Duration,
        took: Vec<Duration>,
        causes: &BTreeMap<&str, usize>,
        sentence: String,
    ) -> Self {
        let first = took.iter().min().copied().unwrap_or_default();
        let last = took.iter().max().copied().unwrap_or(Duration::MAX);
        let expected = row.case.causes();
        let fault = if took.len() != row.n_connections {
            Some(format!("{} of {} are accounted for", took.len(), row.n_connections))
        } else if !causes.keys().all(|cause| expected.contains(cause)) {
            Some(format!("expected {}", expected.join(" or ")))
        } else if last > row.bound + slack {
            Some(String::from("too late"))
        } else if first < row.not_before() {
            Some(String::from("too early"))
        } else {
            None
        };
        let causes = causes.keys().copied().collect::<Vec<_>>().join(", ");
        Self { first, last, causes, sentence, fault }
    }
}

/// Prints what was measured.
pub(crate) fn table(rows: &[Row], outcomes: &[Outcome]) -> String {
    let mut table = String::from(
        "| policy | what happens | noticed by | connections | first | last | bound | closure | |\n\
         |---|---|---|---:|---:|---:|---:|---|---|\n",
    );
    let mut sentences = String::new();
    for (row, outcome) in rows.iter().zip(outcomes) {
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let verdict =
            outcome.fault.as_ref().map_or("PASS".into(), |fault| format!("FAIL: {fault}"));
        let Outcome { first, last, causes, sentence, .. } = outcome;
        let (first, last, bound) = (seconds(*first), seconds(*last), seconds(row.bound));
        writeln!(
            table,
            "| {} | {} | {} | {} | {first} | {last} | {bound} | `{causes}` | {verdict} |",
            row.policy.name, row.case, row.observed, row.n_connections,
        )
        .expect("a string takes everything");
        if !sentence.is_empty() {
            writeln!(sentences, "- {row}: {sentence}").expect("a string takes everything");
        }
    }
    format!("{table}\nThe last closure of each row says:\n\n{sentences}")
}

/// Returns the first row that does not hold.
pub(crate) fn check(rows: &[Row], outcomes: &[Outcome]) -> Result<()> {
    for (row, outcome) in rows.iter().zip(outcomes) {
        if let Some(fault) = &outcome.fault {
            bail!("in the row {row}: {fault}");
        }
    }
    Ok(())
}
