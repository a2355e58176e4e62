//! Whether states follow each other as they may.

use std::{error::Error, fmt, time::Duration};

use super::State;

/// Checks that the states of one client come in a legal order; for tests and for monitoring.
///
/// Give it every state as [`on_state`](super::ReconnectBuilder::on_state) tells it. What may follow what:
///
/// | after | may come |
/// |---|---|
/// | nothing | `Connecting` with attempt 1 at once |
/// | `Connecting` later | the same attempt at once or later, `Waiting`, `Stopped` |
/// | `Connecting` at once | `Open` with the next generation, the next attempt, `Waiting`, `Stopped` |
/// | `Open` | the next attempt or attempt 1, `Waiting`, `Stopped` |
/// | `Waiting` | `Connecting` with an attempt that was not made yet, or with 1; `Stopped` |
/// | `Stopped` | nothing |
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use everwire::reconnect::{State, StateAudit};
///
/// let mut audit = StateAudit::default();
/// audit.check(&State::Connecting { attempt: 1, delay: Duration::ZERO, last: None })?;
/// audit.check(&State::Open { generation: 1 })?;
/// assert!(audit.check(&State::Open { generation: 2 }).is_err());
/// # Ok::<(), everwire::reconnect::IllegalState>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StateAudit {
    last: Option<State>,
    generation: u64,
    /// The number of the last attempt that began.
    begun: u32,
    /// Whether a connection was open since the last attempt, so that counting may begin anew.
    opened: bool,
}

/// A state that may not come where it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IllegalState {
    /// What was before it.
    pub last: Option<State>,
    /// What came.
    pub state: State,
}

impl StateAudit {
    /// Checks the next state, and takes it as the last one if it is legal.
    ///
    /// # Errors
    /// [`IllegalState`] if it may not follow the one before.
    pub fn check(&mut self, state: &State) -> Result<(), IllegalState> {
        if !self.may_follow(state) {
            return Err(IllegalState { last: self.last.clone(), state: state.clone() });
        }
        match *state {
            State::Connecting { attempt, delay: Duration::ZERO, .. } => {
                (self.begun, self.opened) = (attempt, false);
            }
            State::Connecting { .. } => {}
            State::Open { generation } => (self.generation, self.opened) = (generation, true),
            State::Waiting | State::Stopped(_) => {}
        }
        self.last = Some(state.clone());
        Ok(())
    }

    /// Returns how many connections were opened.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn may_follow(&self, state: &State) -> bool {
        use State::{Connecting, Open, Stopped, Waiting};
        const NOW: Duration = Duration::ZERO;
        match (&self.last, state) {
            (None, next) => matches!(next, Connecting { attempt: 1, delay: NOW, .. }),
            (Some(Stopped(_)), _) => false,
            (Some(_), Stopped(_)) => true,
            (Some(Connecting { attempt, delay, .. }), Connecting { attempt: next, .. })
                if *delay > NOW =>
            {
                next == attempt
            }
            (Some(Connecting { delay: NOW, .. }), Open { generation }) => {
                *generation == self.generation + 1
            }
            (Some(Connecting { .. } | Open { .. } | Waiting), Connecting { attempt, .. }) => {
                *attempt == self.begun + 1 || self.opened && *attempt == 1
            }
            (Some(Connecting { .. } | Open { .. }), Waiting) => true,
            _ => false,
        }
    }
}

impl fmt::Display for IllegalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.last {
            Some(last) => write!(f, "\"{}\" may not follow \"{last}\"", self.state),
            None => write!(f, "\"{}\" may not be the first state", self.state),
        }
    }
}

impl Error for IllegalState {}

#[cfg(test)]
mod tests {
    use super::{super::Stop, *};

    fn connecting(attempt: u32, secs: u64) -> State {
        State::Connecting { attempt, delay: Duration::from_secs(secs), last: None }
    }

    fn open(generation: u64) -> State {
        State::Open { generation }
    }

    const STOPPED: State = State::Stopped(Stop::Dropped);

    /// Checks that all states but the last are legal, and whether the last one is.
    #[track_caller]
    fn check(states: &[State], last_is_legal: bool) {
        let mut audit = StateAudit::default();
        let (last, legal) = states.split_last().unwrap();
        for state in legal {
            audit.check(state).unwrap();
        }
        assert_eq!(audit.check(last).is_ok(), last_is_legal, "{last}");
    }

    #[test]
    fn the_usual_life_is_legal() {
        let back = [connecting(1, 0), open(1), connecting(1, 1), connecting(1, 0), open(2)];
        check(&back, true);
        let unstable = [connecting(1, 0), open(1), connecting(2, 1), connecting(2, 0), STOPPED];
        check(&unstable, true);
        let failing = [connecting(1, 0), connecting(2, 1), connecting(2, 0), connecting(3, 2)];
        check(&failing, true);
        let woken = [connecting(1, 0), connecting(2, 9), connecting(2, 1), connecting(2, 0)];
        check(&woken, true);
        let paused = [connecting(1, 0), open(1), State::Waiting, connecting(2, 0), open(2)];
        check(&paused, true);
    }

    #[test]
    fn what_skips_or_repeats_is_illegal() {
        check(&[open(1)], false);
        check(&[connecting(1, 5)], false);
        check(&[connecting(2, 0)], false);
        check(&[connecting(1, 0), open(2)], false);
        check(&[connecting(1, 0), connecting(1, 0)], false);
        check(&[connecting(1, 0), connecting(3, 0)], false);
        check(&[connecting(1, 0), connecting(2, 1), open(1)], false);
        check(&[connecting(1, 0), connecting(2, 1), connecting(3, 0)], false);
        check(&[connecting(1, 0), open(1), open(2)], false);
        check(&[connecting(1, 0), open(1), connecting(3, 0)], false);
        check(&[connecting(1, 0), State::Waiting, open(1)], false);
        check(&[connecting(1, 0), State::Waiting, State::Waiting], false);
        check(&[connecting(1, 0), State::Waiting, connecting(1, 0)], false);
        check(&[connecting(1, 0), STOPPED, connecting(2, 0)], false);
        check(&[connecting(1, 0), STOPPED, STOPPED], false);
    }
}
