//! What a client is doing, one state after the other.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::watch;

use super::{State, Stop};

/// A watch over what a client is doing. Who looks rarely sees the latest state alone;
/// [`on_state`](super::ReconnectBuilder::on_state) is told every one.
///
/// It is also a [`Stream`] of the same states, which ends behind `Stopped`.
pub struct States {
    seen: Seen,
    /// The wait of the stream, which has a copy of what was seen.
    waiting: Option<Waiting>,
}

type Waiting = Pin<Box<dyn Future<Output = (Seen, Option<State>)> + Send + Sync>>;

/// What was seen of the states so far.
#[derive(Clone, Debug)]
struct Seen {
    watch: watch::Receiver<State>,
    first: bool,
}

impl States {
    pub(super) fn new(watch: watch::Receiver<State>) -> Self {
        Self { seen: Seen { watch, first: true }, waiting: None }
    }

    /// Returns the present state, then waits for another; `None` for ever after `Stopped`.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<State> {
        self.waiting = None;
        self.seen.next().await
    }

    pub(super) async fn stopped(&mut self) -> Stop {
        match self.seen.watch.wait_for(|state| state.stopped().is_some()).await {
            Ok(state) => state.stopped().cloned().unwrap_or(Stop::Dropped),
            Err(_) => Stop::Dropped,
        }
    }
}

impl Seen {
    async fn next(&mut self) -> Option<State> {
        if !self.first {
            if self.watch.borrow().stopped().is_some() && !self.watch.has_changed().unwrap_or(false)
            {
                return None;
            }
            self.watch.changed().await.ok()?;
        }
        self.first = false;
        Some(self.watch.borrow_and_update().clone())
    }
}

impl Stream for States {
    type Item = State;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<State>> {
        let this = self.get_mut();
        let waiting = this.waiting.get_or_insert_with(|| {
            let mut seen = this.seen.clone();
            Box::pin(async move {
                let state = seen.next().await;
                (seen, state)
            })
        });
        waiting.as_mut().poll(cx).map(|(seen, state)| {
            this.seen = seen;
            this.waiting = None;
            state
        })
    }
}

impl Clone for States {
    fn clone(&self) -> Self {
        Self { seen: self.seen.clone(), waiting: None }
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").field("now", &*self.seen.watch.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn poll(states: &mut States) -> Poll<Option<String>> {
        let polled = Pin::new(states).poll_next(&mut Context::from_waker(Waker::noop()));
        polled.map(|state| state.map(|state| state.to_string()))
    }

    fn says(state: &State) -> Poll<Option<String>> {
        Poll::Ready(Some(state.to_string()))
    }

    #[test]
    fn a_stream_of_states_and_next_see_each_change_once() {
        let [first, second] = [1, 2].map(|generation| State::Open { generation });
        let (sender, watch) = watch::channel(State::Waiting);
        let mut states = States::new(watch);
        assert_eq!(poll(&mut states), says(&State::Waiting));
        assert_eq!(poll(&mut states), Poll::Pending);
        sender.send(first.clone()).unwrap();
        assert_eq!(poll(&mut states), says(&first));
        assert_eq!(poll(&mut states), Poll::Pending);
        sender.send(second.clone()).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let next = std::pin::pin!(states.next()).poll(&mut cx);
        assert_eq!(next.map(|state| state.map(|state| state.to_string())), says(&second));
        assert_eq!(poll(&mut states), Poll::Pending);
        let stopped = State::Stopped(Stop::Dropped);
        sender.send(stopped.clone()).unwrap();
        assert_eq!(poll(&mut states), says(&stopped));
        assert_eq!([poll(&mut states), poll(&mut states)], [Poll::Ready(None), Poll::Ready(None)]);
    }
}
