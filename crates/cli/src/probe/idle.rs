//! How long a silent connection lives: the search, with real connections.

mod search;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, interval, timeout_at},
};

use self::search::{IdleSearch, Limit, Outcome, PARALLEL};
use super::{
    fault::{Blame, Fault, FaultId},
    line::{Heard, Line},
    report::millis,
    setup::{Setup, random},
};
use crate::progress::Progress;

/// What a server says so soon after the opening is a greeting; silence begins after it.
const GREETING: Duration = Duration::from_millis(500);

/// Bounds for the interval of the Pings on the connection that is never silent.
const CONTROL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How a silent connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// With a Close frame.
    Close,
    /// With the end of the stream.
    Fin,
    /// With a reset.
    Reset,
    /// Without a word: a Ping is no longer answered.
    Silent,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Idle {
    pub(super) up_to_ms: f64,
    pub(super) connections: usize,
    /// The longest silence that a connection survived.
    pub(super) survived_ms: f64,
    /// The shortest that none survived; absent if there is none.
    pub(super) limit_ms: Option<f64>,
    pub(super) how: Option<How>,
    pub(super) code: Option<u16>,
    /// The age at which connections are cut, silent or not.
    pub(super) lifetime_ms: Option<f64>,
    /// After how long the server says something by itself.
    pub(super) server_speaks_ms: Option<f64>,
    /// The longest interval between Pings that keeps a connection alive.
    pub(super) keepalive_ms: Option<f64>,
}

/// What one connection came to: its silence, the outcome, and how it ended if that was seen.
type Trial = (Duration, Outcome, Option<End>);

/// A visible end: how, and with which code.
#[derive(Clone, Copy)]
struct End {
    how: How,
    code: Option<u16>,
}

/// Runs the search.
///
/// # Errors
/// The server cannot be reached any more, so that a lost connection proves nothing.
pub(super) async fn find(
    setup: Arc<Setup>,
    up_to: Duration,
    progress: &Progress,
) -> Result<Idle, Fault> {
    let mut search = IdleSearch::new(up_to);
    let mut ends = Vec::new();
    loop {
        let round = search.round();
        if round.is_empty() {
            break;
        }
        let before = search.limit();
        ends.extend(run_round(&setup, &mut search, round, progress).await?);
        if matches!(search.limit(), Some(Limit::Lost(_))) && search.limit() != before {
            // It proves something about silence only if the server is there.
            setup.open().await.map_err(|fault| outage(&fault))?.leave().await;
        }
    }
    let end = match search.limit() {
        Some(Limit::Cut(limit)) => {
            ends.iter().find(|(after, _)| *after == limit).map(|(_, end)| *end)
        }
        Some(Limit::Lost(_)) => Some(End { how: How::Silent, code: None }),
        None => None,
    };
    Ok(Idle {
        up_to_ms: millis(up_to),
        connections: PARALLEL,
        survived_ms: millis(search.survived()),
        limit_ms: search.limit().map(|limit| millis(limit.time())),
        how: end.map(|end| end.how),
        code: end.and_then(|end| end.code),
        lifetime_ms: search.lifetime().map(millis),
        server_speaks_ms: search.spoke().map(millis),
        keepalive_ms: search.interval().map(millis),
    })
}

/// Runs connections of these silences at the same time; returns the visible ends with their times.
async fn run_round(
    setup: &Arc<Setup>,
    search: &mut IdleSearch,
    round: Vec<Duration>,
    progress: &Progress,
) -> Result<Vec<(Duration, End)>, Fault> {
    let (known, knows) = watch::channel(None);
    let control = tokio::spawn(control(setup.clone(), round.first().copied().unwrap_or_default()));
    let mut trials = JoinSet::new();
    let n_trials = round.len();
    let longest = round.last().copied().unwrap_or_default();
    for silence in round {
        trials.spawn(trial(setup.clone(), silence, knows.clone()));
    }
    let (began, mut tick) = (Instant::now(), interval(Duration::from_secs(1)));
    let (mut ends, mut failures) = (Vec::new(), Vec::new());
    loop {
        let result = tokio::select! {
            result = trials.join_next() => result,
            _ = tick.tick() => {
                progress.show(&format!(
                    "idle: {} connections silent for {}s of up to {}s; {}s survived",
                    trials.len(), began.elapsed().as_secs(), longest.as_secs(), search.survived().as_secs(),
                ));
                continue;
            }
        };
        match result {
            None => break,
            Some(Ok(Ok(Some((silence, outcome, end))))) => {
                search.record(silence, outcome);
                if let (Outcome::Cut(after), Some(end)) = (outcome, end) {
                    ends.push((after.min(silence), end));
                }
                known.send_replace(search.pointless_from());
            }
            Some(Ok(Err(fault))) => failures.push(fault),
            // It was pointless, or it panicked.
            Some(Ok(Ok(None)) | Err(_)) => {}
        }
    }
    if let Some(age) = age_of(control, search, began).await {
        search.record_lifetime(age);
    }
    match failures.pop() {
        Some(fault) if failures.len() + 1 == n_trials => Err(outage(&fault)),
        _ => Ok(ends),
    }
}

