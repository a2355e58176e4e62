//! Comings and goings of connections, in lines: each is told once, in its order, with its reason.

use std::{collections::VecDeque, sync::Arc};

use everwire::{
    reconnect::{Ending, State},
    session::{ClientEvent, ClientState},
};

/// Joins what the states of a client say, which come at once, with its events, which may wait behind
/// messages: of an attempt to connect nothing is told before the loss that it is to mend.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The last event of that kind said so.
    is_attached: bool,
    /// A state said that it is attached, and no event has yet.
    is_ahead: bool,
    /// States that belong behind an event that is still to come; `Attached` is one of them where it is
    /// not the next.
    held: VecDeque<ClientState>,
    /// What was told last of a connection that ended or an attempt that failed.
    told: Option<Ending>,
    /// The session of this connection has ended.
    has_ended: bool,
}

impl Progress {
    /// Returns what to tell of a state.
    pub(super) fn state(&mut self, state: Option<&ClientState>) -> Vec<String> {
        match state {
            Some(ClientState::Attached) if self.held.is_empty() => {
                self.is_ahead = !self.is_attached;
            }
            Some(ClientState::Attached) => self.held.push_back(ClientState::Attached),
            Some(state @ (ClientState::Connecting { .. } | ClientState::Detached { .. })) => {
                if !self.is_attached && !self.is_ahead {
                    return self.attempt(state);
                }
                self.held.push_back(state.clone());
            }
            // The last line says why.
            _ => {}
        }
        Vec::new()
    }

