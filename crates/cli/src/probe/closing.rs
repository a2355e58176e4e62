//! The closing handshake. See RFC 6455 §7.1.

use std::time::Duration;

use everwire_proto::{Cause, CloseCode, ProtocolError};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    fault::{Fault, FaultId},
    line::{End, Heard, Line},
    ping::lost,
    report::millis,
};
use crate::connect::escape;

/// What came of our Close with 1000.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Closing {
    pub(super) sent: u16,
    /// The code of the answer as it was on the wire; 1005 for none in it.
    pub(super) received: Option<u16>,
    /// From our Close to the answer.
    pub(super) answer_ms: Option<f64>,
    /// Who ended TCP first: the server, as it should be, or nobody in time.
    pub(super) tcp_closed_by: Option<&'static str>,
    /// From the answer to the end of TCP; from our Close if there was no answer.
    pub(super) tcp_closed_ms: Option<f64>,
    pub(super) clean: bool,
}

/// Closes with 1000 and watches. Each of the two steps has `timeout`.
pub(super) async fn check(line: &mut Line, timeout: Duration, closing: &mut Closing) -> Vec<Fault> {
    let sent = CloseCode::NORMAL_CLOSURE;
    closing.sent = sent.into();
    line.close(sent);
    let began = Instant::now();
    let answer = loop {
        match line.next(began + timeout).await {
            Heard::Message(_) | Heard::Ping | Heard::Pong(_) => {}
            heard => break heard,
        }
    };
    let waited = Some(millis(began.elapsed()));
    match &answer {
        Heard::Close(close) => {
            closing.received = Some(close.code.into());
            closing.answer_ms = waited;
            let mut faults = Vec::new();
            if close.code != sent {
                faults.push(wrong_code(close.code));
            }
            faults.extend(end(line, timeout, closing).await);
            closing.clean = faults.is_empty();
            return faults;
        }
        Heard::Ended(_) => {
            closing.tcp_closed_by = Some("server");
            closing.tcp_closed_ms = waited;
        }
        Heard::Violation(_) => closing.received = line.raw_close_code(),
        _ => {}
    }
    vec![unanswered(&answer, timeout, &line.unfinished())]
}

/// Watches how TCP ends once both have said Close.
async fn end(line: &mut Line, timeout: Duration, closing: &mut Closing) -> Vec<Fault> {
    let began = Instant::now();
    let heard = loop {
        let heard = line.next(began + timeout).await;
        if matches!(heard, Heard::Ended(_) | Heard::Silence) {
            break heard;
        }
    };
    let mut faults = Vec::new();
    if line.after_close() > 0 {
        faults.push(Fault::new(
            FaultId::CloseDataAfter,
            "nothing behind the server's Close (RFC 6455 §5.5.1)",
            format!("{} bytes", line.after_close()),
            "stop sending once Close is sent",
        ));
    }
    match heard {
        Heard::Ended(end) => {
            closing.tcp_closed_by = Some("server");
            closing.tcp_closed_ms = Some(millis(began.elapsed()));
            if end != End::Fin {
                faults.push(Fault::new(
                    FaultId::CloseResetAfter,
                    "the end of the stream (FIN) behind the server's Close (RFC 6455 §7.1.1)",
                    "a reset (RST)",
                    "read what the client sent before the socket is closed; a reset can destroy the Close frame on its way",
                ));
            }
        }
        _ => faults.push(Fault::new(
            FaultId::CloseTcpLeftOpen,
            format!("the server closes TCP at once (RFC 6455 §7.1.1), waited {timeout:?}"),
            "the connection is still open",
            "close the socket when both Close frames have gone; else connections pile up",
        )),
    }
    faults
}

fn wrong_code(code: CloseCode) -> Fault {
    let came = match code {
        CloseCode::NO_STATUS_RCVD => "a Close without a code".to_owned(),
        code => format!("a Close with {code:?}"),
    };
    Fault::new(
        FaultId::CloseWrongCode,
        "a Close with the code that was sent, 1000 (RFC 6455 §5.5.1)",
        came,
        "answer with the code that came",
    )
}

fn unanswered(answer: &Heard, timeout: Duration, unfinished: &str) -> Fault {
    let expected = format!("a Close with 1000 within {timeout:?} (RFC 6455 §5.5.1)");
    let advice = "answer a Close with a Close, then close the socket, so that clients can tell an end from a failure";
    match answer {
        Heard::Violation(Cause::Protocol(ProtocolError::InvalidCloseCode(code))) => Fault::new(
            FaultId::CloseInvalidCode,
            "a Close with 1000; 1005, 1006, 1015 and codes without a meaning are never sent (RFC 6455 §7.4)",
            format!("a Close with {code}"),
            "answer with the code that came; 1006 is what a client calls an end without a Close",
        ),
        Heard::Ended(End::Reset) => {
            Fault::new(FaultId::CloseReset, expected, "a reset (RST)", advice)
        }
        Heard::Ended(end) => Fault::new(FaultId::CloseCut, expected, escape(&end.words()), advice),
        Heard::Silence => {
            Fault::new(FaultId::CloseNoAnswer, expected, format!("nothing{unfinished}"), advice)
        }
        heard => lost(heard),
    }
}