/// Keeps a connection from ever being silent, and returns how old it became.
async fn control(setup: Arc<Setup>, shortest: Duration) -> Option<Duration> {
    let mut line = setup.open().await.ok()?;
    let opened = Instant::now();
    let interval = shortest.clamp(CONTROL.0, CONTROL.1);
    loop {
        line.ping(b"control");
        let until = Instant::now() + interval;
        loop {
            match line.next(until).await {
                Heard::Silence => break,
                Heard::Message(_) | Heard::Ping | Heard::Pong(_) => {}
                _ => return Some(opened.elapsed()),
            }
        }
    }
}

/// Returns how old the control became, if it was cut as the silent ones were.
async fn age_of(
    mut control: JoinHandle<Option<Duration>>,
    search: &IdleSearch,
    began: Instant,
) -> Option<Duration> {
    let Some(Limit::Cut(limit)) = search.limit() else {
        control.abort();
        return None;
    };
    // It may be cut a little later than they were.
    let until = began + limit + search::tolerance(limit);
    let age = timeout_at(until, &mut control).await;
    control.abort();
    age.ok()?.ok()?
}

/// Opens a connection, is silent, and asks for life; `None` if a shorter silence has failed
/// meanwhile.
async fn trial(
    setup: Arc<Setup>,
    silence: Duration,
    mut known: watch::Receiver<Option<Duration>>,
) -> Result<Option<Trial>, Fault> {
    let mut line = setup.open().await?;
    let opened = Instant::now();
    let mut since = opened;
    loop {
        let heard = tokio::select! {
            heard = line.next(since + silence) => Some(heard),
            () = is_pointless(&mut known, silence) => None,
        };
        let Some(heard) = heard else {
            line.leave().await;
            return Ok(None);
        };
        match heard {
            Heard::Silence => break,
            Heard::Message(_) | Heard::Ping | Heard::Pong(_) if opened.elapsed() < GREETING => {
                since = Instant::now();
            }
            Heard::Message(_) | Heard::Ping | Heard::Pong(_) => {
                let outcome = Outcome::Spoke(since.elapsed());
                line.leave().await;
                return Ok(Some((silence, outcome, None)));
            }
            heard => return Ok(Some((silence, Outcome::Cut(since.elapsed()), End::of(&heard)))),
        }
    }
    let outcome =
        if is_alive(&mut line, setup.timeout).await { Outcome::Survived } else { Outcome::Lost };
    line.leave().await;
    Ok(Some((silence, outcome, None)))
}

/// Waits until a shorter silence has failed.
async fn is_pointless(known: &mut watch::Receiver<Option<Duration>>, silence: Duration) {
    // The sender outlives every trial.
    known.wait_for(|from| from.is_some_and(|from| silence > from)).await.ok();
}

/// Returns whether a Ping is answered.
async fn is_alive(line: &mut Line, timeout: Duration) -> bool {
    let mut payload = [0; 8];
    random(&mut payload);
    line.ping(&payload);
    let until = Instant::now() + timeout;
    loop {
        match line.next(until).await {
            Heard::Pong(pong) if pong == payload => return true,
            Heard::Pong(_) | Heard::Ping | Heard::Message(_) => {}
            _ => return false,
        }
    }
}

impl End {
    fn of(heard: &Heard) -> Option<Self> {
        Some(match heard {
            Heard::Close(close) => Self { how: How::Close, code: Some(close.code.into()) },
            Heard::Ended(super::line::End::Fin) => Self { how: How::Fin, code: None },
            Heard::Ended(_) => Self { how: How::Reset, code: None },
            _ => return None,
        })
    }
}

fn outage(fault: &Fault) -> Fault {
    Fault::new(
        FaultId::IdleOutage,
        "new connections while silent ones are watched",
        fault.came.clone(),
        "find out whether the server limits connections per client, or was down; then try again",
    )
    .blame(Blame::Network)
}