    /// Returns what to tell of an event, if it is one of these.
    pub(super) fn event(&mut self, event: &ClientEvent) -> Vec<String> {
        match event {
            ClientEvent::Attached { id } => {
                let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                self.attached(format!("= attached, session {id}"))
            }
            ClientEvent::Resumed { epoch } => {
                self.attached(format!("= resumed, connection {epoch}"))
            }
            ClientEvent::Detached { closure } => {
                self.is_attached = false;
                self.told = closure.clone().map(Ending::Closed);
                let mut lines = vec![match (closure, std::mem::take(&mut self.has_ended)) {
                    (Some(closure), _) => format!("= detached: {closure}"),
                    (None, true) => "= detached: the session has ended".to_owned(),
                    (None, false) => "= detached: the server was silent for too long".to_owned(),
                }];
                while let Some(state) = self.held.pop_front() {
                    if matches!(state, ClientState::Attached) {
                        self.is_ahead = true;
                        break; // What follows belongs to a later loss.
                    }
                    lines.extend(self.attempt(&state));
                }
                lines
            }
            ClientEvent::Lost { end, .. } => {
                self.has_ended = end.is_some();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn attached(&mut self, line: String) -> Vec<String> {
        (self.is_attached, self.is_ahead, self.has_ended) = (true, false, false);
        vec![line]
    }

    /// Tells of an attempt that is under way or will be, and why the one before it failed.
    fn attempt(&mut self, state: &ClientState) -> Vec<String> {
        let mut lines = Vec::new();
        if let ClientState::Connecting { attempt, last: Some(last), .. }
        | ClientState::Detached { attempt, last: Some(last), .. } = state
            && !self.told.as_ref().is_some_and(|told| is_same(told, last))
        {
            lines.push(failed(*attempt, last));
            self.told = Some(last.clone());
        }
        // That it is detached was told.
        lines.push(format!("= {}", state.to_string().trim_start_matches("detached, ")));
        lines
    }
}

/// What to tell of a reconnecting client: each state, and before it how what it is to mend ended.
#[derive(Debug, Default)]
pub(super) struct States {
    told: Option<Ending>,
}

impl States {
    /// Returns what to tell of a state.
    pub(super) fn state(&mut self, state: &State) -> Vec<String> {
        let mut lines = Vec::new();
        if let State::Connecting { attempt, last: Some(last), .. } = state
            && !self.told.as_ref().is_some_and(|told| is_same(told, last))
        {
            lines.push(match last {
                Ending::Failed(_) => failed(*attempt, last),
                last => format!("= ended: {last}"),
            });
            self.told = Some(last.clone());
        }
        if !matches!(state, State::Stopped(_)) {
            lines.push(format!("= {state}")); // The last line says why it stopped.
        }
        lines
    }
}

/// Says why the attempt before this one failed.
fn failed(attempt: u32, last: &Ending) -> String {
    format!("= attempt {} failed: {last}", attempt.saturating_sub(1).max(1))
}

fn is_same(one: &Ending, other: &Ending) -> bool {
    match (one, other) {
        (Ending::Closed(one), Ending::Closed(other)) => Arc::ptr_eq(one, other),
        (Ending::Failed(one), Ending::Failed(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use everwire::reconnect::{AttemptError, Refusal};

    use super::*;

    fn failed() -> Option<Ending> {
        Some(Ending::Failed(Arc::new(AttemptError::NotAttached(Refusal::Silent))))
    }

    fn waits(attempt: u32, millis: u64, last: Option<Ending>) -> ClientState {
        ClientState::Detached { attempt, delay: Duration::from_millis(millis), last }
    }

    #[test]
    fn a_failed_attempt_has_its_reason_once() {
        let (mut progress, last) = (Progress::default(), failed());
        let lines: Vec<_> = [(2, 400), (2, 0)]
            .into_iter()
            .flat_map(|(attempt, millis)| {
                progress.state(Some(&waits(attempt, millis, last.clone())))
            })
            .collect();
        let why = "server did not attach the session: it did not answer the HELLO in time";
        assert_eq!(
            lines,
            [
                format!("= attempt 1 failed: {why}"),
                "= connecting in 0.4 s, attempt 2".to_owned(),
                "= connecting, attempt 2".to_owned(),
            ]
        );
    }

    /// Whichever of the two is heard first.
    #[test]
    fn nothing_is_told_of_an_attempt_before_the_loss() {
        let detached = ClientEvent::Detached { closure: None };
        let resumed = ClientEvent::Resumed { epoch: 2 };
        for is_ahead in [false, true] {
            let mut progress = Progress::default();
            if is_ahead {
                assert!(progress.state(Some(&ClientState::Attached)).is_empty());
            } else {
                progress.event(&resumed);
                assert!(progress.state(Some(&ClientState::Attached)).is_empty());
            }
            assert!(progress.state(Some(&waits(1, 400, None))).is_empty());
            assert!(progress.state(Some(&waits(2, 0, failed()))).is_empty());
            if is_ahead {
                assert_eq!(progress.event(&resumed), ["= resumed, connection 2"]);
            }
            let lines = progress.event(&detached);
            assert_eq!(lines.len(), 4, "{lines:?}");
            assert!(lines[0].starts_with("= detached: the server was silent"), "{lines:?}");
            assert_eq!(lines[1], "= connecting in 0.4 s, attempt 1");
            assert!(lines[2].starts_with("= attempt 1 failed: "), "{lines:?}");
            assert_eq!(progress.state(Some(&waits(2, 100, None))).len(), 1);
        }
    }

    #[test]
    fn what_belongs_to_a_later_loss_waits_for_it() {
        let detached = ClientEvent::Detached { closure: None };
        let resumed = ClientEvent::Resumed { epoch: 2 };
        let mut progress = Progress::default();
        progress.event(&resumed);
        for state in [waits(1, 400, None), ClientState::Attached, waits(1, 700, None)] {
            assert!(progress.state(Some(&state)).is_empty());
        }
        let lines = progress.event(&detached);
        assert_eq!(lines[1..], ["= connecting in 0.4 s, attempt 1"]);
        assert_eq!(progress.event(&resumed), ["= resumed, connection 2"]);
        let lines = progress.event(&detached);
        assert_eq!(lines[1..], ["= connecting in 0.7 s, attempt 1"]);
    }
}
