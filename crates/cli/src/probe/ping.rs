//! Pings: whether they are answered, how, and how fast.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    fault::{Fault, FaultId},
    line::{End, Heard, Line},
    rtt::Percentiles,
    setup::random,
};
use crate::connect::escape;

/// Time between two Pings, so that nobody takes them for a flood.
const PAUSE: Duration = Duration::from_millis(20);

/// After so many Pings without an answer no more are sent.
const PATIENCE: u32 = 2;

/// What came of the Pings.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Pings {
    pub(super) sent: u32,
    pub(super) answered: u32,
    pub(super) rtt: Option<Percentiles>,
}

impl Pings {
    /// Returns whether one went unanswered.
    pub(super) fn is_cut_short(&self) -> bool {
        self.answered < self.sent
    }
}

/// Sends `n` Pings, one after the other, and gives each of them `timeout`.
///
/// # Errors
/// The connection is over.
pub(super) async fn check(
    line: &mut Line,
    n: u32,
    timeout: Duration,
    pings: &mut Pings,
) -> Result<Option<Fault>, Fault> {
    let mut times = Vec::new();
    let mut payloads = Vec::new();
    let mut stranger = None;
    let mut over = None;
    while pings.sent < n && pings.sent - pings.answered < PATIENCE && over.is_none() {
        if pings.sent > 0 {
            sleep(PAUSE).await;
        }
        let payload = letters();
        payloads.push(payload.to_vec());
        line.ping(&payload);
        pings.sent += 1;
        let began = Instant::now();
        loop {
            match line.next(began + timeout).await {
                Heard::Pong(pong) if pong == payload => {
                    pings.answered += 1;
                    times.push(began.elapsed());
                    break;
                }
                // A late answer to an earlier one is no stranger.
                Heard::Pong(pong) if !payloads.contains(&pong) => stranger = Some(pong),
                Heard::Pong(_) | Heard::Ping | Heard::Message(_) => {}
                Heard::Silence => break,
                end => {
                    over = Some(lost(&end));
                    break;
                }
            }
        }
    }
    pings.rtt = Percentiles::of(times);
    match over {
        Some(fault) => Err(fault),
        None => Ok(judge(pings, stranger, timeout, &line.unfinished())),
    }
}

/// Returns a payload that is text, so that a server that answers with a message breaks no other rule.
pub(super) fn letters() -> [u8; 8] {
    let mut payload = [0; 8];
    random(&mut payload);
    payload.map(|byte| b'a' + byte % 26)
}

fn judge(
    pings: &Pings,
    stranger: Option<Vec<u8>>,
    timeout: Duration,
    unfinished: &str,
) -> Option<Fault> {
    if pings.answered == pings.sent {
        return None;
    }
    let expected = format!(
        "a Pong with the payload of each Ping within {timeout:?} (RFC 6455 §5.5.2, §5.5.3)"
    );
    let advice =
        "answer Pings in the server, also while it is busy; clients give a silent server up";
    Some(match stranger {
        Some(pong) => {
            let came = format!("a Pong with the payload \"{}\"", pong.escape_ascii());
            Fault::new(
                FaultId::PingWrongPayload,
                expected,
                came,
                "copy the payload of the Ping into the Pong",
            )
        }
        None if pings.answered == 0 => Fault::new(
            FaultId::PingNoPong,
            expected,
            format!("nothing to {} Pings{unfinished}", pings.sent),
            advice,
        ),
        None => {
            let came = format!("answers to {} of {} Pings{unfinished}", pings.answered, pings.sent);
            Fault::new(FaultId::PingNoPong, expected, came, advice)
        }
    })
}

/// Returns the fault of a connection that ended or failed where it should have stayed open.
pub(super) fn lost(heard: &Heard) -> Fault {
    let expected = "a connection that stays open";
    match heard {
        Heard::Close(close) => Fault::new(
            FaultId::ConnectionClosed,
            expected,
            format!("a Close with {}", escape(&close.to_string())),
            "see what the code and the reason ask for: credentials, a subprotocol, an origin, a first message",
        ),
        Heard::Violation(cause) => Fault::new(
            FaultId::ProtocolViolation,
            "frames by RFC 6455 §5",
            escape(&cause.to_string()),
            "correct what the server sends, or find out what on the way changes it",
        ),
        Heard::Ended(end) => cut(end, expected),
        _ => cut(&End::Fin, expected),
    }
}

fn cut(end: &End, expected: &str) -> Fault {
    Fault::new(
        FaultId::ConnectionCut,
        expected,
        end.words(),
        "look into the log of the server and of the proxies in front of it",
    )
}
