//! The largest message that a server takes.

use std::time::Duration;

use bytes::Bytes;
use everwire_proto::{CloseCode, CloseFrame};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    echo::Likeness,
    fault::{Fault, FaultId},
    line::{End, Heard, Line},
    ping::{self, lost},
    setup::{Setup, random},
    size_search::SizeSearch,
};
use crate::{connect::escape, progress::Progress};

/// After so many timeouts the search ends with what it has.
const BUDGET: u32 = 8;

/// After so many messages that vanished, the same: each costs a wait.
const VANISHED: u32 = 3;

/// The least time for an echo behind the Pong to a Ping that was sent after the message.
const GRACE: Duration = Duration::from_secs(1);

/// How it was seen that a message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sign {
    /// It came back.
    Echo,
    /// A Ping behind it was answered, and the connection stayed open.
    Pong,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Largest {
    pub(super) sign: Sign,
    /// The largest that was taken.
    pub(super) largest: Option<u64>,
    /// The largest that would have been tried.
    pub(super) bound: u64,
    /// The smallest that was not taken; with `exact` it is one more than `largest`.
    pub(super) refused: Option<u64>,
    pub(super) exact: bool,
    /// The code it was refused with, if it was with a Close.
    pub(super) code: Option<u16>,
    /// The smallest that was answered with something else than its echo.
    #[serde(skip)]
    pub(super) other: Option<u64>,
}

/// What came of one message.
#[derive(Debug)]
enum Answer {
    Taken(Sign),
    Refused(CloseFrame),
    Ended(End),
    /// Neither an echo nor a Close; says whether a Ping behind it was answered.
    Vanished {
        is_alive: bool,
    },
    /// It came back, but cut or changed.
    Differs,
    /// Something else came back.
    Other,
    /// The peer broke the protocol.
    Violated(Heard),
}

/// One search.
pub(super) struct Messages<'a> {
    setup: &'a Setup,
    progress: &'a Progress,
    search: SizeSearch,
    bound: u64,
    until: Instant,
    /// How messages are seen to be taken, once one was.
    sign: Option<Sign>,
    n_vanished: u32,
    code: Option<u16>,
    /// The smallest that was answered with something else.
    other: Option<u64>,
    /// Why the largest was found not to be taken, if that is wrong.
    fault: Option<Fault>,
}

/// What a search comes to: a finding, or why there is none.
pub(super) type Found = (Result<Largest, String>, Option<Fault>);

impl<'a> Messages<'a> {
    pub(super) fn new(setup: &'a Setup, bound: u64, progress: &'a Progress) -> Self {
        Self {
            setup,
            progress,
            search: SizeSearch::new(bound),
            bound,
            until: Instant::now() + setup.timeout * BUDGET,
            sign: None,
            n_vanished: 0,
            code: None,
            other: None,
            fault: None,
        }
    }

    /// Sends messages, on as many connections as it takes.
    pub(super) async fn find(mut self) -> Found {
        let mut line = None;
        let mut unjudged = None;
        while let Some(size) = self.search.next() {
            if Instant::now() >= self.until || self.n_vanished >= VANISHED {
                break;
            }
            self.progress.show(&format!("message: trying {size} bytes"));
            let mut open = match line.take() {
                Some(line) => line,
                None => match self.setup.open().await {
                    Ok(line) => line,
                    Err(fault) => {
                        unjudged = Some(format!("no further connection: {}", fault.came));
                        break;
                    }
                },
            };
            let answer = self.send(&mut open, size).await;
            let keeps = matches!(answer, Answer::Taken(_) | Answer::Vanished { is_alive: true });
            if let Err(why) = self.note(size, answer) {
                unjudged = Some(why + &open.unfinished());
                open.leave().await;
                break;
            }
            line = keeps.then_some(open);
        }
        if let Some(line) = line {
            line.leave().await;
        }
        self.result(unjudged)
    }

    fn result(self, unjudged: Option<String>) -> Found {
        let (largest, refused) = (self.search.taken(), self.search.refused());
        let Some(sign) = self.sign else {
            let why = unjudged.unwrap_or_else(|| "no message was taken".to_owned());
            return (Err(why), self.fault);
        };
        let exact = match (largest, refused) {
            (Some(largest), Some(refused)) => refused == largest + 1,
            _ => false,
        };
        (
            Ok(Largest {
                sign,
                largest,
                bound: self.bound,
                refused,
                exact,
                code: self.code,
                other: self.other,
            }),
            self.fault,
        )
    }

