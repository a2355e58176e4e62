//! What a client's task waits for.

use std::{
    future::{Future, pending},
    pin::Pin,
    time::Instant,
};

use bytes::Bytes;
use tokio::time::sleep_until;

use super::{
    carrier::{Carrier, Heard},
    link::Link,
    opening::Opened,
};
use crate::reconnect::AttemptError;

pub(super) type Pending<T> = Pin<Box<dyn Future<Output = Result<T, AttemptError>> + Send>>;

/// An attempt that is under way.
pub(super) struct Opening {
    pub(super) future: Pending<Opened>,
    pub(super) is_beside: bool,
}

/// What happened.
pub(super) enum Happened {
    News,
    Heard(Heard),
    Opened(Result<Opened, AttemptError>),
    Ticket(Result<Option<Bytes>, AttemptError>),
}

/// Waits for whatever comes first, at the latest until something is due.
///
/// # Cancel safety
/// Nothing is lost.
pub(super) async fn wait(
    link: &Link,
    opening: &mut Option<Opening>,
    carrier: &mut Option<Carrier>,
    asking: &mut Option<Pending<Option<Bytes>>>,
    due: Option<Instant>,
) -> Happened {
    // In no order: whoever sends without end must not keep acknowledgements from being heard.
    tokio::select! {
        () = link.news() => Happened::News,
        opened = opened(opening) => Happened::Opened(opened),
        heard = heard(carrier, link) => Happened::Heard(heard),
        ticket = asked(asking) => Happened::Ticket(ticket),
        () = passed(due) => Happened::News,
    }
}

async fn opened(opening: &mut Option<Opening>) -> Result<Opened, AttemptError> {
    match opening {
        Some(opening) => (&mut opening.future).await,
        None => pending().await,
    }
}

async fn heard(carrier: &mut Option<Carrier>, link: &Link) -> Heard {
    match carrier {
        Some(carrier) => carrier.hear(link).await,
        None => pending().await,
    }
}

async fn asked(asking: &mut Option<Pending<Option<Bytes>>>) -> Result<Option<Bytes>, AttemptError> {
    match asking {
        Some(asking) => asking.await,
        None => pending().await,
    }
}

async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}
