//! What holds in every state, and what is reached in some.

use stateright::Property;

use super::{
    Bounds, World,
    ends::{End, Mutation, Stream},
};

/// What no end may ever notice of an honest peer, or of one of its applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    /// An application hears this message again.
    Twice(u8),
    /// An application hears this message, and never the one before it.
    Never(u8),
    /// An application hears a message of a session that is over.
    Foreign,
    /// One end accuses the other of counting wrongly.
    Accused(&'static str),
}

pub(crate) const ONCE: &str = "each message once and in order, or told to be missing";
pub(crate) const TRUSTED: &str = "no honest end is accused";
pub(crate) const FREE: &str = "nobody is locked out";

pub(crate) fn all() -> Vec<Property<Bounds>> {
    vec![
        Property::always(ONCE, once),
        Property::always(TRUSTED, trusted),
        Property::always("acknowledged, received, sent: in this order", sandwich),
        Property::always("a buffer holds what may be asked for", complete),
        Property::always("a socket has the session to itself", one_socket),
        Property::always(FREE, free),
        Property::always("what is there is resumed, and nothing is missing then", resumed),
        Property::always("an end is an end", one_end),
        Property::sometimes("a welcome is lost", |_, w: &World| {
            w.session().is_some_and(|s| s.previous == w.client.token && s.socket.is_none())
        }),
        Property::sometimes("a session is lost", |_, w: &World| w.client.losses > 0),
        Property::sometimes("a gap is passed", |_, w: &World| {
            let heard = w.session().map_or(0, |session| session.stream.recv);
            w.evicted && w.client.stream.recv + heard > 0
        }),
        Property::sometimes("goodbye is said and answered", |_, w: &World| {
            w.client.end == Some(End::Goodbye)
        }),
        Property::sometimes("an old socket is still believed in", |_, w: &World| {
            w.client.attached && w.session().is_some_and(|s| s.socket != w.client.socket)
        }),
    ]
}

fn once(_: &Bounds, world: &World) -> bool {
    matches!(world.wrong, None | Some(Wrong::Accused(_)))
}

fn trusted(_: &Bounds, world: &World) -> bool {
    !matches!(world.wrong, Some(Wrong::Accused(_)))
}

fn sandwich(_: &Bounds, world: &World) -> bool {
    let Some(session) = world.session() else { return true };
    let (up, down) = (&world.client.stream, &session.stream);
    let holds = |from: &Stream, to: &Stream| from.acked <= to.recv && to.recv <= from.said;
    world.client.end.is_some() || holds(up, down) && holds(down, up)
}

fn complete(_: &Bounds, world: &World) -> bool {
    let holds = |stream: &Stream| world.evicted || stream.first <= stream.acked + 1;
    holds(&world.client.stream) && world.sessions.iter().all(|session| holds(&session.stream))
}

fn one_socket(_: &Bounds, world: &World) -> bool {
    let mut sockets: Vec<_> = world.sessions.iter().filter_map(|session| session.socket).collect();
    let all = sockets.len();
    sockets.sort_unstable();
    sockets.dedup();
    let is_its_newest =
        |session: &super::Session| session.socket.is_none_or(|s| s == session.attempt);
    sockets.len() == all && world.sessions.iter().all(is_its_newest)
}

/// With a good network both ends meet again and have heard all, or the session has ended loudly;
/// and nobody is told that another client has the session, for there is none.
fn free(bounds: &Bounds, world: &World) -> bool {
    if world.client.end.is_some() {
        return world.client.end == Some(End::Goodbye);
    }
    let healed = healed(world, bounds.without);
    match (healed.client.end, healed.session()) {
        (Some(end), _) => end == End::Goodbye,
        (None, Some(session)) => {
            let (up, down) = (&healed.client.stream, &session.stream);
            healed.client.attached && down.recv == up.said && up.recv == down.said
        }
        (None, None) => false,
    }
}

/// A session that the server still has is never lost; one whose messages are all there has no gap.
fn resumed(bounds: &Bounds, world: &World) -> bool {
    let is_there = world.session().is_some_and(|session| !session.ended);
    if world.client.end.is_some() || !is_there {
        return true;
    }
    healed(world, bounds.without).client.losses == world.client.losses
}

/// After its goodbye a client that had everything acknowledged has left nothing behind.
fn one_end(_: &Bounds, world: &World) -> bool {
    let client = &world.client;
    client.end != Some(End::Goodbye)
        || world
            .session()
            .is_none_or(|session| session.ended && session.stream.recv == client.stream.said)
}

/// Returns what becomes of it when the network works, and the client tries.
fn healed(world: &World, without: Option<Mutation>) -> World {
    let mut world = world.clone();
    for _ in 0..3 {
        if world.client.end.is_some() {
            break;
        }
        world.sockets.clear();
        world.connect();
        while let Some(at) =
            world.sockets.iter().position(|s| !s.up.is_empty() || !s.down.is_empty())
        {
            if world.sockets[at].up.is_empty() {
                world.down(at, without);
            } else {
                world.up(at, without);
            }
        }
    }
    world
}