    /// Sends one message and a Ping behind it, and waits for as long as bytes move.
    async fn send(&self, line: &mut Line, size: u64) -> Answer {
        let message = letters(size);
        let ping = ping::letters();
        line.expect(message.clone());
        line.send(&message);
        line.ping(&ping);
        let sent = Instant::now();
        // Nothing is known of the server yet; a flood of its own is no progress of ours.
        let first = sent + self.setup.timeout * 2;
        let until = if self.sign.is_none() { first.min(self.until) } else { self.until };
        let (mut alive_since, mut other): (Option<Instant>, _) = (None, None);
        loop {
            let grace = match alive_since {
                // A server that does not echo is believed as soon as it answers.
                Some(_) if self.sign == Some(Sign::Pong) => return Answer::Taken(Sign::Pong),
                Some(_) => GRACE.min(self.setup.timeout),
                None => self.setup.timeout,
            };
            let from = alive_since.unwrap_or(sent).max(line.last_progress());
            match line.next((from + grace).min(until)).await {
                Heard::Message(Likeness::Echo) => return Answer::Taken(Sign::Echo),
                Heard::Message(Likeness::Changed) => other = Some(Answer::Differs),
                Heard::Message(Likeness::Other) => other = other.or(Some(Answer::Other)),
                Heard::Pong(pong) if pong == ping => alive_since = Some(Instant::now()),
                Heard::Pong(_) | Heard::Ping => {}
                Heard::Close(close) => return Answer::Refused(close),
                Heard::Ended(end) => return Answer::Ended(end),
                violation @ Heard::Violation(_) => return Answer::Violated(violation),
                // Something is still on its way.
                Heard::Silence if line.last_progress() > from && Instant::now() < until => {}
                Heard::Silence => {
                    let is_alive = alive_since.is_some();
                    return match (self.sign, other) {
                        (None, _) if is_alive => Answer::Taken(Sign::Pong),
                        (Some(Sign::Echo), Some(other)) => other,
                        _ => Answer::Vanished { is_alive },
                    };
                }
            }
        }
    }

    /// Notes what came of a message.
    ///
    /// # Errors
    /// The first message already fares so that nothing can be said about sizes.
    fn note(&mut self, size: u64, answer: Answer) -> Result<(), String> {
        let is_first = self.sign.is_none();
        let fault = match answer {
            Answer::Taken(sign) => {
                self.sign.get_or_insert(sign);
                self.search.take(size);
                return Ok(());
            }
            Answer::Refused(close) if is_first => {
                return Err(format!(
                    "the server answers a text message of {size} bytes with a Close, {}",
                    escape(&close.to_string())
                ));
            }
            Answer::Vanished { .. } if is_first => {
                return Err(format!(
                    "a text message of {size} bytes gets no answer, nor does a Ping behind it"
                ));
            }
            Answer::Refused(close) => {
                self.code = Some(close.code.into());
                (close.code != CloseCode::MESSAGE_TOO_BIG).then(|| wrong_code(size, &close))
            }
            Answer::Ended(end) => Some(cut(size, &end)),
            Answer::Vanished { is_alive } => {
                self.n_vanished += 1;
                Some(vanished(size, self.search.taken(), is_alive))
            }
            Answer::Differs => {
                self.n_vanished += 1;
                Some(differs(size))
            }
            Answer::Other => {
                self.n_vanished += 1;
                self.other = Some(size);
                None
            }
            Answer::Violated(violation) => Some(lost(&violation)),
        };
        self.search.refuse(size);
        self.fault = fault.or(self.fault.take());
        if is_first { Err("the first message ends the connection".to_owned()) } else { Ok(()) }
    }
}

/// Returns a text that nobody has sent before, so that its echo is one.
fn letters(len: u64) -> Bytes {
    let mut bytes = vec![0; usize::try_from(len).expect("the bound is 256 MiB")];
    // A repeated block is as good, and compresses: nobody's limit is on that.
    let (block, _) = bytes.split_at_mut((len as usize).min(4096));
    random(block);
    block.iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
    let block = block.to_vec();
    for chunk in bytes.chunks_mut(block.len()) {
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    bytes.into()
}

const EXPECTED: &str = "a Close with 1009 (message too big) (RFC 6455 §7.4.1)";

fn wrong_code(size: u64, close: &CloseFrame) -> Fault {
    let came = format!("a Close with {} to {size} bytes", escape(&close.to_string()));
    Fault::new(
        FaultId::MessageWrongCode,
        EXPECTED,
        came,
        "close with 1009, so that clients send smaller messages",
    )
}

fn cut(size: u64, end: &End) -> Fault {
    let came = format!("{} to a message of {size} bytes", end.words());
    let advice = "send a Close before the socket is closed, and read what is still coming, so that it is not lost in a reset";
    Fault::new(FaultId::MessageCut, EXPECTED, came, advice)
}

fn vanished(size: u64, taken: Option<u64>, is_alive: bool) -> Fault {
    let ping = if is_alive {
        "a Ping behind it was answered"
    } else {
        "a Ping behind it was not answered either"
    };
    let taken = taken.unwrap_or_default();
    Fault::new(
        FaultId::MessageSwallowed,
        format!("an answer as to smaller ones, or {EXPECTED}"),
        format!("nothing to {size} bytes, though {taken} bytes were answered; {ping}"),
        "refuse what is too big with a Close; whoever sent it believes that it has arrived",
    )
}

fn differs(size: u64) -> Fault {
    let came = format!("another message as the answer to {size} bytes");
    let advice = "find out where the message is changed or cut";
    Fault::new(
        FaultId::MessageEchoDiffers,
        "the same message back, as with smaller ones",
        came,
        advice,
    )
}
