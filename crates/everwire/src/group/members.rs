//! The members of a group.

use std::{collections::HashMap, sync::Arc};

use super::{Member, MemberId, session_member::SessionMember};
use crate::{
    session::Live,
    shared::{LastCast, Shared},
};

/// The members, in one row for whoever goes through all of them.
#[derive(Default)]
pub(super) struct Members {
    seats: Vec<Seat>,
    /// Where each member sits.
    places: HashMap<MemberId, usize>,
    /// What the next message may join.
    pub(super) last_cast: LastCast,
}

/// A member's place.
#[derive(Clone)]
pub(super) enum Seat {
    Connection(Arc<Shared>, Arc<Member>),
    Session(Arc<Live>, Arc<SessionMember>),
}

impl Seat {
    pub(super) fn id(&self) -> MemberId {
        match self {
            Self::Connection(shared, _) => shared.id.into(),
            Self::Session(live, _) => live.id().into(),
        }
    }

    /// Gives up all waits of one that left; what it was not sent by now, it is never sent.
    pub(super) fn leave(&self) {
        match self {
            Self::Connection(shared, member) => member.leave(shared),
            Self::Session(live, member) => member.leave(live),
        }
    }
}

impl Members {
    /// Adds one that is not a member.
    pub(super) fn insert(&mut self, seat: Seat) {
        self.places.insert(seat.id(), self.seats.len());
        self.seats.push(seat);
    }

    /// Takes one out; the last one gets its seat.
    pub(super) fn remove(&mut self, id: MemberId) -> Option<Seat> {
        let place = self.places.remove(&id)?;
        let seat = self.seats.swap_remove(place);
        if let Some(moved) = self.seats.get(place) {
            self.places.insert(moved.id(), place);
        }
        if self.seats.len() < self.seats.capacity() / 4 {
            self.seats.shrink_to(self.seats.len() * 2);
            self.places.shrink_to(self.places.len() * 2);
        }
        Some(seat)
    }

    pub(super) fn contains(&self, id: MemberId) -> bool {
        self.places.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter()
    }
}

impl Drop for Members {
    /// Lets all go: what they wait for with a group does not stay behind in a connection that outlives
    /// many.
    fn drop(&mut self) {
        self.seats.iter().for_each(Seat::leave);
    }
}
